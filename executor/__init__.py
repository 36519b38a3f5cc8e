"""The executor: tasks, timers, scopes, and the loop that polls (`pinfut.executor`).

Stands on `pinfut` and knows nothing of `pinfut.rpc`."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pinfut.core import accelerate
from pinfut.coroutine import yield_now
from pinfut.executor.block import shield
from pinfut.executor.clock import MonotonicClock, VirtualClock
from pinfut.executor.contract import Clock, Entry, JoinHandle, Poller, Priority, Runner
from pinfut.executor.core import Executor, TooManySteps, run
from pinfut.executor.current import NoExecutor, current_executor, running
from pinfut.executor.hosts.across import from_host, to_host
from pinfut.executor.hosts.asyncio_loop import new_event_loop
from pinfut.executor.hosts.guest import guest
from pinfut.executor.schedule import Schedule, Seeded
from pinfut.executor.scope import Scope, scope
from pinfut.executor.task import Task, current_task
from pinfut.executor.threads import RemoteWaker, from_thread, to_thread
from pinfut.executor.timeout import Timeout, current_deadline, timeout, timeout_at
from pinfut.executor.timers import sleep
from pinfut.executor.trace import Instrument, Recorder, SlowStep, SlowSteps, timeline

T = TypeVar("T")


def spawn(
    coro: Coroutine[Any, Any, T], *, name: str | None = None, priority: Priority = "normal"
) -> Task[T]:
    """Start `coro` as a task of the running executor: ``task = spawn(work())``. A task that fails
    and that nobody awaits is reported. Prefer `scope`, which waits. Raises NoExecutor, TypeError
    for anything but a coroutine, and ValueError for a `priority` that is not "high", "normal" or
    "low"."""
    executor = running.executor or current_executor()
    # Every runner's handles are tasks; a cast would cost a call.
    return executor.spawn(coro, name=name, priority=priority)  # type: ignore[return-value]


def call_soon(call: Callable[..., object], /, *args: Any) -> None:
    """Have ``call(*args)`` run when this turn ends. Raises NoExecutor."""
    executor = running.executor or current_executor()
    executor.deferred.append((call, args))


def dump() -> str:
    """Every task of the running executor, for people; see `Executor.dump`. Raises NoExecutor."""
    return current_executor().dump()


__all__ = [
    "CancelledError", "Clock", "Entry", "Executor", "Instrument", "JoinHandle", "MonotonicClock",
    "NoExecutor", "Poller", "Priority", "Recorder", "RemoteWaker", "Runner", "Schedule", "Scope",
    "Seeded", "SlowStep", "SlowSteps", "Task", "Timeout", "TooManySteps", "VirtualClock",
    "call_soon", "current_deadline", "current_executor", "current_task", "dump", "from_host",
    "from_thread", "guest", "new_event_loop", "run", "scope", "shield", "sleep", "spawn",
    "timeline", "timeout", "timeout_at", "to_host", "to_thread", "yield_now",
]  # fmt: skip


accelerate(globals())
