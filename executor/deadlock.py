"""Who waits for whom, when nobody can go on: the errors that say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pinfut.coroutine import CoroutineFuture, Interrupt
from pinfut.executor.contract import Runner
from pinfut.executor.task import Task
from pinfut.laws import FutureLock, LostWakeup, describe, history

_MOST: Final = 1_000  # futures inside of one leaf that are looked at


def parts(leaf: Any) -> list[Any]:
    """What `leaf` polls in place (None: done), or waits for; by the names that the house uses."""
    if isinstance(leaf, CoroutineFuture | Interrupt):
        return [leaf._leaf]
    for name in ("_children", "_future", "_stream", "_tasks"):
        found = getattr(leaf, name, None)
        if found is not None and not isinstance(leaf, Task):
            if isinstance(found, dict):
                return list(found if name == "_tasks" else found.values())
            return found if isinstance(found, list) else [found]
    return []


def inside(leaf: Any) -> Iterator[Any]:
    """`leaf`, and the futures that it polls in place, to whatever depth."""
    seen: dict[int, Any] = {}
    stack = [leaf]
    while stack and len(seen) < _MOST:
        future = stack.pop()
        if future is not None and id(future) not in seen:
            seen[id(future)] = future
            yield future
            stack += parts(future)


def deadlock(executor: Runner) -> LostWakeup:
    """The error for an executor whose tasks are all parked, with nobody to wake them."""
    waits = [
        f"\n  {task!r}{_serving(owner)} waits for {future.waits_for()}"
        for task, owner in executor.tasks.items()
        for future in inside(task.leaf)
        if hasattr(future, "waits_for")
    ]
    if waits:
        return FutureLock(
            "every task is parked, and some wait for what nobody gives back:"
            f"{''.join(waits)}\nWho has it must be polled until it gives it back, or be "
            "dropped"
        )
    parked = "".join(f"\n{task!r}{history(task.leaf)}" for task in executor.tasks)
    parked = parked.replace("\n", "\n  ")
    return LostWakeup(
        "every task is parked, no timer is set, and nobody is left to wake them:"
        f"{parked}\nThe future that a task is parked on has to keep its waker where "
        "the event finds it"
    )


def _serving(owner: object) -> str:
    """Which call a task serves, if its owner says so."""
    call = getattr(owner, "call", None)
    return "" if call is None else f", which serves {call},"


def futurelock(task: Task[Any]) -> FutureLock | None:
    """The error for a task that waits for what an own future has and it does not poll; or None."""
    futures = list(inside(task.leaf))
    polled = {id(getattr(future, "_law", None)) for future in futures}
    for future in futures:
        for holding in future.held_by() if hasattr(future, "held_by") else ():
            record = holding.record
            if (
                record is not None
                and record.owner is task
                and not record.done
                and id(record) not in polled
            ):
                return FutureLock(
                    f"{describe(task)} waits for {future.waits_for()}. That was in a "
                    f"{record.kind} which the task has left pinned and does not poll while it "
                    "waits: it can never go on. Poll the two together, or drop() the one that "
                    "has it",
                    record=record,
                )
    return None
