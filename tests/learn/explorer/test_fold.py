"""The state at an event: what the executor itself had then, the same in Python and in node, and
the same from whatever position the explorer comes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pinfut import yield_now
from pinfut.executor import Executor, Instrument, Recorder, Runner, Task, VirtualClock, sleep, spawn
from pinfut.executor.schedule import Seeded
from pinfut.executor.trace.watched import watched
from pinfut.learn.explorer import Trace, fold
from pinfut.learn.explorer.fold import apply, start
from tests.covered import covered, require
from tests.executor.test_two_loops import large, outcome
from tests.learn.explorer.in_node import in_node, needs_node
from tests.learn.explorer.traces import corpus, recorded

State = dict[str, Any]


def plain(trace: Trace) -> dict[str, Any]:
    return {"header": trace.header, "events": trace.events}


@needs_node
def test_node_folds_every_trace_to_what_python_folds_it_to_at_every_event(tmp_path: Path) -> None:
    traces = corpus()
    script = """
import { apply, start } from "./fold.js";
give(given.map(({ header, events }) => {
  const state = start(header.tasks);
  return [JSON.stringify(state), ...events.map((event) => JSON.stringify(apply(state, event)))];
}));
"""
    states = 0
    for trace, told in zip(traces, in_node(tmp_path, script, [*map(plain, traces)]), strict=True):
        state = start(trace.header.get("tasks", {}))
        assert json.loads(told[0]) == state
        for i, event in enumerate(trace.events, 1):
            apply(state, event)
            assert json.loads(told[i]) == state, f"after event {i}, {event}"
            states += 1
    assert covered("states in node", states=states)["states"] > 2_000


@needs_node
def test_the_explorer_has_the_same_state_from_whatever_position_it_comes(tmp_path: Path) -> None:
    traces = [trace for trace in corpus() if trace.events]
    random = Random(1)
    ways = []
    for trace in traces:
        count = len(trace.events)
        jumps = [random.randrange(count + 1) for _ in range(60)]
        # Every event forward and backward, and then anywhere.
        ways.append([*range(count + 1), *range(count, -1, -1), *jumps])
    script = """
import { apply, start, States } from "./fold.js";
const wrong = [];
let compared = 0;
given.forEach(([trace, way]) => {
  const plain = [JSON.stringify(start(trace.header.tasks))];
  const state = start(trace.header.tasks);
  for (const event of trace.events) plain.push(JSON.stringify(apply(state, event)));
  const states = new States(trace);
  for (const i of way) {
    compared += 1;
    if (JSON.stringify(states.at(i)) !== plain[i]) wrong.push(i);
  }
});
give({ wrong, compared });
"""
    given = [[plain(trace), way] for trace, way in zip(traces, ways, strict=True)]
    gave = in_node(tmp_path, script, given)
    assert gave["wrong"] == []
    assert gave["compared"] == sum(map(len, ways)) > 4_000
    assert max(len(trace.events) for trace in traces) > 500, "several states are kept"


def test_fold_is_the_state_after_so_many_events(tmp_path: Path) -> None:
    trace = recorded("bell", tmp_path)
    state = start({})
    for i, event in enumerate(trace.events):
        assert fold(trace, i) == state
        apply(state, event)
    assert fold(trace, len(trace.events)) == state
    for i in (-1, len(trace.events) + 1):
        with pytest.raises(IndexError, match="not "):
            fold(trace, i)


class Truth(Instrument):
    """At the beginning of each step and poll: what the executor itself has."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.seen: list[tuple[int, State]] = []
        self.executor: Runner

    def attach(self, executor: Runner) -> None:
        self.executor = executor

    def _look(self, task: Task[Any]) -> None:
        runner = self.executor
        parked = [one for one in runner.tasks if not one.queued and one is not task]
        have = {
            "t": runner.now(),
            "running": watched(task).number,
            # One that has ended may stand there yet, woken by what it had left behind.
            "ready": [one.number for one in runner.ready if not one.done],
            "timers": len(runner.timers),
            "live": sorted(one.number for one in runner.tasks),
            "parked": sorted(one.number for one in parked),
        }
        self.seen.append((len(self.recorder.events), have))

    def resume(self, task: Task[Any]) -> None:
        self._look(task)

    def poll(self, task: Task[Any], leaf: Any) -> None:
        self._look(task)


