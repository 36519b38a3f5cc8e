"""Timers: their order, their cancel, and that dead ones do not pile up; `sleep`."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinfut import PENDING, drop, race
from pinfut.executor import (
    Executor,
    VirtualClock,
    current_executor,
    scope,
    sleep,
    spawn,
    timeout,
    yield_now,
)
from pinfut.executor.pollers import open_poller
from pinfut.executor.ready import LOOK
from pinfut.executor.timers import AT_ONCE, MIN_DEAD, STRIDE, Call, Timers
from tests.covered import covered, require
from tests.executor.world import Run
from tests.pinfut.hand import Hand


def nothing() -> None: ...


# ---- the heap ----


def test_timers_fire_in_the_order_of_their_deadlines_and_of_their_age() -> None:
    timers, log = Timers(), list[str]()
    for deadline, name in ((3, "c"), (1, "a"), (3, "d"), (2, "b"), (1, "a2")):
        timers.add(deadline, lambda name=name: log.append(name))  # type: ignore[misc]
    assert timers.next_deadline() == 1
    timers.fire(2)
    assert log == ["a", "a2", "b"]
    timers.fire(2.9)
    assert (len(timers), timers.next_deadline()) == (2, 3)
    timers.fire(3)
    assert log == ["a", "a2", "b", "c", "d"]
    assert timers.next_deadline() is None


def test_a_cancelled_timer_does_not_fire_and_may_be_cancelled_again() -> None:
    timers, log = Timers(), list[int]()
    kept = [timers.add(1, lambda i=i: log.append(i)) for i in range(5)]  # type: ignore[misc]
    for timer in (kept[1], kept[4], kept[1], kept[0]):
        timers.cancel(timer)
    assert len(timers) == 2
    timers.fire(1)
    assert log == [2, 3]
    for timer in kept:
        timers.cancel(timer)
    assert (len(timers), timers.entries) == (0, 0)


def test_a_timer_that_is_added_while_others_fire_waits_for_the_next_turn() -> None:
    timers, log = Timers(), list[int]()

    def again(n: int) -> None:
        log.append(n)
        timers.add(0, lambda: again(n + 1))

    again(0)
    timers.fire(0)
    assert log == [0, 1], "timers that set themselves again cannot hold the turn"
    timers.fire(0)
    assert log == [0, 1, 2]


def test_a_timer_can_cancel_another_that_is_due_at_the_same_time() -> None:
    timers, log = Timers(), list[str]()
    timers.add(1, lambda: timers.cancel(second))
    second = timers.add(1, lambda: log.append("second"))
    timers.add(1, lambda: log.append("third"))
    timers.fire(1)
    assert log == ["third"]
    assert len(timers) == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 20), st.integers(1, 120)),
            st.tuples(st.just("cancel"), st.integers(0, 1 << 20), st.integers(1, 120)),
            st.tuples(st.just("cancel newest"), st.just(0), st.integers(1, 120)),
            st.tuples(st.just("fire"), st.integers(0, 5), st.just(1)),
        ),
        max_size=25,
    )
)
@example(
    [("add", 1, 1), ("add", 5, 240), ("cancel", 1, 100), ("cancel newest", 0, 120), ("fire", 5, 1)]
)
@example([("add", 1, 700), ("add", 2, 700), ("cancel", 0, 800), ("fire", 5, 1)])
@example([("add", 1, 700), ("fire", 5, 1)])
@example([("add", 20, 300), ("add", 1, 320), ("cancel", 0, 300), ("fire", 5, 1)])
def run_history(history: list[tuple[str, int, int]]) -> None:
    timers = Timers()
    model: dict[Call, tuple[int, int]] = {}
    fired: list[tuple[int, int]] = []
    order = itertools.count()
    now = cancelled = cleaned = fires = more = 0
    for op, n, times in history:
        for _ in range(times):
            if op == "add":
                entry = (now + n, next(order))
                timer = timers.add(
                    entry[0],
                    lambda entry=entry: fired.append(entry),  # type: ignore[misc]
                )
                model[timer] = entry
            elif op == "fire":
                now += n
                due = sorted(entry for entry in model.values() if entry[0] <= now)
                fired.clear()
                fires += len(due)
                more += len(due) > AT_ONCE
                while (first := timers.next_deadline()) is not None and first <= now:
                    before = len(fired)
                    timers.fire(now)
                    assert len(fired) <= before + AT_ONCE, "a turn fires a bounded number"
                assert fired == due
                model = {timer: e for timer, e in model.items() if e[0] > now}
            elif model:
                timer = list(model)[n % len(model) if op == "cancel" else -1]
                del model[timer]
                before = timers.entries
                timers.cancel(timer)
                cancelled += 1
                cleaned += timers.entries < before - 1
            assert len(timers) == len(model)
            dead = timers.entries - len(model)
            assert dead <= 2 * len(model) + 2 * MIN_DEAD, "dead timers pile up"
        first = min((e[0] for e in model.values()), default=None)
        found = timers.next_deadline()
        assert found == first or (found is not None and first is not None and found < first)
    covered("timers", cancelled=cancelled, cleaned=cleaned, fired=fires, more_than_a_turn=more)


def test_timers_agree_with_their_model_and_dead_ones_do_not_pile_up() -> None:
    run_history()
    require(covered("timers"), "cancelled", "cleaned", "fired", "more_than_a_turn")


class Deadline(float):
    """A time that counts how often it is compared: what a heap does costs comparisons."""

    compared = 0

    def __lt__(self, other: float) -> bool:
        Deadline.compared += 1
        return float(self) < float(other)


def comparisons(work: Callable[[], object]) -> int:
    before = Deadline.compared
    work()
    return Deadline.compared - before


@pytest.mark.parametrize("order", ["oldest first", "newest first", "at random"])
def test_no_call_does_more_for_a_great_many_timers_than_a_few_steps_of_the_heap(
    order: str,
) -> None:
    """Nobody waits while a heap is built anew: each cancel does a bounded part of it."""
    count, rng = 30_000, random.Random(7)
    timers = Timers()
    every = [timers.add(Deadline(rng.random() if order == "at random" else i), nothing)
             for i in range(count)]  # fmt: skip
    depth = 2 * math.ceil(math.log2(count))
    if order == "newest first":
        every = every[::-1]
    elif order == "at random":
        rng.shuffle(every)
    looks = cancels = total = 0
    for i, timer in enumerate(every):
        work = comparisons(lambda timer=timer: timers.cancel(timer))  # type: ignore[misc]
        cancels = max(cancels, work)
        total += work
        if i % 1000 == 0:
            looks = max(looks, comparisons(timers.next_deadline))
    assert cancels <= STRIDE * depth
    assert total <= 4 * count * depth
    assert looks <= AT_ONCE * (depth + 2)
    assert (len(timers), timers.next_deadline()) == (0, None)
    assert timers.entries <= 2 * MIN_DEAD


def test_a_timer_of_the_old_heap_can_be_cancelled_while_the_new_one_is_empty() -> None:
    timers = Timers()
    every = [timers.add(i, nothing) for i in range(200)]
    for timer in every[98:199]:
        timers.cancel(timer)
    # The last one has been moved over, and nothing else was alive at the end.
    timers.cancel(every[199])
    for timer in every[:98]:
        timers.cancel(timer)
    assert (len(timers), timers.next_deadline()) == (0, None)


def test_a_timeout_that_is_entered_and_left_leaves_nothing_behind(run: Run) -> None:
    async def main() -> int:
        with timeout(10):
            with timeout(50):
                pass
            timers = current_executor().timers
            assert isinstance(timers, Timers)
            return timers.entries

    assert run(main()) == 1


def test_timeouts_that_are_due_first_and_end_before_are_cleaned_away(run: Run) -> None:
    async def main() -> int:
        timers = current_executor().timers
        assert isinstance(timers, Timers)
        for i in range(1_000):
            with timeout(5_000), timeout(3_000 - i):
                pass
        return timers.entries

    assert run(main()) <= 2 * MIN_DEAD


def test_many_timers_that_are_due_at_once_fire_in_their_order_over_several_turns() -> None:
    timers, log = Timers(), list[int]()
    for i in range(3 * AT_ONCE):
        timers.add(1, lambda i=i: log.append(i))  # type: ignore[misc]
    for turn in (1, 2, 3):
        timers.fire(1)
        assert log == list(range(turn * AT_ONCE))
    assert timers.next_deadline() is None


def test_a_time_that_many_dead_timers_hide_is_never_given_too_late(run: Run) -> None:
    """With more of them in front than a turn takes away, an earlier time is given."""
    timers = Timers()
    last = timers.add(5_000, nothing)
    dead = [timers.add(i, nothing) for i in range(4_000)]
    rest = [timers.add(6_000 + i, nothing) for i in range(6_000)]
    for timer in dead:
        timers.cancel(timer)
    found = timers.next_deadline()
    assert found is not None
    assert found < 5_000
    while (later := timers.next_deadline()) != 5_000:
        assert later is not None
        assert found < later < 5_000
        found = later
    timers.fire(5_000)
    assert not last.live
    assert all(timer.live for timer in rest)

    async def main() -> float:
        executor = current_executor()
        for timer in [executor.timers.add(i / 1000, nothing) for i in range(4_000)]:
            executor.timers.add(10, nothing)
            executor.timers.cancel(timer)
        await sleep(5)
        return executor.now()

    assert run(main()) == 5


def test_a_hundred_thousand_timeouts_that_do_not_expire_leave_a_small_heap(run: Run) -> None:
    async def worker() -> None:
        for _ in range(1_000):
            with timeout(3600):
                await sleep(0)

    async def main() -> int:
        most = 0
        timers = current_executor().timers
        assert isinstance(timers, Timers)
        async with scope() as s:
            for _ in range(10):
                s.spawn(worker())
            for _ in range(1_000):
                await sleep(0)
                most = max(most, timers.entries)
        return most

    assert run(main()) <= 3 * (10 + 11) + 2 * MIN_DEAD


# ---- sleep ----


def test_sleepers_wake_in_the_order_of_their_times(run: Run) -> None:
    async def main() -> list[tuple[float, str]]:
        log: list[tuple[float, str]] = []

        async def sleeper(seconds: float, name: str) -> None:
            await sleep(seconds)
            log.append((current_executor().now(), name))

        async with scope() as s:
            for seconds, name in ((3, "c"), (1, "a"), (2, "b"), (1, "a2"), (0, "now")):
                s.spawn(sleeper(seconds, name))
        return log

    assert run(main()) == [(0, "now"), (1, "a"), (1, "a2"), (2, "b"), (3, "c")]


def test_a_sleep_counts_from_its_first_poll(run: Run) -> None:
    async def main() -> float:
        late = sleep(5)
        await sleep(10)
        await late
        return current_executor().now()

    assert run(main()) == 15


def test_a_dropped_sleep_takes_its_timer_back(run: Run) -> None:
    async def main() -> tuple[int, float]:
        await race(sleep(1000), sleep(1))
        executor = current_executor()
        return len(executor.timers), executor.now()

    assert run(main()) == (0, 1)


def test_a_sleep_that_was_never_polled_may_be_dropped_anywhere() -> None:
    drop(sleep(1))


def test_a_sleep_may_be_dropped_after_its_executor_has_ended(run: Run) -> None:
    """A drop never raises; here the task that held it is gone and so is the executor."""

    async def main() -> list[object]:
        kept = sleep(5)
        assert Hand(kept, checked=False).poll() is PENDING
        return [kept]

    (kept,) = run(main())
    drop(kept)


def test_a_sleep_dropped_under_another_executor_leaves_that_one_alone(run: Run) -> None:
    async def start() -> list[object]:
        kept = sleep(5)
        assert Hand(kept, checked=False).poll() is PENDING
        return [kept]

    (kept,) = run(start())

    async def main() -> int:
        task = spawn(sleeper())
        await sleep(1)
        drop(kept)
        timers = current_executor().timers
        count = len(timers)
        await task
        return count

    async def sleeper() -> None:
        await sleep(100)

    assert Executor(clock=VirtualClock(), checked=False).run(main()) == 1


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    for make in (sleep, timeout):
        with pytest.raises(ValueError, match="0 s or more"):
            make(seconds)


def test_a_sleep_without_end_is_ended_by_what_comes_first(run: Run) -> None:
    async def main() -> float:
        await race(sleep(math.inf), sleep(7))
        return current_executor().now()

    assert run(main()) == 7


# ---- clocks ----


def test_a_virtual_clock_stands_still_while_tasks_run_and_jumps_when_none_can(run: Run) -> None:
    async def main() -> list[float]:
        executor = current_executor()
        times = [executor.now()]
        for _ in range(5):
            await sleep(0)
        times.append(executor.now())
        await sleep(3600)
        times.append(executor.now())
        assert isinstance(executor.clock, VirtualClock)
        executor.clock.advance(5)
        times.append(executor.now())
        return times

    assert run(main()) == [0, 0, 3600, 3605]


@pytest.mark.usefixtures("each_poller")
def test_a_virtual_clock_does_not_go_back() -> None:
    clock = VirtualClock(start=10)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    poller = open_poller(Executor())
    clock.idle(poller, 5)
    assert clock.now() == 10
    poller.unpark()
    clock.idle(poller, None)
    poller.close()
    assert clock.now() == 10


def test_time_that_a_task_spends_makes_its_timers_due(run: Run) -> None:
    async def main() -> list[str]:
        log = []

        async def sleeper() -> None:
            await sleep(1)
            log.append("slept")

        spawn(sleeper())
        await sleep(0)
        clock = current_executor().clock
        assert isinstance(clock, VirtualClock)
        clock.advance(10)
        # A busy executor looks at its timers now and then, not in each turn.
        for _ in range(LOOK + 1):
            await yield_now()
        return log

    assert run(main()) == ["slept"]


def test_a_sleep_of_no_time_lets_the_others_run_first(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def other() -> None:
            log.append("other")

        spawn(other())
        log.append("before")
        await sleep(0)
        log.append("after")
        return log

    assert run(main()) == ["before", "other", "after"]


@pytest.mark.usefixtures("each_poller")
def test_the_real_clock_never_wakes_a_sleeper_early() -> None:
    async def main() -> bool:
        executor = current_executor()
        start = executor.now()
        await sleep(0.002)
        return executor.now() >= start + 0.002

    assert Executor().run(main())


def test_what_is_due_at_once_is_fired_in_bounded_parts_and_in_order() -> None:
    timers = Timers()
    fired: list[int] = []
    for number in range(2 * AT_ONCE + 1):
        timers.add(0.0, partial(fired.append, number))
    for parts in (1, 2, 3):
        timers.fire(1.0)
        assert fired == list(range(min(parts * AT_ONCE, 2 * AT_ONCE + 1)))


def test_a_timer_that_comes_while_the_heap_is_cleaned_has_its_place_among_all() -> None:
    timers = Timers()
    fired: list[int] = []
    count = 8 * MIN_DEAD
    many = [timers.add(100.0 + n, partial(fired.append, 100 + n)) for n in range(count)]
    for timer in many[: count // 2 + 1]:
        timers.cancel(timer)
    assert timers.entries > len(timers), "nothing is left to clean"
    timers.add(1.0, partial(fired.append, 1))
    timers.add(100.5 + count, partial(fired.append, 0))
    assert timers.next_deadline() == 1.0
    while len(timers):
        timers.fire(1000.0)
    assert fired == [1, *range(100 + count // 2 + 1, 100 + count), 0]
