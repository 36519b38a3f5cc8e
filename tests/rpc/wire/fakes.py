"""Objects to export, and a host: what a peer asks of its line and its callee, without any I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from pinfut.rpc.bank.account import PAGE, SessionAccount
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.share import Share
from pinfut.rpc.contract import CALLS
from pinfut.rpc.errors import GarbageFrame, RpcError
from pinfut.rpc.lab.hostile.raw import Message, beside
from pinfut.rpc.objects.interface import Interface, method, resolve
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.exports import Facet
from pinfut.rpc.wire.frames import Cap
from pinfut.rpc.wire.peer import Peer


class Thing(Interface, Protocol):
    @method
    async def poke(self, n: int) -> int: ...

    @method
    async def next(self) -> Thing: ...


class Plain(Thing):
    def __init__(self, name: str = "a thing") -> None:
        self.name = name

    @method
    async def poke(self, n: int) -> int:
        return n

    @method
    async def next(self) -> Thing:
        return Plain()

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Costly(Plain, charge=10_000):
    """Holds much memory for whoever it is handed to."""


class Empty(Plain):
    """A container without anything in it, which is false."""

    def __len__(self) -> int:
        return 0


for _class in (Plain, Costly, Empty):
    resolve(_class)


class Host:
    """A line and a callee that keep what the peer asks for. Calls run until a test ends them by
    hand."""

    def __init__(self, slots: int = 8, pages: int = 1000, caps: int = 1000) -> None:
        self.bank = Bank("client", pages, caps)
        self.account = SessionAccount(Share(self.bank))
        self.peer = Peer(slots, self.account)
        self.root: Interface = Plain("root")
        self.log: list[tuple[Any, ...]] = []
        # What was called, in order: (answer, object, payload).
        self.calls: list[tuple[Any, Any, bytes]] = []
        # The ids of all calls that were started.
        self.started: set[int] = set()
        self.cancelled: list[int] = []
        self.sent: list[bytes] = []
        # By question: the one Return that it got.
        self.returns: dict[int, Message] = {}
        self.touched = True
        self.peer.attach(self, self)
        self.peer.complete = self.complete
        self.peer.beside = self
        # What was handed over to it and not taken, by message; and by it with the next answer.
        self.came: deque[tuple[Cap, ...]] = deque()
        self._beside: tuple[Cap, ...] = ()

    def receive(self, frame: bytes) -> None:
        """Have the peer take a frame, and what goes beside it."""
        if caps := beside(frame):
            self.came.append(caps)
        self.peer.receive(frame)

    # ---- what a peer asks of the kernel ----

    def hand_over(self, caps: Sequence[Cap], place: int = CALLS, /) -> None:
        self._beside = tuple(caps)

    def take_over(self, count: int, place: int = CALLS, /) -> tuple[Cap, ...]:
        if not self.came or len(self.came[0]) != count:
            raise GarbageFrame(f"{count} capabilities were not handed over")
        return self.came.popleft()

    # ---- what a peer asks of its line and its callee ----

    def send(self, frame: bytes, /) -> None:
        self.sent.append(frame)

    def touch(self) -> None:
        """All that is sent is seen at once here."""

    def echo(self, x: int, flags: int, /) -> None:
        self.sent.append(self.peer.disembargo(x, flags | frames.LOOPBACK))

    def lift(self, x: int, flags: int, /) -> None:
        self.log.append(("lifted", x, flags & frames.EXPORT))

    def resolve(self, x: int, target: int, /) -> None:
        self.log.append(("resolved", x, target))

    def fail(self, error: RpcError, /) -> None:
        raise AssertionError(f"the session was failed: {error}")

    def complete(self, place: int, x: int, frame: bytes, /) -> None:
        assert x not in self.returns, f"a second Return for {x}"
        self.returns[x] = Message(frame, self._beside)
        self._beside = ()

    def on_call(self, answer: Any, called: Facet, payload: bytes, /) -> None:
        self.started.add(answer.x)
        self.calls.append((answer, called[0], payload))

    def most(self, called: Facet | None, interface: int, method: int, /) -> int:
        return 1 << 20

    def on_bootstrap(self, answer: Any, interface: int, /) -> None:
        try:
            self.hand_out(answer, self.root)
        except RpcError as error:  # it cannot be paid
            self.peer.refuse(answer, error)

    def on_introduce(self, answer: Any, called: Facet | None, payload: bytes, /) -> None:
        self.on_call(answer, called or (None, (), Interface), payload)

    def on_cancel(self, answer: Any, /) -> None:
        self.cancelled.append(answer.x)

    def on_handled(self, answer: Any, task: object, /) -> None:
        raise AssertionError("there are no tasks here")

    # ---- what a test does with it ----

    def hand_out(self, answer: Any, thing: Any) -> None:
        """End a call with a capability, as a server does."""
        number = self.peer.exports.grant(thing, Thing)
        cap = Cap(frames.SENDER, number, Thing._pinfut_id)
        self.peer.give_caps(answer, b"", (cap,), self.peer.exports.get(number))

    def running(self, x: int) -> Any:
        """The answer of a call that runs."""
        return next(answer for answer, _, _ in reversed(self.calls) if answer.x == x)

    def all_running(self) -> list[Any]:
        """The calls that were started and have no Return yet."""
        return [one for one in self.peer.open_answers() if one.x in self.started]

    def all_waiting(self) -> list[Any]:
        """The calls that wait for another's answer."""
        return [one for one in self.peer.open_answers() if one.x not in self.started]

    def called(self) -> list[bytes]:
        return [payload for _, _, payload in self.calls]

    @property
    def held(self) -> tuple[int, int]:
        """Bytes and capabilities that are charged."""
        return self.account.used, self.account.caps - self.account.free_caps


