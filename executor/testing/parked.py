"""wait_all_parked: let everybody else run until nobody can."""

from __future__ import annotations

from typing import Any, Final

from pinfut.coroutine import Interrupt, yield_now
from pinfut.executor.current import current_executor
from pinfut.executor.task import Task, current_task

# The tasks that are in `wait_all_parked`: they do not wait for each other.
_waiting: Final[set[Task[Any]]] = set()


async def wait_all_parked() -> None:
    """Yield until every other task is parked: ``await wait_all_parked()``.

    Then nothing is ready, no call is put off and no timer is due: only time or the outside
    world can move anything. Tasks that wait here at the same time go on together. Among
    tasks that yield forever it waits forever. Call it in a task of its own: it does not
    see what `join` and the like run beside it in the same task. Raises NoExecutor."""
    executor = current_executor()
    me = current_task()
    _waiting.add(me)
    try:
        while True:
            deadline = executor.timers.next_deadline()
            ready = (*executor.high, *executor.ready, *executor.low)
            if (
                not executor.deferred
                # One that was cancelled waits here no more: its clean-up is to come.
                and all(task in _waiting and type(task.leaf) is not Interrupt for task in ready)
                and (deadline is None or deadline > executor.now())
            ):
                return
            await yield_now()
    finally:
        _waiting.discard(me)