def compare(seed: int) -> dict[str, int]:
    """Run a random program; how much there was to compare."""
    recorder = Recorder(1_000_000)
    truth = Truth(recorder)
    schedule = Seeded(seed) if seed % 2 else None
    executor = Executor(clock=VirtualClock(), instruments=[recorder, truth], schedule=schedule)
    outcome(executor, [*large(Random(seed)), ("sleep", 20)])
    state = start({})
    events = list(recorder.events)
    done = 0
    counts = {"looks": 0, "queued": 0, "parked": 0, "timers": 0}
    for i, have in truth.seen:
        for event in events[done:i]:
            apply(state, event)
        done = i
        live = {int(a): task for a, task in state["tasks"].items() if task["st"] != "done"}
        assert state["t"] == have["t"]
        assert state["running"] == have["running"]
        assert state["ready"] == have["ready"]
        assert len(state["timers"]) == have["timers"]
        assert sorted(live) == have["live"]
        assert sorted(a for a, task in live.items() if task["st"] == "parked") == have["parked"]
        counts["looks"] += 1
        counts["queued"] += len(have["ready"])
        counts["parked"] += len(have["parked"])
        counts["timers"] += have["timers"]
    return counts


def test_the_state_is_what_the_executor_had() -> None:
    for seed in range(40):
        counts = covered("states that are true", **compare(seed))
    require(counts, "looks", "queued", "parked", "timers")
    assert counts["looks"] > 300


def test_counts_are_those_of_the_task(tmp_path: Path) -> None:
    async def main() -> None:
        task = spawn(waits(), name="waits")
        await yield_now()
        await yield_now()
        task.wake()
        task.wake()
        await sleep(2)

    async def waits() -> None:
        await sleep(1)

    recorder = Recorder()
    Executor(clock=VirtualClock(), instruments=[recorder]).run(main())
    state = fold(Trace({}, [*recorder.events]), len(recorder.events))
    task = state["tasks"]["2"]
    # Its start, the wake that comes too soon, the timer.
    assert (task["steps"], task["polls"]) == (3, 3)
    assert (task["wakes"], task["merged"], task["own"]) == (3, 1, 0)
    assert (task["st"], task["how"]) == ("done", "value")


def test_slots_and_banks_and_what_is_served_are_in_the_state(tmp_path: Path) -> None:
    trace = recorded("calls", tmp_path)
    busy = served = 0
    state = start({})
    for event in trace.events:
        apply(state, event)
        for session in state["slots"].values():
            for slot, call in session["c"].items():
                assert int(slot) == call["x"] % 4
                if call["s"] == "sent" and call["on"] is not None:
                    assert call["on"] in (call["x"] - 1, call["x"] - 2)
                    busy += 1
        for calls in state["serving"].values():
            served += sum(call["a"] > 0 for call in calls.values())
        for name, bank in state["banks"].items():
            if name == "client":
                assert bank["L"] == 64
                assert 0 <= bank["p"] <= 64
    assert not any(state["serving"].values()), "all is answered in the end"
    assert {c["s"] for s in state["slots"].values() for c in s["c"].values()} == {"free"}
    require(covered("states of calls", busy=busy, served=served), "busy", "served")


def test_what_is_unknown_changes_the_time_alone() -> None:
    state = start({})
    before = json.loads(json.dumps(state))
    apply(state, {"k": "later", "t": 3.5, "a": 7})
    apply(state, {"k": "__proto__", "t": 3.5})
    assert state == before | {"t": 3.5}