class Caller:
    """The other side of a session: a peer that asks."""

    def __init__(self, slots: int = 8) -> None:
        self.peer = Peer(slots)
        self.sent: list[bytes] = []
        line: Any = self  # for no more than `send`; and nobody calls the caller
        self.peer.attach(line, line)

    def send(self, frame: bytes, /) -> None:
        self.sent.append(frame)

    def on_call(self, answer: Any, called: Facet, payload: bytes, /) -> None:
        raise AssertionError("nobody calls the caller")


ROOM = 1024


def call(
    x: int,
    target: int = 0,
    payload: bytes = b"",
    *,
    on_answer: bool = False,
    pipeline: bool = False,
    method: int = 0,
    room: int = ROOM,
    place: int = 0,
    caps: tuple[Cap, ...] = (),
    kind: int = frames.CALL,
    flags: int | None = None,
    expected: int = Thing._pinfut_id,
) -> Message:
    """A Call, or Bootstrap."""
    if flags is None:
        flags = frames.ON_ANSWER * on_answer | frames.PIPELINE * pipeline
    peer = Peer(1)
    frame = peer.call(x, flags, method, target, room, place, caps, payload, kind, expected)
    return Message(frame, caps)


def bootstrap(x: int = 0, *, room: int = ROOM) -> Message:
    return call(x, pipeline=True, room=room, kind=frames.BOOTSTRAP)


def finish(x: int, *, release: bool = False) -> bytes:
    flags = frames.RELEASE_CAPS if release else 0
    return frames.SHORT.pack(frames.SHORT.size, frames.FINISH, flags, 0, x)


def cancel(x: int) -> bytes:
    return frames.SHORT.pack(frames.SHORT.size, frames.CANCEL, 0, 0, x)


def release(number: int, count: int = 1) -> bytes:
    frame = frames.RELEASE_FRAME
    return frame.pack(frame.size, frames.RELEASE, 0, 0, number, count)


def opened(x: int, frame: bytes) -> tuple[int, tuple[Cap, ...], bytes]:
    """A Return, as its caller reads it."""
    flags, count, payload = Peer(1).open_return(x, frame)
    caps = beside(frame)
    assert len(caps) == count
    return flags, caps, payload


def error_in(x: int, frame: bytes) -> Exception:
    flags, caps, payload = opened(x, frame)
    assert flags & frames.ERROR, "this Return is no error"
    assert not caps
    return Peer(1).open_error(payload)


def wealthy() -> SessionAccount:
    return SessionAccount(Share(Bank("bank", 1000 * PAGE, 100_000)))


def host_in_the_midst(pages: int = 100) -> Host:
    """A host with an export (0), a call that runs (1), one that has returned an object (2),
    and one that waits for the first (3)."""
    host = Host(slots=8, pages=pages)
    host.peer.exports.grant(Plain(), Thing)
    host.receive(call(1, 0, b"runs", pipeline=True))
    host.receive(call(2, 0, b"has returned", pipeline=True))
    host.hand_out(host.running(2), Plain())
    host.receive(call(3, 1, b"waits", on_answer=True, pipeline=True))
    return host
