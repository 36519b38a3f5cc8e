"""Instruments: every step as an event, and a recorder that keeps the last of them."""

from __future__ import annotations

from typing import Any

import pytest

from pinfut import FutureBase, laws, yield_now
from pinfut.executor import (
    Executor,
    Instrument,
    Recorder,
    Task,
    TraceEvent,
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


EXPECTED = [
    ("spawn", "main", ""),
    ("resume", "main", ""),
    ("spawn", "child", ""),
    ("poll", "main", "_Oneshot"),
    ("park", "main", "_Oneshot"),
    ("resume", "child", ""),
    ("yield", "child", ""),
    ("resume", "child", ""),
    ("wake", "main", ""),
    ("finish", "child", ""),
    ("poll", "main", "_Oneshot"),
    ("resume", "main", ""),
    ("poll", "main", "Sleep"),
    ("timer", "timer 1", "set for 1.000000 s"),
    ("park", "main", "Sleep"),
    ("timer", "timer 1", "fired for 1.000000 s"),
    ("wake", "main", ""),
    ("poll", "main", "Sleep"),
    ("resume", "main", ""),
    ("finish", "main", ""),
]


def kinds(recorder: Recorder) -> list[tuple[str, str, str]]:
    return [
        (event.kind, event.subject, event.detail.split(" at ")[0].removeprefix("<"))
        for event in recorder.events
    ]


@pytest.mark.parametrize("checked", [False, True])
def test_a_small_program_is_told_step_by_step(checked: bool) -> None:
    recorder = Recorder()
    Executor(clock=VirtualClock(), checked=checked, instruments=[recorder]).run(small_program())
    assert kinds(recorder) == EXPECTED
    assert [event.number for event in recorder.events] == list(range(len(EXPECTED)))
    assert recorder.lost == 0
    parks = [event.detail for event in recorder.events if event.kind == "park"]
    assert all(f"{__file__}:" in detail for detail in parks), "where it is parked"


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
    for limit in (1, 5, len(EXPECTED) - 1, len(EXPECTED), len(EXPECTED) + 1):
        recorder = Recorder(limit)
        Executor(clock=VirtualClock(), instruments=[recorder]).run(small_program())
        assert kinds(recorder) == EXPECTED[-limit:]
        assert recorder.lost == max(0, len(EXPECTED) - limit)
        assert sum(recorder.counts.values()) == len(EXPECTED), "counts forget nothing"
        everything = recorder
    assert everything.counts == {"spawn": 2, "resume": 5, "poll": 4, "park": 2, "wake": 2} | {
        "finish": 2,
        "timer": 2,
        "yield": 1,
    }


def test_a_recorder_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Recorder(0)


def test_wakes_of_a_task_that_is_ready_are_not_told() -> None:
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
    woken = [event for event in recorder.events if event.kind == "wake"]
    # For the wakes above, then for its cancel; and main's two sleeps.
    assert [event.subject for event in woken].count("main") == 2
    assert len(woken) == 4


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
    finished = [event.subject for event in recorder.events if event.kind == "finish"]
    assert finished == ["failed", "cancelled", "main"]


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
        TraceEvent(0, "slot", "session", "x=7 sent"),
        TraceEvent(1, "charge", "bank", "pages=+2 caps=-1"),
        TraceEvent(2, "flush", "session", "3 bytes"),
    ]
    assert both == ["session 3"]
    assert recorder.text().splitlines()[0] == "     0  slot    session  x=7 sent"


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
        mine = [event.kind for event in recorder.events if event.subject == f"selfish {i}"]
        # Woken by the timer, then by itself in the step in which it ends.
        expected = "spawn resume poll park wake poll resume wake finish"
        assert mine == expected.split()


def test_an_instrument_is_told_of_its_executor_before_all_else() -> None:
    told: list[object] = []

    class Told(Instrument):
        def attach(self, executor: Executor) -> None:
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
