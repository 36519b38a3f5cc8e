"""Slow steps are reported with the task, the time and the place, by a clock of the test's own."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from contextvars import copy_context
from types import CoroutineType
from typing import Any, cast

import pytest

from pinfut import PENDING, Context, FutureBase, Poll, yield_now
from pinfut.executor import (
    Executor,
    JoinHandle,
    SlowStep,
    SlowSteps,
    VirtualClock,
    current_executor,
    current_task,
    scope,
    sleep,
)


class Work:
    """Time that passes when the program says so."""

    def __init__(self) -> None:
        self.time = 0.0

    def clock(self) -> float:
        return self.time

    def take(self, seconds: float) -> None:
        self.time += seconds


class Computes(FutureBase[int]):
    """A future whose polls take time: pending once, then ready."""

    def __init__(self, work: Work, *times: float) -> None:
        self._work = work
        self._times = list(times)

    def poll(self, cx: Context, /) -> Poll[int]:
        self._work.take(self._times.pop(0))
        if self._times:
            cx.waker.wake()
            return PENDING
        return 1


def watch(main: Coroutine[Any, Any, None], work: Work, threshold: float = 1.0) -> list[SlowStep]:
    steps: list[SlowStep] = []
    slow = SlowSteps(threshold, steps.append, work.clock)
    Executor(clock=VirtualClock(), checked=False, instruments=[slow]).run(main)
    return steps


def line(mark: str) -> str:
    with open(__file__, encoding="utf-8") as source:
        return f"{__file__}:{next(n for n, text in enumerate(source, 1) if f'# {mark}' in text)}"


def test_a_step_is_reported_with_its_task_its_time_and_both_ends() -> None:
    work = Work()

    async def main() -> None:
        work.take(0.5)
        await sleep(1)  # first wait
        work.take(3)
        await sleep(1)  # second wait
        work.take(0.5)

    (step,) = watch(main(), work)
    assert step == SlowStep("main", 1, 3.0, 0.0, "", line("first wait"), line("second wait"))
    assert str(step).startswith(f"a step of main #1 took 3.000 s, from {line('first wait')} to")


def test_the_first_and_the_last_step_and_yields_count_too() -> None:
    work = Work()

    async def main() -> None:
        work.take(2)
        await yield_now()  # yields
        work.take(3)

    first, last = watch(main(), work)
    assert (first.seconds, first.end) == (2.0, line("yields"))
    assert (last.seconds, last.start, last.end) == (3.0, line("yields"), "its end")


def test_a_step_that_fails_counts_too() -> None:
    work = Work()

    async def fails() -> None:
        work.take(2)
        raise ValueError

    async def main() -> None:
        with pytest.raises(ExceptionGroup):
            async with scope() as s:
                s.spawn(fails(), name="fails")

    (step,) = watch(main(), work)
    assert (step.task, step.number, step.end) == ("fails", 2, "its end")


def test_a_first_step_that_ends_inside_is_part_of_the_step_around_it() -> None:
    work = Work()

    class Server:
        def ended(self, task: JoinHandle[Any], /) -> None:
            raise AssertionError("its outcome came from the step itself")

    async def handler() -> None:
        current_task()
        work.take(2)

    async def main() -> None:
        executor = current_executor()
        coro = cast("CoroutineType[Any, Any, None]", handler())
        outside = executor.begin_inline()
        executor.first = (coro, copy_context(), Server(), None)
        with pytest.raises(StopIteration):
            coro.send(None)
        executor.end_first(None, None)
        executor.end_inline(outside)
        work.take(2)

    (step,) = watch(main(), work)
    assert (step.task, step.seconds) == ("main", 4.0)


def test_a_poll_that_computes_is_named() -> None:
    work = Work()

    async def main() -> None:
        await Computes(work, 5, 0.1, 4)

    first, last = watch(main(), work)
    assert (first.seconds, first.poll, first.leaf) == (5.0, 5.0, "Computes")
    assert (last.seconds, last.poll) == (4.0, 4.0)
    assert "5.000 s of it in a poll of Computes" in str(first)


def test_of_several_polls_of_a_step_the_longest_is_named() -> None:
    work = Work()

    class Longer(FutureBase[int]):
        def poll(self, cx: Context, /) -> Poll[int]:
            work.take(2)
            return 1

    async def main() -> None:
        await Computes(work, 0.5)
        await Longer()
        await Computes(work, 0.5)

    (step,) = watch(main(), work)
    assert (step.seconds, step.poll) == (3.0, 2.0)
    assert step.leaf.endswith("Longer")


def test_a_step_of_exactly_the_threshold_is_not_slow_and_times_do_not_add_up() -> None:
    work = Work()

    async def main() -> None:
        for _ in range(5):
            work.take(1.0)
            await yield_now()

    assert watch(main(), work, threshold=1.0) == []
    assert len(watch(main(), work, threshold=0.999)) == 5


def test_by_default_a_warning_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    work = Work()

    async def main() -> None:
        work.take(2)

    slow = SlowSteps(clock=work.clock)
    with caplog.at_level(logging.WARNING, logger="pinfut.executor"):
        Executor(clock=VirtualClock(), instruments=[slow]).run(main())
    assert "a step of main #1 took 2.000 s" in caplog.text


@pytest.mark.parametrize("threshold", [0, -1, float("nan")])
def test_a_threshold_that_is_no_time_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="above 0 s"):
        SlowSteps(threshold)
