"""Priorities, and how long whoever is ready waits at most: tasks, calls, timers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pinfut import ready
from pinfut.executor import (
    CancelledError,
    Executor,
    JoinHandle,
    Task,
    VirtualClock,
    call_soon,
    current_executor,
    current_task,
    scope,
    sleep,
    spawn,
    yield_now,
)
from pinfut.executor.contract import Priority
from pinfut.executor.ready import LOOK, TURN, select_batch
from tests.bounded import rounds, until
from tests.covered import covered, require
from tests.executor.world import MODES, Run, make
from tests.pinfut.hand import Gate

LEVELS: tuple[Priority, ...] = ("high", "normal", "low")

URGENT, UNHURRIED = 384, 32
"""What docs/executor.md says of a full turn: so many steps at most, and at least."""


# ---- order ----


def test_the_urgent_run_first_and_the_unhurried_last(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def work(name: str) -> None:
            log.append(name)

        async with scope() as s:
            for i in range(2):
                s.spawn(work(f"low {i}"), priority="low")
                spawn(work(f"normal {i}"))
                spawn(work(f"high {i}"), priority="high")
        return log

    assert run(main()) == ["high 0", "high 1", "normal 0", "normal 1", "low 0", "low 1"]


def test_a_task_that_waits_or_yields_keeps_its_priority(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []
        gates = {level: Gate[int]() for level in LEVELS}

        async def work(level: Priority) -> None:
            log.append(level)
            await yield_now()
            log.append(level)
            await gates[level]
            log.append(level)
            await sleep(5)
            log.append(level)

        async with scope() as s:
            for level in reversed(LEVELS):
                s.spawn(work(level), priority=level)
            await sleep(1)
            for level in reversed(LEVELS):
                gates[level].open(1)
        return log

    assert run(main()) == [*LEVELS] * 4


def test_a_cancelled_task_keeps_its_priority(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def work(level: str) -> None:
            try:
                await sleep(100)
            finally:
                log.append(level)

        tasks = [spawn(work(level), priority=level) for level in reversed(LEVELS)]
        await sleep(1)
        for task in tasks:
            task.cancel()
        await sleep(1)
        return log

    assert run(main()) == [*LEVELS]


def test_children_of_an_urgent_task_are_not_urgent_by_themselves(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def work(name: str) -> None:
            log.append(name)

        async def urgent() -> None:
            spawn(work("child"))
            spawn(work("urgent child"), priority="high")

        spawn(urgent(), priority="high")
        await yield_now()
        spawn(work("later"))
        await sleep(1)
        return log

    assert run(main()) == ["urgent child", "child", "later"]


@pytest.mark.parametrize("how", ["executor", "function", "scope"])
def test_a_priority_that_is_none_is_refused_and_the_coroutine_closed(run: Run, how: str) -> None:
    async def never() -> None: ...

    async def main() -> int:
        async with scope() as s:
            spawns: dict[str, Callable[..., JoinHandle[None]]] = {
                "executor": current_executor().spawn,
                "function": spawn,
                "scope": s.spawn,
            }
            with pytest.raises(ValueError, match="'high', 'normal' or 'low', not 'urgent'"):
                spawns[how](never(), priority="urgent")
        return len(current_executor().tasks)

    assert run(main()) == 1


# ---- nobody starves ----

mixes = st.fixed_dictionaries(
    {level: st.sampled_from([0, 1, 20, 100, 500, 1200]) for level in LEVELS}
)


def shares(ready: dict[Priority, int]) -> dict[Priority, int]:
    """How many of each run in a turn, when so many are ready: docs/executor.md, by hand."""
    high, normal, low = (ready[level] for level in LEVELS)
    urgent = min(high, URGENT)
    unhurried = min(low, UNHURRIED)
    rest = min(normal, TURN - urgent - unhurried)
    # What the others leave over.
    unhurried = min(low, TURN - urgent - rest)
    return {"high": urgent, "normal": rest, "low": unhurried}


@given(mixes, st.lists(st.sampled_from(LEVELS), max_size=700))
@example({"high": 1200, "normal": 1200, "low": 1200}, [])
@example({"high": 300, "normal": 300, "low": 300}, [])
def the_shares(counts: dict[Priority, int], also: list[Priority]) -> None:
    async def never() -> None: ...

    order = [*also, *(level for level in LEVELS for _ in range(counts[level]))]
    executor = Executor(clock=VirtualClock(), checked=False)
    tasks: dict[Priority, list[Task[None]]] = {level: [] for level in LEVELS}
    for level in order:
        tasks[level].append(executor.spawn(never(), priority=level))
    share = shares({level: len(tasks[level]) for level in LEVELS})
    count = select_batch(executor.high, executor.ready, executor.low)
    turn = [task for level in LEVELS for task in tasks[level][: share[level]]]
    assert list(executor.ready)[:count] == turn
    assert list(executor.ready)[count:] == tasks["normal"][share["normal"] :]
    assert list(executor.high) == tasks["high"][share["high"] :]
    assert list(executor.low) == tasks["low"][share["low"] :]
    for task in executor.tasks:
        task.abandon()
    covered("shares of a turn", full=len(order) > TURN, not_full=len(order) <= TURN)


def test_a_turn_takes_the_oldest_of_each_priority_in_its_share() -> None:
    the_shares()
    require(covered("shares of a turn"), "full", "not_full")


@pytest.mark.parametrize("mode", MODES)
def test_nobody_starves_among_tasks_that_are_always_ready(mode: str) -> None:
    """From one step of a task to its next: the turns that its share needs for all those of
    its priority, and one more, each of as many steps as a turn has."""

    @settings(max_examples=10)
    @given(mixes)
    @example({"high": 1200, "normal": 1200, "low": 1200})
    @example({"high": 1200, "normal": 0, "low": 1})
    @example({"high": 1, "normal": 1200, "low": 1200})
    def history(counts: dict[Priority, int]) -> None:
        share = shares(counts)
        size = sum(share.values())
        bound = {
            level: size * (1 + -(-count // share[level]))
            for level, count in counts.items()
            if count
        }
        most = dict.fromkeys(bound, 0)
        last: dict[Task[None], int] = {}
        steps = 0

        async def selfish(level: Priority) -> None:
            nonlocal steps
            mine = 0
            while steps < end:
                steps += 1
                most[level] = max(most[level], steps - mine)
                mine = last[current_task()] = steps
                await yield_now()

        async def main() -> None:
            async with scope() as s:
                for level, count in counts.items():
                    for _ in range(count):
                        s.spawn(selfish(level), priority=level)

        end = 2 * max(bound.values(), default=0)
        make(mode).run(main())
        for level, count in counts.items():
            assert not count or most[level] <= bound[level]
        assert len(last) == sum(counts.values())
        assert all(end - step <= max(bound.values()) for step in last.values())
        covered(f"nobody starves, {mode}", mixes=1, full=sum(counts.values()) > TURN)

    history()
    require(covered(f"nobody starves, {mode}"), "full")


# ---- bounded turns ----


class Steps:
    """Counts the steps of tasks that yield forever."""

    def __init__(self, tasks: int, priority: Priority = "normal") -> None:
        self.count = 0
        for _ in range(tasks):
            spawn(self.yields(), priority=priority)

    async def yields(self) -> None:
        while True:
            self.count += 1
            await yield_now()


@pytest.mark.parametrize("priority", LEVELS)
def test_ten_thousand_ready_tasks_delay_a_call_by_one_turn_at_most(
    run: Run, priority: Priority
) -> None:
    async def main() -> int:
        done: list[int] = []

        async def caller() -> int:
            # The first step of its turn, with all the others behind it.
            call_soon(lambda: done.append(steps.count))
            return steps.count

        task = spawn(caller(), priority=priority)
        steps = Steps(10_000, priority)
        await until(lambda: done, "the call has come")
        return done[0] - await task

    assert 0 <= run(main()) <= TURN


@pytest.mark.parametrize("priority", LEVELS)
@pytest.mark.parametrize("tasks", [1, LOOK + 1, 10_000])
def test_ready_tasks_delay_a_timer_by_one_turn_at_most(
    run: Run, priority: Priority, tasks: int
) -> None:
    async def main() -> int:
        executor = current_executor()
        clock = executor.clock
        assert isinstance(clock, VirtualClock)
        fired: list[int] = []

        async def setter() -> int:
            # The first step of its turn, with all the others behind it.
            executor.timers.add(1, lambda: fired.append(steps.count))
            clock.advance(1)
            return steps.count

        task = spawn(setter(), priority=priority)
        steps = Steps(tasks, priority)
        await until(lambda: fired, "the timer has fired")
        return fired[0] - await task

    assert 0 <= run(main()) <= TURN + LOOK


def test_a_task_whose_futures_are_always_ready_yields_after_a_turn_s_worth_of_them(
    run: Run,
) -> None:
    """It never parks. Tasks, calls and timers have their turn all the same."""

    async def main() -> list[int]:
        went_on = 0
        seen: dict[str, int] = {}
        stop = False

        async def selfish() -> None:
            nonlocal went_on
            while not stop:
                await ready(None)
                went_on += 1

        async def other() -> None:
            seen["task"] = went_on

        executor = current_executor()
        clock = executor.clock
        assert isinstance(clock, VirtualClock)
        spawn(selfish())
        await yield_now()
        spawn(other())
        start = went_on
        await yield_now()
        call_soon(lambda: seen.update(call=went_on))
        executor.timers.add(1, lambda: seen.update(timer=went_on))
        clock.advance(1)
        await until(lambda: len(seen) == 3, "all three have had their turn")
        stop = True
        assert start == TURN
        return [seen[name] - start for name in ("task", "call", "timer")]

    task, call, timer = run(main())
    assert task <= TURN
    assert TURN <= call <= 2 * TURN
    assert TURN <= timer <= 2 * TURN


def test_many_tasks_share_the_futures_that_a_turn_goes_on_with(run: Run) -> None:
    async def main() -> list[int]:
        went_on = 0
        ends: list[int] = []

        async def selfish() -> None:
            nonlocal went_on
            while len(ends) < 5:
                await ready(None)
                went_on += 1

        for _ in range(100):
            spawn(selfish())
        for _ in rounds("the calls have come"):
            if len(ends) >= 5:
                break
            call_soon(lambda: ends.append(went_on))
            await yield_now()
        return [later - end for end, later in pairwise(ends)]

    # Past the bound each task still goes on with the one future that it came for.
    for went_on in run(main()):
        assert TURN <= went_on <= TURN + 100


def test_a_task_that_was_put_back_after_a_turn_s_worth_keeps_its_place_and_its_future(
    run: Run,
) -> None:
    async def main() -> list[int]:
        async def counts() -> list[int]:
            return [await ready(i) for i in range(3 * TURN)]

        return await spawn(counts())

    assert run(main()) == list(range(3 * TURN))


def test_a_task_can_be_cancelled_while_its_futures_are_always_ready(run: Run) -> None:
    async def main() -> str:
        async def selfish() -> None:
            while True:
                await ready(None)

        task = spawn(selfish())
        await yield_now()
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        return "cancelled"

    assert run(main()) == "cancelled"
