"""All states of small bushels, and the faults that the search has to find."""

from __future__ import annotations

from typing import Any

import pytest

from pinfut.rpc.errors import UnknownObject
from pinfut.rpc.wire import exports as module
from pinfut.rpc.wire.exports import Bushel
from tests.explore.bushels import Bushels
from tests.explore.states import Fault, explore, report


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    # Tables that are made small again with so few objects, and generations that are used up.
    monkeypatch.setattr(module, "_SMALL", 2)
    monkeypatch.setattr(module, "_LAST_GENERATION", 2)


@pytest.mark.parametrize(("count", "grants", "held"), [(1, 8, True), (2, 5, True), (4, 5, False)])
def test_no_order_of_grants_and_releases_gives_an_id_two_meanings(
    count: int, grants: int, held: bool
) -> None:
    explored = explore(lambda: Bushels(count, grants, held))
    needed = ["at rest", "all are there"]
    if held:
        needed.append("held though released")
    if grants > count:
        needed.append("a place used again")
    if grants > 6:
        needed.append("generations used up")
    if count == 4:
        needed.append("around those that stay")
    report(f"all states of a bushel of {count} objects", explored, *needed)


real_drop = Bushel._drop


def drop_without_counting(self: Bushel, entry: Any) -> None:
    real_drop(self, entry)
    self._free = [number - (1 << 32) for number in self._free[-1:]]


def shrink_from_the_start(self: Bushel) -> None:
    self._free.clear()
    self._next = 0


def get_what_is_held(self: Bushel, number: int) -> Any:
    entry = self._entries.get(number)
    if entry is None:
        raise UnknownObject("none")
    return entry.facet


def unhold_always_drops(self: Bushel, number: int) -> None:
    entry = self._entries[number]
    entry.holds -= 1
    self._drop(entry)


def release_and_drop(self: Bushel, number: int, count: int) -> None:
    self.get(number)
    entry = self._entries[number]
    entry.uses -= count
    if not entry.uses:
        self._drop(entry)


FAULTS = [
    ("_drop", drop_without_counting),
    ("_shrink", shrink_from_the_start),
    ("unhold", unhold_always_drops),
    ("release", release_and_drop),
]


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_the_search_finds_a_planted_fault(
    name: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bushel, name, fault)
    with pytest.raises(Fault):
        explore(lambda: Bushels(2, 6))
