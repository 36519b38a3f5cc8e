"""Combinators as unboxed coroutines poll as the hand-written ones do: equal traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pinfut
from pinfut import PENDING, Context, Future, FutureBase, Poll, Waker
from pinfut.coroutine import into_future
from pinfut.executor import run, scope, sleep, timeout
from pinfut.executor.clock import VirtualClock
from pinfut.poll import TaskContext
from tests.covered import covered, require
from tests.pinfut.unboxed import combinators

Trace = list[tuple[Any, ...]]


class Scripted(FutureBase[Any]):
    """A future that does at its n-th poll what the n-th word says; then it gives its name."""

    must_be_taken = False

    def __init__(self, name: str, script: list[str], trace: Trace) -> None:
        self.name = name
        self.script = list(script)
        self.trace = trace
        self.waker: Waker | None = None

    def poll(self, cx: Context, /) -> Poll[Any]:
        word = self.script.pop(0) if self.script else "value"
        self.trace.append((self.name, word))
        if word == "error":
            raise ValueError(self.name)
        if word == "value":
            return self.name
        self.waker = cx.waker
        if word == "again":
            self.waker.wake()
        return PENDING

    def drop(self) -> None:
        self.trace.append((self.name, "dropped"))
        self.waker = None

    def wake(self) -> None:
        if self.waker is not None:
            self.waker.wake()


class Outer:
    """The waker of whoever polls the combinator."""

    woken = True

    def wake(self) -> None:
        self.woken = True


def polled(make: Callable[..., Any], scripts: list[list[str]], events: list[int]) -> Trace:
    """What happens when `make` of two scripted futures is polled through `events`: 0 and 1 wake
    a child, 2 is a spurious poll; then both are woken until it ends."""
    trace: Trace = []
    children = [Scripted(name, script, trace) for name, script in zip("ab", scripts, strict=True)]
    future: Future[Any] = into_future(make(*children))
    outer = Outer()
    for event in [2, *events, *([0, 1] * 20)]:
        if event < 2:
            children[event].wake()
        if not outer.woken and event < 2:
            continue
        outer.woken = False
        trace.append(("poll", "spurious" if event == 2 else "woken"))
        try:
            value = future.poll(TaskContext(outer))
        except BaseException as error:
            inside = getattr(error, "exceptions", ())
            trace.append(("raised", repr(error), repr(inside)))
            return trace
        if value is not PENDING:
            if isinstance(value, pinfut.Selected):
                trace.append(("won", value.winner, value.value, len(value.losers)))
                for loser in value.losers:
                    pinfut.drop(loser)
            else:
                trace.append(("gave", value))
            return trace
    raise AssertionError(f"it never ended: {trace}")


FORMS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "map": (
        lambda a, _: pinfut.map(a, str.upper),
        lambda a, _: combinators.map_(a, str.upper),
    ),
    "then": (
        lambda a, b: pinfut.then(a, lambda _: b),
        lambda a, b: combinators.then(a, lambda _: b),
    ),
    "join": (pinfut.join, combinators.join_two),
    "select": (pinfut.select, combinators.select_two),
}

SCRIPTS = st.lists(
    st.lists(st.sampled_from(["later", "again", "value", "error"]), max_size=4),
    min_size=2,
    max_size=2,
)


@pytest.mark.parametrize("name", FORMS)
@given(scripts=SCRIPTS, events=st.lists(st.integers(0, 2), max_size=8))
def test_the_poll_traces_of_both_forms_are_equal(
    name: str, scripts: list[list[str]], events: list[int]
) -> None:
    by_hand, unboxed = FORMS[name]
    expected = polled(by_hand, scripts, events)
    assert polled(unboxed, scripts, events) == expected
    covered(
        f"unboxed combinators, {name}",
        polls=sum(each[0] in "ab" for each in expected),
        spurious=("poll", "spurious") in expected[1:],
        raised=expected[-1][0] == "raised",
        gave=expected[-1][0] != "raised",
    )


@pytest.mark.parametrize("name", FORMS)
def test_each_form_was_polled_woken_and_raised(name: str) -> None:
    counts = covered(f"unboxed combinators, {name}", polls=0)
    if counts["polls"]:
        require(counts, "polls", "spurious", "raised", "gave")


@pytest.mark.parametrize(
    "script", [[], ["later"], ["later"] * 2, ["again"], ["error"], ["later", "error"]]
)
@pytest.mark.parametrize("wake", [0.5, 2.0])
def test_a_timeout_polls_and_drops_as_the_hand_written_one_does(
    script: list[str], wake: float
) -> None:
    def traced(make: Callable[[float, Any], Any]) -> Trace:
        trace: Trace = []
        child = Scripted("a", script, trace)

        async def main() -> None:
            async def wakes() -> None:
                await sleep(wake)
                child.wake()

            async with scope() as tasks:
                tasks.spawn(wakes())
                try:
                    trace.append(("gave", await make(1.0, child)))
                except (TimeoutError, ValueError) as error:
                    trace.append(("raised", type(error).__name__))

        run(main(), clock=VirtualClock())
        return trace

    expected = traced(timeout)
    late = wake > 1.0 and script == ["later"] * 2
    assert (expected[-1] == ("raised", "TimeoutError")) == late
    assert (("a", "dropped") in expected) == late, "it gets a last poll when the time is over"
    assert traced(combinators.timed) == expected
