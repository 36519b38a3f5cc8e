"""Deadlocks over locks: who waits for whom is found, and named."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from pinfut import (
    Condition,
    FutureLock,
    Lock,
    LostWakeup,
    Semaphore,
    drop,
    join,
    pending,
    pin,
    race,
    select,
)
from pinfut.executor import CancelledError, sleep, spawn
from tests.executor.world import Run, make

Held = AbstractAsyncContextManager[Any]

HELD: dict[str, Callable[[], Any]] = {
    "lock": Lock,
    "semaphore": lambda: Semaphore(1),
    "condition": Condition,
}
each_kind = pytest.mark.parametrize("kind", HELD)


async def hold(held: Any, seconds: float) -> str:
    async with held:  # taken here
        await sleep(seconds)
    return "done"


@each_kind
def test_a_task_that_waits_for_what_its_own_pinned_future_has_is_told_at_once(kind: str) -> None:
    async def main() -> None:
        # Everybody else goes on: nobody but checked mode sees it.
        spawn(hold(Lock(), 1e6))
        held = HELD[kind]()
        working = pin(hold(held, 10))
        await select(working, sleep(1))
        with pytest.raises(FutureLock) as caught:
            async with held:
                raise AssertionError("twice")
        message = str(caught.value)
        assert f"{__file__}:" in message
        assert "taken at" in message
        assert "in hold" in message
        assert "left pinned" in message
        assert await working == "done", "polled again, it goes on"
        async with held:
            pass

    make("checked").run(main())


@each_kind
def test_it_is_found_inside_of_combinators_and_coroutines(kind: str) -> None:
    async def take(held: Any) -> None:
        async with held:
            pass

    async def main() -> None:
        held = HELD[kind]()
        await select(working := pin(hold(held, 10)), sleep(1))
        with pytest.raises(FutureLock):
            await race(join(sleep(5), take(held)), sleep(100))
        drop(working)
        await take(held)

    make("checked").run(main())


def test_a_lock_that_is_reserved_for_a_pinned_future_is_found_too() -> None:
    async def main() -> None:
        lock = Lock()
        await lock.acquire()
        waiting = pin(hold(lock, 1))
        await select(waiting, sleep(1))
        lock.release()  # to the one that nobody polls
        with pytest.raises(FutureLock, match="left pinned"):
            async with lock:
                raise AssertionError("overtook")
        assert await waiting == "done"

    make("checked").run(main())


@each_kind
def test_nothing_is_wrong_with_who_is_polled_dropped_or_somebody_elses(kind: str) -> None:
    async def main() -> list[str]:
        held = HELD[kind]()
        # Polled together with who waits.
        await join(hold(held, 2), hold(held, 2))
        # Lost a race, so dropped.
        await race(hold(held, 10), sleep(1))
        async with held:
            pass
        # Dropped by hand.
        await select(working := pin(hold(held, 10)), sleep(1))
        drop(working)
        async with held:
            pass
        # Done.
        await select(working := pin(hold(held, 1)), sleep(5))
        async with held:
            pass
        # Another task has it, which goes on by itself.
        other = spawn(hold(held, 3))
        await sleep(1)
        async with held:
            pass
        return [await other]

    assert make("checked").run(main()) == ["done"]


@each_kind
def test_a_deadlock_over_a_lock_is_named_in_every_mode(kind: str, run: Run) -> None:
    async def main() -> None:
        held = HELD[kind]()
        async with held, held:
            raise AssertionError("twice")

    with pytest.raises(FutureLock) as caught:
        run(main())
    message = str(caught.value)
    assert "waits for" in message
    assert "taken at" in message


@each_kind
def test_a_future_that_another_task_has_left_pinned_may_go_on_yet(kind: str) -> None:
    async def keeps(held: Any) -> str:
        await select(working := pin(hold(held, 10)), sleep(1))
        await sleep(20)
        return await working

    async def main() -> str:
        held = HELD[kind]()
        other = spawn(keeps(held))
        await sleep(2)
        async with held:
            return await other

    assert make("checked").run(main()) == "done"


def test_what_a_future_that_is_done_has_taken_may_be_given_back_by_another_task() -> None:
    async def take(lock: Lock) -> None:
        await lock.acquire()

    async def give(lock: Lock) -> None:
        await sleep(5)
        lock.release()

    async def main() -> None:
        lock = Lock()
        await join(take(lock))
        spawn(give(lock))
        await lock.acquire()

    make("checked").run(main())


def test_two_tasks_that_wait_for_each_other_are_both_named() -> None:
    async def both(first: Lock, second: Lock) -> None:
        async with first:
            await sleep(1)
            async with second:
                pass

    async def main() -> None:
        a, b = Lock(), Lock()
        await join(spawn(both(a, b), name="ab"), spawn(both(b, a), name="ba"))

    with pytest.raises(FutureLock) as caught:
        make("checked").run(main())
    message = str(caught.value)
    for name in ("ab", "ba"):
        assert f"Task {name}, parked" in message
    assert message.count("in test_two_tasks_that_wait_for_each_other_are_both_named") == 2


def test_a_lock_that_somebody_holds_is_not_blamed_for_another_deadlock(run: Run) -> None:
    async def main() -> None:
        lock = Lock()
        async with lock:
            await Condition().lock.acquire()
            await pending()

    with pytest.raises(LostWakeup) as caught:
        run(main())
    assert type(caught.value) is LostWakeup


def test_a_task_that_is_told_may_go_on_and_its_wait_is_undone() -> None:
    async def main() -> None:
        lock = Lock()
        await select(working := pin(hold(lock, 10)), sleep(1))
        for _ in range(3):
            with pytest.raises(FutureLock):
                await lock.acquire()
        drop(working)
        assert lock.try_acquire(), "none of the three stands in line"

    make("checked").run(main())


def test_a_cancelled_holder_gives_the_lock_back(run: Run) -> None:
    async def main() -> None:
        lock = Lock()
        task = spawn(hold(lock, 10))
        await sleep(1)
        waiter = spawn(hold(lock, 1))
        await sleep(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        assert await waiter == "done"

    run(main())
