"""Rules of banks about what is asked first, what is waited for, and what is kept for the kernel."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pinfut.executor import VirtualClock, run, spawn, yield_now
from pinfut.rpc import prices
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.freed import Freed, freed
from pinfut.rpc.bank.handle import BankHandle, Rank
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.errors import BankError, StillPinned
from pinfut.rpc.memory.pages import Region
from tests.covered import covered, require


def tree() -> tuple[Bank, Bank, Bank]:
    """A machine, a client, and a bank of the client's."""
    root = Bank("root", 1000, 1000)
    client = root.child("client", pages=500, caps=500)
    return root, client, client.child("below", pages=100, caps=100)


def test_what_the_kernel_keeps_in_a_bank_survives_that_everything_is_freed() -> None:
    """Bank rule 46: then the account works as before."""
    root, client, below = tree()
    handle = BankHandle(below, Rank.LIMIT)
    for _ in range(3):
        regions = [Region(below, 2) for _ in range(5)]
        ticket = Reservation(below, 4, 2)
        below.buy(10, 5)
        books = below.ledger.pages
        assert books > 0
        # Free all, by each way there is, and try for more than was bought.
        for one in regions:
            one.free()
        ticket.drop()
        below.sell(10, 5)
        for pages in range(1, books + 1):
            with pytest.raises(ValueError, match="bought 0"):
                below.sell(pages)
        assert (below.pages_used, below.caps_used) == (books, 0)
        assert below.ledger.used >= prices.BANK + prices.HANDLE
        # The handle still names it, and what is kept about it can be given back.
        assert handle.bank() is below
        handle.buy(2)
        handle.sell(2)
    handle.drop()
    below.close()
    assert client.pages_used == root.pages_used == 0


def test_who_asked_first_whether_it_may_pay_or_free_is_not_refused() -> None:
    """Bank rule 47: `lacking` before buying, `pins` before freeing; and who did not ask is refused
    exactly where the answer was no, by the bank that the answer named."""
    counts: Counter[str] = Counter()
    for seed in range(100):
        chance = random.Random(seed)
        root = Bank("root", 60, 30)
        client = root.child("client", pages=40, caps=20)
        banks = (root, client, client.child("below", pages=25, caps=12))
        regions: list[Region] = []
        for _ in range(60):
            step = chance.choice(["buy", "reserve", "region", "free", "pin", "unpin", "limit"])
            bank, count = chance.choice(banks), chance.randrange(8)
            region = chance.choice(regions) if regions else None
            if step in ("buy", "reserve", "region"):
                # A ticket has a place in the books, which may take a page more.
                pages = count + (step == "reserve")
                lacking = bank.lacking(pages, 0 if step == "region" else count)
                refused: str | None = None
                try:
                    if step == "buy":
                        bank.buy(count, count)
                    elif step == "reserve":
                        Reservation(bank, count, count)
                    else:
                        regions.append(Region(bank, count))
                except BankError as error:
                    refused = error.bank
                if lacking is None:
                    assert refused is None, "refused, after it was told that it may"
                else:
                    assert refused == lacking.name or step == "reserve"
                counts["may_not_pay" if lacking else "may_pay"] += 1
            elif step == "limit":
                bank.refill(pages=count - 3, caps=count - 3)
            elif region is None:
                continue
            elif step == "pin":
                region.pin()
            elif step == "unpin":
                if region.pins:
                    region.unpin()
            elif region.pins and region.pages:
                with pytest.raises(StillPinned):
                    region.free()
                counts["may_not_free"] += 1
            else:
                used, pages = root.pages_used, region.pages
                region.free()
                assert root.pages_used == used - pages
                counts["may_free"] += 1
    require(covered("asked first", **counts), "may_pay", "may_not_pay", "may_free", "may_not_free")


def test_who_waits_knows_whose_shortage_it_is_and_is_woken_when_that_one_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bank rule 48: two waits, one for the quota of a bank and one for the machine's memory."""
    told: Counter[Freed] = Counter()
    wake = Freed.wake

    def counted(wait: Freed) -> None:
        told[wait] += 1
        wake(wait)

    monkeypatch.setattr(Freed, "wake", counted)

    async def main() -> None:
        root = Bank("root", 100, 100)
        poor, rich = root.child("poor", pages=10), root.child("rich", pages=500)
        rich.buy(40)
        waits = [freed(poor, 20), freed(rich, 80)]

        async def waiting(wait: Freed) -> None:
            await wait

        tasks = [spawn(waiting(one)) for one in waits]
        for _ in range(3):
            await yield_now()
        assert [one.lacking for one in waits] == [poor, root]
        rich.sell(10)  # the machine has more, and not enough: only that wait looks again
        for _ in range(3):
            await yield_now()
        assert [told[one] for one in waits] == [0, 1]
        assert [one.lacking for one in waits] == [poor, root]
        poor.refill(pages=30)
        assert [told[one] for one in waits] == [1, 1]
        for _ in range(3):
            await yield_now()
        assert [one.done for one in tasks] == [True, False]
        rich.sell(30)
        for one in tasks:
            await one
        assert [one.lacking for one in waits] == [None, None]

    run(main(), clock=VirtualClock())
