"""Purses against an oracle: bytes within bought pages, capabilities in lots."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.rpc.errors import OutOfCaps, OutOfPages
from pinfut.rpc.kernel.bank import CAP_LOT, PAGE, Bank, Purse
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


NAME = "purse equals its oracle"


def test_a_purse_holds_what_was_taken_in_the_pages_that_it_pays() -> None:
    follow_a_purse()
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
def follow_a_purse(steps: list[tuple[str, int]], pages: int, above: int, caps: int) -> None:
    root = Bank("root", above, 1000)
    bank = root.child("bank", pages=pages, caps=caps)
    purse = Purse(bank)
    used = caps_used = 0
    counts: Counter[str] = Counter()
    single: list[tuple[str, int]] = []
    for step, size in steps:
        # One by one a history would never give a whole lot back.
        single += [(step, size)] * (1 + size % 34 if step in ("cap", "uncap") else 1)
    for step, size in single:
        before = purse.pages, purse.free, purse.caps, purse.free_caps, bank.balance
        if step == "take":
            short = max(0, size - purse.free)
            possible = -(-short // PAGE) <= min(bank.balance.pages, root.balance.pages)
            if possible:
                purse.take(size)
                used += size
                counts["bought"] += short > 0
            else:
                with pytest.raises(OutOfPages, match="a thing"):
                    purse.take(size, "a thing")
                counts["refused"] += 1
        elif step == "give":
            size = min(size, used)
            purse.give(size)
            used -= size
            counts["sold"] += purse.pages < before[0]
        elif step == "over":
            with pytest.raises(ValueError, match="given"):
                purse.give(used + 1 + size)
            counts["over_refunds"] += 1
        elif step == "cap":
            if purse.free_caps or bank.balance.caps:
                purse.take_cap()
                caps_used += 1
                counts["lots"] += purse.caps > before[2]
            else:
                with pytest.raises(OutOfCaps, match="a thing"):
                    purse.take_cap("a thing")
                counts["caps_refused"] += 1
        elif step == "uncap" and caps_used:
            purse.give_cap()
            caps_used -= 1
            counts["lots_sold"] += purse.caps < before[2]
        elif step == "caps over" and not caps_used:
            with pytest.raises(ValueError, match="had not paid"):
                purse.give_cap()
            counts["caps_over_refunds"] += 1
        if purse.used == before[0] * PAGE - before[1] and step in ("take", "over"):
            assert (size == 0 and step == "take") or before == (
                purse.pages,
                purse.free,
                purse.caps,
                purse.free_caps,
                bank.balance,
            ), "a refusal changed something"
        assert purse.used == used
        assert purse.used + purse.free == purse.pages * PAGE
        assert purse.caps - purse.free_caps == caps_used
        assert bank.pages_used == root.pages_used == purse.pages
        assert bank.caps_used == root.caps_used == purse.caps
        # Hysteresis: at most one spare page, at most one spare lot, beside what is needed.
        assert 0 <= purse.free < 2 * PAGE
        assert 0 <= purse.free_caps < 2 * CAP_LOT
    if used or caps_used:
        with pytest.raises(ValueError, match="still in use"):
            purse.close()
        counts["close_refused"] += 1
        assert (bank.pages_used, bank.caps_used) == (purse.pages, purse.caps)
    purse.give(used)
    for _ in range(caps_used):
        purse.give_cap()
    purse.close()
    assert (bank.pages_used, bank.caps_used, purse.used) == (0, 0, 0)
    covered(NAME, **counts)


def test_lots_of_capabilities_are_sold_when_two_are_free() -> None:
    purse = Purse(Bank("bank", 9, 100))
    sold = 0
    for _ in range(3 * CAP_LOT):
        purse.take_cap()
    for _ in range(3 * CAP_LOT):
        before = purse.caps
        purse.give_cap()
        sold += purse.caps < before
        assert purse.free_caps < 2 * CAP_LOT
    assert sold == 2
    assert purse.caps == CAP_LOT


def test_a_charge_that_comes_and_goes_buys_once() -> None:
    bought: list[int] = []
    bank = Bank("bank", 9, 9, on_change=lambda bank, pages, caps: bought.append(pages))
    purse = Purse(bank)
    purse.take(PAGE)
    for _ in range(100):
        purse.take(10)
        purse.give(10)
    assert bought == [1, 1]


def test_a_purse_takes_the_last_capabilities_that_its_bank_still_has() -> None:
    bank = Bank("bank", 9, 5)
    purse = Purse(bank)
    for _ in range(5):
        purse.take_cap()
    with pytest.raises(OutOfCaps):
        purse.take_cap()
    assert bank.balance.caps == 0


def test_a_purse_takes_the_last_capabilities_that_an_ancestor_still_has() -> None:
    root = Bank("root", 9, 5)
    purse = Purse(root.child("bank", pages=9, caps=100))
    for _ in range(5):
        purse.take_cap()
    with pytest.raises(OutOfCaps, match="'root'"):
        purse.take_cap()
    assert root.balance.caps == 0


def test_bytes_and_pages_run_out_apart_from_each_other() -> None:
    """One byte pins a page, and the bytes in it are free while the bank has none."""
    bank = Bank("bank", 1, 0)
    purse = Purse(bank)
    purse.take(1)
    assert bank.balance.pages == 0
    purse.take(PAGE - 1)
    with pytest.raises(OutOfPages):
        purse.take(1)
    with pytest.raises(OutOfCaps):
        purse.take_cap()
    purse.give(PAGE)
    purse.close()
    assert bank.balance.pages == 1


def test_seizing_sells_also_what_is_in_use_and_only_once() -> None:
    bank = Bank("bank", 9, 99)
    other, purse = Purse(bank), Purse(bank)
    other.take(10)
    purse.take(3 * PAGE)
    purse.take_cap()
    purse.seize()
    assert (bank.pages_used, bank.caps_used) == (1, 0)
    assert (purse.pages, purse.free, purse.caps, purse.free_caps, purse.used) == (0, 0, 0, 0, 0)
    purse.seize()
    assert bank.pages_used == 1


def test_an_empty_purse_takes_no_refund_and_a_full_one_keeps_its_page() -> None:
    bank = Bank("bank", 10, 10)
    purse = Purse(bank)
    with pytest.raises(ValueError, match="given 1 back"):
        purse.give(1)
    for used in (2, PAGE, 1):
        purse.take(used)
        assert purse.pages == 1
        purse.give(1)
        assert (purse.pages, purse.used) == (1, used - 1), "a refund buys nothing"
        purse.give(used - 1)
        assert (purse.pages, purse.used) == (1, 0), "one page is spare"
    with pytest.raises(ValueError, match="given 1 back"):
        purse.give(1)
    purse.seize()
    with pytest.raises(ValueError, match="given 1 back"):
        purse.give(1)
    assert (purse.pages, purse.free, bank.pages_used) == (0, 0, 0)
