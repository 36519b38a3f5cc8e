"""Regions: whole pages, zeroed, given back once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.errors import OutOfPages
from pinfut.rpc.memory import pages as pages_module
from pinfut.rpc.memory.pages import Region, move_batch, pages_for
from tests.covered import covered, require

NAME = "regions are zeroed"


def test_a_region_shows_nothing_of_a_former_owner() -> None:
    """Bank rule 24: memory that is bought again is zeroed."""

    buy_again()
    require(covered(NAME), "bought_again", "freed")


@given(sizes=st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=12))
def buy_again(sizes: list[tuple[int, bool]]) -> None:
    bank = Bank("bank", 100, 0)
    held: list[Region] = []
    freed = again = 0
    for pages, free_one in sizes:
        region = Region(bank, pages)
        assert len(region.buffer) == pages * PAGE
        assert not any(region.buffer), "memory that was bought is not zeroed"
        again += freed > 0
        region.buffer[:] = b"\xa5" * len(region.buffer)
        held.append(region)
        if free_one:
            held.pop(0).free()
            freed += 1
        assert bank.pages_used == sum(one.pages for one in held)
    for one in held:
        assert set(one.buffer) == {0xA5}, "regions share memory"
        one.free()
    assert bank.pages_used == 0
    covered(NAME, bought_again=again, freed=freed)


def test_a_region_is_given_back_once() -> None:
    bank = Bank("bank", 10, 0)
    other = Region(bank, 2)
    region = Region(bank, 3)
    region.free()
    region.free()
    assert bank.pages_used == 2
    assert (region.pages, len(region.buffer)) == (0, 0)
    assert other.pages == 2


def test_a_region_that_cannot_be_paid_does_not_exist() -> None:
    bank = Bank("bank", 2, 0)
    with pytest.raises(OutOfPages, match="a big thing"):
        Region(bank, 3, "a big thing")
    assert bank.pages_used == 0


def test_a_region_that_the_machine_cannot_give_is_not_charged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_memory(size: int) -> bytearray:
        raise MemoryError(size)

    bank = Bank("bank", 10, 0)
    monkeypatch.setattr(pages_module, "bytearray", no_memory, raising=False)
    with pytest.raises(MemoryError):
        Region(bank, 3)
    assert bank.pages_used == 0


@given(st.integers(0, 1 << 40))
def test_pages_for_is_the_least_number_of_pages_that_holds_them(count: int) -> None:
    pages = pages_for(count)
    assert (pages - 1) * PAGE < count <= pages * PAGE or (count, pages) == (0, 0)


def test_a_batch_with_a_region_twice_or_a_freed_one_is_refused() -> None:
    root = Bank("root", 100, 100)
    one, other = root.child("one", pages=50), root.child("other", pages=50)
    region, gone = Region(one, 1), Region(one, 1)
    gone.free()
    for batch in ([region, region], [region, gone]):
        with pytest.raises(ValueError, match="moved once"):
            move_batch(batch, other)
        assert region.bank is one
        assert (one.pages_used, other.pages_used) == (1, 0)
