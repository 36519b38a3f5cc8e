"""Banks at their edges, an example each: what long histories meet only by chance."""

from __future__ import annotations

import gc

import pytest

from pinfut.executor import VirtualClock, run, spawn
from pinfut.rpc.errors import BankDead, OutOfCaps, OutOfPages
from pinfut.rpc.kernel import prices
from pinfut.rpc.kernel.bank import DEAD, PAGE, Bank
from pinfut.rpc.kernel.destroy import destroy
from pinfut.rpc.kernel.freed import Freed, freed
from pinfut.rpc.kernel.pages import Region
from tests.rpc.kernel.test_bank_rules import settled


def chain(*limits: tuple[int, int]) -> list[Bank]:
    """Banks below each other, the root first, with these pages and capabilities."""
    banks = [Bank("0", *limits[0])]
    for number, (pages, caps) in enumerate(limits[1:], 1):
        banks.append(banks[-1].child(str(number), pages=pages, caps=caps))
    return banks


@pytest.mark.parametrize(
    ("limits", "least"),
    [
        ([(3, 90), (50, 50), (70, 70)], (3, 50)),
        ([(90, 3), (50, 50), (70, 70)], (50, 3)),
        ([(90, 90), (40, 2), (70, 70)], (40, 2)),
        ([(90, 90), (80, 80), (7, 6)], (7, 6)),
    ],
)
def test_what_is_available_is_the_least_of_each_on_the_way_up(
    limits: list[tuple[int, int]], least: tuple[int, int]
) -> None:
    *_, bank = chain(*limits)  # whose books take a page
    assert bank.available == (least[0] - 1, least[1])
    with pytest.raises(OutOfPages):
        bank.buy(bank.available.pages + 1)
    with pytest.raises(OutOfCaps):
        bank.buy(caps=bank.available.caps + 1)
    bank.buy(*bank.available)


def test_above_a_funded_bank_nobody_limits_what_is_available() -> None:
    root = Bank("root", 100, 100)
    funded = root.child("funded", pages=60, caps=60, funded=True)
    root.refill(-40, -40)
    assert root.balance == (0, 0)
    assert funded.available == (60, 60)
    below = funded.child("below", pages=80, caps=80)
    used = funded.pages_used
    assert below.available == (60 - used, 60)


def test_funding_that_cannot_be_paid_moves_nothing() -> None:
    root = Bank("root", 100, 100)
    funded = root.child("funded", pages=60, caps=60, funded=True)
    for pages, caps, error in ((41, 0, OutOfPages), (0, 41, OutOfCaps), (41, -1, OutOfPages)):
        with pytest.raises(error):
            funded.refill(pages, caps)
        assert (funded.page_limit, funded.cap_limit) == (60, 60)
        assert (root.pages_used, root.caps_used) == (60, 60)
    # One of the two may leave while the other comes, also where the payer has none to spare.
    root.refill(-40, 0)
    funded.refill(-1, 40)
    assert (funded.page_limit, funded.cap_limit) == (59, 100)
    assert (root.pages_used, root.caps_used) == (59, 100)
    root.refill(-1, -1)
    funded.refill(-1, -1)
    assert (root.pages_used, root.caps_used) == (58, 99)


# ---- removing ----


def test_a_root_and_a_funded_bank_cannot_be_removed() -> None:
    root = Bank("root", 100, 100)
    funded = root.child("funded", pages=10, caps=10, funded=True)
    for bank in (root, funded):
        with pytest.raises(ValueError, match="cannot be removed"):
            bank.remove()
        assert bank.alive


def test_what_a_removed_bank_owned_is_sold_through_its_heir() -> None:
    root, heir, middle, gone = chain((100, 100), (90, 90), (80, 80), (70, 70))
    gone.buy(5, 7)
    total = root.pages_used, root.caps_used
    gone.remove()
    middle.remove()
    assert (root.pages_used, root.caps_used) == (total[0] - 2, total[1])  # their own books
    assert heir.own == (5, 7)
    gone.sell(2, 3)
    assert heir.own == (3, 4)
    gone.take_back(2, 3)
    assert heir.own == (5, 7)
    with pytest.raises(ValueError, match="sold"):
        gone.sell(6)
    middle.sell(5, 7)
    assert (root.pages_used, root.caps_used) == (0, 0)


def test_a_removed_bank_stays_in_the_tree_until_its_last_sub_bank_has_gone() -> None:
    root, heir, gone, below = chain((100, 100), (90, 90), (50, 50), (40, 40))
    below.buy(3, 3)
    gone.remove()
    assert gone.state != DEAD
    assert below.parent is heir
    assert below.path == "0/1/3"
    kept = below.pages_used + gone.ledger.pages  # its place is still there
    assert (heir.pages_used, root.pages_used) == (kept, kept)
    with pytest.raises(ValueError, match="has a child"):
        heir.child("2", pages=1)
    # What was removed allows everything, and the banks around it go on.
    below.buy(2, 2)
    with pytest.raises(OutOfPages):
        below.buy(heir.page_limit)
    below.sell(5, 5)
    below.close()
    assert gone.state == DEAD
    assert (root.pages_used, root.caps_used) == (0, 0)
    heir.child("2", pages=1)


def test_a_bank_that_did_not_pay_for_itself_is_removed_without_a_refund() -> None:
    root = Bank("root", 100, 100)
    machine = root.child("machine", pages=50)
    machine.remove()
    assert root.pages_used == 0
    assert root.children == []


# ---- closing and destroying ----


def test_a_root_can_be_closed() -> None:
    root = Bank("root", 1, 1)
    root.close()
    assert root.state == DEAD
    with pytest.raises(BankDead, match="closed"):
        root.buy(1)


