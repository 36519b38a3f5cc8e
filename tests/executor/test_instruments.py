"""Instruments: every step as an event, and a recorder that keeps the last of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pinfut import FutureBase, laws, yield_now
from pinfut.executor import (
    Executor,
    Instrument,
    Recorder,
    Runner,
    Task,
    VirtualClock,
    call_soon,
    current_task,
    sleep,
    spawn,
)
from pinfut.executor.trace import Instruments
from pinfut.sync import OneshotSender, oneshot


async def small_program() -> None:
    ends: tuple[OneshotSender[int], FutureBase[int]] = oneshot()
    tx, rx = ends

    async def child() -> None:
        await yield_now()
        tx.send(1)

    spawn(child(), name="child")
    await rx
    await sleep(1)


EXPECTED = """
spawn main; turn 1; resume main; spawn child by main
poll main f1; got f1 pending; park main f1
turn 1; resume child; yield child
turn 1; resume child; wake main by child; finish child value
turn 1; poll main f1; got f1 ready; resume main
poll main f2; timer 1 set; got f2 pending; park main f2
timer 1 fired; wake main by timer 1
turn 1; poll main f2; got f2 ready; resume main; finish main value
"""


def steps(recorder: Recorder) -> list[str]:
    """Each event as a few words."""
    names = dict(recorder.tasks)
    told = []
    for event in recorder.events:
        kind = event["k"]
        if kind == "spawn":
            names[event["a"]] = event["n"]
        name = names.get(event.get("a", 0), "")
        future = f"f{event['f']}" if "f" in event else ""
        by = names.get(event.get("b", 0)) or event.get("by")
        shapes: dict[str, list[str | None]] = {
            "turn": ["turn", str(event.get("c"))],
            "got": ["got", future, event.get("r")],
            "timer": ["timer", str(event.get("x")), event.get("s")],
            "park": ["park", name, f"f{event['tr']['f']}" if kind == "park" else ""],
            "finish": ["finish", name, event.get("how")],
        }
        words = shapes.get(kind, [kind, name, future, f"by {by}" if by else ""])
        told.append(" ".join(filter(None, words)))
    return told


def expected() -> list[str]:
    return [step for line in EXPECTED.split("\n") if line for step in line.split("; ")]


@pytest.mark.parametrize("checked", [False, True])
def test_a_small_program_is_told_step_by_step(checked: bool) -> None:
    recorder = Recorder()
    Executor(clock=VirtualClock(), checked=checked, instruments=[recorder]).run(small_program())
    assert steps(recorder) == expected()
    assert recorder.lost == 0
    parks = [event["at"] for event in recorder.events if event["k"] == "park"]
    assert len(parks) == 2
    assert all(at.startswith("test_instruments.py:") for at in parks), "where it is parked"


def test_several_instruments_are_told_the_same_in_their_order() -> None:
    told: list[str] = []

    class Names(Instrument):
        def __init__(self, name: str) -> None:
            self.name = name

        def spawn(self, task: Task[Any]) -> None:
            told.append(self.name)

    first, second = Recorder(), Recorder()
    Executor(
        clock=VirtualClock(), checked=False, instruments=[first, Names("a"), second, Names("b")]
    ).run(small_program())
    assert list(first.events) == list(second.events)
    assert told == ["a", "b", "a", "b"]


def test_a_recorder_keeps_the_last_events_and_counts_the_lost_ones_exactly() -> None:
    everything = Recorder()
    count = len(expected())
    for limit in (1, 5, count - 1, count, count + 1):
        recorder = Recorder(limit)
        Executor(clock=VirtualClock(), instruments=[recorder]).run(small_program())
        assert steps(recorder) == expected()[-limit:]
        assert recorder.lost == max(0, count - limit)
        assert sum(recorder.counts.values()) == count, "counts forget nothing"
        everything = recorder
    assert everything.counts == {"spawn": 2, "resume": 5, "poll": 4, "got": 4, "park": 2} | {
        "wake": 2,
        "finish": 2,
        "timer": 2,
        "yield": 1,
        "turn": 5,
    }


def test_the_names_of_tasks_outlive_their_dropped_spawns_and_go_with_their_ends() -> None:
    for limit in range(1, len(expected())):
        recorder = Recorder(limit)
        Executor(clock=VirtualClock(), checked=False, instruments=[recorder]).run(small_program())
        known = set(recorder.tasks) | {e["a"] for e in recorder.events if e["k"] == "spawn"}
        named = {event[key] for event in recorder.events for key in ("a", "b") if key in event}
        assert named <= known
        ended = expected()[:-limit].count("finish child value")
        assert set(recorder.tasks.values()) <= ({"main"} if ended else {"main", "child"})


def test_a_recorder_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Recorder(0)


def test_wakes_of_a_task_that_is_ready_are_told_as_merged() -> None:
    recorder = Recorder()

    async def main() -> None:
        task = spawn(parked())
        await sleep(1)
        for _ in range(5):
            task.wake()
        await sleep(1)

    async def parked() -> None:
        await sleep(10)

    Executor(clock=VirtualClock(), instruments=[recorder]).run(main())
    woken = [event for event in recorder.events if event["k"] == "wake"]
    # main's two sleeps, the wakes above, and that for its cancel.
    assert [(e["a"], e.get("m", 0)) for e in woken] == [
        (1, 0),
        (2, 0),
        *[(2, 1)] * 4,
        (1, 0),
        (2, 0),
    ]


def test_a_failing_and_a_cancelled_task_finish_too() -> None:
    recorder = Recorder()

    async def fails() -> None:
        raise ValueError

    async def main() -> None:
        failed, cancelled = spawn(fails(), name="failed"), spawn(sleeper(), name="cancelled")
        await yield_now()
        await yield_now()
        cancelled.cancel()
        await sleep(1)
        failed.error()

    async def sleeper() -> None:
        await sleep(100)

    Executor(clock=VirtualClock(), checked=False, instruments=[recorder]).run(main())
    finished = [step for step in steps(recorder) if step.startswith("finish")]
    assert finished == ["finish failed error", "finish cancelled cancelled", "finish main value"]
    assert [step for step in steps(recorder) if "cancel cancelled" in step] == [
        "cancel cancelled by main"
    ]


def test_the_events_of_sessions_go_through_the_same_stream() -> None:
    recorder = Recorder()
    both: list[str] = []

    class Flushes(Instrument):
        def flush(self, session: str, size: int) -> None:
            both.append(f"{session} {size}")

    several = Instruments([recorder, Flushes()])
    several.slot("session", 7, "sent")
    several.charge("bank", 2, -1)
    several.flush("session", 3)
    assert list(recorder.events) == [
        {"k": "slot", "t": 0.0, "n": "session", "x": 7, "s": "sent"},
        {"k": "bank", "t": 0.0, "n": "bank", "dp": 2, "dc": -1},
        {"k": "flush", "t": 0.0, "n": "session", "z": 3},
    ]
    assert both == ["session 3"]
    assert json.loads(recorder.text().splitlines()[0]) == recorder.events[0]


def test_an_instrument_that_overrides_nothing_hears_everything_and_does_nothing() -> None:
    Executor(clock=VirtualClock(), instruments=[Instrument()]).run(small_program())
    silent = Instruments([Instrument()])
    silent.slot("session", 0, "sent")
    silent.charge("bank", 0, 0)
    silent.flush("session", 0)


def test_without_instruments_and_checks_nobody_is_told() -> None:
    """The everyday loop has no hook: not even an instrument given later would be called."""
    executor = Executor(clock=VirtualClock(), checked=False)
    recorder = Recorder()

    async def main() -> None:
        executor.instruments = Instruments([recorder])
        call_soon(int)
        await small_program()

    executor.run(main())
    assert not recorder.events
    assert not Instruments(())


@pytest.mark.parametrize("checked", [False, True])
def test_of_a_task_that_has_finished_nothing_more_is_told(checked: bool) -> None:
    """Also when it stands in the ready queue as it ends, woken by what it has left behind."""
    recorder = Recorder()

    async def selfish() -> None:
        await sleep(1)
        current_task().wake()

    async def main() -> None:
        for i in range(3):
            spawn(selfish(), name=f"selfish {i}")
        await sleep(5)

    Executor(clock=VirtualClock(), checked=checked, instruments=[recorder]).run(main())
    for i in range(3):
        told = [step.split() for step in steps(recorder) if f"selfish {i}" in step]
        mine = [step[0] for step in told]
        # Woken by the timer, then by itself in the step in which it ends.
        assert " ".join(mine) == "spawn resume poll park wake poll resume wake finish"


def test_an_instrument_is_told_of_its_executor_before_all_else() -> None:
    told: list[object] = []

    class Told(Instrument):
        def attach(self, executor: Runner) -> None:
            told.append(executor)

        def spawn(self, task: Task[Any]) -> None:
            told.append(task.executor)

    async def main() -> None: ...

    executor = Executor(clock=VirtualClock(), instruments=[Told()])
    assert told == [executor]
    executor.run(main())
    assert told == [executor, executor]


def test_a_checked_executor_has_futures_remember_where_they_were_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(laws, "recording", False)

    async def main() -> bool:
        return laws.recording

    assert not Executor(clock=VirtualClock(), checked=False).run(main())
    assert Executor(clock=VirtualClock(), checked=True).run(main())
    assert Executor(clock=VirtualClock(), checked=False).run(main()), "for good"
