"""Cancelling a task: once per call, at the point where it waits, whatever it is doing."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from pinfut import Closed, TakenTwice, join, oneshot, race
from pinfut.executor import (
    CancelledError,
    Task,
    call_soon,
    current_executor,
    current_task,
    scope,
    sleep,
    spawn,
    timeout,
    yield_now,
)
from tests.executor.world import Run, make
from tests.pinfut.hand import Again, Gate


class Log(list[Any]):
    """What happened and when."""

    def __call__(self, what: object) -> None:
        self.append((current_executor().now(), what))


def test_a_cancelled_task_gives_its_error_to_one_await_and_its_oneshot_is_closed(run: Run) -> None:
    async def main() -> None:
        tx, rx = oneshot()

        async def worker() -> None:
            await rx

        task = spawn(worker())
        await yield_now()
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        with pytest.raises(TakenTwice, match="was raised by its await"):
            task.result()
        with pytest.raises(Closed):
            tx.send(None)

    run(main())


def test_a_cancel_is_raised_where_the_task_waits(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def worker() -> None:
            try:
                await sleep(100)
            except CancelledError:
                log("cancelled")
                raise

        task = spawn(worker())
        await sleep(1)
        assert task.cancel() is True
        assert not task.done
        with pytest.raises(CancelledError):
            await task
        return log

    assert run(main()) == [(1, "cancelled")]


@pytest.mark.parametrize("started", [False, True])
def test_what_a_cancelled_task_held_is_let_go_of_while_the_task_is_kept(
    run: Run, started: bool
) -> None:
    class Thing: ...

    async def main() -> None:
        async def worker(thing: Thing) -> None:
            try:
                await sleep(100)
            except CancelledError:
                raise CancelledError from None

        thing = Thing()
        held = weakref.ref(thing)
        task = spawn(worker(thing))
        del thing
        if started:
            await sleep(1)
        task.cancel()
        await sleep(1)
        assert task.done
        assert held() is None
        with pytest.raises(CancelledError):
            await task

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_clean_up_may_await_and_is_not_cancelled_again(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def worker() -> None:
            try:
                await sleep(100)
            finally:
                for _ in range(3):
                    await sleep(1)
                    await yield_now()
                log("cleaned up")

        task = spawn(worker())
        await sleep(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        return log

    assert run(main()) == [(4, "cleaned up")]


def test_a_cancel_that_is_swallowed_is_over(run: Run) -> None:
    async def main() -> tuple[str, int]:
        async def worker() -> str:
            try:
                await sleep(100)
            except CancelledError:
                pass
            await sleep(5)
            return "went on"

        task = spawn(worker())
        await sleep(1)
        task.cancel()
        return await task, task.cancels

    assert run(main()) == ("went on", 1)


def test_each_cancel_is_raised_once(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def worker() -> None:
            while True:
                try:
                    await sleep(100)
                    return
                except CancelledError:
                    log("cancelled")

        task = spawn(worker())
        for _ in range(3):
            await sleep(1)
            task.cancel()
        await task
        return log

    assert run(main()) == [(1, "cancelled"), (2, "cancelled"), (3, "cancelled")]


def test_cancels_that_come_before_the_task_runs_again_are_raised_as_one(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def worker() -> None:
            while True:
                try:
                    await sleep(100)
                    return
                except CancelledError:
                    log("cancelled")

        task = spawn(worker())
        await sleep(1)
        task.cancel()
        task.cancel()
        await task
        return log

    assert run(main()) == [(1, "cancelled")]


def test_a_task_that_cancels_itself_is_told_at_its_next_wait(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def worker() -> None:
            assert current_task().cancel() is True
            log("still running")
            try:
                await sleep(100)
            except CancelledError:
                log("told")
            await sleep(1)
            log("went on")

        await spawn(worker())
        return log

    assert run(main()) == [(0, "still running"), (0, "told"), (1, "went on")]


def test_a_task_that_cancels_itself_and_ends_has_ended(run: Run) -> None:
    async def worker() -> str:
        current_task().cancel()
        return "value"

    async def main() -> str:
        return await spawn(worker())

    assert run(main()) == "value"


def test_a_task_that_is_not_started_never_starts(run: Run) -> None:
    log: list[str] = []

    async def worker() -> None:
        log.append("started")

    async def main() -> None:
        task = spawn(worker())
        assert task.cancel() is True
        with pytest.raises(CancelledError):
            await task

    run(main())
    assert log == []


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_cancel_while_the_task_yields_is_raised_at_the_yield(run: Run, turns: int) -> None:
    async def main() -> Log:
        log = Log()

        async def worker() -> None:
            try:
                while True:
                    await yield_now()
            except CancelledError:
                log("cancelled")

        task = spawn(worker())
        await yield_now()
        for _ in range(turns):
            await yield_now()
        assert task.cancel() is True
        await sleep(1)
        assert task.done
        return log

    assert run(main()) == [(0, "cancelled")]


def test_a_task_that_cancels_itself_and_yields_is_told_at_the_yield(run: Run) -> None:
    async def main() -> str:
        current_task().cancel()
        try:
            await yield_now()
        except CancelledError:
            return "told"
        await sleep(1)
        return "too late"

    assert run(main()) == "told"


def test_a_task_that_cancels_itself_waits_for_the_end_of_its_turn_not_of_time(run: Run) -> None:
    async def main() -> list[float]:
        current_task().cancel()
        await Again(0)
        times = []
        try:
            await sleep(10)
        except CancelledError:
            times.append(current_executor().now())
        return times

    assert run(main()) == [0]


def test_a_done_task_cannot_be_cancelled(run: Run) -> None:
    async def work() -> str:
        return "value"

    async def main() -> str:
        task = spawn(work())
        await yield_now()
        assert [task.cancel(), task.cancel()] == [False, False]
        assert task.cancels == 0
        return await task

    assert run(main()) == "value"


def test_a_cancelled_task_that_was_just_woken_gives_its_value_up(run: Run) -> None:
    gate: Gate[str] = Gate()

    async def waiter() -> str:
        return await gate

    async def main() -> None:
        task = spawn(waiter())
        await sleep(1)
        gate.open("too late")
        task.cancel()
        with pytest.raises(CancelledError):
            await task

    run(main())
    assert (gate.polls, gate.drops) == (1, 1)


def test_the_leaf_is_dropped_before_the_coroutine_is_told(run: Run) -> None:
    gate: Gate[str] = Gate()
    seen: list[int] = []

    async def waiter() -> None:
        try:
            await gate
        finally:
            seen.append(gate.drops)

    async def main() -> None:
        task = spawn(waiter())
        await sleep(1)
        task.cancel()
        await sleep(1)

    run(main())
    assert seen == [1]


def test_a_late_wake_of_a_dropped_leaf_disturbs_nobody(run: Run) -> None:
    gate: Gate[str] = Gate()

    async def waiter() -> str:
        try:
            await gate
        except CancelledError:
            pass
        await sleep(5)
        return f"at {current_executor().now()}"

    async def main() -> str:
        task = spawn(waiter())
        await sleep(1)
        task.cancel()
        await sleep(1)
        gate.wake()
        return await task

    assert run(main()) == "at 6.0"


def test_a_cancel_reaches_the_leaves_of_a_combinator(run: Run) -> None:
    gates: list[Gate[int]] = [Gate() for _ in range(3)]

    async def waiter() -> None:
        await join(gates[0], race(gates[1], gates[2]))

    async def main() -> None:
        task = spawn(waiter())
        await sleep(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task

    run(main())
    assert [gate.drops for gate in gates] == [1, 1, 1]


def test_cancelling_a_waiter_does_not_cancel_the_task_that_it_waits_for(run: Run) -> None:
    async def work() -> str:
        await sleep(10)
        return "value"

    async def wait(task: Task[str]) -> None:
        await task

    async def main() -> tuple[str, bool]:
        task = spawn(work())
        waiter = spawn(wait(task))
        await sleep(1)
        waiter.cancel()
        await sleep(20)
        return task.result(), waiter.done

    assert run(main()) == ("value", True)


def test_awaiting_a_cancelled_task_raises_cancelled(run: Run) -> None:
    async def work() -> None:
        await sleep(10)

    async def main() -> str:
        task = spawn(work())
        await yield_now()
        task.cancel()
        try:
            await task
        except CancelledError:
            return f"{current_task().cancels} cancels of mine"
        return "nothing raised"

    assert run(main()) == "0 cancels of mine"


def test_main_may_be_cancelled_like_any_task(run: Run) -> None:
    async def main() -> None:
        call_soon(current_task().cancel)
        await sleep(10)

    with pytest.raises(CancelledError):
        run(main())


def test_a_coroutine_that_refuses_to_be_closed_does_not_replace_the_cancel(run: Run) -> None:
    """A drop never raises: what cannot be closed at once is no reason to lose a cancel."""

    async def child() -> None:
        try:
            await sleep(100)
        finally:
            await sleep(1)

    async def worker() -> None:
        await join(child(), sleep(50))

    async def main() -> None:
        task = spawn(worker())
        await sleep(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task

    run(main())
    gc.collect()  # what is left of the one that refused tells of itself here, not in a later test


def test_a_cancel_and_a_timeout_at_the_same_moment_count_as_a_cancel(run: Run) -> None:
    async def main() -> list[str]:
        seen = []

        async def worker() -> None:
            with timeout(5):
                await sleep(100)

        for order in ("before", "after"):
            task = spawn(worker())
            await yield_now()
            timers = current_executor().timers
            if order == "after":
                await yield_now()
            timers.add(current_executor().now() + 5, lambda task=task: task.cancel())  # type: ignore[misc]
            try:
                await task
            except (CancelledError, TimeoutError) as error:
                seen.append(type(error).__name__)
        return seen

    assert run(main()) == ["CancelledError", "CancelledError"]


def test_a_cancel_from_before_a_timeout_is_never_turned_into_its_error(run: Run) -> None:
    """A cancel from outside is never turned into anything else."""

    async def main() -> str:
        current_task().cancel()
        try:
            with timeout(0):
                await sleep(10)
        except CancelledError:
            return "cancelled"
        except TimeoutError:
            return "timed out"
        return "nothing raised"

    assert run(main()) == "cancelled"


def test_a_cancelled_task_in_a_scope_does_not_fail_the_scope(run: Run) -> None:
    async def main() -> list[bool]:
        async with scope() as s:
            task = s.spawn(forever())
            other = s.spawn(soon())
            await sleep(1)
            task.cancel()
        return [task.done, other.result()]

    async def forever() -> None:
        await sleep(1000)

    async def soon() -> bool:
        await sleep(10)
        return True

    assert run(main()) == [True, True]


def test_in_checked_mode_a_cancel_that_is_swallowed_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def swallows() -> str:
        try:
            await sleep(10)
        except CancelledError:
            pass
        await sleep(1)
        return "as if nothing"

    async def ends() -> str:
        try:
            await sleep(10)
        except CancelledError:
            return "at once"
        return "never"

    async def cleans_up() -> None:
        try:
            await sleep(10)
        finally:
            await sleep(1)

    async def main() -> None:
        tasks: list[Task[Any]] = [spawn(swallows()), spawn(ends()), spawn(cleans_up())]
        await sleep(1)
        for task in tasks:
            task.cancel()
        await sleep(5)
        assert [task.done for task in tasks] == [True] * 3

    make("checked").run(main())
    assert len(caplog.messages) == 1
    assert "swallows" in caplog.messages[0]
    assert "raise CancelledError again" in caplog.messages[0]
    caplog.clear()
    make("everyday").run(main())
    assert caplog.messages == []
