"""Purses against an oracle: bytes within bought pages, capabilities in lots."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.rpc.bank.bank import CAP_LOT, PAGE, Bank, Machine, SessionAccount
from pinfut.rpc.bank.share import Share
from pinfut.rpc.errors import BankDead, OutOfCaps, OutOfPages
from tests.covered import covered, require

sizes = st.one_of(
    st.integers(0, 64),
    st.integers(0, 4 * PAGE),
    st.sampled_from([1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE - 1]),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "give", "over", "cap", "uncap", "uncap", "caps over"]),
        sizes,
    ),
    min_size=20,
    max_size=60,
)


NAME = "account equals its oracle"


def test_a_account_holds_what_was_taken_in_the_pages_that_it_pays() -> None:
    follow_a_account()
    require(
        covered(NAME),
        "bought",
        "sold",
        "refused",
        "over_refunds",
        "lots",
        "lots_sold",
        "caps_refused",
        "caps_over_refunds",
        "close_refused",
    )


@given(steps=steps, pages=st.integers(0, 19), above=st.integers(0, 19), caps=st.integers(0, 80))
def follow_a_account(steps: list[tuple[str, int]], pages: int, above: int, caps: int) -> None:
    root = Bank("root", above, 1000)
    bank = root.child("bank", pages=pages, caps=caps)
    account = SessionAccount(Share(bank))
    used = caps_used = 0
    counts: Counter[str] = Counter()
    single: list[tuple[str, int]] = []
    for step, size in steps:
        # One by one a history would never give a whole lot back.
        single += [(step, size)] * (1 + size % 34 if step in ("cap", "uncap") else 1)
    for step, size in single:
        before = account.pages, account.free, account.caps, account.free_caps, bank.balance
        if step == "take":
            short = max(0, size - account.free)
            possible = -(-short // PAGE) <= min(bank.balance.pages, root.balance.pages)
            if possible:
                account.take(size)
                used += size
                counts["bought"] += short > 0
            else:
                with pytest.raises(OutOfPages, match="a thing"):
                    account.take(size, "a thing")
                counts["refused"] += 1
        elif step == "give":
            size = min(size, used)
            account.give(size)
            used -= size
            counts["sold"] += account.pages < before[0]
        elif step == "over":
            with pytest.raises(ValueError, match="given"):
                account.give(used + 1 + size)
            counts["over_refunds"] += 1
        elif step == "cap":
            if account.free_caps or bank.balance.caps:
                account.take_cap()
                caps_used += 1
                counts["lots"] += account.caps > before[2]
            else:
                with pytest.raises(OutOfCaps, match="a thing"):
                    account.take_cap("a thing")
                counts["caps_refused"] += 1
        elif step == "uncap" and caps_used:
            account.give_cap()
            caps_used -= 1
            counts["lots_sold"] += account.caps < before[2]
        elif step == "caps over" and not caps_used:
            with pytest.raises(ValueError, match="had not paid"):
                account.give_cap()
            counts["caps_over_refunds"] += 1
        if account.used == before[0] * PAGE - before[1] and step in ("take", "over"):
            assert (size == 0 and step == "take") or before == (
                account.pages,
                account.free,
                account.caps,
                account.free_caps,
                bank.balance,
            ), "a refusal changed something"
        assert account.used == used
        assert account.used + account.free == account.pages * PAGE
        assert account.caps - account.free_caps == caps_used
        assert bank.pages_used == root.pages_used == account.pages
        assert bank.caps_used == root.caps_used == account.caps
        # Hysteresis: at most one spare page, at most one spare lot, beside what is needed.
        assert 0 <= account.free < 2 * PAGE
        assert 0 <= account.free_caps < 2 * CAP_LOT
    if used or caps_used:
        with pytest.raises(ValueError, match="still in use"):
            account.close()
        counts["close_refused"] += 1
        assert (bank.pages_used, bank.caps_used) == (account.pages, account.caps)
    account.give(used)
    for _ in range(caps_used):
        account.give_cap()
    account.close()
    assert (bank.pages_used, bank.caps_used, account.used) == (0, 0, 0)
    covered(NAME, **counts)


def test_lots_of_capabilities_are_sold_when_two_are_free() -> None:
    account = SessionAccount(Share(Bank("bank", 9, 100)))
    sold = 0
    for _ in range(3 * CAP_LOT):
        account.take_cap()
    for _ in range(3 * CAP_LOT):
        before = account.caps
        account.give_cap()
        sold += account.caps < before
        assert account.free_caps < 2 * CAP_LOT
    assert sold == 2
    assert account.caps == CAP_LOT


def test_a_charge_that_comes_and_goes_buys_once() -> None:
    bought: list[int] = []
    bank = Bank("bank", 9, 9, machine=Machine(lambda bank, pages, *_: bought.append(pages)))
    account = SessionAccount(Share(bank))
    account.take(PAGE)
    for _ in range(100):
        account.take(10)
        account.give(10)
    assert bought == [1, 1]


def test_a_account_takes_the_last_capabilities_that_its_bank_still_has() -> None:
    bank = Bank("bank", 9, 5)
    account = SessionAccount(Share(bank))
    for _ in range(5):
        account.take_cap()
    with pytest.raises(OutOfCaps):
        account.take_cap()
    assert bank.balance.caps == 0


def test_a_account_takes_the_last_capabilities_that_an_ancestor_still_has() -> None:
    root = Bank("root", 9, 5)
    account = SessionAccount(Share(root.child("bank", pages=9, caps=100)))
    for _ in range(5):
        account.take_cap()
    with pytest.raises(OutOfCaps, match="'root'"):
        account.take_cap()
    assert root.balance.caps == 0


def test_bytes_and_pages_run_out_apart_from_each_other() -> None:
    """One byte pins a page, and the bytes in it are free while the bank has none."""
    bank = Bank("bank", 1, 0)
    account = SessionAccount(Share(bank))
    account.take(1)
    assert bank.balance.pages == 0
    account.take(PAGE - 1)
    with pytest.raises(OutOfPages):
        account.take(1)
    with pytest.raises(OutOfCaps):
        account.take_cap()
    account.give(PAGE)
    account.close()
    assert bank.balance.pages == 1


def test_seizing_sells_also_what_is_in_use_and_only_once() -> None:
    bank = Bank("bank", 9, 99)
    other, share = SessionAccount(Share(bank)), Share(bank)
    account = SessionAccount(share)
    other.take(10)
    account.take(3 * PAGE)
    account.take_cap()
    assert (share.pages, share.caps) == (account.pages, account.caps) == (3, CAP_LOT)
    for _ in range(2):
        share.seize()
        assert (bank.pages_used, bank.caps_used) == (1, 0)
        assert (share.pages, share.caps, share.alive) == (0, 0, False)
    # Who counts in it finds nothing to buy, and refunds to nobody.
    with pytest.raises(BankDead, match="taken back"):
        account.take(account.free + 1)
    account.give(3 * PAGE)
    account.give_cap()
    assert (bank.pages_used, bank.caps_used) == (1, 0)


def test_a_share_sells_no_more_than_was_bought_with_it() -> None:
    bank = Bank("bank", 9, 9)
    other, share = Share(bank), Share(bank)
    other.buy(3, 3, "a thing")
    share.buy(1, 1, "a thing")
    for pages, caps in ((2, 0), (0, 2), (-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="to sell"):
            share.sell(pages, caps)
    share.sell(1, 1)
    assert (bank.pages_used, bank.caps_used) == (3, 3)


def test_a_share_that_runs_short_has_what_is_spare_elsewhere_once() -> None:
    bank = Bank("bank", 5, 5)
    spare, share = Share(bank), Share(bank)
    spare.buy(4, 0, "a thing")

    def give_up() -> bool:
        had, pages = spare.pages > 0, spare.pages
        spare.sell(pages, 0)
        return had

    share.on_short = give_up
    share.buy(3, 0, "a thing")
    assert (spare.pages, share.pages, bank.pages_used) == (0, 3, 3)
    with pytest.raises(OutOfPages):
        share.buy(3, 0, "a thing")
    assert (share.pages, bank.pages_used) == (3, 3)


def test_an_account_goes_on_where_its_pages_were_bought_before() -> None:
    bank = Bank("bank", 9, 9)
    share = Share(bank)
    share.buy(2, 0, "tables")
    account = SessionAccount(share, charged=PAGE + 100)
    assert (account.used, account.free, account.pages) == (PAGE + 100, PAGE - 100, 2)
    with pytest.raises(ValueError, match="200 bytes"):
        account.require_unused(PAGE - 100)
    account.require_unused(PAGE + 100)
    account.give(PAGE + 100)
    account.close()
    assert bank.pages_used == 0


def test_an_empty_account_takes_no_refund_and_a_full_one_keeps_its_page() -> None:
    bank = Bank("bank", 10, 10)
    account = SessionAccount(Share(bank))
    with pytest.raises(ValueError, match="given 1 back"):
        account.give(1)
    for used in (2, PAGE, 1):
        account.take(used)
        assert account.pages == 1
        account.give(1)
        assert (account.pages, account.used) == (1, used - 1), "a refund buys nothing"
        account.give(used - 1)
        assert (account.pages, account.used) == (1, 0), "one page is spare"
    with pytest.raises(ValueError, match="given 1 back"):
        account.give(1)
    account.close()
    with pytest.raises(ValueError, match="given 1 back"):
        account.give(1)
    assert (account.pages, account.free, bank.pages_used) == (0, 0, 0)
