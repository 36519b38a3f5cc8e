"""The search itself, on a machine whose states are known."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import pytest

from tests import covered as module
from tests.explore.states import REST, Fault, Operation, TooMany, explore, report


@pytest.fixture(autouse=True)
def _no_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_totals", {})


class Walk:
    """A number from 0 on, that is raised by 2 or 3 and put back from `top` on; `holes` are
    not left, and `wrong` must not be reached."""

    def __init__(self, top: int, holes: Sequence[int] = (), wrong: int = -1) -> None:
        self.at = 0
        self.top, self.holes, self.wrong = top, holes, wrong

    def operations(self) -> Sequence[Operation]:
        if self.at in self.holes:
            return []
        return [("back",)] if self.at >= self.top else [("add", 2), ("add", 3)]

    def apply(self, operation: Operation, /) -> None:
        self.at = self.at + operation[1] if operation[0] == "add" else 0

    def check(self) -> None:
        assert self.at != self.wrong, "there it is"

    def form(self) -> Hashable:
        return self.at

    def kinds(self) -> Iterable[str]:
        yield REST if not self.at else "under way"


class Saved(Walk):
    """The same, whose state is copied."""

    made = 0

    def __init__(self, top: int, holes: Sequence[int] = (), wrong: int = -1) -> None:
        super().__init__(top, holes, wrong)
        Saved.made += 1

    def save(self) -> object:
        return [self.at]

    def load(self, saved: list[int], /) -> None:
        self.at = saved[0]


@pytest.mark.parametrize("kind", [Walk, Saved])
def test_every_state_is_visited_once_and_every_operation_tried_in_it(kind: type[Walk]) -> None:
    Saved.made = 0
    found = explore(lambda: kind(10))
    # 0, 2 to 9, and 10, 11, 12: two ways from those below 10, one from the others.
    assert (found.states, found.transitions, found.depth) == (12, 9 * 2 + 3, 4)
    assert found.kinds == {REST: 1 + 3, "under way": 18}
    assert kind is Walk or Saved.made == 1


@pytest.mark.parametrize("kind", [Walk, Saved])
def test_a_failure_comes_with_one_of_the_shortest_histories(kind: type[Walk]) -> None:
    with pytest.raises(Fault, match="there it is") as caught:
        explore(lambda: kind(10, wrong=9))
    assert caught.value.history == [("add", 3)] * 3


@pytest.mark.parametrize("kind", [Walk, Saved])
def test_a_state_without_a_way_to_rest_is_a_failure(kind: type[Walk]) -> None:
    with pytest.raises(Fault, match="no operations lead to rest") as caught:
        explore(lambda: kind(10, holes=[7]))
    assert sum(one[1] for one in caught.value.history) == 7


def test_more_states_than_were_thought_possible_are_an_error() -> None:
    with pytest.raises(TooMany):
        explore(lambda: Walk(1000), at_most=100)


def test_a_kind_of_state_that_was_not_reached_fails_the_report() -> None:
    found = explore(lambda: Walk(10))
    report("a walk", found, "under way")
    with pytest.raises(AssertionError, match="never_reached"):
        report("a walk", found, "never reached")
