"""Recorder: the last events of an executor, in bounded memory."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, NamedTuple, cast, final

from pinfut.executor.contract import Clock, Entry, Runner
from pinfut.executor.task import Task
from pinfut.executor.trace.instrument import Instrument
from pinfut.executor.trace.watched import WatchedTask, watched


class TraceEvent(NamedTuple):
    """One recorded step: its number, what happened, to whom, and what else is known."""

    number: int
    kind: str
    subject: str
    detail: str
    by: str = ""
    """Who did it, where somebody else did: a task's name, or ``timer 3`` and the like."""
    task: int = 0
    """The number of the task it happened to; 0 where it was none."""
    source: int = 0
    """The number of the task that did it; 0 where it was none."""
    time: float = 0.0
    """When, by the executor's clock, in seconds."""

    def __str__(self) -> str:
        by = f"by {self.by}" if self.by else ""
        parts = (f"{self.number:>6}  {self.kind:<7} {self.subject}", self.detail, by)
        return "  ".join(part for part in parts if part)


@final
class Recorder(Instrument):
    """Keeps the last `limit` events; `lost` counts exactly the older ones that it dropped.

    What it keeps names no address and no time but the executor's own, so under a
    `VirtualClock` two runs that do the same leave the same events. Views of them:
    `text`, `timeline` and `chrome_trace`.
    """

    def __init__(self, limit: int = 10_000) -> None:
        if limit < 1:
            raise ValueError(f"a recorder keeps at least one event, not {limit}")
        self.events: deque[TraceEvent] = deque(maxlen=limit)
        self.counts: Counter[str] = Counter()
        self._number = 0
        # The clock alone: the executor holds its instruments, and is not held by them.
        self._clock: Clock | None = None

    @property
    def lost(self) -> int:
        """How many events were dropped to keep the bound."""
        return self._number - len(self.events)

    def text(self) -> str:
        """The events kept, a line each."""
        return "\n".join(map(str, self.events))

    def _add(
        self,
        kind: str,
        subject: str,
        detail: str = "",
        *,
        by: str = "",
        task: int = 0,
        source: int = 0,
    ) -> None:
        time = 0.0 if self._clock is None else self._clock.now()
        self.events.append(TraceEvent(self._number, kind, subject, detail, by, task, source, time))
        self.counts[kind] += 1
        self._number += 1

    def _add_task(
        self, kind: str, task: Task[Any], detail: str = "", *, by: str = "", source: int = 0
    ) -> None:
        self._add(kind, task.name, detail, by=by, task=watched(task).number, source=source)

    def attach(self, executor: Runner) -> None:
        self._clock = executor.clock

    def spawn(self, task: Task[Any]) -> None:
        parent = task.executor.current
        if parent is None or parent is task:
            self._add_task("spawn", task)
        else:
            number = cast("WatchedTask[Any]", parent).number
            self._add_task("spawn", task, by=parent.name, source=number)

    def wake(self, task: Task[Any], by: Task[Any] | str) -> None:
        if isinstance(by, str):
            self._add_task("wake", task, by=by)
        else:
            self._add_task("wake", task, by=by.name, source=watched(by).number)

    def poll(self, task: Task[Any], leaf: Any) -> None:
        self._add_task("poll", task, type(leaf).__qualname__)

    def park(self, task: Task[Any], leaf: Any) -> None:
        self._add_task("park", task, f"{named(leaf)} at {task.where()}")

    def yielded(self, task: Task[Any]) -> None:
        self._add_task("yield", task)

    def resume(self, task: Task[Any]) -> None:
        self._add_task("resume", task)

    def finish(self, task: Task[Any]) -> None:
        self._add_task("finish", task)

    def ran(self, entry: Entry) -> None:
        self._add("ran", entry.name)

    def timer(self, number: int, state: str, deadline: float) -> None:
        self._add("timer", f"timer {number}", f"{state} for {deadline:.6f} s")

    def io(self, fd: int, event: str, state: str) -> None:
        self._add("io", f"fd {fd}", f"{event} {state}")

    def slot(self, session: str, x: int, state: str) -> None:
        self._add("slot", session, f"x={x} {state}")

    def charge(self, bank: str, pages: int, caps: int) -> None:
        self._add("charge", bank, f"pages={pages:+d} caps={caps:+d}")

    def flush(self, session: str, size: int) -> None:
        self._add("flush", session, f"{size} bytes")

    def report(self, name: str, error: BaseException) -> None:
        self._add("report", name, type(error).__qualname__)


def named(leaf: object) -> str:
    """A future by its type, and its name if it has one: no address, so that two runs agree."""
    if isinstance(leaf, WatchedTask):
        return f"Task {leaf.name!r} #{leaf.number}"
    name = getattr(leaf, "name", None)
    kind = type(leaf).__qualname__
    return kind if name is None else f"{kind} {name!r}"
