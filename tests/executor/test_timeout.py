"""timeout: blocks that end in time, alone, nested, and beside other interrupts."""

from __future__ import annotations

import pytest

from pinfut import drop, join, pending, pin, race, select
from pinfut.executor import (
    CancelledError,
    NoExecutor,
    call_soon,
    current_executor,
    scope,
    sleep,
    spawn,
    timeout,
    yield_now,
)
from tests.executor.world import Run
from tests.pinfut.hand import Gate


def now() -> float:
    return current_executor().now()


def test_a_block_that_takes_too_long_raises_timeout_error(run: Run) -> None:
    async def main() -> tuple[str, float, int]:
        with pytest.raises(TimeoutError) as caught, timeout(5):
            await sleep(100)
        assert isinstance(caught.value.__cause__, CancelledError)
        return str(caught.value), now(), len(current_executor().timers)

    assert run(main()) == ("timed out after 5 s", 5, 0)


def test_a_block_that_ends_in_time_leaves_nothing_behind(run: Run) -> None:
    async def main() -> tuple[int, float]:
        with timeout(5):
            await sleep(4)
        left = len(current_executor().timers)
        await sleep(100)
        return left, now()

    assert run(main()) == (0, 104)


def test_an_error_of_the_body_passes_through(run: Run) -> None:
    async def body() -> None:
        await sleep(1)
        raise KeyError

    async def main() -> None:
        with pytest.raises(KeyError), timeout(5):
            await body()
        await sleep(10)

    run(main())


def test_an_error_of_the_clean_up_after_the_timeout_passes_through(run: Run) -> None:
    async def body() -> None:
        try:
            await sleep(100)
        finally:
            raise KeyError

    async def main() -> None:
        with pytest.raises(KeyError), timeout(5):
            await body()
        await sleep(10)

    run(main())


def test_a_block_that_never_waits_is_never_interrupted(run: Run) -> None:
    async def main() -> str:
        with timeout(0):
            pass
        await sleep(1)
        with timeout(0):
            await join()
        await sleep(1)
        return "in time"

    assert run(main()) == "in time"


def test_a_timeout_of_nothing_interrupts_the_first_wait(run: Run) -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError), timeout(0):
            await sleep(1)
        return now()

    assert run(main()) == 0


@pytest.mark.parametrize(
    ("outer", "inner", "raised", "at"),
    [(5, 10, "outer", 5), (10, 5, "inner", 5), (5, 5, "outer", 5)],
)
def test_of_nested_timeouts_the_one_that_expires_raises(
    run: Run, outer: float, inner: float, raised: str, at: float
) -> None:
    async def main() -> tuple[str, float]:
        where = "nothing"
        try:
            with timeout(outer):
                try:
                    with timeout(inner):
                        await sleep(100)
                except TimeoutError:
                    where = "inner"
                except CancelledError:
                    where = "passed by"
                    raise
        except TimeoutError:
            assert where != "inner"
            where = "outer"
        return where, now()

    assert run(main()) == (raised, at)


def test_an_inner_timeout_leaves_the_outer_one_running(run: Run) -> None:
    async def main() -> list[float]:
        times: list[float] = []

        async def body() -> None:
            with pytest.raises(TimeoutError), timeout(1):
                await sleep(100)
            times.append(now())
            await sleep(100)

        with pytest.raises(TimeoutError), timeout(5):
            await body()
        times.append(now())
        await sleep(100)
        return times

    assert run(main()) == [1, 5]


def test_the_outer_timeout_may_expire_during_the_clean_up_of_the_inner(run: Run) -> None:
    async def main() -> list[str]:
        log = []
        try:
            with timeout(5):
                try:
                    with timeout(1):
                        try:
                            await sleep(100)
                        finally:
                            await sleep(50)
                            log.append("clean-up was not cut short")
                except TimeoutError:
                    log.append("inner")
        except TimeoutError:
            log.append(f"outer at {now()}")
        return log

    assert run(main()) == ["outer at 5.0"]


