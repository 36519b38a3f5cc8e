"""shield: what comes from outside waits until it ends, and is not lost."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest

from pinfut import join, pending, race
from pinfut.executor import (
    CancelledError,
    JoinHandle,
    NoExecutor,
    Task,
    call_soon,
    current_deadline,
    current_executor,
    current_task,
    scope,
    shield,
    sleep,
    spawn,
    timeout,
    yield_now,
)
from tests.executor.world import Run


def now() -> float:
    return current_executor().now()


async def outcome(task: Task[Any]) -> object:
    """How a task ended, as text."""
    try:
        return await task
    except BaseException as error:
        return type(error).__name__


# ---- holding ----


def test_a_cancel_waits_until_the_shield_ends_and_comes_at_the_first_wait_after(run: Run) -> None:
    async def main() -> list[object]:
        log: list[object] = []

        async def work() -> None:
            with shield():
                await sleep(10)
                log.append(("saved", now()))
            log.append("no wait yet")
            try:
                await sleep(100)
            finally:
                log.append(("cancelled", now()))

        task = spawn(work())
        await sleep(1)
        assert task.cancel()
        log.append(await outcome(task))
        return log

    assert run(main()) == [("saved", 10), "no wait yet", ("cancelled", 10), "CancelledError"]


def test_an_outer_timeout_waits_until_the_shield_ends(run: Run) -> None:
    async def main() -> list[object]:
        log: list[object] = []
        try:
            with timeout(5):
                with shield():
                    await sleep(10)
                    log.append(now())
                await sleep(100)
        except TimeoutError:
            log.append(("timed out", now()))
        return log

    assert run(main()) == [10, ("timed out", 10)]


def test_an_outer_timeout_is_raised_though_nothing_waits_after_the_shield(run: Run) -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError), timeout(5), shield():
            await sleep(10)
        return now()

    assert run(main()) == 10


def test_an_outer_scope_s_cancel_waits_until_the_shield_ends(run: Run) -> None:
    async def main() -> list[object]:
        log: list[object] = []

        async def child() -> None:
            with shield():
                await sleep(3)
                log.append(("child saved", now()))
            await sleep(100)

        async with scope() as s:
            s.spawn(child())
            await sleep(1)
            s.cancel()
            with shield():
                await sleep(10)
                log.append(("body saved", now()))
            await sleep(100)
        log.append(("end", now()))
        return log

    assert run(main()) == [("child saved", 3), ("body saved", 11), ("end", 11)]


def test_an_inner_timeout_works_inside_of_a_shield(run: Run) -> None:
    async def main() -> float:
        with shield(), pytest.raises(TimeoutError), timeout(5):
            await sleep(100)
        return now()

    assert run(main()) == 5


@pytest.mark.parametrize("held", ["timeout", "cancel", "cancel in the same step", "both"])
def test_an_inner_timeout_is_one_though_something_is_held_further_out(run: Run, held: str) -> None:
    """Or a clean-up that bounds itself would be broken off by the CancelledError of its own
    bound."""

    async def main() -> list[object]:
        log: list[object] = []

        async def work() -> None:
            with timeout(2 if held in ("timeout", "both") else 1000):
                if held == "cancel in the same step":
                    current_task().cancel()
                with shield():
                    try:
                        with timeout(5):
                            await sleep(100)
                    except TimeoutError:
                        log.append(("inner", now()))
                    await sleep(3)
                    log.append(("rest", now()))
                await sleep(100)

        task = spawn(work())
        await sleep(1)
        if held in ("cancel", "both"):
            task.cancel()
        log.append(await outcome(task))
        log.append(now())
        return log

    ends = "TimeoutError" if held == "timeout" else "CancelledError"
    assert run(main()) == [("inner", 5), ("rest", 8), ends, 8]


def test_a_cancel_in_the_step_that_opens_a_shield_comes_after_it(run: Run) -> None:
    async def main() -> object:
        async def work() -> str:
            current_task().cancel()
            try:
                with shield():
                    await sleep(5)
                    saved = now()
                await sleep(100)
            except CancelledError:
                return f"saved at {saved}, cancelled at {now()}"
            return "lost"

        return await spawn(work())

    assert run(main()) == "saved at 5.0, cancelled at 5.0"


def test_a_cancel_that_came_before_the_shield_s_step_comes_before_it(run: Run) -> None:
    async def main() -> object:
        async def work() -> str:
            try:
                await sleep(10)
                with shield():
                    return "saved"
            except CancelledError:
                return "cancelled"

        task = spawn(work())
        await sleep(1)
        task.cancel()
        return await task

    assert run(main()) == "cancelled"


def test_a_scope_and_a_timeout_inside_of_a_shield_are_not_held(run: Run) -> None:
    async def main() -> list[object]:
        log: list[object] = []
        with shield():
            async with scope() as s:
                call_soon(s.cancel)
                await sleep(100)
            log.append(now())
            with pytest.raises(TimeoutError), timeout(2):
                async with scope() as s:
                    await sleep(100)
            log.append(now())
        return log

    assert run(main()) == [0, 2]


# ---- nested ----


def test_what_an_inner_shield_held_the_outer_one_holds_on(run: Run) -> None:
    async def main() -> list[object]:
        log: list[object] = []

        async def work() -> None:
            with shield():
                with shield():
                    await sleep(5)
                await sleep(5)
                log.append(now())
            await sleep(100)

        task = spawn(work())
        await sleep(1)
        task.cancel()
        task.cancel()
        log.append(await outcome(task))
        log.append(now())
        return log

    assert run(main()) == [10, "CancelledError", 10]


def test_a_timeout_between_two_shields_is_held_by_the_inner_one_alone(run: Run) -> None:
    async def main() -> list[object]:
        log: list[object] = []
        with shield():
            try:
                with timeout(2):
                    with shield():
                        await sleep(5)
                    log.append(now())
                    await sleep(100)
            except TimeoutError:
                log.append(("timed out", now()))
            await sleep(5)
        log.append(now())
        return log

    assert run(main()) == [5, ("timed out", 5), 10]


# ---- nothing is lost ----


@pytest.mark.parametrize("how", ["falls through", "returns", "raises and is caught"])
def test_a_cancel_that_was_held_is_not_lost_however_the_shield_ends(run: Run, how: str) -> None:
    async def main() -> object:
        async def save() -> None:
            with shield():
                await sleep(5)
                if how == "returns":
                    return
                if how == "raises and is caught":
                    raise KeyError

        async def work() -> None:
            try:
                await save()
            except KeyError:
                pass
            await sleep(100)

        task = spawn(work())
        await sleep(1)
        task.cancel()
        return await outcome(task), now()

    assert run(main()) == ("CancelledError", 5)


def test_of_a_cancel_and_a_timeout_that_were_held_the_cancel_is_raised(run: Run) -> None:
    """One interrupt, not two: the clean-up after it may wait."""

    async def main() -> list[object]:
        log: list[object] = []

        async def work() -> None:
            try:
                with timeout(2):
                    with shield():
                        await sleep(5)
                    await sleep(100)
            finally:
                await sleep(3)
                log.append(now())

        task = spawn(work())
        await sleep(1)
        task.cancel()
        log.append(await outcome(task))
        return log

    assert run(main()) == [8, "CancelledError"]


@pytest.mark.parametrize("how", ["returns", "raises"])
def test_a_task_that_ends_in_a_shield_ends_as_it_would(run: Run, how: str) -> None:
    async def main() -> object:
        async def work() -> str:
            with shield():
                await sleep(5)
                if how == "raises":
                    raise KeyError
                return "saved"

        task = spawn(work())
        await sleep(1)
        task.cancel()
        seen = await outcome(task), now()
        await sleep(5)
        return *seen, task.cancel()

    assert run(main()) == ("saved" if how == "returns" else "KeyError", 5, False)


def test_a_shielded_clean_up_is_whole_when_main_ends(run: Run) -> None:
    log: list[object] = []

    async def server() -> None:
        try:
            await sleep(1000)
        finally:
            with shield(), timeout(50):
                await sleep(5)
                log.append(("saved", now()))

    async def shielded() -> None:
        with shield():
            await sleep(20)
            log.append(("through", now()))
        await sleep(1000)
        log.append("never")

    async def main() -> str:
        spawn(server())
        spawn(shielded())
        await sleep(1)
        return "main's"

    assert run(main()) == "main's"
    assert log == [("saved", 6), ("through", 20)]


def test_a_shield_in_which_nothing_can_come_is_closed_when_main_ends(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    async def stuck() -> None:
        try:
            with timeout(3), shield():
                await pending()
        finally:
            log.append("closed")

    async def main() -> None:
        spawn(stuck(), name="stuck one")
        await sleep(1)

    run(main())
    assert log == ["closed"]
    assert "stuck one" in caplog.text


def test_a_shield_in_a_coroutine_in_place_holds_the_timeouts_around_it_in_there(run: Run) -> None:
    async def main() -> object:
        async def work() -> object:
            try:
                with timeout(2):
                    with shield():
                        await sleep(5)
                    await sleep(100)
            except TimeoutError:
                return now()
            return None

        return await join(work(), sleep(1))

    assert run(main()) == (5, None)


def test_a_shield_holds_when_the_coroutine_in_place_is_dropped(run: Run) -> None:
    async def main() -> list[object]:
        log: list[object] = []

        async def work() -> None:
            try:
                with timeout(1), shield():
                    await race(sleep(5), sleep(6))
                    log.append("saved")
                await sleep(1)
                log.append("never")
            finally:
                log.append(now())

        await race(work(), sleep(2))
        log.append(now())
        await sleep(10)
        return log

    assert run(main()) == [2, "saved", 5]


# ---- one block, one use ----


@pytest.mark.parametrize("make_block", [shield, lambda: timeout(5)])
def test_a_block_is_entered_once(run: Run, make_block: Callable[[], Any]) -> None:
    async def main() -> float:
        block = make_block()
        with block, pytest.raises(RuntimeError, match="make a new one"), block:
            pass
        with pytest.raises(RuntimeError, match="make a new one"), block:
            pass
        await sleep(1)
        return now()

    assert run(main()) == 1


def test_a_scope_is_entered_once(run: Run) -> None:
    async def main() -> None:
        async with scope() as s:
            with pytest.raises(RuntimeError, match="a scope is entered once"):
                async with s:
                    pass
        with pytest.raises(RuntimeError, match="a scope is entered once"):
            async with s:
                pass

    run(main())


def test_a_timeout_s_timer_that_comes_after_its_end_interrupts_nobody(run: Run) -> None:
    """Fired in the midst of a step that then left the block."""

    async def main() -> float:
        block = timeout(5)
        with pytest.raises(TimeoutError), block:
            block.fire()
        await sleep(1)
        with timeout(5) as late:
            pass
        late.fire()
        await sleep(1)
        return now()

    assert run(main()) == 2


# ---- current_deadline ----


def test_current_deadline_is_the_earliest_of_those_around(run: Run) -> None:
    async def main() -> list[float | None]:
        found: list[float | None] = [current_deadline()]
        await sleep(1)
        with timeout(10):
            found.append(current_deadline())
            with timeout(20):
                found.append(current_deadline())
                with timeout(5):
                    found.append(current_deadline())
                    async with scope() as s:
                        found.append(current_deadline())
                        found.append(await s.spawn(deadline()))
            with shield():
                found.append(current_deadline())
                with timeout(50):
                    found.append(current_deadline())
            found.append(current_deadline())
        found.append(current_deadline())
        return found

    assert run(main()) == [None, 11, 11, 6, 6, None, None, 51, 11, None]


async def deadline() -> float | None:
    return current_deadline()


def test_current_deadline_sees_the_timeouts_around_every_coroutine_in_place(run: Run) -> None:
    async def inner() -> float | None:
        with timeout(30):
            return current_deadline()

    async def middle(seconds: float) -> float | None:
        with timeout(seconds):
            found, _ = await join(inner(), sleep(1))
        return found

    async def shielded() -> float | None:
        with shield():
            (found,) = await join(middle(50))
        return found

    async def main() -> object:
        found: list[object] = []
        with timeout(100):
            found.append(await join(middle(10), middle(40), deadline()))
            found.append(await join(shielded()))
        with timeout(5):
            found.append(await join(join(middle(10))))
        return found

    assert run(main()) == [(10, 30, 100), (31,), ((7,),)]


def test_a_task_spawned_in_place_has_no_deadline_of_its_spawner(run: Run) -> None:
    async def spawner() -> object:
        with timeout(10):
            (found,) = await join(deadline())
            return found, await spawn(deadline())

    async def main() -> object:
        return await join(spawner())

    assert run(main()) == ((10, None),)


def test_outside_of_a_task_current_deadline_says_so(run: Run) -> None:
    with pytest.raises(NoExecutor):
        current_deadline()

    async def main() -> list[str]:
        log: list[str] = []

        def look() -> None:
            with pytest.raises(NoExecutor, match="from inside a coroutine"):
                current_deadline()
            log.append("looked")

        call_soon(look)
        await yield_now()
        return log

    assert run(main()) == ["looked"]


def test_a_first_step_that_asks_for_its_deadline_stays_without_a_task(run: Run) -> None:
    async def main() -> object:
        executor = current_executor()
        coro: Any = deadline()
        outside = executor.begin_inline()
        executor.first = coro, copy_context(), Nobody(), None
        with pytest.raises(StopIteration) as stop:
            coro.send(None)
        made = executor.current
        executor.end_inline(outside)
        return stop.value.value, made

    assert run(main()) == (None, None)


class Nobody:
    def ended(self, task: JoinHandle[Any], /) -> None:
        raise AssertionError("there is no task")


def test_a_cancel_that_a_shield_has_held_to_the_end_of_its_coroutine_makes_no_future(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[float] = []

    async def loses() -> None:
        with shield():
            await sleep(5)
        ended.append(current_executor().now())

    async def main() -> None:
        await race(loses(), sleep(1))
        await sleep(50)

    run(main())
    gc.collect()
    assert ended == [5]
    assert "NeverTaken" not in caplog.text
