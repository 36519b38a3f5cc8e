"""Schedules: which of the ready tasks runs next, when it is not the first in the queue.

An executor without a schedule runs tasks in the order in which they became ready. One with
a schedule runs the watched loop, so the everyday one has no test for it.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, final

if TYPE_CHECKING:
    from pinfut.executor.task import Task


class Schedule(Protocol):
    """Whoever chooses. Called between the steps; may cancel tasks."""

    def take(self, ready: deque[Task[Any]], /) -> Task[Any]:
        """Remove one task from `ready`, which holds at least one, and give it."""


@final
class Seeded:
    """Any of the ready tasks, each with the same chance; one seed gives one history.

    Tasks then run in an order that some outside world might have brought about. A ready
    task still runs sooner or later, but not once in each turn.
    """

    __slots__ = ("_random",)

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def take(self, ready: deque[Task[Any]], /) -> Task[Any]:
        if len(ready) == 1:
            return ready.popleft()
        index = self._random.randrange(len(ready))
        task = ready[index]
        del ready[index]
        return task
