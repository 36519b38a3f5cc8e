"""Who runs when: turns, the ready queue, yields, and calls put off to the end of a turn."""

from __future__ import annotations

import logging
from typing import cast

import pytest

from pinfut import join, ready
from pinfut.executor import (
    Executor,
    NoExecutor,
    VirtualClock,
    call_soon,
    current_executor,
    current_task,
    run,
    scope,
    sleep,
    spawn,
    yield_now,
)
from pinfut.executor.ready import LOOK, TURN
from tests.executor.world import Run
from tests.pinfut.hand import Again, Gate


def test_each_ready_task_runs_once_per_turn_in_the_order_of_spawning(run: Run) -> None:
    async def worker(name: str, log: list[str]) -> None:
        for i in range(3):
            log.append(f"{name}{i}")
            await yield_now()

    async def main() -> list[str]:
        log: list[str] = []
        async with scope() as s:
            for name in "abc":
                s.spawn(worker(name, log))
        return log

    assert run(main()) == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_tasks_run_in_the_order_in_which_they_were_woken(run: Run) -> None:
    async def main() -> list[int]:
        log: list[int] = []
        gates: list[Gate[int]] = [Gate() for _ in range(5)]

        async def waiter(i: int) -> None:
            await gates[i]
            log.append(i)

        async with scope() as s:
            for i in range(5):
                s.spawn(waiter(i))
            await sleep(1)
            for i in (3, 0, 4, 1, 2):
                gates[i].open(i)
        return log

    assert run(main()) == [3, 0, 4, 1, 2]


def test_many_wakes_before_a_turn_make_one_poll(run: Run) -> None:
    gate: Gate[int] = Gate()

    async def waiter() -> int:
        return await gate

    async def main() -> int:
        task = spawn(waiter())
        await sleep(1)
        assert gate.polls == 1
        for _ in range(10):
            gate.wake()
        assert list(current_executor().ready).count(task) == 1
        await sleep(1)
        assert gate.polls == 2
        gate.open(7)
        gate.wake()
        return await task

    assert run(main()) == 7
    assert gate.polls == 3


def test_a_task_that_is_woken_in_its_own_step_stands_in_the_queue_once(run: Run) -> None:
    async def main() -> int:
        task = current_task()
        for _ in range(3):
            task.wake()
            task.wake()
            assert list(current_executor().ready).count(task) <= 1
            await yield_now()
        return await Again(3)

    assert run(main()) == 4


