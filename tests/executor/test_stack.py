"""Rule 43, of the executor: at every remaining depth of the stack an operation is done, or refused
with nothing changed, and the run goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pinfut import PENDING, Context, Poll, Waker, poll_fn
from pinfut.executor import (
    Executor,
    VirtualClock,
    current_executor,
    sleep,
    spawn,
    yield_now,
)
from tests.covered import covered, require
from tests.stack import ROOMS, with_room

Operation = Callable[[], object]
Log = list[str]
Prepare = Callable[[Log], Coroutine[Any, Any, Operation]]


async def _logs(log: Log) -> None:
    log.append("ran")


async def starting(log: Log) -> Operation:
    coro = _logs(log)
    return lambda: spawn(coro)


async def starting_urgently(log: Log) -> Operation:
    coro = _logs(log)
    return lambda: current_executor().spawn(coro, priority="high", name="urgent")


async def putting_off(log: Log) -> Operation:
    return lambda: current_executor().call_soon(log.append, "ran")


async def setting_a_timer(log: Log) -> Operation:
    timers = current_executor().timers
    return lambda: timers.add(0.001, lambda: log.append("ran"))


async def _waits(log: Log, what: Any) -> None:
    try:
        await what
    finally:
        log.append("ran")


async def waking(log: Log) -> Operation:
    wakers: list[Waker] = []

    def poll(cx: Context) -> Poll[None]:
        wakers.append(cx.waker)
        return None if len(wakers) > 1 else PENDING

    spawn(_waits(log, poll_fn(poll)))
    await yield_now()
    return wakers[0].wake


async def cancelling(log: Log) -> Operation:
    task = spawn(_waits(log, sleep(1000)))
    await yield_now()
    return task.cancel


OPERATIONS = (*(starting, starting_urgently, putting_off, setting_a_timer, waking, cancelling),)


@pytest.mark.parametrize("hosted", [False, True], ids=["run", "hosted"])
@pytest.mark.parametrize("prepare", OPERATIONS, ids=lambda one: one.__name__)
def test_an_operation_without_stack_changes_nothing_and_the_run_goes_on(
    prepare: Prepare, hosted: bool
) -> None:
    counts: Counter[str] = Counter()

    async def main(room: int) -> None:
        log: Log = []
        operation = await prepare(log)
        tasks = len(current_executor().tasks)
        try:
            kept = with_room(room, operation)
        except RecursionError:
            counts["refused"] += 1
            assert len(current_executor().tasks) == tasks
            await sleep(0.01)
            assert log == [], f"with {room} frames left it was refused and done"
            kept = operation()
        else:
            counts["done"] += 1
        await sleep(0.01)
        assert log == ["ran"], f"with {room} frames left"
        del kept

    for room in ROOMS:
        executor = Executor(clock=VirtualClock(), doorbell=object if hosted else None)
        executor.run(main(room))
    # What needs no frame at all is done in every room.
    require(covered("operations of the executor at every depth", **counts), "done")
