"""What a bank keeps about itself takes no more than it pays, on the running interpreter."""

from __future__ import annotations

import gc
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from pinfut import checked
from pinfut.rpc.charging import ClientRef, Kept
from pinfut.rpc.kernel import prices
from pinfut.rpc.kernel.bank import Bank, Purse
from pinfut.rpc.kernel.freed import Freed
from pinfut.rpc.kernel.handle import Handle, Rank
from pinfut.rpc.kernel.pages import Region
from pinfut.rpc.kernel.reservation import Reservation
from pinfut.rpc.kernel.transfers import Transfers
from tests.covered import covered

GROWN = (1366, 2731, 5462)
"""Numbers of entries at which a dict has just made its table larger: the worst."""


@pytest.fixture(autouse=True)
def _without_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "keeping", False)


def client() -> Bank:
    return Bank("root", 1 << 30, 1 << 30).child("client", pages=1 << 29, caps=1 << 29)


def banks(count: int) -> Callable[[], Any]:
    payer = client()

    def make() -> Any:
        return [payer.child(f"the name of bank {n:08}", pages=1 << 20) for n in range(count)]

    return make


def handles(count: int) -> Callable[[], Any]:
    payer = client()
    return lambda: [Handle(payer, Rank.READ) for _ in range(count)]


def tickets(count: int) -> Callable[[], Any]:
    payer = client()
    return lambda: [Reservation(payer, 1000 + n, 1000 + n) for n in range(count)]


def transfers(count: int) -> Callable[[], Any]:
    payer = client()
    queue = Transfers(payer)
    end = payer.child("end", pages=10, funded=True)

    def make() -> Any:
        for n in range(count):
            queue.add(end, pages=1000 + n)

    return make


def waits(count: int) -> Callable[[], Any]:
    payer = client()
    below = [payer.child(f"b{n}", pages=1 << 20) for n in range(count)]
    payer.refill(pages=-(1 << 30))

    class Waker:
        def wake(self) -> None: ...

    def make() -> Any:
        kept = []
        for bank in below:
            wait = Freed(bank, 1 << 19, 0)
            bank.arm(wait)
            wait._waker = Waker()
            payer.enlist(wait)
            kept.append(wait)
        return kept

    return make


def maps(count: int) -> Callable[[], Any]:
    payer = client()
    region = Region(payer, 1)
    return lambda: [region.map(payer) for _ in range(count)]


def refs(count: int) -> Callable[[], Any]:
    kept = Kept(Purse(client()))
    return lambda: [ClientRef(kept, None, 5000) for _ in range(count)]


@pytest.mark.parametrize(
    ("name", "many"),
    [
        ("BANK", banks),
        ("HANDLE", handles),
        ("RESERVATION", tickets),
        ("TRANSFER", transfers),
        ("ARMED", waits),
        ("KEPT", refs),
        ("MAPPING", maps),
    ],
)
def test_what_is_kept_about_a_bank_takes_no_more_than_its_price(name: str, many: Any) -> None:
    """Bank rule 13: a bank's own metadata is charged to it."""
    price = getattr(prices, name)
    if name == "TRANSFER":
        price += prices.RESERVATION
    worst = 0.0
    for count in GROWN:
        make = many(count)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            left = make()
            worst = max(worst, (tracemalloc.get_traced_memory()[0] - before) / count)
            del left
        finally:
            tracemalloc.stop()
    covered(f"price of {name}", price=price, truth=math.ceil(worst))
    assert worst <= price, f"{name} is {price}, and one takes {worst:.1f} bytes"