def test_a_task_woken_for_nothing_does_not_run_its_coroutine(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def waiter() -> None:
            log.append("started")
            await sleep(100)
            log.append("ended")

        task = spawn(waiter())
        for _ in range(5):
            await yield_now()
            task.wake()
        await sleep(1)
        return list(log)

    assert run(main()) == ["started"]


def test_a_yield_lets_every_ready_task_run_first_even_one_spawned_just_now(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def child() -> None:
            log.append("child")

        spawn(child())
        log.append("before")
        await yield_now()
        log.append("after")
        return log

    assert run(main()) == ["before", "child", "after"]


def test_a_task_that_yields_for_ever_starves_neither_tasks_nor_timers(run: Run) -> None:
    async def selfish() -> None:
        while True:
            await yield_now()

    async def main() -> str:
        spawn(selfish())
        clock = current_executor().clock
        for _ in range(5):
            await yield_now()
        # Simulated time passes by itself only when nobody is ready.
        call_soon(clock.advance, 10)  # type: ignore[attr-defined]
        await sleep(5)
        return "not starved"

    assert run(main()) == "not starved"


def test_a_future_that_is_ready_at_once_costs_no_turn(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def other() -> None:
            log.append("other")

        spawn(other())
        for _ in range(100):
            await Again(0)
        log.append("main")
        return log

    assert run(main()) == ["main"]


def test_a_task_in_the_queue_is_never_done(run: Run) -> None:
    """The queue holds each ready task once, and no other."""

    async def selfish() -> str:
        current_task().wake()
        await Again(1)
        current_task().wake()
        return "done"

    async def main() -> str:
        task = spawn(selfish())
        await join(selfish(), sleep(1))
        for _ in range(3):
            assert not any(one.done for one in current_executor().ready)
            await yield_now()
        return task.result()

    assert run(main()) == "done"


# ---- call_soon ----


def test_calls_put_off_run_when_the_turn_ends_in_their_order(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def other() -> None:
            log.append("the rest of the turn")

        spawn(other())
        await yield_now()
        spawn(other())
        call_soon(log.append, "first call")
        call_soon(log.append, "second call")
        log.append("this step")
        await yield_now()
        log.append("the next turn")
        return log

    assert run(main()) == [
        "the rest of the turn",
        "this step",
        "first call",
        "second call",
        "the rest of the turn",
        "the next turn",
    ]


def test_a_call_that_puts_off_another_has_it_run_in_the_same_turn(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        def first() -> None:
            log.append("first")
            call_soon(log.append, "second")

        call_soon(first)
        await yield_now()
        return log

    assert run(main()) == ["first", "second"]


def test_calls_that_put_themselves_off_for_ever_do_not_hold_the_turn(run: Run) -> None:
    async def main() -> tuple[bool, int]:
        count = 0

        def again() -> None:
            nonlocal count
            count += 1
            if count < 1000:
                call_soon(again)

        call_soon(again)
        await yield_now()
        first = count
        await sleep(1)
        return 1 <= first < 10, count

    assert run(main()) == (True, 1000)


def test_a_call_that_fails_is_reported_and_the_others_run(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        def fails() -> None:
            raise ValueError("in a call")

        call_soon(fails)
        call_soon(log.append, "next")
        await yield_now()
        return log

    with caplog.at_level(logging.ERROR, logger="pinfut.executor"):
        assert run(main()) == ["next"]
    (record,) = caplog.records
    assert "fails" in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "in a call"


def test_calls_put_off_in_the_last_step_of_main_still_run(run: Run) -> None:
    log: list[str] = []

    async def main() -> None:
        call_soon(log.append, "late")

    run(main())
    assert log == ["late"]


# ---- which executor ----


def test_outside_of_an_executor_its_functions_say_so() -> None:
    async def never() -> None: ...

    coro = never()
    for use in (
        current_executor,
        current_task,
        lambda: spawn(coro),
        lambda: call_soon(print),
    ):
        with pytest.raises(NoExecutor):
            use()
    coro.close()


def test_between_the_steps_no_task_is_current(run: Run) -> None:
    async def main() -> list[object]:
        seen: list[object] = []
        executor = current_executor()
        assert executor.current is current_task()

        def look() -> None:
            seen.append(executor.current)
            with pytest.raises(NoExecutor, match="from inside a coroutine"):
                current_task()

        call_soon(look)
        await yield_now()
        assert executor.current is current_task()
        return seen

    assert run(main()) == [None]


def test_an_executor_runs_one_program_after_another(executor: Executor) -> None:
    async def main(n: int) -> int:
        await sleep(n)
        return n

    assert [executor.run(main(n)) for n in (3, 1, 2)] == [3, 1, 2]
    with pytest.raises(NoExecutor):
        current_executor()


def test_run_takes_a_coroutine_and_nothing_else() -> None:
    with pytest.raises(TypeError, match="run takes a coroutine"):
        run(test_run_takes_a_coroutine_and_nothing_else)  # type: ignore[arg-type]
    with pytest.raises(NoExecutor):
        current_executor()


def test_futures_that_are_ready_at_once_delay_a_timer_by_a_turn_and_a_look(
    executor: Executor,
) -> None:
    async def sleeper() -> None:
        await sleep(0.5)

    async def main() -> int:
        waits = spawn(sleeper())
        await yield_now()
        cast(VirtualClock, executor.clock).advance(1)
        for count in range(20 * TURN):
            await ready(count)
            if waits.done:
                return count
        raise AssertionError("it never had its turn")

    assert 0 < executor.run(main()) <= 2 * TURN + LOOK
