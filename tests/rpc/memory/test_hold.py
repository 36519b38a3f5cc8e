"""Holds on the pages of a region: lasting ones, which are paid, and pins, which are not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest

from pinfut.rpc import Bank, BankDead, OutOfPages, SimKernel, StillPinned
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.errors import SessionDead
from pinfut.rpc.memory.pages import Hold, Region
from tests.covered import covered, require


def banks(count: int = 2) -> list[Bank]:
    top = SimKernel().bank("top", pages=1000)
    below = [top.child(f"b{n}", pages=100) for n in range(count)]
    for one in below:
        one.keep(1, "a byte")  # from here on the page of its books is there
    return below


def test_a_lasting_hold_is_paid_whole_by_its_holder_once_however_often_it_is_taken() -> None:
    """Bank rule 44: held twice it charges once and takes two releases."""
    owner, holder = banks()
    region = Region(owner, 5)
    used = owner.pages_used, holder.pages_used
    hold = region.hold(holder)
    assert (owner.pages_used, holder.pages_used) == (used[0], used[1] + 5)
    assert region.hold(holder) is hold
    assert holder.pages_used == used[1] + 5
    hold.release()
    assert holder.pages_used == used[1] + 5
    assert hold.get() is region.buffer
    hold.release()
    assert (owner.pages_used, holder.pages_used) == used
    with pytest.raises(SessionDead):
        hold.get()
    with pytest.raises(ValueError, match="more often"):
        hold.release()
    # And again, as if it had never been.
    region.hold(holder).release()
    assert holder.pages_used == used[1]


def test_an_owner_that_frees_is_refunded_at_once_and_takes_nobodys_hold() -> None:
    """Bank rule 44: the owner's free refunds the owner, and a second takes no hold."""
    owner, holder = banks()
    before = owner.pages_used
    region = Region(owner, 5)
    region.buffer[:4] = b"what"
    hold = region.hold(holder)
    used = holder.pages_used
    region.free()
    region.free()
    assert (owner.pages_used, holder.pages_used) == (before, used)
    assert bytes(hold.get()[:4]) == b"what"
    with pytest.raises(SessionDead):
        region.hold(owner)
    hold.release()
    assert holder.pages_used == used - 5


def test_a_hold_that_cannot_be_paid_is_not_there() -> None:
    owner, holder = banks()
    region = Region(owner, 5)
    holder.refill(pages=holder.pages_used + 4 - holder.page_limit)
    used = holder.pages_used
    with pytest.raises(OutOfPages, match="pages that are held"):
        region.hold(holder)
    assert (holder.pages_used, region.holds) == (used, None)
    holder.refill(pages=1)
    hold = region.hold(holder)
    while destroy(holder).step():
        pass
    with pytest.raises(SessionDead):
        hold.get()
    with pytest.raises(BankDead):
        region.hold(holder)
    assert region.pages == 5


def test_who_uses_a_hold_keeps_it_until_then() -> None:
    owner, holder = banks()
    hold = Region(owner, 5).hold(holder)
    hold.pin()
    with pytest.raises(StillPinned):
        hold.release()
    destroying = destroy(holder)
    while destroying.step():
        pass
    assert len(hold.get()) == 5 * 4096
    hold.unpin()
    with pytest.raises(SessionDead):
        hold.get()


def test_a_short_hold_costs_nothing_and_loses_no_quota_in_any_order_beside_a_lasting_one() -> None:
    """Bank rule 45: every order of a pin and its end, of a hold and its release, of the owner's
    free and of the end of the holder's bank."""
    for order in sorted(set(permutations("PPHHFD"))):
        owner, holder = banks()
        start = owner.pages_used, holder.pages_used
        region = Region(owner, 5)
        hold: Hold | None = None
        freed = destroyed = False
        for step in order:
            if step == "P" and region.pins:
                region.unpin()
            elif step == "P" and region.pages:
                region.pin()
            elif step == "H" and hold is not None:
                if hold.count:
                    hold.release()
            elif step == "H" and region.pages and not destroyed:
                hold = region.hold(holder)
            elif step == "F" and region.pins:
                with pytest.raises(StillPinned):
                    region.free()
            elif step == "F":
                region.free()
                freed = True
            elif step == "D":
                while destroy(holder).step():
                    pass
                destroyed = True
            assert owner.pages_used == start[0] + (0 if freed else 5), order
            held = hold is not None and hold.count
            books = 0 if destroyed else start[1]
            assert holder.pages_used == books + (5 if held else 0), order
        while region.pins:
            region.unpin()
        region.free()
        assert (owner.pages_used, holder.pages_used) == (start[0], 0), order
        covered("holds in every order", orders=1, held=hold is not None, waited=not freed)
    require(covered("holds in every order"), "orders", "held", "waited")


def test_the_last_who_holds_pages_pays_for_them_in_whatever_order_the_others_leave() -> None:
    """Bank rule 52: the memory is there exactly while somebody pays for all of it."""
    for order in permutations(range(4)):
        payers = banks(4)
        start = [one.pages_used for one in payers]
        region = Region(payers[0], 3)
        region.buffer[:5] = b"bytes"
        holds = {n: region.hold(payers[n]) for n in (1, 2, 3)}
        leave: dict[int, Callable[[], None]] = {n: hold.release for n, hold in holds.items()}
        leave[0] = region.free
        here = set(range(4))
        for who in order:
            leave[who]()
            here.remove(who)
            paid = [one.pages_used - before for one, before in zip(payers, start, strict=True)]
            assert paid == [3 * (n in here) for n in range(4)]
            for last in here & holds.keys():
                assert bytes(holds[last].get()[:5]) == b"bytes"
        assert not region.holds
        covered("orders of leaving", orders=1)
