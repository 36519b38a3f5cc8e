"""The service that is simulated, and the book in which its servers note what they see."""

from __future__ import annotations

from asyncio import CancelledError
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, final

from pinfut.executor.current import current_executor
from pinfut.executor.timers import sleep
from pinfut.rpc.errors import RpcError
from pinfut.rpc.lab.simulate.broken import Broken
from pinfut.rpc.objects.interface import Interface, method
from pinfut.rpc.session.charging import PinScope, charge, keep
from pinfut.rpc.session.kept import ClientRef
from pinfut.rpc.session.serving import current_session, nested
from pinfut.rpc.session.shared import SharedState
from pinfut.rpc.session.subscriptions import Subscription, subscribe
from pinfut.rpc.vat import connect
from pinfut.unboxed import unboxed

if TYPE_CHECKING:
    from pinfut.rpc.contract import Process
    from pinfut.rpc.kernel.sim.kernel import SimKernel
    from pinfut.rpc.session.session import Session

CLIENT: Final = 1_000_000
"""Tags of one client lie between two multiples of this, so that a tag says whose it is."""

NESTED: Final = CLIENT // 2
"""What a call made on behalf of another has its tag raised by."""

UNIT: Final = 0.001
"""A simulated millisecond, in which handlers, sleeps and delays are counted."""

SHARED: Final = 700
"""Bytes of what a server stores once."""

MOST_KEPT: Final = 4
"""Things that one object keeps; older ones are dropped."""


