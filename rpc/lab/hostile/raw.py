"""A peer that breaks the protocol: writes what it likes into the memory that both sides share."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from pinfut.executor import sleep
from pinfut.rpc.errors import RpcError, from_wire
from pinfut.rpc.kernel.bank import Bank
from pinfut.rpc.kernel.lane import Lane
from pinfut.rpc.kernel.sim import Process, SimKernel
from pinfut.rpc.protocol.frames import (
    BOOTSTRAP,
    CALL,
    CALL_HEAD,
    FINISH,
    RELEASE,
    RELEASE_FRAME,
    RETURN,
    RETURN_HEAD,
    SHORT,
)
from pinfut.rpc.session import Session

RING, CELL = 16_384, 1024


async def quiet() -> None:
    """Let everything that is under way without a long timer come to its end."""
    for _ in range(3):
        await sleep(1e-6)


class Raw:
    """A client that is nothing but its end of the channel; it has the root as export 0."""

    __slots__ = ("end", "lane", "slots")

    def __init__(
        self,
        kernel: SimKernel,
        service: str,
        bank: Bank,
        slots: int = 8,
        ring: int = RING,
        process: Process | None = None,
        cell: int = CELL,
    ) -> None:
        process = kernel.process("raw") if process is None else process
        self.slots = slots
        self.end = kernel.connect(process, service, bank, slots=slots, ring=ring, cell=cell)
        self.lane = self.end.out()
        self.lane.cells.reserve(256)  # the page with the places 0 to 3

    async def bootstrap(self, interface: Any) -> None:
        """Ask for the root, and finish the question."""
        self.send(call(0, interface._pinfut_id, 0, flags=2, kind=BOOTSTRAP, payload=b""))
        await quiet()
        assert self.replies() == [0]
        self.send(short(FINISH, 0))
        await quiet()

    def send(self, *frames: bytes) -> None:
        """Put bytes into the ring as they are, and signal."""
        for frame in frames:
            assert self.lane.writer.write(frame)
        self.lane.writer.publish()
        self.end.signal()

    def offer(self, *frames: bytes) -> int:
        """Put down as many as there is room for, and signal; how many that were."""
        written = 0
        for frame in frames:
            if not self.lane.writer.write(frame):
                break
            written += 1
        self.lane.writer.publish()
        self.end.signal()
        return written

    def replies(self) -> list[int]:
        """The ids that were answered since the last time."""
        return self.lane.completions.take()

    def error(self, place: int = 0) -> RpcError:
        """The error in an answer."""
        frame = self.lane.cells.read(place)
        return from_wire(*msgspec.msgpack.decode(frame[RETURN_HEAD.size :]))

    def leave(self) -> None:
        """Let go of the channel. Idempotent."""
        self.end.close()


def own_lane(session: Session) -> Lane:
    """The lane on which this side calls."""
    return session.end.out()


def other_lane(session: Session) -> Lane:
    """The lane on which the other side calls, and this one answers."""
    lane = session.end.into()
    assert lane is not None
    return lane


def send(session: Session, *frames: bytes) -> None:
    """Put bytes into the ring of an honest session as they are, and signal."""
    lane = own_lane(session)
    for frame in frames:
        assert lane.writer.write(frame)
    lane.writer.publish()
    session.end.signal()


def cut(frame: bytes, length: int) -> bytes:
    """A frame of which only the beginning is there, and its length says so."""
    return length.to_bytes(4, "little") + frame[4:length]


def answer(session: Session, place: int, x: int, frame: bytes) -> None:
    """Write bytes where an answer belongs, post its id, and signal."""
    lane = other_lane(session)
    lane.cells.write(place, frame)
    post(session, x)


def post(session: Session, *xs: int) -> None:
    """Say that these calls are answered."""
    completions = other_lane(session).completions
    for x in xs:
        completions.post(x)
    completions.publish()
    session.end.signal()


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
    caps: int = 0,
    kind: int = CALL,
    payload: bytes | None = None,
    length: int | None = None,
) -> bytes:
    """A Call, in every part as wanted."""
    body = msgspec.msgpack.encode(args) if payload is None else payload
    size = CALL_HEAD.size + len(body) if length is None else length
    return CALL_HEAD.pack(size, kind, flags, number, x, target, room, place, caps) + body


def returned(x: int, payload: bytes, *, flags: int = 4, caps: int = 0, kind: int = RETURN) -> bytes:
    """A Return, in every part as wanted."""
    size = RETURN_HEAD.size + len(payload)
    return RETURN_HEAD.pack(size, kind, flags, caps, x) + payload


def short(kind: int, x: int, flags: int = 0) -> bytes:
    """A Finish or a Cancel."""
    return SHORT.pack(SHORT.size, kind, flags, 0, x)


def release(number: int, count: int) -> bytes:
    """A Release."""
    return RELEASE_FRAME.pack(RELEASE_FRAME.size, RELEASE, 0, 0, number, count)
