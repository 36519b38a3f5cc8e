"""chrome_trace: a recorded history in the trace format that Perfetto and Chrome read.

A track for each task, with its steps and in them its polls, those of children inside of their
parents'; arrows from who woke a task to the step that followed. Wakes by timers and the like come
from the track "outside".
"""

from __future__ import annotations

from typing import Any, Final, final

from pinfut.executor.trace.recorder import History, TraceEvent

_PID: Final = 1
_OUTSIDE: Final = 0

_SILENT: Final = ("turn", "line")
"""What would be too much for a track."""


@final
class _Trace:
    """Builds the events of the trace; each gets a time of its own, later than the last."""

    def __init__(self, tick: float) -> None:
        self._tick = tick
        self._last = -tick
        self.events: list[dict[str, Any]] = []
        self._named: set[int] = set()
        # Invariant: for each task the names of its open slices, outermost first.
        self._open: dict[int, list[str]] = {}
        # Arrows that have left and not arrived: of each task the start of one.
        self._arrows: dict[int, dict[str, Any]] = {}
        self._flows = 0
        self._name(_OUTSIDE, "outside")

    def _name(self, tid: int, name: str) -> None:
        if tid not in self._named:
            self._named.add(tid)
            for kind, args in (
                ("thread_name", {"name": name}),
                ("thread_sort_index", {"sort_index": tid}),
            ):
                self.events.append({"ph": "M", "name": kind, "pid": _PID, "tid": tid, "args": args})

    def _add(self, ph: str, name: str, tid: int, ts: float, **more: Any) -> dict[str, Any]:
        event = {"ph": ph, "name": name, "pid": _PID, "tid": tid, "ts": ts, **more}
        self.events.append(event)
        return event

    def time(self, seconds: float) -> float:
        """A time in µs for an event, later than every other by one tick at least."""
        self._last = max(self._last + self._tick, seconds * 1e6)
        return self._last

    def _begin(self, event: TraceEvent, name: str, ts: float) -> None:
        self._open.setdefault(event["a"], []).append(name)
        self._add("B", name, event["a"], ts)

    def _end(self, event: TraceEvent, ts: float, depth: int = 0, how: str = "") -> None:
        """Close the slices of a task down to `depth` of them."""
        slices = self._open.get(event["a"], [])
        while len(slices) > depth:
            self._add("E", slices.pop(), event["a"], ts, args={"end": how})

    def _begin_step(self, event: TraceEvent) -> float:
        ts = self.time(event["t"])
        if not self._open.get(event["a"]):
            self._begin(event, "step", ts)
            start = self._arrows.pop(event["a"], None)
            if start is not None:
                self.events.append(start)
                self._add("f", "wake", event["a"], ts, cat="wake", id=start["id"], bp="e")
            ts = self.time(event["t"])
        return ts

    def _wake(self, event: TraceEvent) -> None:
        ts = self.time(event["t"])
        tid = event.get("b", _OUTSIDE)
        if not self._open.get(tid):
            # Nobody's step: a slice of its own, for an arrow has to leave from one.
            tid = _OUTSIDE
            self._add("X", event.get("by", "a task"), tid, ts, dur=self._tick)
        self._flows += 1
        # It is put into the trace when it arrives, or an arrow would lead nowhere.
        self._arrows[event["a"]] = {
            "ph": "s",
            "name": "wake",
            "pid": _PID,
            "tid": tid,
            "ts": ts,
            "cat": "wake",
            "id": self._flows,
        }

    def finish(self) -> list[dict[str, Any]]:
        """The whole trace in the order of time, with every slice closed."""
        for tid, slices in self._open.items():
            while slices:
                self._add("E", slices.pop(), tid, self._last)
        # Stable, so that what has the same time stays as it was; names have none.
        return sorted(self.events, key=lambda event: float(event.get("ts", -1.0)))

    def add(self, event: TraceEvent) -> None:
        kind = event["k"]
        if kind == "spawn":
            self._name(event["a"], f"{event['n']} #{event['a']}")
        if kind == "poll":
            ts = self._begin_step(event)
            self._end(event, ts, depth=1)
            self._begin(event, f"poll {event['n']}", ts)
        elif kind == "sub" and len(self._open.get(event.get("a", 0), ())) > 1:
            self._begin(event, f"poll {event['n']}", self.time(event["t"]))
        elif kind == "got" and (slices := self._open.get(event.get("a", 0))):
            # Not the step itself, should the poll have begun before the first event.
            self._end(event, self.time(event["t"]), max(1, len(slices) - 1), event["r"])
        elif kind == "resume":
            self._end(event, self._begin_step(event), depth=1)
        elif kind in ("park", "yield", "finish"):
            end = event["tr"]["n"] if kind == "park" else event.get("v", "")
            self._end(event, self.time(event["t"]), how=f"{kind} {end}".rstrip())
        elif kind == "wake" and "m" not in event:
            self._wake(event)
        elif kind not in ("sub", "got", *_SILENT):
            source = event.get("b") or event.get("a") or _OUTSIDE
            tid = source if self._open.get(source) else _OUTSIDE
            name = f"{kind} {event.get('n', event.get('x', event.get('fd', '')))}".rstrip()
            told = {key: value for key, value in event.items() if key not in ("k", "t")}
            self._add("i", name, tid, self.time(event["t"]), s="t", args=told)


def chrome_trace(history: History, *, tick: float = 1.0) -> dict[str, Any]:
    """The events of a recorder or a trace: ``json.dump(chrome_trace(trace), file)``.

    Times are the executor's, in µs; each event is later than the one before by `tick` µs at
    least, so that what happens in one instant of simulated time can be told apart. Raises
    ValueError for a tick that is not above 0.
    """
    if not tick > 0:
        raise ValueError(f"a tick is a time above 0 µs, not {tick!r}")
    trace = _Trace(tick)
    for number, name in history.tasks.items():
        trace.add({"k": "spawn", "t": 0.0, "a": number, "n": name})
    for event in history.events:
        trace.add(event)
    return {
        "traceEvents": trace.finish(),
        "displayTimeUnit": "ns",
        "otherData": {"lost": history.lost},
    }