def test_a_cancel_from_outside_passes_through_every_block(run: Run) -> None:
    async def main() -> tuple[list[str], float]:
        log: list[str] = []

        async def worker() -> None:
            with timeout(50), timeout(60):
                try:
                    await sleep(100)
                except CancelledError:
                    log.append("cancelled")
                    raise

        task = spawn(worker())
        await sleep(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        return log, len(current_executor().timers)

    assert run(main()) == (["cancelled"], 0)


def test_a_cancel_that_comes_during_the_clean_up_of_a_timeout_stays_a_cancel(run: Run) -> None:
    async def main() -> None:
        async def worker() -> None:
            with timeout(5):
                try:
                    await sleep(100)
                finally:
                    await sleep(100)

        task = spawn(worker())
        await sleep(10)
        task.cancel()
        with pytest.raises(CancelledError):
            await task

    run(main())


def test_an_expiry_that_the_body_swallows_is_not_lost(run: Run) -> None:
    async def main() -> tuple[str, float]:
        try:
            with timeout(5):
                try:
                    await sleep(100)
                except CancelledError:
                    pass
                await sleep(2)
        except TimeoutError:
            return "timed out", now()
        return "lost", now()

    assert run(main()) == ("timed out", 7)


def test_an_expiry_of_the_outer_that_the_inner_body_swallows_is_not_lost(run: Run) -> None:
    async def main() -> str:
        try:
            with timeout(5):
                with timeout(10):
                    try:
                        await sleep(100)
                    except CancelledError:
                        pass
                await sleep(1)
        except TimeoutError:
            return "timed out"
        return "lost"

    assert run(main()) == "timed out"


def test_a_timeout_interrupts_its_own_task_and_no_other(run: Run) -> None:
    async def main() -> list[float]:
        times: list[float] = []

        async def other() -> None:
            await sleep(10)
            times.append(now())

        spawn(other())
        with pytest.raises(TimeoutError), timeout(5):
            await sleep(100)
        times.append(now())
        await sleep(20)
        return times

    assert run(main()) == [5, 10]


def test_a_timeout_around_a_scope_waits_for_its_children(run: Run) -> None:
    async def main() -> list[object]:
        log: list[object] = []

        async def child() -> None:
            try:
                await sleep(100)
            finally:
                await sleep(3)
                log.append(now())

        try:
            with timeout(5):
                async with scope() as s:
                    s.spawn(child())
                    await sleep(100)
        except TimeoutError:
            log.append("timed out")
        return log

    assert run(main()) == [8, "timed out"]


def test_a_timeout_around_a_scope_whose_body_is_over_waits_for_its_children(run: Run) -> None:
    async def main() -> list[object]:
        log: list[object] = []

        async def child() -> None:
            try:
                await sleep(100)
            finally:
                await sleep(3)
                log.append(now())

        try:
            with timeout(5):
                async with scope() as s:
                    s.spawn(child())
        except TimeoutError:
            log.append("timed out")
        return log

    assert run(main()) == [8, "timed out"]


def test_a_timeout_in_a_child_fails_the_child(run: Run) -> None:
    async def child() -> None:
        with timeout(5):
            await sleep(100)

    async def main() -> float:
        with pytest.raises(ExceptionGroup) as caught:
            async with scope() as s:
                s.spawn(child())
        assert caught.group_contains(TimeoutError)
        return now()

    assert run(main()) == 5


async def bounded(seconds: float) -> str:
    try:
        with timeout(seconds):
            await sleep(100)
    except TimeoutError:
        return f"timed out at {now()}"
    return "in time"


def test_a_timeout_in_a_coroutine_of_a_combinator_ends_that_coroutine_alone(run: Run) -> None:
    async def main() -> object:
        return await join(bounded(5), bounded(2), sleep(10))

    assert run(main()) == ("timed out at 5.0", "timed out at 2.0", None)


def test_timeouts_in_coroutines_side_by_side_do_not_disturb_each_other(run: Run) -> None:
    """They open and close in an order that is not nested."""

    async def short() -> str:
        with timeout(50):
            await sleep(1)
        return "short"

    async def long() -> str:
        await yield_now()
        with timeout(50):
            await sleep(3)
        return "long"

    async def main() -> object:
        values = await join(short(), long())
        with pytest.raises(TimeoutError), timeout(1):
            await sleep(100)
        return values, now()

    assert run(main()) == (("short", "long"), 4)


def test_a_timeout_around_a_combinator_drops_what_is_in_it(run: Run) -> None:
    async def main() -> tuple[float, int]:
        with pytest.raises(TimeoutError), timeout(5):
            await race(sleep(100), bounded(200))
        return now(), len(current_executor().timers)

    assert run(main()) == (5, 0)


def test_a_timeout_in_a_task_that_an_in_place_coroutine_spawned_is_the_task_s(run: Run) -> None:
    async def spawner() -> tuple[str, str]:
        task = spawn(bounded(2))
        # Still in place when the task's timeout expires, and in a block of its own.
        with timeout(50):
            await sleep(5)
        return task.result(), f"spawner at {now()}"

    async def main() -> object:
        return await join(spawner(), sleep(1))

    assert run(main()) == (("timed out at 2.0", "spawner at 5.0"), None)


def test_a_cancel_that_was_swallowed_before_a_timeout_has_nothing_to_do_with_it(run: Run) -> None:
    async def main() -> str:
        async def worker() -> str:
            try:
                await sleep(100)
            except CancelledError:
                pass
            return await bounded(5)

        task = spawn(worker())
        await sleep(1)
        task.cancel()
        return await task

    assert run(main()) == "timed out at 6.0"


def test_outside_of_a_task_a_timeout_says_so() -> None:
    with pytest.raises(NoExecutor), timeout(1):
        pass


# ---- a coroutine that is given up cleans up as in a block ----


def test_a_coroutine_that_is_late_may_wait_while_it_cleans_up(run: Run) -> None:
    async def slow(log: list[object]) -> None:
        try:
            await sleep(10)
        except CancelledError:
            log.append("cancelled")
            raise
        finally:
            await sleep(1)
            log.append(current_executor().now())

    async def main() -> None:
        log: list[object] = []
        with pytest.raises(TimeoutError, match="after 2 s"):
            await timeout(2, slow(log))
        assert log == ["cancelled", 3.0]

    run(main())


def test_a_scope_in_a_coroutine_that_is_late_waits_for_its_children(run: Run) -> None:
    async def child(log: list[str]) -> None:
        try:
            await sleep(10)
        finally:
            await sleep(1)
            log.append("child")

    async def parent(log: list[str]) -> None:
        async with scope() as s:
            s.spawn(child(log))

    async def main() -> None:
        log: list[str] = []
        with pytest.raises(TimeoutError):
            await timeout(2, parent(log))
        assert log == ["child"]

    run(main())


def test_an_error_of_the_clean_up_is_raised_and_a_swallowed_interrupt_is_late_all_the_same(
    run: Run,
) -> None:
    async def fails() -> None:
        try:
            await sleep(10)
        finally:
            raise KeyError("in the clean-up")

    async def swallows() -> str:
        try:
            await sleep(10)
        except CancelledError:
            pass
        return "as if nothing"

    async def main() -> None:
        with pytest.raises(KeyError):
            await timeout(1, fails())
        with pytest.raises(TimeoutError):
            await timeout(1, swallows())

    run(main())


def test_a_dropped_timeout_takes_its_timer_with_it(run: Run) -> None:
    async def main() -> None:
        timers = current_executor().timers
        before = len(timers)
        waits = timeout(1000, pending())
        assert (await select(pin(waits), sleep(1))).winner == 1
        assert len(timers) == before + 1
        drop(waits)
        assert len(timers) == before

    run(main())


def test_a_bounded_future_that_its_caller_holds_outlives_what_pinned_it(run: Run) -> None:
    """Also before it is polled first, when no timer holds it."""

    async def main() -> int:
        gate: Gate[int] = Gate()
        bounded = timeout(1, gate)
        pinned = pin(bounded)
        del pinned
        assert gate.drops == 0
        call_soon(gate.open, 5)
        return await bounded

    assert run(main()) == 5
