"""Recorder: the last events of an executor, in bounded memory, as docs/trace.md lists them."""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections import Counter, deque
from collections.abc import Collection, Mapping
from math import inf
from typing import Any, Final, Protocol, TypeAlias, cast, final
from weakref import WeakKeyDictionary

from pinfut.checked import Record, record_of
from pinfut.coroutine import CoroutineFuture
from pinfut.executor.contract import Clock, Entry, Runner
from pinfut.executor.current import running
from pinfut.executor.deadlock import parts
from pinfut.executor.task import Failure, Task
from pinfut.executor.trace.instrument import Instrument
from pinfut.executor.trace.texts import kind_of, place, shown, without_places
from pinfut.executor.trace.watched import WatchedTask, watched
from pinfut.places import suspended_at
from pinfut.poll import PENDING

TraceEvent: TypeAlias = dict[str, Any]
"""One recorded step, as JSON values."""

_DEEPEST: Final = 12  # levels of futures inside of futures in one tree
_MOST: Final = 60  # futures in one tree
_LONGEST: Final = 200  # characters of a name


class History(Protocol):
    """What was recorded: a recorder has it, and so has a trace that was read from a file."""

    @property
    def events(self) -> Collection[TraceEvent]:
        """Oldest first."""

    @property
    def lost(self) -> int:
        """How many older events were dropped."""

    @property
    def tasks(self) -> Mapping[int, str]:
        """The names of the tasks that live at the first event, where older ones were dropped."""


