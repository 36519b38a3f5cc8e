"""The timeline: each column is one step, or what woke somebody between the steps."""

from __future__ import annotations

import pytest

from pinfut.executor import Executor, Recorder, VirtualClock, sleep, spawn, timeline, yield_now
from tests.covered import covered, require
from tests.executor.trace.programs import random_history, recorded_ping

GOLDEN = """\
# step   x last step   - parked   . ready   * woken in this column   ! timer, io or call that wakes

           0s 1s 1.5s 2s
outside       !  ! !
main #1    #---*#--*#*x
sender #2  *#-*#-*x
idler #3   *.#------*x"""


def test_a_small_program_drawn() -> None:
    assert timeline(recorded_ping()) == GOLDEN


def test_what_was_lost_is_counted_and_the_rest_is_drawn() -> None:
    lines = timeline(recorded_ping(limit=28)).splitlines()
    assert lines[1] == "40 older events are lost"
    assert lines[-3:] == ["sender #2  x", "main #1     *#*x", "idler #3     *x"]


def test_tasks_that_are_parked_in_the_end_say_where() -> None:
    recorder = Recorder()
    drawn: list[str] = []

    async def idles() -> None:
        await sleep(1)  # here

    async def main() -> None:
        spawn(idles(), name="idler")
        await yield_now()
        drawn.append(timeline(recorder))

    Executor(clock=VirtualClock(), checked=False, instruments=[recorder]).run(main())
    with open(__file__, encoding="utf-8") as source:
        line = next(n for n, text in enumerate(source, 1) if "# here" in text)
    assert drawn[0].splitlines()[-2:] == [
        "main #1   #.#",
        f"idler #2  *#-  Sleep at test_timeline.py:{line}",
    ]


@pytest.mark.parametrize("width", [40, 60, 200])
def test_every_column_has_one_cause_and_every_line_keeps_to_the_width(width: int) -> None:
    columns = blocks = 0
    for seed in range(60):
        recorder = random_history(seed, limit=10_000 if seed % 3 else 50)
        _, *parts = timeline(recorder, width=width).split("\n\n")
        for part in parts:
            blocks += 1
            ruler, *lanes = part.split("\n")
            assert len(ruler) <= width + 12, "a time may stand out by its own length"
            indent = len(ruler) - len(ruler.lstrip())
            cells = [lane[indent:width] for lane in lanes]
            cells = [cell.split("  ")[0] if "@" in cell else cell for cell in cells]
            longest = max(len(cell) for cell in cells)
            for at in range(min(longest, width - indent)):
                here = [cell[at : at + 1] for cell in cells]
                columns += 1
                causes = sum(here.count(mark) for mark in "#x!")
                assert causes == 1, f"seed {seed}, column {at}:\n{part}"
                assert set(here) <= set("#x-.*! ") | {""}, part
    counts = covered("columns of timelines", columns=columns, blocks=blocks)
    require(counts, "columns", "blocks")


def test_a_width_that_shows_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="40"):
        timeline(Recorder(), width=39)


def test_an_empty_history_is_a_legend() -> None:
    assert len(timeline(Recorder()).splitlines()) == 1
