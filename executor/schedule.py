"""Schedules: which of the ready entries runs next, when it is not the first in the queue."""

from __future__ import annotations

import random
from collections import deque
from typing import Protocol, final

from pinfut.executor.contract import Entry


class Schedule(Protocol):
    """Who chooses. Called between the steps; may cancel tasks."""

    def take(self, ready: deque[Entry], /) -> Entry:
        """Remove one entry from `ready`, which holds at least one, and give it."""
        ...


@final
class Seeded:
    """Any of the ready entries, each with the same chance; one seed gives one history. A ready task
    still runs sooner or later, but not once in each turn."""

    __slots__ = ("_random",)

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def take(self, ready: deque[Entry], /) -> Entry:
        if len(ready) == 1:
            return ready.popleft()
        index = self._random.randrange(len(ready))
        entry = ready[index]
        del ready[index]
        return entry
