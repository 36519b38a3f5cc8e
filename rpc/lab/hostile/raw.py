"""A peer that breaks the protocol: writes what it likes into the memory that both sides share."""

from __future__ import annotations

import struct
from typing import Any, final

import msgspec

from pinfut.executor import sleep
from pinfut.rpc.bank.account import SessionAccount
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.contract import Cap, SessionSpec
from pinfut.rpc.errors import RpcError, from_wire
from pinfut.rpc.kernel.sim.channel import Channel
from pinfut.rpc.kernel.sim.endpoint import SimEndpoint
from pinfut.rpc.kernel.sim.kernel import SimKernel
from pinfut.rpc.kernel.sim.process import SimProcess
from pinfut.rpc.memory.event_buffer import EventBuffer
from pinfut.rpc.memory.lane_pages import LanePages
from pinfut.rpc.session.session import Session
from pinfut.rpc.wire.frames import (
    BOOTSTRAP,
    CALL,
    CALL_HEAD,
    EXPECTED,
    FINISH,
    ON_ANSWER,
    RELEASE,
    RELEASE_FRAME,
    RETURN,
    RETURN_HEAD,
    SHORT,
)

RING, CELL = 16_384, 1024


async def quiet() -> None:
    """Let everything that is under way without a long timer come to its end."""
    for _ in range(3):
        await sleep(1e-6)


class Message(bytes):
    """A message, and the capabilities that are handed over with it."""

    caps: tuple[Cap, ...]

    def __new__(cls, frame: bytes, caps: tuple[Cap, ...] = ()) -> Message:
        made = super().__new__(cls, frame)
        made.caps = caps
        return made


def beside(frame: bytes) -> tuple[Cap, ...]:
    """What goes beside a message; nothing beside mere bytes."""
    return frame.caps if isinstance(frame, Message) else ()


@final
class Lane:
    """One direction of a session: the end of it that one side has, and all the bytes that both
    see, to write there what one likes."""

    __slots__ = ("end", "requests", "submissions", "_back", "_kernel")

    def __init__(self, end: SimEndpoint, *, calls: bool) -> None:
        self.end = end
        self._kernel: SimKernel = end._kernel  # type: ignore[assignment]
        # Which of its lanes the kernel has it as.
        self._back = end.serving == calls
        self.submissions: Any = end.submissions() if calls else None
        self.requests: Any = None if calls else end.requests()

    @property
    def slots(self) -> int:
        """How many calls may be open now."""
        return self._pages().slots

    @property
    def memories(self) -> list[memoryview]:
        """The completions and the ring, and then the memory for answers."""
        return self._pages().memories

    def _pages(self) -> LanePages:
        channel = self._kernel.channel_of(self.end)
        assert channel is not None, "the session is over"
        return channel.lanes[self._back]

    @property
    def memory(self) -> memoryview:
        """The completions, and the ring behind them."""
        return self.memories[0]

    def signal(self) -> None:
        """Have the other side look, whatever there is. Nothing once the session is over."""
        if not self.end.released and self._kernel.channel_of(self.end) is not None:
            self._kernel.signal(self.end, announced=False)

    def offer(self, frame: bytes) -> bool:
        """Put a frame down, with what goes beside it; whether there was room."""
        if caps := beside(frame):
            self.end.hand_over(caps)
        written: bool = self.submissions.submit(frame)
        return written

    def send(self, *frames: bytes) -> None:
        """Put bytes into the ring as they are, and signal."""
        for frame in frames:
            assert self.offer(frame)
        self.submissions.publish()
        self.signal()


