"""Measure: what one object of a kind takes on the running interpreter, as tracemalloc sees it.

The difference that many of a kind make, divided. For what stands in dictionaries the numbers
are those at which a dict has just made its table larger, which is the worst.
"""

from __future__ import annotations

import gc
import math
import tracemalloc
from collections.abc import Callable
from typing import Any, Final

from pinfut import checked
from pinfut.rpc import prices
from pinfut.rpc.bank.account import SessionAccount
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.freed import Freed
from pinfut.rpc.bank.handle import BankHandle, Rank
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.bank.share import Share
from pinfut.rpc.bank.transfers import Transfers
from pinfut.rpc.lab.hostile.shop import Item, ItemServer
from pinfut.rpc.memory.pages import Region
from pinfut.rpc.objects.interface import resolve
from pinfut.rpc.session.kept import ClientRef, Kept
from pinfut.rpc.wire.exports import Bushel

GROWN: Final = (1366, 2731, 5462)
"""Numbers of entries at which a dict has just made its table larger: the worst."""

PRICES: Final = {kind: price for kind, price in vars(prices).items() if kind.isupper()}
"""Each price in bytes, by its kind."""

Many = Callable[[int], Callable[[], Any]]
"""Prepares so many; what it gives makes them and returns what has to stay."""


def traced(make: Callable[[], object]) -> int:
    """Bytes that `make` leaves behind, in what it returns and in what it changed."""
    keeping, checked.keeping = checked.keeping, False
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = make()
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        del kept
    finally:
        tracemalloc.stop()
        checked.keeping = keeping
    return after - before


def truth(many: Many) -> int:
    """What one takes at worst, in bytes, rounded up."""
    return math.ceil(max(traced(many(count)) / count for count in GROWN))


def measured(kind: str) -> int | None:
    """What one of a kind takes at worst, in bytes; None for what tests measure alone."""
    if kind not in MANY:
        return None
    taken = truth(MANY[kind])
    if kind == "TRANSFER":
        taken -= prices.RESERVATION  # a transfer holds its ticket
    return taken


def _client() -> Bank:
    return Bank("root", 1 << 30, 1 << 30).child("client", pages=1 << 29, caps=1 << 29)


def exports(count: int) -> Callable[[], Any]:
    """Entries of a bushel, each released once, so that ids have generations as after a while."""
    things = [ItemServer() for _ in range(count)]
    resolve(ItemServer)

    def make() -> Any:
        bushel = Bushel(SessionAccount(Share(_client())))
        for number in [bushel.grant(thing, Item) for thing in things]:
            bushel.release(number, 1)
        numbers = [bushel.grant(thing, Item) for thing in things]
        numbers.clear()
        return bushel

    return make


def _banks(count: int) -> Callable[[], Any]:
    payer = _client()
    return lambda: [payer.child(f"{n:0111}", pages=1 << 20) for n in range(count)]


def _handles(count: int) -> Callable[[], Any]:
    payer = _client()
    return lambda: [BankHandle(payer, Rank.READ) for _ in range(count)]


def _tickets(count: int) -> Callable[[], Any]:
    payer = _client()
    return lambda: [Reservation(payer, 1000 + n, 1000 + n) for n in range(count)]


def _transfers(count: int) -> Callable[[], Any]:
    payer = _client()
    queue = Transfers(payer)
    end = payer.child("end", pages=10, funded=True)

    def make() -> Any:
        for n in range(count):
            queue.add(end, pages=1000 + n)

    return make


def _waits(count: int) -> Callable[[], Any]:
    payer = _client()
    below = [payer.child(f"b{n}", pages=1 << 20) for n in range(count)]
    payer.refill(pages=-(1 << 30))

    class Waker:
        def wake(self) -> None: ...

    def make() -> Any:
        kept = []
        for bank in below:
            wait = Freed(bank, 1 << 19, 0)
            bank.armed = wait
            wait._waker = Waker()
            payer.enlist(wait)
            kept.append(wait)
        return kept

    return make


def _maps(count: int) -> Callable[[], Any]:
    payer = _client()
    region = Region(payer, 1)
    return lambda: [region.map(payer) for _ in range(count)]


def _holds(count: int) -> Callable[[], Any]:
    payer = _client()
    regions = [Region(payer, 1) for _ in range(count)]

    def make() -> Any:
        return [region.hold(payer) for region in regions]

    return make


def _refs(count: int) -> Callable[[], Any]:
    kept = Kept(SessionAccount(Share(_client())))
    return lambda: [ClientRef(kept, None, 5000) for _ in range(count)]


MANY: Final[dict[str, Many]] = {
    "EXPORT": exports,
    "BANK": _banks,
    "HANDLE": _handles,
    "RESERVATION": _tickets,
    "ARMED": _waits,
    "TRANSFER": _transfers,
    "KEPT": _refs,
    "MAPPING": _maps,
    "HOLD": _holds,
}
"""By the name of its price: how to make many of a kind."""
