"""One program by pinfut and by asyncio: the same output, and asyncio's handles are told."""

from __future__ import annotations

import asyncio
from typing import Any

from pinfut.learn.beside import MOST_EVENTS, run_beside
from pinfut.learn.lesson import HOUSE, parse
from pinfut.learn.runner import PROGRAM, Program, runner

LESSON = parse("13", (HOUSE / "13-handles-and-polls.md").read_text("utf-8"))


def beside(code: str) -> dict[str, Any]:
    return run_beside(Program(PROGRAM, code).load, {PROGRAM: code})


def out(trace: dict[str, Any]) -> str:
    return "".join(event["v"].strip() for event in trace["events"] if event["k"] == "out")


def test_one_program_prints_the_same_in_both_worlds() -> None:
    result = runner({"do": "run", "code": LESSON.solution, "strict": False, "beside": True})
    pinfut, other = result["traces"]
    assert out(pinfut) == out(other) == "['omelette of eggs']"
    assert "error" not in pinfut["header"]
    assert "error" not in other["header"]


def test_handles_timers_and_steps_of_asyncio_are_told() -> None:
    events = beside(LESSON.solution)["events"]
    kinds = [event["k"] for event in events]
    assert {"spawn", "resume", "park", "wake", "finish", "timer", "ran"} <= set(kinds)
    names = {event["a"]: event["n"] for event in events if event["k"] == "spawn"}
    assert [*names.values()] == ["main", "cook", "market"]
    # Each step begins and ends.
    ends = sum(kind in ("park", "yield", "finish") for kind in kinds)
    assert kinds.count("resume") == ends
    assert kinds.count("finish") == 3
    woken = next(event for event in events if event["k"] == "wake")
    assert names[woken["a"]] == "cook"
    assert names[woken["b"]] == "market"
    times = [event["t"] for event in events]
    assert times == sorted(times)
    assert times[-1] == 1.0


def test_two_runs_under_asyncio_tell_the_same() -> None:
    assert beside(LESSON.start) == beside(LESSON.start)


def test_what_waits_for_ever_and_what_never_ends_are_told() -> None:
    hangs = "import asyncio\nasync def main():\n    await asyncio.Event().wait()\n"
    told = beside(hangs)
    assert "nobody is left to wake them" in told["header"]["error"]["text"]
    spins = "import asyncio\nasync def main():\n    while True:\n        await asyncio.sleep(0)\n"
    told = beside(spins)
    assert told["header"]["error"]["text"] == "it never ends"
    assert len(told["events"]) == MOST_EVENTS
    assert asyncio._get_running_loop() is None
