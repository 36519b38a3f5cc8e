"""The service that is simulated, and the book in which it notes what it saw."""

from __future__ import annotations

from asyncio import CancelledError
from collections import Counter
from typing import Protocol

from pinfut.executor.current import current_executor
from pinfut.executor.timers import sleep
from pinfut.rpc.interface import Interface, method
from pinfut.rpc.kernel.sim import SimKernel
from pinfut.rpc.serving import current_session, nested
from pinfut.rpc.vat import connect

CLIENT = 1_000_000
"""Tags of one client lie between two multiples of this, so that a tag says whose it is."""

UNIT = 0.001


class Broken(Exception):
    """An invariant does not hold. `name` says which."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


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


class Book:
    """What the servers saw."""

    def __init__(self, kernel: SimKernel) -> None:
        self.kernel = kernel
        self.started: Counter[int] = Counter()
        # By object: the tags of the calls on it, as they arrived.
        self.order: dict[int, list[int]] = {}
        self.nodes = 0
        self.broken: Broken | None = None

    def arrived(self, node: int, tag: int, payer: str) -> None:
        """A handler has started for a call, paid by a bank of that path."""
        self.started[tag] += 1
        self.order.setdefault(node, []).append(tag)
        if self.started[tag] > 1 and self.broken is None:
            self.broken = Broken("each call once", f"call {tag} was started twice")
        if f"/client {tag // CLIENT}" not in payer and self.broken is None:
            self.broken = Broken("the payer is who caused it", f"{payer} pays for call {tag}")


def value_of(tag: int, size: int) -> bytes:
    """What a read of that tag gives: nothing but the tag."""
    return (tag.to_bytes(4, "little") * (size // 4 + 1))[:size]


class NodeServer(Node):
    def __init__(self, book: Book) -> None:
        self.book = book
        self.number = book.nodes
        book.nodes += 1

    def _arrived(self, tag: int) -> None:
        payer = current_session().end.channel.bank.path
        self.book.arrived(self.number, tag, payer)

    @method(answer=lambda tag, size, delay, stubborn: size + 64)
    async def read(self, tag: int, size: int, delay: int, stubborn: bool) -> bytes:
        self._arrived(tag)
        await _linger(delay, stubborn)
        return value_of(tag, size)

    @method
    async def child(self, tag: int, delay: int) -> Node:
        self._arrived(tag)
        await _linger(delay, False)
        return NodeServer(self.book)

    @method
    async def fail(self, tag: int) -> int:
        self._arrived(tag)
        raise ValueError(f"handler {tag}")

    @method
    async def visit(self, tag: int, node: Node) -> int:
        self._arrived(tag)
        await node
        return tag

    @method
    async def nest(self, tag: int, where: str) -> bytes:
        self._arrived(tag)
        async with (
            nested(pages=24) as bank,
            connect(self.book.kernel, where, Node, bank, slots=1, ring=1024) as other,
        ):
            return await other.read(tag + CLIENT // 2, 8, 0, False)


async def _linger(delay: int, stubborn: bool) -> None:
    """Wait; a stubborn handler waits on when it is told to stop."""
    clock = current_executor()
    end = clock.now() + delay * UNIT
    while clock.now() < end:
        try:
            await sleep(end - clock.now())
        except CancelledError:
            if not stubborn:
                raise
