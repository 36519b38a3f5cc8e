"""Instruments: every step of an executor as an event, and a recorder for them.

With no instrument and checked mode off the executor runs a loop that knows nothing of
this module, so watching is free when nobody watches.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, final

from pinfut.laws import describe

if TYPE_CHECKING:
    from pinfut.executor.task import Task


class Instrument:
    """Told of each step as it happens. Override what you need; must not raise or await."""

    def spawn(self, task: Task[Any]) -> None:
        """`task` was made and is ready."""

    def wake(self, task: Task[Any]) -> None:
        """A parked `task` became ready."""

    def poll(self, task: Task[Any], leaf: Any) -> None:
        """The future that `task` waits for is about to be polled."""

    def park(self, task: Task[Any], leaf: Any) -> None:
        """That poll gave PENDING: `task` is parked on `leaf`."""

    def resume(self, task: Task[Any]) -> None:
        """The coroutine of `task` is about to run."""

    def finish(self, task: Task[Any]) -> None:
        """The coroutine of `task` has ended."""

    def slot(self, session: str, x: int, state: str) -> None:
        """Call `x` of a session changed its state: ``sent``, ``returned``, ``taken`` or
        ``cancelled``."""

    def charge(self, bank: str, pages: int, caps: int) -> None:
        """A bank was charged; negative for a refund."""

    def flush(self, session: str, size: int) -> None:
        """A session made `size` bytes of messages visible to the other side."""


@final
class Instruments(Instrument):
    """Several instruments as one. False when there are none."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._all = tuple(instruments)

    def __bool__(self) -> bool:
        return bool(self._all)

    def spawn(self, task: Task[Any]) -> None:
        for one in self._all:
            one.spawn(task)

    def wake(self, task: Task[Any]) -> None:
        for one in self._all:
            one.wake(task)

    def poll(self, task: Task[Any], leaf: Any) -> None:
        for one in self._all:
            one.poll(task, leaf)

    def park(self, task: Task[Any], leaf: Any) -> None:
        for one in self._all:
            one.park(task, leaf)

    def resume(self, task: Task[Any]) -> None:
        for one in self._all:
            one.resume(task)

    def finish(self, task: Task[Any]) -> None:
        for one in self._all:
            one.finish(task)

    def slot(self, session: str, x: int, state: str) -> None:
        for one in self._all:
            one.slot(session, x, state)

    def charge(self, bank: str, pages: int, caps: int) -> None:
        for one in self._all:
            one.charge(bank, pages, caps)

    def flush(self, session: str, size: int) -> None:
        for one in self._all:
            one.flush(session, size)


class Event(NamedTuple):
    """One recorded step: its number, what happened, to whom, and what else is known."""

    number: int
    kind: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.number:>6}  {self.kind:<7} {self.subject}  {self.detail}".rstrip()


@final
class Recorder(Instrument):
    """Keeps the last `limit` events; `lost` counts exactly the older ones that it dropped."""

    def __init__(self, limit: int = 10_000) -> None:
        if limit < 1:
            raise ValueError(f"a recorder keeps at least one event, not {limit}")
        self.events: deque[Event] = deque(maxlen=limit)
        self.counts: Counter[str] = Counter()
        self._number = 0

    @property
    def lost(self) -> int:
        """How many events were dropped to keep the bound."""
        return self._number - len(self.events)

    def text(self) -> str:
        """The events kept, a line each."""
        return "\n".join(map(str, self.events))

    def _add(self, kind: str, subject: str, detail: str = "") -> None:
        self.events.append(Event(self._number, kind, subject, detail))
        self.counts[kind] += 1
        self._number += 1

    def spawn(self, task: Task[Any]) -> None:
        self._add("spawn", task.name)

    def wake(self, task: Task[Any]) -> None:
        self._add("wake", task.name)

    def poll(self, task: Task[Any], leaf: Any) -> None:
        self._add("poll", task.name, type(leaf).__qualname__)

    def park(self, task: Task[Any], leaf: Any) -> None:
        self._add("park", task.name, f"{describe(leaf)} at {task.where()}")

    def resume(self, task: Task[Any]) -> None:
        self._add("resume", task.name)

    def finish(self, task: Task[Any]) -> None:
        self._add("finish", task.name)

    def slot(self, session: str, x: int, state: str) -> None:
        self._add("slot", session, f"x={x} {state}")

    def charge(self, bank: str, pages: int, caps: int) -> None:
        self._add("charge", bank, f"pages={pages:+d} caps={caps:+d}")

    def flush(self, session: str, size: int) -> None:
        self._add("flush", session, f"{size} bytes")