def test_a_bank_that_is_being_destroyed_says_so_before_the_first_piece() -> None:
    _, client, bank = chain((100, 100), (90, 90), (50, 50))
    destroying = destroy(client)
    for one in (client, bank):
        with pytest.raises(BankDead, match="'1' was destroyed"):
            one.buy(1)
    while destroying.step():
        pass
    assert destroying.done


def test_the_tree_of_a_bank_is_known_by_true_and_false() -> None:
    root, client, bank = chain((100, 100), (90, 90), (50, 50))
    assert [one.is_below(root) for one in (root, client, bank)] == [True, True, True]
    assert [root.is_below(one) for one in (client, bank)] == [False, False]
    bank.close()
    assert bank.is_below(root) is False


def test_a_bank_is_closed_when_only_its_own_place_is_in_its_books() -> None:
    root, _, bank = chain((100, 100), (90, 90), (50, 50))
    assert bank.ledger.used == prices.BANK
    bank.keep(100, "a note")
    with pytest.raises(ValueError, match="still pays for"):
        bank.close()
    bank.forget(100)
    bank.buy(caps=1)
    with pytest.raises(ValueError, match="1 capabilities"):
        bank.close()
    bank.sell(caps=1)
    bank.close()
    bank.close()
    assert bank.state == DEAD
    assert root.pages_used == 0
    assert bank.objects.first is None, "its ledger is still on the list of what it owns"


def test_a_bank_that_is_not_charged_for_itself_is_closed_with_empty_books_only() -> None:
    root = Bank("root", 100, 100)
    bank = root.child("machine", pages=50)
    bank.keep(prices.BANK, "as much as a place would be")
    with pytest.raises(ValueError, match="still pays for"):
        bank.close()
    bank.forget(prices.BANK)
    bank.close()
    assert root.pages_used == 0


@pytest.mark.parametrize("bought", [(3, 0), (0, 4), (3, 4)])
def test_destroying_sells_what_was_bought_and_is_no_object(bought: tuple[int, int]) -> None:
    root, client, bank = chain((100, 100), (90, 90), (50, 50))
    bank.buy(*bought)

    async def main() -> None:
        await destroy(bank)
        assert bank.state == DEAD
        assert client.children == []
        await destroy(client)
        await destroy(client)

    run(main(), clock=VirtualClock())
    assert (root.pages_used, root.caps_used) == (0, 0)
    assert (bank.pages_used, bank.caps_used) == (0, 0)
    assert bank.ledger.bank is bank
    assert bank.objects.first is None, "its ledger is still on the list of what it owns"
    with pytest.raises(BankDead, match="destroyed"):
        bank.buy(1)


# ---- waiting for what comes back ----


def test_who_waits_for_capabilities_is_told_when_the_bank_that_lacks_them_has_them() -> None:
    async def main() -> None:
        _, client, below = chain((100, 100), (90, 10), (50, 50))
        client.buy(caps=8)
        woken: list[str] = []

        async def wait() -> None:
            await freed(below, 0, 3)
            woken.append("caps")

        task = spawn(wait())
        await settled()
        client.buy(1)
        client.sell(1)
        await settled()
        assert woken == []
        client.sell(caps=1)
        await settled()
        assert woken == ["caps"]
        await task

    run(main(), clock=VirtualClock())


@pytest.mark.parametrize("pages", [1, 0])
def test_who_waits_below_a_funded_bank_waits_for_that_and_for_none_above(pages: int) -> None:
    async def main() -> None:
        root = Bank("root", 100, 100)
        funded = root.child("funded", pages=20, caps=20, funded=True)
        root.refill(-80, -80)
        await freed(funded, 19, 20)  # what is above has nothing left, and need not
        funded.buy(19, 20)  # a page is for the books of the wait
        task = spawn(_wait(funded, pages, 1 - pages))
        await settled()
        assert not task.done
        root.refill(2, 2)
        await settled()
        assert not task.done
        funded.refill(1, 1)
        await settled()
        assert task.done
        await task

    run(main(), clock=VirtualClock())


def test_a_wait_ends_with_the_bank_that_is_removed() -> None:
    async def main() -> None:
        root, _, bank = chain((100, 100), (90, 90), (3, 3))
        bank.buy(2)
        task = spawn(_wait(bank, 5, 0))
        await settled()
        bank.remove()
        await settled()
        assert task.done
        with pytest.raises(BankDead, match="removed"):
            await task
        bank.sell(2)
        assert root.pages_used == 0

    run(main(), clock=VirtualClock())


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_bank_keeps_nothing_of_a_wait_that_is_over(cancelled: bool) -> None:
    def waits() -> int:
        gc.collect()
        return sum(type(one) is Freed for one in gc.get_objects())

    async def main() -> None:
        *_, bank = chain((100, 100), (90, 90), (5, 5))
        bank.buy(3)
        before = waits()
        task = spawn(_wait(bank, 3, 0))
        await settled()
        assert waits() == before + 1
        if cancelled:
            task.cancel()
        else:
            bank.sell(3)
        await settled()
        assert task.done
        del task
        assert waits() == before

    run(main(), clock=VirtualClock())


async def _wait(bank: Bank, pages: int, caps: int) -> None:
    await freed(bank, pages, caps)


# ---- what a removed bank leaves in its books ----


def test_what_is_kept_in_the_books_of_a_removed_bank_is_paid_until_it_is_forgotten() -> None:
    root, client, bank = chain((100, 100), (90, 90), (50, 50))
    region = Region(client, 1)
    bank.keep(PAGE, "more than the page that it has")
    bank.remove()
    assert bank.ledger.used == PAGE
    assert root.pages_used == 1 + bank.ledger.pages
    bank.forget(PAGE)
    assert bank.ledger.pages == 0
    region.free()
    assert root.pages_used == 0
