"""Orders: how many different orders of tasks several runs had."""

from __future__ import annotations

from types import TracebackType
from typing import Any, final

from pinfut.executor import Instrument, Task
from pinfut.executor.trace.watched import watched


@final
class _Order(Instrument):
    """The numbers of the tasks whose steps ran, one after the other."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def poll(self, task: Task[Any], leaf: Any) -> None:
        self.steps.append(watched(task).number)

    def resume(self, task: Task[Any]) -> None:
        self.steps.append(-watched(task).number)


@final
class Orders:
    """``with orders as order: run(..., instruments=[order])``, again and again."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._order = _Order()

    @property
    def distinct(self) -> int:
        """How many different orders there were."""
        return len(self._seen)

    def __enter__(self) -> Instrument:
        self._order = _Order()
        return self._order

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._seen.add(hash(tuple(self._order.steps)))