@final
class Recorder(Instrument):
    """Keeps the last `limit` events; `lost` counts exactly the older ones that it dropped. What it
    keeps names no address and no time but the executor's own, so under a `VirtualClock` two runs
    that do the same leave the same events; it keeps nothing alive. Views of them: `text`,
    `timeline` and `chrome_trace`."""

    def __init__(self, limit: int = 10_000) -> None:
        if limit < 1:
            raise ValueError(f"a recorder keeps at least one event, not {limit}")
        self.events: deque[TraceEvent] = deque(maxlen=limit)
        self.counts: Counter[str] = Counter()
        self.lost = 0
        self.tasks: dict[int, str] = {}
        # The clock alone: the executor holds its instruments, and is not held by them.
        self._clock: Clock | None = None
        # By the record of each future that lives: its number. A future has no place for one.
        self._numbers: WeakKeyDictionary[Record, int] = WeakKeyDictionary()
        self._seen = 0
        # The numbers of the futures whose polls are under way, outermost first.
        self._polling: list[int] = []
        # The call whose handler's first step runs, or ran last.
        self._serving: list[Any] | None = None
        self._broke = False  # whether a broken law was told

    def text(self) -> str:
        """The events kept, a line of JSON each."""
        return "\n".join(map(json.dumps, self.events))

    def note(self, kind: str, **fields: Any) -> None:
        """Add an event. A field that is None is left out."""
        events = self.events
        if len(events) == events.maxlen:
            self.lost += 1
            dropped = events[0]
            if dropped["k"] == "spawn":
                self.tasks[dropped["a"]] = dropped["n"]
            elif dropped["k"] == "finish":
                self.tasks.pop(dropped["a"], None)
        event = {"k": kind, "t": 0.0 if self._clock is None else self._clock.now()}
        event.update((key, value) for key, value in fields.items() if value is not None)
        events.append(event)
        self.counts[kind] += 1

    def _number(self, future: object) -> int:
        """The number of a future, 0 for one that has no room for a record."""
        record = record_of(future)
        if record is None:
            return 0
        number = self._numbers.get(record)
        if number is None:
            self._seen = number = self._numbers[record] = self._seen + 1
        return number

    def _tree(self, leaf: Any, depth: int, left: list[int]) -> TraceEvent:
        """A future and those that it polls in place; `left`: how many may be shown."""
        left[0] -= 1
        node: TraceEvent = {"f": self._number(leaf), "n": kind_of(leaf)}
        if isinstance(leaf, WatchedTask):
            node["a"] = leaf.number
        elif isinstance(leaf, CoroutineFuture) and (at := place(suspended_at(leaf._coro))):
            node["at"] = at
        children = parts(leaf) if depth else []
        below: list[TraceEvent] = []
        for child in children:
            if left[0] <= 0:
                node["more"] = len(children) - len(below)
                break
            if child is None:
                left[0] -= 1
                below.append({"done": True})
            else:
                below.append(self._tree(child, depth - 1, left))
        if below:
            node["c"] = below
        return node

    def _law(self, error: BaseException | None, task: int | None) -> None:
        law = getattr(error, "law", None)
        if law and not self._broke:
            self._broke = True
            self.note("law", law=law, v=kind_of(error), text=without_places(str(error)), a=task)

    def attach(self, executor: Runner) -> None:
        self._clock = executor.clock

    def spawn(self, task: Task[Any]) -> None:
        one = watched(task)
        priority = task._queue.priority
        first = task.executor.first
        self.note(
            "spawn",
            a=one.number,
            n=task.name[:_LONGEST],
            b=one.parent or None,
            at=place(one.spawned_at) if one.parent else None,
            pr=None if priority == "normal" else priority,
            call=None if first is None or first[0] is not task._coro else self._serving,
        )

    def turn(self, count: int) -> None:
        self.note("turn", c=count)

    def wake(self, task: Task[Any], by: Task[Any] | str) -> None:
        self.note("wake", a=watched(task).number, **_done_by(by))

    def merged(self, task: Task[Any], by: Task[Any] | str) -> None:
        self.note("wake", a=watched(task).number, **_done_by(by), m=1)

    def cancel(self, task: Task[Any], by: Task[Any] | str) -> None:
        self.note("cancel", a=watched(task).number, **_done_by(by))

    def poll(self, task: Task[Any], leaf: Any) -> None:
        number = self._number(leaf)
        self._polling.clear()
        at = place(task.where())
        self.note("poll", a=watched(task).number, f=number, n=kind_of(leaf), at=at)

    def asked(self, future: Any) -> None:
        number = self._number(future)
        if self._polling:
            parent = self._polling[-1]
            self.note("sub", a=_current(), f=number, n=kind_of(future), p=parent)
        self._polling.append(number)

    def answered(self, future: Any, value: Any, error: BaseException | None) -> None:
        number = self._polling.pop() if self._polling else 0
        what = "error" if error is not None else "pending" if value is PENDING else "ready"
        text = shown(value) if error is None and value is not PENDING else kind_of(error)
        self.note("got", a=_current(), f=number, r=what, v=None if value is PENDING else text)
        self._law(error, _current())

    def park(self, task: Task[Any], leaf: Any) -> None:
        tree = self._tree(leaf, _DEEPEST, [_MOST])
        self.note("park", a=watched(task).number, tr=tree, at=place(task.where()))

    def yielded(self, task: Task[Any]) -> None:
        self.note("yield", a=watched(task).number, at=place(task.where()))

    def resume(self, task: Task[Any]) -> None:
        self.note("resume", a=watched(task).number, at=place(task.where()))

    def finish(self, task: Task[Any]) -> None:
        outcome = task._outcome
        how, text = "value", None
        if type(outcome) is Failure:
            how = "cancelled" if type(outcome.error) is CancelledError else "error"
            text = kind_of(outcome.error)
            self._law(outcome.error, watched(task).number)
        elif task.done:
            text = shown(outcome)
        else:
            how = "cancelled"  # it did not end, and was closed
        self.note("finish", a=watched(task).number, how=how, v=text)

    def law(self, error: BaseException) -> None:
        self._law(error, _current())

    def ran(self, entry: Entry) -> None:
        self.note("ran", n=entry.name)

    def timer(self, number: int, state: str, deadline: float) -> None:
        owner = _current() if state == "set" else None
        due = None if deadline == inf else deadline
        self.note("timer", x=number, s=state, d=due, a=owner)

    def io(self, fd: int, event: str, state: str) -> None:
        owner = _current() if state == "set" else None
        self.note("io", fd=fd, e=event, s=state, a=owner)

    def session(self, name: str, slots: int, bank: str) -> None:
        self.note("session", n=name, N=slots, pays=bank, a=_current())

    def slot(self, session: str, x: int, state: str, /, **about: Any) -> None:
        self.note("slot", n=session, x=x, s=state, a=_current(), **about)

    def serve(self, session: str, x: int, /, **about: Any) -> None:
        self._serving = [session, x]
        self.note("serve", n=session, x=x, **about)

    def charge(self, bank: str, pages: int, caps: int, /, **about: Any) -> None:
        self.note("bank", n=bank, dp=pages, dc=caps, a=_current(), **about)

    def flush(self, session: str, size: int) -> None:
        self.note("flush", n=session, z=size)

    def report(self, name: str, error: BaseException) -> None:
        self.note("report", n=name[:_LONGEST], v=kind_of(error))


def _current() -> int | None:
    """The number of the task whose step is running in this thread, if one is."""
    executor = running.executor
    task = None if executor is None else executor.current
    return None if task is None else cast("WatchedTask[Any]", task).number


def _done_by(by: Task[Any] | str) -> dict[str, Any]:
    return {"by": by} if isinstance(by, str) else {"b": watched(by).number}
