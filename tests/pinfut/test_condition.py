"""Condition: no notification is lost, and the lock is held when a wait ends, however."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pinfut import Condition, Lock, drop, pin, race, select
from pinfut.executor import (
    CancelledError,
    Executor,
    VirtualClock,
    call_soon,
    scope,
    sleep,
    spawn,
    timeout,
    yield_now,
)
from pinfut.executor.testing import explore
from tests.covered import covered, require
from tests.executor.world import Run


def test_who_waits_gives_the_lock_up_and_has_it_again(run: Run) -> None:
    async def main() -> list[str]:
        condition, log = Condition(), list[str]()

        async def waiter() -> None:
            async with condition:
                log.append("waits")
                await condition.wait()
                log.append(f"goes on, {condition.lock.locked}")

        task = spawn(waiter())
        await yield_now()
        async with condition:
            log.append("inside")
            condition.notify()
            await sleep(1)
            log.append("leaves")
        await task
        assert not condition.lock.locked
        return log

    assert run(main()) == ["waits", "inside", "leaves", "goes on, True"]


async def bounded_buffer(rng: random.Random) -> tuple[list[int], list[int], int]:
    """The classic: producers and consumers around a list, with consumers cancelled at random.
    What was made, what was taken, and how many were cancelled."""
    condition = Condition()
    buffer: list[int] = []
    made: list[int] = []
    taken: list[int] = []
    cancelled = 0
    over = False

    async def produce(first: int) -> None:
        for n in range(first, first + 5):
            async with condition:
                await condition.wait_for(lambda: len(buffer) < 2)
                buffer.append(n)
                made.append(n)
                condition.notify_all()
            await sleep(rng.randint(0, 2))

    async def consume() -> None:
        while True:
            async with condition:
                await condition.wait_for(lambda: buffer or over)
                if not buffer:
                    return
                taken.append(buffer.pop(0))
                condition.notify_all()
            await sleep(rng.randint(0, 1))

    async with scope() as s:
        producers = [s.spawn(produce(100 * i)) for i in range(2)]
        consumers = [s.spawn(consume()) for _ in range(4)]
        for victim in consumers[:3]:
            await sleep(rng.randint(0, 4))
            cancelled += victim.cancel()
        for producer in producers:
            await producer
        async with condition:
            over = True
            condition.notify_all()
    assert not condition.lock.locked
    return made, taken, cancelled


def test_a_bounded_buffer_loses_nothing_whoever_is_cancelled() -> None:
    for seed in range(60):
        executor = Executor(clock=VirtualClock(), checked=seed % 2 == 0)
        made, taken, cancelled = executor.run(bounded_buffer(random.Random(seed)))
        assert taken == made, "a value was lost or doubled"
        covered("bounded buffers", runs=1, values=len(taken), cancelled=cancelled)
    require(covered("bounded buffers"), "values", "cancelled")


def test_a_notification_for_a_cancelled_waiter_reaches_the_next(run: Run) -> None:
    async def main() -> list[str]:
        condition, log = Condition(), list[str]()

        async def waiter(name: str) -> None:
            async with condition:
                await condition.wait()
                log.append(name)

        first = spawn(waiter("first"))
        spawn(waiter("second"))
        await yield_now()
        async with condition:
            condition.notify()
            first.cancel()
        await sleep(1)
        with pytest.raises(CancelledError):
            await first
        assert not condition.lock.locked
        return log

    assert run(main()) == ["second"]


def test_a_cancel_is_raised_with_the_lock_held(run: Run) -> None:
    async def main() -> list[str]:
        condition, log = Condition(), list[str]()

        async def waiter() -> None:
            async with condition:
                try:
                    await condition.wait()
                finally:
                    log.append(f"cancelled with the lock: {condition.lock.locked}")

        task = spawn(waiter())
        await yield_now()
        await condition.lock.acquire()
        task.cancel()
        await sleep(1)
        task.cancel()  # once more, while it waits for the lock
        await sleep(1)
        assert not log
        condition.lock.release()
        with pytest.raises(CancelledError):
            await task
        assert not condition.lock.locked
        return log

    assert run(main()) == ["cancelled with the lock: True"]


def test_a_wait_that_is_closed_for_good_does_not_give_back_what_it_does_not_hold(run: Run) -> None:
    async def main() -> None:
        condition = Condition()

        async def waiter() -> None:
            async with condition:
                await condition.wait()

        async def first() -> None:
            await sleep(1)

        await race(waiter(), first())  # the loser is closed in the midst of its wait
        assert not condition.lock.locked
        await condition.lock.acquire()
        await race(_with(condition), first())
        assert condition.lock.locked, "the lock of another was given back"

    run(main())


def test_a_wait_that_is_closed_while_another_holds_the_lock_leaves_it_to_that_one(run: Run) -> None:
    async def main() -> None:
        condition = Condition()

        async def waiter() -> None:
            async with condition:
                await condition.wait()

        await select(pinned := pin(waiter()), sleep(1))
        async with condition:
            drop(pinned)  # its block ends without the lock, which is ours
            assert condition.lock.locked
            other = spawn(_hold(condition))
            await sleep(1)
            assert not other.done, "two in the block at a time"
        await other
        assert not condition.lock.locked
        # And the count of blocks that give nothing back is even again.
        async with condition:
            pass
        assert not condition.lock.locked

    run(main())


async def _hold(condition: Condition) -> None:
    async with condition:
        pass


async def _with(condition: Condition) -> None:
    async with condition:
        raise AssertionError("the lock is another's")


def test_to_notify_and_to_wait_the_lock_has_to_be_held(run: Run) -> None:
    async def main() -> None:
        condition = Condition()
        with pytest.raises(RuntimeError, match="async with condition"):
            condition.notify()
        with pytest.raises(RuntimeError, match="not held"):
            await condition.wait()
        async with condition:
            condition.notify()
        call_soon(condition.lock.try_acquire)

    run(main())


def test_wait_for_bounded_by_a_timeout(run: Run) -> None:
    async def main() -> bool:
        lock = Lock()
        condition = Condition(lock)
        async with condition:
            with pytest.raises(TimeoutError), timeout(5):
                await condition.wait_for(lambda: False)
            return lock.locked

    assert run(main()) is True


def test_in_every_order_and_with_a_cancel_anywhere_nobody_is_left_waiting() -> None:
    async def program() -> None:
        condition = Condition()
        ready: list[Any] = []

        async def waiter() -> None:
            async with condition:
                await condition.wait_for(lambda: ready)
                ready.pop()
                condition.notify()

        async with scope() as s:
            s.spawn(waiter(), name="victim")
            s.spawn(waiter(), name="waiter")
            async with condition:
                ready[:] = [1, 2]
                condition.notify()
        assert not condition.lock.locked

    result = explore(program, cancels=1, victims=["victim"])
    assert result.exhaustive
    assert result.runs >= 5
    covered("condition, interleavings", runs=result.runs)
