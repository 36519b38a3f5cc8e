"""Banks at their edges, an example each: what long histories meet only by chance."""

from __future__ import annotations

import gc

import pytest

from pinfut import PENDING
from pinfut.executor import VirtualClock, run, spawn
from pinfut.rpc import prices
from pinfut.rpc.bank.bank import DEAD, PAGE, Bank
from pinfut.rpc.bank.freed import Freed, freed
from pinfut.rpc.bank.owned import Objects, Owned
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.bank.transfers import Transfers
from pinfut.rpc.errors import BankDead, OutOfCaps, OutOfPages
from pinfut.rpc.memory.pages import Region
from pinfut.rpc.names import shortened
from pinfut.testing import Hand
from tests.rpc.bank.test_bank_rules import settled


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
    # And both may leave a payer whose own limits were lowered below what is used.
    root.refill(-5, -5)
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
    gone.refund(2, 3)
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


def test_banks_that_come_and_are_removed_leave_nothing_with_their_heir() -> None:
    """Not their books either: nobody would pay for the place of them."""
    _, client = chain((100, 100), (90, 90))
    before = objects(client)
    region = Region(client.child("first", pages=50), 1)
    for number in range(20):
        bank = client.child("bank", pages=50)
        bank.keep(100, "a note")
        bank.remove()
        assert objects(client) == [*before, bank.share]
        bank.forget(100)
        assert objects(client) == before
        assert client.pages_used == 1 + region.bank.ledger.pages, number
    region.bank.remove()
    assert objects(client) == [*before, region]
    assert region.bank is client


def objects(bank: Bank) -> list[Owned]:
    """What stands in the list of a bank, first to last, and the same from its end."""
    found: list[Owned] = []
    one = bank.objects.first
    while one is not None:
        found.append(one)
        one = one._after
    one = bank.objects.last
    for expected in reversed(found):
        assert one is expected
        assert one is not None
        one = one._before
    assert one is None
    return found


@pytest.mark.parametrize("heirs", [0, 2])
@pytest.mark.parametrize("gone", [0, 3])
def test_what_is_inherited_stands_behind_what_was_there_and_is_destroyed_with_it(
    heirs: int, gone: int
) -> None:
    root, client, bank = chain((100, 100), (90, 90), (50, 50))
    own = [Region(client, 1) for _ in range(heirs)]
    inherited = [Region(bank, 1) for _ in range(gone)]
    before = objects(client)
    bank.remove()
    assert objects(client) == before + inherited
    run(_end(client), clock=VirtualClock())
    assert [one.pages for one in own + inherited] == [0] * (heirs + gone)
    assert root.pages_used == 0


def test_a_list_that_is_empty_gives_nothing() -> None:
    some, none = Objects(), Objects()
    some.take_all(none)
    assert some.first is some.last is none.first is none.last is None


# ---- closing and destroying ----


async def _end(bank: Bank) -> None:
    await destroy(bank)


@pytest.mark.parametrize("step", [0, -1])
def test_a_destroy_of_no_pieces_is_refused_and_destroys_nothing(step: int) -> None:
    bank = Bank("root", 10, 10)
    with pytest.raises(ValueError, match="1 piece or more"):
        destroy(bank, step=step)
    assert bank.alive


def test_what_two_use_goes_with_the_second_of_them() -> None:
    root, client = chain((100, 100), (90, 90))
    region = Region(client, 2)
    region.pin()
    region.pin()

    async def main() -> None:
        ends = spawn(_end(client))
        await settled()
        region.unpin()
        await settled()
        assert (region.pages, ends.done, root.pages_used) == (2, False, 2)
        region.unpin()
        await ends

    run(main(), clock=VirtualClock())
    assert (region.pages, root.pages_used) == (0, 0)
    with pytest.raises(ValueError, match="more often than pinned"):
        region.unpin()


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


@pytest.mark.parametrize("name", ["n" * 1000, "\U0001f600" * 40, "n" * 100 + "\U0001f600"])
def test_a_name_that_is_longer_than_its_price_pays_for_is_refused(name: str) -> None:
    root, _, bank = chain((100, 100), (90, 90), (50, 50))
    used = root.pages_used
    with pytest.raises(ValueError, match="too long for a name"):
        bank.child(name, pages=10, funded=True)
    assert root.pages_used == used
    assert name.endswith(shortened(name))
    bank.child(shortened(name), pages=10)


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
    assert bank.share.bank is bank
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


