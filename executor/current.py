"""Which executor runs in this thread, and which task it is running."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinfut.executor.core import Executor
    from pinfut.executor.task import Task


class _Running(threading.local):
    executor: Executor | None = None


running = _Running()
"""The executor of this thread; set by `Executor.run` alone."""


class NoExecutor(RuntimeError):
    """Something that needs a running executor was used outside of one."""


def current_executor() -> Executor:
    """The executor that runs in this thread. Raises NoExecutor."""
    executor = running.executor
    if executor is None:
        raise NoExecutor("no executor runs in this thread; start one with executor.run(main())")
    return executor


def current_task() -> Task[Any]:
    """The task whose step is running. Raises NoExecutor outside of any task."""
    executor = current_executor()
    return executor.current or executor.materialise()
