"""timeline: a recorded history as lanes in a terminal, one lane for each task.

A column is one step of one task, or (``!``) what woke tasks between the steps::

                0s         1s
    outside                !
    main #1     ##---*#-----*#x
    child #2     *.##x
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

from pinfut.executor.trace.recorder import History, TraceEvent

LEGEND: Final = (
    "# step   x last step   - parked   . ready   * woken in this column   "
    "! timer, io or call that wakes"
)


@final
class _Lane:
    """One task: what it does in each column."""

    __slots__ = ("cells", "finished", "label", "now", "where")

    def __init__(self, label: str, now: str) -> None:
        self.label = label
        self.cells: dict[int, str] = {}  # column -> what stands there
        self.now = now  # what it is between its own columns: parked, ready, or over
        self.where = ""
        self.finished = False


@final
class _Chart:
    """Builds the columns, event by event."""

    def __init__(self, names: Mapping[int, str]) -> None:
        # Of the tasks that were spawned before the first event, and of those since.
        self._names = dict(names)
        self.lanes: dict[int, _Lane] = {}
        # The time at which each column happened; its length is the number of columns.
        self.times: list[float] = []
        self.outside: set[int] = set()  # the columns in which no task ran
        self.running = 0  # the task whose step the last column is, while that is under way

    def column(self, time: float) -> int:
        """A new column, in which every lane goes on as it is."""
        at = len(self.times)
        self.times.append(time)
        for lane in self.lanes.values():
            if not lane.finished:
                lane.cells[at] = lane.now
        return at

    def lane(self, event: TraceEvent, now: str) -> _Lane:
        number = event["a"]
        lane = self.lanes.get(number)
        if lane is None:
            name = self._names.get(number, "task")
            lane = self.lanes[number] = _Lane(f"{name} #{number}", now)
        return lane

    def step(self, event: TraceEvent) -> None:
        """A poll or a resume: the step of this task is under way."""
        lane = self.lane(event, ".")
        if self.running != event["a"]:
            self.running = event["a"]
            lane.cells[self.column(event["t"])] = "#"

    def end(self, event: TraceEvent, now: str) -> None:
        lane = self.lane(event, now)
        lane.now = now
        if self.running == event["a"]:
            self.running = 0

    def add(self, event: TraceEvent) -> None:
        kind = event["k"]
        if kind in ("poll", "resume"):
            self.step(event)
        elif kind == "park":
            self.end(event, "-")
            self.lanes[event["a"]].where = f"{event['tr']['n']} at {event.get('at', '?')}"
        elif kind == "yield":
            self.end(event, ".")
        elif kind == "finish":
            stepped = self.running == event["a"]
            self.end(event, " ")
            lane = self.lanes[event["a"]]
            lane.finished = True
            if stepped:
                lane.cells[len(self.times) - 1] = "x"
        elif kind == "spawn":
            self._names[event["a"]] = event["n"]
            # In the column of its parent's step; before the first column there is no such.
            lane = self.lane(event, ".")
            if self.times and self.running:
                lane.cells[len(self.times) - 1] = "*"
        elif kind == "wake" and "m" not in event:
            self.wake(event)

    def wake(self, event: TraceEvent) -> None:
        lane = self.lane(event, "-")
        if not self.running:
            # Wakes by timers and the like that follow each other share a column.
            last = len(self.times) - 1
            if last not in self.outside:
                last = self.column(event["t"])
                self.outside.add(last)
            lane.cells[last] = "*"
        elif self.running != event["a"]:
            lane.cells[len(self.times) - 1] = "*"
        lane.now = "."


def timeline(recorder: History, *, width: int = 100) -> str:
    """The events of `recorder` as lanes, in blocks of `width` characters below each other; where
    the tasks that are parked in the end wait stands behind the last block. Raises ValueError for a
    width below 40."""
    if width < 40:
        raise ValueError(f"a timeline needs a width of 40 or more, not {width}")
    chart = _Chart(recorder.tasks)
    for event in recorder.events:
        chart.add(event)
    lines = [LEGEND]
    if recorder.lost:
        lines.append(f"{recorder.lost} older events are lost")
    labels = max((len(lane.label) for lane in chart.lanes.values()), default=0)
    labels = min(max(labels, len("outside")), width // 2)
    room = width - labels - 2
    for start in range(0, len(chart.times), room):
        columns = range(start, min(start + room, len(chart.times)))
        lines += ["", *_block(chart, columns, labels)]
    return "\n".join(lines)


def _block(chart: _Chart, columns: range, labels: int) -> list[str]:
    lines = [f"{'':{labels}}  {_ruler(chart.times, columns)}".rstrip()]
    if any(at in chart.outside for at in columns):
        marks = "".join("!" if at in chart.outside else " " for at in columns)
        lines.append(f"{'outside':{labels}}  {marks}".rstrip())
    is_last = columns.stop == len(chart.times)
    for lane in chart.lanes.values():
        cells = "".join(lane.cells.get(at, " ") for at in columns)
        if not cells.strip():
            continue
        label = lane.label
        if len(label) > labels:
            label = f"{label[: labels - 1]}…"
        lines.append(f"{label:{labels}}  {cells}".rstrip())
        if is_last and lane.now == "-":
            lines[-1] += f"  {lane.where}".rstrip()
    return lines


def _ruler(times: list[float], columns: range) -> str:
    """The times of the columns, each at the first of that time where there is room."""
    ruler = ""
    shown: float | None = None
    for i, at in enumerate(columns):
        if times[at] != shown and (len(ruler) < i or not ruler):
            ruler = f"{ruler:{i}}{times[at]:g}s"
            shown = times[at]
    return ruler
