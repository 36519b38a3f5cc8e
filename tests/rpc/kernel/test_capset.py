"""Capability sets: a handle names one object, and after its removal nothing."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.rpc.errors import UnknownObject
from pinfut.rpc.kernel.sim.capset import CapSet
from tests.covered import covered, require

NAME = "capability set equals its oracle"


def test_a_handle_names_one_object_for_ever_or_nothing() -> None:
    """Row 53: insert, remove, index and generation."""

    follow_a_set()
    require(covered(NAME), "inserted", "removed", "stale", "index_reused", "invented")


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("insert"), st.just(0)),
            st.tuples(st.just("remove"), st.integers(0, 99)),
            st.tuples(st.just("invent"), st.integers(-5, 1 << 70)),
        ),
        min_size=10,
        max_size=60,
    )
)
def follow_a_set(steps: list[tuple[str, int]]) -> None:
    caps: CapSet[object] = CapSet()
    held: dict[int, object] = {}
    gone: list[int] = []
    counts: Counter[str] = Counter()
    for step, number in steps:
        if step == "insert":
            thing = object()
            handle = caps.insert(thing)
            assert handle not in held
            assert handle not in gone, "a handle was given out again"
            held[handle] = thing
            counts["inserted"] += 1
            counts["index_reused"] += any(h & 0xFFFF_FFFF == handle & 0xFFFF_FFFF for h in gone)
        elif step == "remove" and held:
            handle = list(held)[number % len(held)]
            assert caps.remove(handle) is held.pop(handle)
            gone.append(handle)
            counts["removed"] += 1
        elif step == "invent" and number not in held:
            with pytest.raises(UnknownObject):
                caps.get(number)
            counts["invented"] += 1
        for handle in gone:
            with pytest.raises(UnknownObject):
                caps.get(handle)
            with pytest.raises(UnknownObject):
                caps.remove(handle)
            counts["stale"] += 1
        assert len(caps) == len(held)
        assert all(caps.get(handle) is thing for handle, thing in held.items())
        by_index = {handle & 0xFFFF_FFFF: thing for handle, thing in held.items()}
        assert caps.all() == [by_index[index] for index in sorted(by_index)]
        assert [caps.at(i) for i in range(-1, len(steps))] == [
            by_index.get(i) for i in range(-1, len(steps))
        ]
    covered(NAME, **counts)


@pytest.mark.parametrize("keeps", [0, 1])
def test_a_set_gives_up_the_room_of_what_is_gone_and_no_handle_comes_again(keeps: int) -> None:
    caps: CapSet[object] = CapSet()
    kept = [caps.insert("kept") for _ in range(keeps)]
    seen: set[int] = set(kept)
    for many in (10, 1000, 100):
        handles = [caps.insert("gone") for _ in range(many)]
        assert seen.isdisjoint(handles), "a handle was given out again"
        seen.update(handles)
        assert caps.at(keeps + many - 1) == "gone"
        for handle in handles[::2] + handles[1::2][::-1]:
            caps.remove(handle)
        assert caps.at(keeps) is None
        assert len(caps) == keeps
        assert len(caps._entries) + len(caps._generations) + len(caps._free) < 40


def test_indices_are_used_again_so_that_a_set_is_as_large_as_it_ever_was() -> None:
    caps: CapSet[object] = CapSet()
    indices = set()
    for _ in range(100):
        two = [caps.insert(object()), caps.insert(object())]
        indices |= {handle & 0xFFFF_FFFF for handle in two}
        for handle in two:
            caps.remove(handle)
    assert indices == {0, 1}
