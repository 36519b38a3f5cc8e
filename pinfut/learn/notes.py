"""notes: what a lesson's program adds to its own picture, and what its check counts of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, final

from pinfut.executor import Instrument, Recorder, current_task
from pinfut.executor.trace.watched import watched

_recorders: Final[list[Recorder]] = []
"""Those that record now, the innermost last."""


@contextmanager
def noting(recorder: Recorder) -> Iterator[None]:
    """What is noted inside of the block goes to `recorder`."""
    _recorders.append(recorder)
    try:
        yield
    finally:
        _recorders.remove(recorder)


def note_slot(table: str, x: int, size: int, state: str) -> None:
    """Have the picture show that operation `x` of `table` has its slot, x mod `size`, in a state:
    ``sent``, ``returned``, ``cancelled``, or ``taken``, when the slot is free. Nothing happens
    where nobody records."""
    for recorder in _recorders[-1:]:
        recorder.note("slot", n=table, x=x, N=size, s=state, a=watched(current_task()).number)


@final
class Trips(Instrument):
    """Counts how often calls cross to a server: flushes with a call in them."""

    def __init__(self) -> None:
        self.count = 0
        # The sessions with calls that are sent and not flushed yet.
        self._sent: set[str] = set()

    def slot(self, session: str, x: int, state: str, /, **about: Any) -> None:
        if state == "sent":
            self._sent.add(session)

    def flush(self, session: str, size: int) -> None:
        if session in self._sent:
            self._sent.discard(session)
            self.count += 1


TRIPS: Final = Trips()
"""The one that listens to each run under a seed."""


@contextmanager
def count_trips() -> Iterator[Trips]:
    """Count the trips inside of the block, in a check with `seeds`."""
    TRIPS.count = 0
    yield TRIPS
