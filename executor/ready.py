"""Ready: the tasks of one priority that are ready, in the order in which they became so."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

if TYPE_CHECKING:
    from pinfut.executor.core import Executor
    from pinfut.executor.task import Task


Priority: TypeAlias = Literal["high", "normal", "low"]
"""How urgent a task is. `Executor.mix` says what that means in a turn."""


@final
class Ready(deque["Task[Any]"]):
    """A queue of ready tasks. It holds each of them exactly once, and no other."""

    __slots__ = ("executor", "priority")

    def __init__(self, executor: Executor, priority: Priority) -> None:
        super().__init__()
        self.executor = executor
        self.priority = priority