def value_of(tag: int, size: int) -> bytes:
    """What a read of that tag gives: nothing but the tag."""
    return (tag.to_bytes(4, "little") * (size // 4 + 1))[:size]


def state_of(client: int, key: int, version: int) -> bytes:
    """What is posted to a subscriber: whose it is, and its number."""
    return b"%d %d %d" % (client, key, version)


class Node(Interface, Protocol):
    """An object of the service; `tag` numbers every call of a run."""

    @method(answer=lambda tag, size, delay, stubborn: size + 64)
    async def read(self, tag: int, size: int, delay: int, stubborn: bool) -> bytes: ...
    @method
    async def child(self, tag: int, delay: int) -> Node: ...
    @method
    async def fail(self, tag: int) -> int: ...
    @method
    async def visit(self, tag: int, node: Node) -> int: ...
    @method
    async def nest(self, tag: int, where: str) -> bytes: ...
    @method
    async def store(self, tag: int, size: int, data: bytes) -> int: ...
    @method
    async def same(self, tag: int) -> Node: ...
    @method
    async def several(self, tag: int) -> list[Node]: ...
    @method
    async def watch(self, tag: int, key: int) -> int: ...
    @method
    async def share(self, tag: int, number: int) -> int: ...


class Watched(NamedTuple):
    """A subscription, and whose it is."""

    subscription: Subscription
    client: int
    key: int


@final
class Book:
    """What the servers saw, and what they do inside a pin scope."""

    def __init__(self, kernel: SimKernel) -> None:
        self.kernel = kernel
        self.started: Counter[int] = Counter()
        # By object: the tags of the calls on it, as they arrived.
        self.order: dict[int, list[int]] = {}
        self.nodes = 0
        self.watched: list[Watched] = []
        # Those that the server has ended.
        self.ended: list[Watched] = []
        self.broken: Broken | None = None
        self.counts: Counter[str] = Counter()
        # By process: what a server stores once for all of its clients.
        self.commons: dict[Process, Commons] = {}
        # By client: what goes wrong inside its next pin scope.
        self.sprung: dict[int, Callable[[], None]] = {}

    def breaks(self, name: str, text: str) -> None:
        """Note that an invariant does not hold; the first one counts."""
        if self.broken is None:
            self.broken = Broken(name, text)

    def arrived(self, node: int, tag: int) -> None:
        """A handler has started for a call."""
        payer = self.payer_of(current_session())
        self.started[tag] += 1
        self.order.setdefault(node, []).append(tag)
        if self.started[tag] > 1:
            self.breaks("each call once", f"call {tag} was started twice")
        if f"/client {tag // CLIENT}/" not in payer:
            self.breaks("the payer is who caused it", f"{payer} pays for call {tag}")

    def payer_of(self, session: Session) -> str:
        """The path of the bank that pays for a session; "nobody" for one that is over."""
        channel = self.kernel.channel_of(session.end)
        return "nobody" if channel is None else channel.funds.bank.path

    def common(self) -> Commons:
        """What the server stores once whose handler this is."""
        process = current_session().end.process
        found = self.commons.get(process)
        if found is None:
            found = self.commons[process] = Commons(self)
        return found

    def spring(self, client: int) -> None:
        """Have happen what was laid for this client's next pin scope."""
        if self.sprung:
            happen = self.sprung.pop(client, None)
            if happen is not None:
                happen()


@final
class Commons:
    """What one server stores once, and who subscribes to it, counted apart."""

    def __init__(self, book: Book) -> None:
        self._book = book
        # How often the value was made, and how often somebody came while nobody was there.
        self._made = self._begun = 0
        self._shared = SharedState(self._make, SHARED)
        self._refs: list[tuple[Session, ClientRef[bytes]]] = []

    def _make(self) -> bytes:
        self._made += 1
        return bytes(SHARED)

    def join(self) -> None:
        """The client whose call this is subscribes. Raises OutOfPages and SessionDead."""
        session = current_session()
        alone = not self._there()
        self._refs.append((session, self._shared.subscribe(session)))
        self._begun += alone
        self._book.counts["subscribed beside others"] += not alone
        if self._made != self._begun:
            self._book.breaks(
                "stored once, paid by each", f"made {self._made} times, begun {self._begun} times"
            )

    def leave(self, number: int) -> None:
        """One of the subscriptions ends, whosever it is."""
        there = self._there()
        if not there:
            return
        session, ref = there.pop(number % len(there))
        before = {other: other.kept().bytes for other, _ in there if other is not session}
        self._shared.leave(ref)
        self._book.counts["left beside others"] += bool(before)
        for other, charged in before.items():
            if other.kept().bytes != charged:
                self._book.breaks(
                    "stored once, paid by each",
                    f"{session.name} left, and {other.name} pays {other.kept().bytes}, "
                    f"not {charged}",
                )

    def _there(self) -> list[tuple[Session, ClientRef[bytes]]]:
        self._refs = [one for one in self._refs if one[1].alive]
        return self._refs


@unboxed
async def linger(delay: int, stubborn: bool) -> None:
    """Wait; a stubborn handler waits on when it is told to stop."""
    clock = current_executor()
    end = clock.now() + delay * UNIT
    while clock.now() < end:
        try:
            await sleep(end - clock.now())
        except CancelledError:
            if not stubborn:
                raise


class NodeServer(Node):
    """The service with handlers that are plain coroutines."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.number = book.nodes
        self.refs: list[ClientRef[Any]] = []
        book.nodes += 1

    @method(answer=lambda tag, size, delay, stubborn: size + 64)
    async def read(self, tag: int, size: int, delay: int, stubborn: bool) -> bytes:
        self.book.arrived(self.number, tag)
        await linger(delay, stubborn)
        return value_of(tag, size)

    @method
    async def child(self, tag: int, delay: int) -> Node:
        self.book.arrived(self.number, tag)
        await linger(delay, False)
        return type(self)(self.book)

    @method
    async def fail(self, tag: int) -> int:
        self.book.arrived(self.number, tag)
        raise ValueError(f"handler {tag}")

    @method
    async def visit(self, tag: int, node: Node) -> int:
        self.book.arrived(self.number, tag)
        await node
        return tag

    @method
    async def nest(self, tag: int, where: str) -> bytes:
        self.book.arrived(self.number, tag)
        async with (
            nested(pages=24) as bank,
            connect(self.book.kernel, where, Node, bank, slots=1, ring=1024) as other,
        ):
            return await other.read(tag + NESTED, 8, 0, False)

    @method
    async def same(self, tag: int) -> Node:
        """This object, once more."""
        self.book.arrived(self.number, tag)
        return self

    @method
    async def several(self, tag: int) -> list[Node]:
        """This object twice, and one that is new."""
        self.book.arrived(self.number, tag)
        return [self, self, type(self)(self.book)]

    @method
    async def store(self, tag: int, size: int, data: bytes) -> int:
        """Keep something for the caller, and use it in a pin scope that may be disturbed."""
        book = self.book
        book.arrived(self.number, tag)
        with charge(current_session()):
            ref = keep(tag, size)
        try:
            # Also what was kept here for others, whose sessions may end meanwhile.
            kept = [ref, *(one for one in self.refs if one.alive)]
            tags = [one.get() for one in kept]
            with PinScope(kept):
                with PinScope([ref]):  # scopes nest
                    for each in tags:
                        book.spring(each // CLIENT)
                try:
                    if [one.get() for one in kept] != tags:
                        book.breaks("a value is its caller's", f"what was kept for {tags}")
                except RpcError as error:
                    book.breaks("pins hold", f"in the pin scope of call {tag}: {error}")
            ref.resize(size // 2)
        except BaseException:
            ref.drop()
            raise
        self.refs.append(ref)
        while len(self.refs) > MOST_KEPT:
            self.refs.pop(0).drop()
        return tag

    @method
    async def watch(self, tag: int, key: int) -> int:
        self.book.arrived(self.number, tag)
        self.book.watched.append(Watched(subscribe(key), tag // CLIENT, key))
        return tag

    @method
    async def share(self, tag: int, number: int) -> int:
        """Subscribe to what is stored once, or end one of the subscriptions."""
        self.book.arrived(self.number, tag)
        if number % 3:
            self.book.common().join()
        else:
            self.book.common().leave(number)
        return tag


class UnboxedServer(NodeServer):
    """The same with one frame for each call."""

    @method(answer=lambda tag, size, delay, stubborn: size + 64)
    @unboxed
    async def read(self, tag: int, size: int, delay: int, stubborn: bool) -> bytes:
        self.book.arrived(self.number, tag)
        await linger(delay, stubborn)
        return value_of(tag, size)

    @method
    @unboxed
    async def child(self, tag: int, delay: int) -> Node:
        self.book.arrived(self.number, tag)
        await linger(delay, False)
        return type(self)(self.book)

    @method
    @unboxed
    async def visit(self, tag: int, node: Node) -> int:
        self.book.arrived(self.number, tag)
        await node
        return tag