@final
class Raw:
    """A client that is nothing but its end of the session; it has the root as export 0."""

    __slots__ = ("end", "kernel", "lane", "slots")

    def __init__(
        self,
        kernel: SimKernel,
        service: str,
        bank: Bank,
        slots: int = 8,
        ring: int = RING,
        process: SimProcess | None = None,
        cell: int = CELL,
        refund: int = 0,
        events: EventBuffer | None = None,
        least: tuple[int, int] | None = None,
    ) -> None:
        process = kernel.process("raw") if process is None else process
        self.kernel = kernel
        self.slots = slots
        # Unless it says less it has all from the beginning: it writes where it likes.
        least = least or (slots, ring)
        spec = SessionSpec(slots, ring, cell, refund=refund, events=events, least=least)
        self.end = kernel.connect(process, service, bank, spec)
        self.lane = Lane(self.end, calls=True)
        self.lane.submissions.reserve(256)  # the page with the places 0 to 3

    async def bootstrap(self, interface: Any) -> None:
        """Ask for the root, and finish the question."""
        self.send(call(0, interface._pinfut_id, 0, flags=2, kind=BOOTSTRAP, payload=b""))
        await quiet()
        assert self.replies() == [0]
        self.send(short(FINISH, 0))
        await quiet()

    @property
    def closed(self) -> bool:
        """Whether the other side has ended the session."""
        return self.end.ending is not None

    @property
    def channel(self) -> Channel | None:
        """What the kernel has of the session; None when it is over."""
        return self.kernel.channel_of(self.end)

    @property
    def charged(self) -> SessionAccount:
        """What the serving side has charged."""
        other = self.kernel.peer_of(self.end)
        assert other is not None, "the session is over"
        account = other.account
        assert isinstance(account, SessionAccount)
        return account

    @property
    def refunded(self) -> int:
        """Pages that the client has taken over from the server."""
        return 0 if self.channel is None else sum(self.channel.funds.refunds.values())

    def send(self, *frames: bytes) -> None:
        """Put bytes into the ring as they are, and signal."""
        self.lane.send(*frames)

    def offer(self, *frames: bytes) -> int:
        """Put down as many as there is room for, and signal; how many that were."""
        written = 0
        for frame in frames:
            if not self.lane.offer(frame):
                break
            written += 1
        self.lane.send()
        return written

    def replies(self) -> list[int]:
        """The ids that were answered since the last time."""
        ids: list[int] = self.lane.submissions.completed()
        return ids

    def error(self, place: int = 0) -> RpcError:
        """The error in an answer."""
        frame = self.lane.submissions.read(place)
        return from_wire(*msgspec.msgpack.decode(frame[RETURN_HEAD.size :]))

    def leave(self) -> None:
        """Let go of the session. Idempotent."""
        self.end.close()


def own_lane(session: Session) -> Lane:
    """The lane on which this side calls."""
    assert isinstance(session.end, SimEndpoint)
    return Lane(session.end, calls=True)


def other_lane(session: Session) -> Lane:
    """The lane on which the other side calls, and this one answers."""
    assert isinstance(session.end, SimEndpoint)
    lane = Lane(session.end, calls=False)
    assert lane.requests is not None
    return lane


def send(session: Session, *frames: bytes) -> None:
    """Put bytes into the ring of an honest session as they are, and signal."""
    own_lane(session).send(*frames)


def cut(frame: bytes, length: int) -> bytes:
    """A frame of which only the beginning is there, and its length says so."""
    return length.to_bytes(4, "little") + frame[4:length]


def answer(session: Session, place: int, x: int, frame: bytes) -> None:
    """Write bytes where an answer belongs, post its id, and signal."""
    lane = other_lane(session)
    if caps := beside(frame):
        lane.end.hand_over(caps, place)
    lane.requests.complete(place, x, frame)
    lane.requests.publish()
    lane.signal()


def post(session: Session, *xs: int) -> None:
    """Say that these calls are answered."""
    lane = other_lane(session)
    for x in xs:
        lane.requests.completions.post(x)
    lane.requests.publish()
    lane.signal()


def overwrite(lane: Lane, at: int, words: bytes) -> None:
    """Change the shared bytes of the ring and the completions."""
    lane.memory[at : at + len(words)] = words


def tail_of(lane: Lane) -> int:
    """Where the ring's word stands that says how far the writer is."""
    return 8 * (1 + lane.slots)


def word(value: int) -> bytes:
    return struct.pack("<Q", value)


def call(
    x: int,
    target: int,
    number: int,
    *args: object,
    flags: int = 0,
    room: int = 256,
    place: int = 0,
    caps: int | tuple[Cap, ...] = 0,
    kind: int = CALL,
    payload: bytes | None = None,
    length: int | None = None,
    expects: int = 0,
) -> bytes:
    """A Call, in every part as wanted. `caps`: what is handed over with it, or only how many it
    says that these are. `expects`: the interface that it is for, on an answer."""
    body = msgspec.msgpack.encode(args) if payload is None else payload
    if flags & ON_ANSWER and kind != BOOTSTRAP:
        body = EXPECTED.pack(expects) + body
    size = CALL_HEAD.size + len(body) if length is None else length
    said, there = (caps, ()) if isinstance(caps, int) else (len(caps), caps)
    head = CALL_HEAD.pack(size, kind, flags, number, x, target, room, place, said)
    return Message(head + body, there) if there else head + body


def returned(
    x: int,
    payload: bytes,
    *,
    flags: int = 4,
    caps: int | tuple[Cap, ...] = 0,
    kind: int = RETURN,
) -> bytes:
    """A Return, in every part as wanted; `caps` as in `call`."""
    size = RETURN_HEAD.size + len(payload)
    said, there = (caps, ()) if isinstance(caps, int) else (len(caps), caps)
    frame = RETURN_HEAD.pack(size, kind, flags, said, x) + payload
    return Message(frame, there) if there else frame


def short(kind: int, x: int, flags: int = 0) -> bytes:
    """A Finish or a Cancel."""
    return SHORT.pack(SHORT.size, kind, flags, 0, x)


def release(number: int, count: int) -> bytes:
    """A Release."""
    return RELEASE_FRAME.pack(RELEASE_FRAME.size, RELEASE, 0, 0, number, count)