@pytest.mark.parametrize("end", ["it comes", "cancel", "destroy", "remove", "remove, not last"])
@pytest.mark.parametrize("above", [False, True])
def test_a_bank_keeps_nothing_of_a_wait_that_is_over(end: str, above: bool) -> None:
    """Neither the one that is waited for nor, `above`, the one that lacks what is asked."""

    def waits() -> int:
        gc.collect()
        return sum(type(one) is Freed for one in gc.get_objects())

    async def main() -> None:
        _, client, bank = chain((100, 100), (7, 90), (7, 7))
        if end == "remove, not last":
            bank.child("below", pages=1)
        (client if above else bank).buy(4 - len(bank.children))
        before = waits()
        task = spawn(_wait(bank, 3, 0))
        await settled()
        assert waits() == before + 1
        if end == "cancel":
            task.cancel()
        elif end == "it comes":
            (client if above else bank).sell(4)
        elif end == "destroy":
            await destroy(bank)
        else:
            bank.remove()
        await settled()
        if end == "remove, not last":
            assert bank.state != DEAD, "nothing was sold, and nobody told of it"
        assert task.done
        assert (task.error() is None) == (end == "it comes")
        del task
        assert waits() == before

    run(main(), clock=VirtualClock())


async def _wait(bank: Bank, pages: int, caps: int) -> None:
    await freed(bank, pages, caps)


@pytest.mark.parametrize(("pages", "caps"), [(-1, 0), (0, -1)])
def test_nobody_waits_for_less_than_nothing(pages: int, caps: int) -> None:
    with pytest.raises(ValueError, match="wait for 0 or more"):
        freed(Bank("root", 10, 10), pages, caps)


def test_a_wait_stands_at_one_bank_also_when_another_begins_to_lack() -> None:
    _, client, bank = chain((100, 100), (10, 10), (9, 9))
    client.buy(6)
    hand = Hand(freed(bank, 4))
    assert hand.poll() is PENDING  # the client lacks them
    bank.buy(3)
    bank.refill(-4)
    assert hand.poll() is PENDING  # now the bank does, which is asked first
    client.sell(6)
    assert hand.wakes == 0, "told by the bank that it does not wait at"
    bank.refill(5)
    assert hand.wakes == 1
    assert hand.poll() is None


# ---- reservations and transfers ----


def test_a_reservation_that_was_spent_holds_what_was_not_bought() -> None:
    _, client, bank = chain((100, 100), (90, 90), (50, 50))
    kept = Reservation(bank, 4, 3)
    used = bank.pages_used, bank.caps_used
    with kept.spend():
        bank.buy(1, 2)
    assert (kept.pages, kept.caps) == (3, 1)
    with kept.spend():
        bank.buy(3, 1)
    assert (kept.pages, kept.caps) == (0, 0)
    assert (bank.pages_used, bank.caps_used) == used
    kept.drop()
    assert (bank.pages_used, bank.caps_used) == (used[0], used[1])
    bank.sell(4, 3)
    bank.close()
    assert client.caps_used == 0


def test_a_reservation_that_is_dropped_while_it_is_spent_takes_nothing_back() -> None:
    _, client, bank = chain((100, 100), (90, 90), (50, 50))
    kept = Reservation(bank, 4, 3)
    with kept.spend():
        kept.drop()
        kept.drop()
    assert not kept.valid
    assert (kept.pages, kept.caps) == (0, 0)
    bank.close()
    assert (client.pages_used, client.caps_used) == (0, 0)


def test_a_reservation_that_was_dropped_holds_nothing() -> None:
    bank = Bank("root", 10, 10)
    kept = Reservation(bank, 4, 3)
    kept.drop()
    assert (kept.pages, kept.caps) == (0, 0)
    assert (bank.pages_used, bank.caps_used) == (0, 0)


def test_a_transfer_that_is_refused_leaves_nothing_in_the_books() -> None:
    root = Bank("root", 100, 100)
    funded = root.child("funded", pages=10, caps=10, funded=True)
    queue = Transfers(root)
    for pages, caps, error in (
        *((-1, 0, ValueError), (0, -1, ValueError)),
        *((1000, 0, OutOfPages), (0, 1000, OutOfCaps)),
    ):
        with pytest.raises(error, match="move 0" if error is ValueError else "a transfer"):
            queue.add(funded, pages, caps)
        assert len(queue) == 0
        assert root.ledger.used == 0
        assert (root.pages_used, root.caps_used) == (10, 10)


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
