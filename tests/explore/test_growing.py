"""All states of a direction that grows and shrinks, and the faults that the search has to find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pinfut.rpc import prices
from pinfut.rpc.bank.bank import PAGE
from pinfut.rpc.memory.lane import Completions
from pinfut.rpc.memory.lane_pages import LanePages, tables_of
from pinfut.rpc.memory.ring import LAST, RingWriter
from tests.explore.growing import Growing
from tests.explore.states import Fault, explore, report


@pytest.fixture(autouse=True)
def a_slot_takes_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what few slots cost is seen."""
    monkeypatch.setattr(prices, "SLOT", PAGE)


@pytest.mark.parametrize(
    ("calls", "changes", "pages", "needed"),
    [
        (2, 3, 99, ("grows", "shrinks", "three generations", "calls of before are open")),
        (3, 2, 99, ("grows", "shrinks", "three generations", "the callee is ahead")),
        (2, 2, 4, ("refused", "no place", "grows")),
    ],
)
def test_in_every_order_calls_and_answers_arrive_and_what_was_left_goes_back(
    calls: int, changes: int, pages: int, needed: tuple[str, ...]
) -> None:
    explored = explore(lambda: Growing(calls, changes, pages))
    report(f"a lane that grows, {calls} calls, {changes} changes, {pages} pages", explored, *needed)


def publish_the_old_first(self: RingWriter) -> bool:
    for words, end in self._left:
        words[0] = end  # without saying that it is the last
    self._left.clear()
    self._words[0] = self._published = self.tail
    return True


def post_on_at_once(self: Completions, memory: memoryview, capacity: int) -> None:
    self._words[0] = self._posted | LAST  # before what comes next is there
    self._words = memory[: 8 * (1 + capacity)].cast("Q")
    self.capacity = capacity


def free_what_one_has_left(self: LanePages, caller: bool, /) -> Any:
    at = self._at[caller] + 1
    if at == len(self._generations):
        return None
    here = self._generations[at]
    del self._generations[:at]
    self._at = [0, 0]
    self._pay()
    return here.view(), here.slots


def pay_the_newest(self: LanePages, slots: int = 0) -> None:
    more = tables_of(slots or self._generations[-1].slots) - self._tables.pages
    (self._tables.buy(more, 0, "slots") if more > 0 else self._tables.sell(-more, 0))


FAULTS: list[tuple[type, str, Callable[..., Any], str]] = [
    (RingWriter, "publish", publish_the_old_first, "makes no sense|no operations|claims"),
    (Completions, "go_on", post_on_at_once, "completions go"),
    (LanePages, "follow", free_what_one_has_left, "no memory|given back"),
    (LanePages, "_pay", pay_the_newest, "unpaid"),
]


@pytest.mark.parametrize(("owner", "name", "fault", "what"), FAULTS)
def test_the_search_finds_a_planted_fault(
    owner: type,
    name: str,
    fault: Any,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner, name, fault)
    with pytest.raises(Fault, match=what):
        explore(lambda: Growing(2, 2, 99))
