"""All states of small tables of slots, and the faults that the search has to find."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pinfut.slots import CANCELLING, WAITING, Slot, SlotTable
from tests.explore.slots import Slots
from tests.explore.states import Fault, explore, report

SOAK = os.environ.get("PINFUT_SOAK") == "1"


@pytest.mark.parametrize("capacity", [1, 2, 3, 4] if SOAK else [1, 2, 3])
def test_no_state_of_a_table_gives_a_slot_twice_or_loses_one(capacity: int) -> None:
    explored = explore(lambda: Slots(capacity))
    needed = ["at rest", "full", "late reply", "cancelling", "full of cancelled"]
    if capacity > 1:
        needed.append("ids skipped")
    if capacity > 2:
        needed.append("in three states")
    report(f"all states of {capacity} slots", explored, *needed)


def acquire_without_counting(self: SlotTable[Any]) -> Slot[Any]:
    slot = self.free.popleft()
    slot.x = slot.index
    self._last = max(self._last, slot.x)
    slot.state = WAITING
    return slot


def acquire_one_up(self: SlotTable[Any]) -> Slot[Any]:
    self._last += 1
    slot = self._slots[self._last % self.capacity]
    if slot in self.free:
        self.free.remove(slot)
    slot.x, slot.state = self._last, WAITING
    return slot


def cancel_at_once(self: SlotTable[Any], x: int) -> bool:
    slot = self.peek(x)
    if slot is None:
        return False
    if slot.state == WAITING:
        slot.state = CANCELLING
        self.free.append(slot)  # and once more when the reply comes
        return True
    self.release(slot)
    return False


real_complete = SlotTable.complete


def complete_asleep(self: SlotTable[Any], x: int, value: Any) -> bool:
    slot = self.find(x)
    slot.waker = None
    return real_complete(self, x, value)


def complete_and_keep(self: SlotTable[Any], x: int, value: Any) -> bool:
    return self.find(x).state != CANCELLING and real_complete(self, x, value)


def find_by_place(self: SlotTable[Any], x: int) -> Slot[Any] | None:
    slot = self._slots[x % self.capacity]
    return slot if slot.state else None


FAULTS = [
    ("acquire", acquire_without_counting, "an id was given twice"),
    ("acquire", acquire_one_up, "given twice|in use"),
    ("cancel", cancel_at_once, "a slot in use is free"),
    ("complete", complete_asleep, "whoever waits is woken"),
    ("complete", complete_and_keep, "not the slots in use"),
    ("peek", find_by_place, "names an operation that is not"),
]


@pytest.mark.parametrize(("name", "fault", "what"), FAULTS)
def test_the_search_finds_a_planted_fault(
    name: str, fault: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlotTable, name, fault)
    with pytest.raises(Fault, match=what) as caught:
        explore(lambda: Slots(2))
    assert len(caught.value.history) <= 5, "not the shortest history"
