"""The Chrome trace is what its readers expect: checked rule by rule, on random histories."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import pytest

from pinfut.executor import Executor, Recorder, VirtualClock, sleep
from pinfut.learn.explorer import chrome_trace
from tests.covered import covered, require
from tests.executor.trace.programs import random_history, recorded_ping

FIELDS: dict[str, set[str]] = {
    "M": {"ph", "name", "pid", "tid", "args"},
    "B": {"ph", "name", "pid", "tid", "ts"},
    "E": {"ph", "name", "pid", "tid", "ts"},
    "X": {"ph", "name", "pid", "tid", "ts", "dur"},
    "i": {"ph", "name", "pid", "tid", "ts", "s"},
    "s": {"ph", "name", "pid", "tid", "ts", "cat", "id"},
    "f": {"ph", "name", "pid", "tid", "ts", "cat", "id", "bp"},
}


def check(trace: dict[str, Any]) -> Counter[str]:
    """Fail unless `trace` keeps the rules of the format; how many events of each phase."""
    trace = json.loads(json.dumps(trace, allow_nan=False))
    events: list[dict[str, Any]] = trace["traceEvents"]
    open_slices: dict[int, list[dict[str, Any]]] = defaultdict(list)
    whole: dict[int, tuple[float, float]] = {}
    leaving: dict[int, float] = {}
    arrived: set[int] = set()
    named = set()
    last = float("-inf")
    for event in events:
        phase, tid = event["ph"], event["tid"]
        assert FIELDS[phase] <= set(event), event
        assert set(event) <= FIELDS[phase] | {"args"}, event
        assert event["pid"] == 1
        assert isinstance(tid, int)
        if phase == "M":
            assert last == float("-inf"), "names come first"
            named.add(tid)
            continue
        assert event["ts"] >= max(last, 0), "time goes back"
        last = event["ts"]
        assert tid in named
        if phase == "B":
            open_slices[tid].append(event)
        elif phase == "E":
            begin = open_slices[tid].pop()
            assert begin["name"] == event["name"]
            assert begin["ts"] <= event["ts"]
        elif phase == "X":
            assert event["dur"] >= 0
            assert not open_slices[tid]
            before = whole.get(tid, (0.0, 0.0))
            assert before[1] <= event["ts"], "slices of a track overlap"
            whole[tid] = (event["ts"], event["ts"] + event["dur"])
        elif phase == "s":
            assert event["id"] not in leaving
            leaving[event["id"]] = event["ts"]
            start, end = whole.get(tid, (1.0, 0.0))
            assert open_slices[tid] or start <= last <= end, "an arrow leaves from nowhere"
        elif phase == "f":
            assert leaving[event["id"]] <= event["ts"]
            assert event["id"] not in arrived
            arrived.add(event["id"])
            assert event["bp"] == "e"
            assert open_slices[tid], "an arrow leads to nowhere"
    assert not any(open_slices.values()), "a slice is never closed"
    assert arrived == set(leaving), "an arrow without an end"
    return Counter(event["ph"] for event in events)


def test_a_small_program_as_a_trace() -> None:
    trace = chrome_trace(recorded_ping())
    check(trace)
    slices = [
        (event["ph"], event["tid"], event["name"])
        for event in trace["traceEvents"]
        if event["ph"] in "BE" and event["tid"] == 2
    ]
    assert slices == [
        ("B", 2, "step"),
        ("B", 2, "poll Sleep"),
        ("E", 2, "poll Sleep"),
        ("E", 2, "step"),
        ("B", 2, "step"),
        ("B", 2, "poll Sleep"),
        ("E", 2, "poll Sleep"),
        ("B", 2, "poll Sleep"),
        ("E", 2, "poll Sleep"),
        ("E", 2, "step"),
        ("B", 2, "step"),
        ("B", 2, "poll Sleep"),
        ("E", 2, "poll Sleep"),
        ("E", 2, "step"),
    ]
    arrows = [(e["tid"], e["id"]) for e in trace["traceEvents"] if e["ph"] in "sf"]
    # timer → sender → main, and so on.
    assert arrows[:4] == [(0, 1), (2, 1), (2, 2), (1, 2)]
    names = [e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"]
    assert names == ["outside", "main #1", "sender #2", "idler #3"]


def test_times_are_those_of_the_executors_clock_and_of_one_instant_in_order() -> None:
    trace = chrome_trace(recorded_ping(), tick=2.0)
    begins = [e["ts"] for e in trace["traceEvents"] if e["ph"] == "B" and e["name"] == "step"]
    # Two more events of the same instant come before each of the later ones.
    assert [round(ts, -3) for ts in begins] == [0, 0, 0, 1e6, 1e6, 1.5e6, 2e6, 2e6, 2e6]
    assert begins == sorted(set(begins))
    check(trace)


@pytest.mark.parametrize("limit", [1, 7, 40, 10_000])
def test_random_histories_keep_the_rules_of_the_format_even_when_their_begin_is_lost(
    limit: int,
) -> None:
    totals: Counter[str] = Counter()
    for seed in range(60):
        totals += check(chrome_trace(random_history(seed, limit)))
    counts = covered(
        "events of traces",
        slices=totals["B"],
        arrows=totals["f"],
        instants=totals["i"],
    )
    if limit == 10_000:
        require(counts, "slices", "arrows", "instants")


def test_a_trace_that_is_taken_in_the_midst_of_a_step_closes_it() -> None:
    recorder = Recorder()
    traces = []

    async def main() -> None:
        await sleep(1)
        traces.append(chrome_trace(recorder))

    Executor(clock=VirtualClock(), checked=False, instruments=[recorder]).run(main())
    assert check(traces[0])["B"] > check(traces[0])["f"] > 0


def test_the_events_of_sessions_are_instants_and_lost_ones_are_counted() -> None:
    recorder = Recorder(limit=2)
    for x in range(3):
        recorder.slot("session", x, "sent")
    trace = chrome_trace(recorder)
    check(trace)
    instants = [e for e in trace["traceEvents"] if e["ph"] == "i"]
    assert [(e["args"]["x"], e["args"]["s"]) for e in instants] == [(1, "sent"), (2, "sent")]
    assert trace["otherData"] == {"lost": 1}


@pytest.mark.parametrize("tick", [0, -1.0, float("nan")])
def test_a_tick_that_would_not_keep_the_order_is_refused(tick: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        chrome_trace(Recorder(), tick=tick)
