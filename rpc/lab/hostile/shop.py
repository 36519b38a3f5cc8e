"""Shop: the service that hostile clients are clients of, with a way to hold each kind of thing."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, final

from pinfut import pending
from pinfut.executor import current_executor, sleep
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.objects.interface import Interface, method
from pinfut.rpc.session.charging import PinScope, charge, keep
from pinfut.rpc.session.prepayment import Prepayment
from pinfut.rpc.session.serving import current_session, nested
from pinfut.rpc.session.shared import SharedState
from pinfut.rpc.session.subscriptions import EventSource

CLEAN_UP: Final = 0.01
"""Simulated seconds that a cancelled `stubborn` call goes on."""

FRAME: Final = 1104
"""Bytes that a handler takes which only waits."""


class Item(Interface, Protocol):
    """What a client can hold."""

    @method
    async def poke(self, n: int) -> int: ...


@dataclass
class Lease:
    """An argument that runs code of the service when it is decoded."""

    left: int

    def __post_init__(self) -> None:
        if self.left == 0:
            raise LookupError("the lease is over")
        if self.left == 1:
            raise CancelledError

    def __repr__(self) -> str:
        raise SystemExit("nobody may look at this")


class Shop(Interface, Protocol):
    """A root with a way to hold each kind of memory at the server."""

    @method
    async def count(self, n: int) -> int: ...
    @method
    async def buy(self, n: int) -> int: ...
    @method(frame=FRAME)
    async def hold(self, data: bytes) -> int: ...
    @method
    async def stubborn(self) -> int: ...
    @method
    async def make(self) -> Item: ...
    @method
    async def never(self) -> Item: ...
    @method
    async def turn(self) -> int: ...
    @method
    async def refund(self) -> int: ...
    @method
    async def watch(self, key: int) -> int: ...
    @method(frame=FRAME)
    async def hold_any(self, value: Any) -> int: ...
    @method(frame=FRAME)
    async def hold_items(self, items: list[Item]) -> int: ...
    @method
    async def fail(self, text: str) -> Item: ...
    @method(frame=FRAME)
    async def nap(self, seconds: float) -> int: ...
    @method
    async def lease(self, lease: Lease) -> int: ...
    @method
    async def visit(self, item: Item) -> int: ...
    @method
    async def below(self) -> int: ...
    @method
    async def join(self) -> int: ...
    @method
    async def ring(self, n: int) -> int: ...


COUNT, _BUY, HOLD, STUBBORN, MAKE, NEVER, TURN, REFUND, WATCH, HOLD_ANY = range(10)
HOLD_ITEMS, FAIL, NAP, LEASE, VISIT, BELOW, JOIN, RING = range(10, 18)


@final
class ItemServer(Item, charge=64):
    """An object that is handed out."""

    @method
    async def poke(self, n: int) -> int:
        return n


@final
class ShopServer(Shop):
    """The service, with what a scenario may look at and meddle with."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        # How many stubborn calls are cancelled and still run.
        self.cleaning = 0
        # Called inside a pin scope and between two messages of a service: what the other
        # side does meanwhile, on a processor of its own.
        self.meanwhile: Callable[[], None] = _nothing
        # What turns read after `meanwhile`; a scenario says what it should be.
        self.read: list[bytes] = []
        # What was bought for clients, and how often a refund was given.
        self.prepayments: list[Prepayment] = []
        self.refunds = 0
        # What happens here, for who watches, and what is stored once for who joins.
        self.source = EventSource()
        self.shared = SharedState(lambda: bytes(1000), 1033)
        # The time; when the victim was last served; and the longest that others were served
        # in what was left of such a turn.
        self.spent: Callable[[], int] = int
        self.sold = 0
        self.beside = 0
        self._selling = False

    def forget(self) -> None:
        """Keep nothing of what was done here."""
        self.meanwhile = _nothing
        self.read.clear()
        for prepayment in self.prepayments:
            prepayment.close()
        self.prepayments.clear()

    @method
    async def count(self, n: int) -> int:
        self.meanwhile()
        return n

    @method
    async def buy(self, n: int) -> int:
        self.sold = self.spent()
        if not self._selling:
            self._selling = True
            current_executor().call_soon(self._end_turn)
        return n

    def _end_turn(self) -> None:
        self._selling = False
        self.beside = max(self.beside, self.spent() - self.sold)

    @method(frame=FRAME)
    async def hold(self, data: bytes) -> int:
        await never()
        return len(data)

    @method
    async def stubborn(self) -> int:
        try:
            await never()
        finally:
            self.cleaning += 1
            await sleep(CLEAN_UP)
            self.cleaning -= 1
        return 0

    @method
    async def make(self) -> Item:
        return ItemServer()

    @method
    async def never(self) -> Item:
        await never()
        return ItemServer()

    @method
    async def turn(self) -> int:
        with charge(current_session()):
            ref = keep(b"kept", 1000)
            with PinScope([ref]):
                ref.get()
                self.meanwhile()
                self.read.append(ref.get())
                ref.set(b"done")
            await sleep(1e-3)
            ref.drop()
        return len(self.read)

    @method
    async def refund(self) -> int:
        if not self.prepayments:
            self.prepayments.append(current_session().prepay(self._bank, 2))
        self.refunds += self.prepayments[0].refund()
        return self.refunds

    @method
    async def watch(self, key: int) -> int:
        self.source.subscribe(key)
        return key

    @method(frame=FRAME)
    async def hold_any(self, value: Any) -> int:
        await never()
        return 0

    @method(frame=FRAME)
    async def hold_items(self, items: list[Item]) -> int:
        await never()
        return len(items)

    @method
    async def fail(self, text: str) -> Item:
        raise ValueError(text)

    @method(frame=FRAME)
    async def nap(self, seconds: float) -> int:
        await sleep(seconds)
        return 0

    @method
    async def lease(self, lease: Lease) -> int:
        return lease.left

    @method
    async def visit(self, item: Item) -> int:
        return await item.poke(1)

    @method
    async def below(self) -> int:
        async with nested(pages=8):
            await never()
        return 0

    @method
    async def join(self) -> int:
        self.shared.subscribe(current_session())
        return self.shared.size

    @method
    async def ring(self, n: int) -> int:
        for _ in range(n):
            self.source.post(bytes(8))
        return n


def _nothing() -> None: ...


async def never() -> None:
    """Until it is cancelled."""
    await pending()
