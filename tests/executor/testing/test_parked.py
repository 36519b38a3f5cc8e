"""wait_all_parked comes back when nothing can move, and not before."""

from __future__ import annotations

import pytest

from pinfut import FutureBase
from pinfut.executor import (
    CancelledError,
    NoExecutor,
    call_soon,
    current_executor,
    scope,
    sleep,
    spawn,
    yield_now,
)
from pinfut.executor.contract import Priority
from pinfut.executor.testing import explore, wait_all_parked
from pinfut.sync import OneshotSender, oneshot
from tests.executor.world import Run


def test_it_waits_for_whoever_can_still_run(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def busy(name: str, turns: int) -> None:
            for _ in range(turns):
                await yield_now()
            log.append(name)
            await sleep(1)
            log.append(f"{name} slept")

        for turns in (5, 0, 20):
            spawn(busy(str(turns), turns))
        await wait_all_parked()
        log.append("parked")
        await sleep(2)
        return log

    assert run(main()) == ["0", "5", "20", "parked", "0 slept", "5 slept", "20 slept"]


def test_it_waits_for_chains_through_calls_and_timers_that_are_due(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []
        ends: tuple[OneshotSender[int], FutureBase[int]] = oneshot()
        tx, rx = ends

        async def due() -> None:
            await sleep(0)
            log.append("due")
            call_soon(tx.send, 1)

        async def called() -> None:
            await rx
            log.append("called")
            await sleep(5)

        spawn(due())
        spawn(called())
        await wait_all_parked()
        log.append("parked")
        assert current_executor().now() == 0
        return log

    assert run(main()) == ["due", "called", "parked"]


def test_it_waits_for_a_call_that_was_put_off_just_before(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []
        ends: tuple[OneshotSender[int], FutureBase[int]] = oneshot()
        tx, rx = ends

        async def called() -> None:
            await rx
            log.append("called")

        spawn(called())
        await wait_all_parked()
        assert not log
        call_soon(tx.send, 1)
        await wait_all_parked()
        return log

    assert run(main()) == ["called"]


@pytest.mark.parametrize("priority", ["high", "normal", "low"])
def test_it_waits_for_tasks_of_every_priority(run: Run, priority: Priority) -> None:
    async def main() -> int:
        steps = 0

        async def busy() -> None:
            nonlocal steps
            for _ in range(5):
                steps += 1
                await yield_now()

        current_executor().spawn(busy(), priority=priority)
        await wait_all_parked()
        return steps

    assert run(main()) == 5


@pytest.mark.parametrize("own", ["high", "normal", "low"])
def test_it_waits_for_more_than_a_turn_of_tasks_of_any_priority_in_a_task_of_any(
    run: Run, own: Priority
) -> None:
    """Whom `select_batch` has left for a later turn stands in another queue than `ready`."""

    async def main() -> int:
        ended = 0

        async def busy() -> None:
            nonlocal ended
            await yield_now()
            ended += 1
            await sleep(5)

        async def waits() -> int:
            await wait_all_parked()
            return ended

        levels: list[Priority] = ["high", "normal", "low"]
        waiter = spawn(waits(), priority=own)
        for level in levels:
            for _ in range(600):
                spawn(busy(), priority=level)
        return await waiter

    assert run(main()) == 1800


def test_one_that_is_cancelled_while_it_waits_is_waited_for(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def watcher() -> None:
            try:
                await wait_all_parked()
            finally:
                log.append("cleaned up")

        async def spins() -> None:
            while not waiter.done:
                await yield_now()

        # Of low priority, so that its clean-up comes after the look of main.
        waiter = spawn(watcher(), priority="low")
        spinner = spawn(spins())
        await yield_now()
        await yield_now()
        spinner.cancel()
        await yield_now()
        waiter.cancel()
        await wait_all_parked()
        return list(log)

    assert run(main()) == ["cleaned up"]


def test_several_that_wait_do_not_wait_for_each_other(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def watcher(name: str) -> None:
            await wait_all_parked()
            log.append(name)

        async def busy() -> None:
            for _ in range(5):
                await yield_now()
            log.append("busy")
            await sleep(1)

        async with scope() as s:
            for name in "abc":
                s.spawn(watcher(name))
            s.spawn(busy())
        return log

    assert run(main()) == ["busy", "a", "b", "c"]


def test_it_can_be_cancelled_and_leaves_nothing_behind(run: Run) -> None:
    from pinfut.executor.testing import parked

    async def spins() -> None:
        while True:
            await yield_now()

    async def main() -> None:
        spawn(spins())
        waiter = spawn(wait_all_parked())
        for _ in range(10):
            await yield_now()
        assert not waiter.done
        waiter.cancel()
        with pytest.raises(CancelledError):
            await waiter

    run(main())
    assert not parked._waiting


def test_it_holds_in_every_order_of_the_tasks() -> None:
    async def program() -> None:
        log: list[int] = []

        async def works(steps: int) -> None:
            for _ in range(steps):
                await yield_now()
            log.append(steps)
            await sleep(1)

        spawn(works(1))
        spawn(works(2))
        await wait_all_parked()
        assert sorted(log) == [1, 2]

    # The waiter may be run again and again before the others, so there is no end to them.
    assert explore(program, limit=300, steps=100).runs == 300


def test_it_needs_an_executor() -> None:
    with pytest.raises(NoExecutor):
        wait_all_parked().send(None)
