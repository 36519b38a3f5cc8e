"""Entries that are no tasks: what another loop's handles do in pinfut's ready queue."""

from __future__ import annotations

import gc
import logging
import sys
import weakref
from collections import deque
from collections.abc import Callable
from types import CodeType
from typing import Any

import pytest

from pinfut import PENDING, Context, FutureBase, LostWakeup, Poll
from pinfut import checked as records
from pinfut.executor import (
    Executor,
    Instrument,
    Recorder,
    VirtualClock,
    current_executor,
    scope,
    sleep,
    spawn,
    yield_now,
)
from pinfut.executor.contract import Entry
from pinfut.executor.loop import Loop
from pinfut.executor.observed import ObservedLoop
from pinfut.executor.ready import ReadyQueue
from pinfut.executor.task import Task
from pinfut.executor.testing import wait_all_parked
from tests.core.both import needs_pure
from tests.executor.world import Run
from tests.pinfut.hand import Gate


class Calls:
    """The leaf of every handle: calls the one that stands in ``cx.waker``."""

    def poll(self, cx: Context, /) -> Poll[None]:
        handle = cx.waker
        assert isinstance(handle, Handle)
        current_executor().current = None
        handle.call()
        return PENDING


CALLS = Calls()


class Handle:
    """A callback, as loops with callbacks have them."""

    def __init__(self, queue: deque[Any], call: Callable[[], object], name: str = "handle") -> None:
        self.queue = queue
        self.call = call
        self.leaf: Any = CALLS
        self.queued = False
        self.name = name
        self.errors: list[BaseException] = []

    def wake(self) -> None:
        if not self.queued:
            self.queued = True
            self.queue.append(self)

    def fail(self, error: BaseException, /) -> None:
        self.errors.append(error)


def test_entries_and_tasks_run_in_the_order_in_which_they_became_ready(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []
        queue = current_executor().ready

        async def task(name: str) -> None:
            log.append(name)

        async with scope() as s:
            s.spawn(task("first"))
            one = Handle(queue, lambda: log.append("second"))
            one.wake()
            one.wake()
            s.spawn(task("third"))
        one.wake()
        await yield_now()
        return log

    assert run(main()) == ["first", "second", "third", "second"]


def test_a_handle_that_wakes_itself_runs_in_the_next_turn(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        def call() -> None:
            log.append("handle")
            if log.count("handle") < 3:
                handle.wake()

        handle = Handle(current_executor().ready, call)
        handle.wake()
        for _ in range(4):
            log.append("main")
            await yield_now()
        return log

    assert run(main()) == ["main", "handle", "main", "handle", "main", "handle", "main"]


def test_a_handle_has_no_task_and_may_spawn_wake_and_put_off(run: Run) -> None:
    async def main() -> list[object]:
        log: list[object] = []
        gate: Gate[str] = Gate()

        async def child() -> None:
            log.append(await gate)

        def call() -> None:
            executor = current_executor()
            log.append(executor.current)
            executor.spawn(child())
            executor.call_soon(gate.open, "opened")

        Handle(current_executor().ready, call).wake()
        await sleep(1)
        return log

    assert run(main()) == [None, "opened"]


@pytest.mark.parametrize("error", [ValueError("broken"), StopIteration(3), GeneratorExit()])
def test_what_a_handle_raises_goes_to_the_handle_and_ends_nothing(
    run: Run, error: BaseException
) -> None:
    async def main() -> list[BaseException]:
        def call() -> None:
            raise error

        handle = Handle(current_executor().ready, call)
        handle.wake()
        await sleep(1)
        assert not handle.queued
        return handle.errors

    [told] = run(main())
    if isinstance(error, StopIteration):
        # As a coroutine that raises it: it would look like a result.
        assert type(told) is RuntimeError
        assert told.__cause__ is error
    else:
        assert told is error


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_ends_the_run_from_a_handle_too(
    run: Run, kind: type[BaseException]
) -> None:
    handles: list[Handle] = []

    async def main() -> None:
        def call() -> None:
            raise kind

        handles.append(Handle(current_executor().ready, call))
        handles[0].wake()
        await sleep(60)

    with pytest.raises(kind):
        run(main())
    assert [type(error) for error in handles[0].errors] == [kind]


def test_handles_keep_nobody_from_the_lost_wakeup(run: Run) -> None:
    async def main() -> None:
        Handle(current_executor().ready, lambda: None).wake()
        await Gate()

    with pytest.raises(LostWakeup, match="main"):
        run(main())


def test_a_handle_counts_as_ready_for_who_waits_until_all_are_parked(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []
        Handle(current_executor().ready, lambda: log.append("ran")).wake()
        await wait_all_parked()
        return log

    assert run(main()) == ["ran"]


def test_instruments_are_told_that_a_handle_runs_and_what_it_wakes() -> None:
    told: list[str] = []

    class Told(Instrument):
        def ran(self, entry: Entry) -> None:
            told.append(f"ran {entry.name}")

        def wake(self, task: Task[Any], by: Task[Any] | str) -> None:
            told.append(f"{task.name} by {by if isinstance(by, str) else by.name}")

    recorder = Recorder()

    async def main() -> None:
        gate: Gate[None] = Gate()

        async def waits() -> None:
            await gate

        task = spawn(waits(), name="waits")
        await sleep(1)
        Handle(current_executor().ready, lambda: gate.open(None), "opens").wake()
        await task

    Executor(clock=VirtualClock(), checked=False, instruments=[Told(), recorder]).run(main())
    assert told == ["main by timer 1", "ran opens", "waits by opens", "main by waits"]
    assert recorder.counts["ran"] == 1


def test_checked_mode_names_a_handle_that_held_the_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(records, "clock", lambda: now[0])
    monkeypatch.setattr(records, "patience", 1.0)

    def call() -> None:
        now[0] += 60

    async def main() -> None:
        Handle(current_executor().ready, call, "slow handle").wake()
        await sleep(1)

    with caplog.at_level(logging.WARNING):
        Executor(clock=VirtualClock(), checked=True).run(main())
    assert "60.000 s" in caplog.text
    assert "Handle" in caplog.text


# ---- what the loop remembers ----


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("watched", [False, True])
def test_the_loop_keeps_no_finished_task_alive_while_it_sleeps(
    checked: bool, watched: bool
) -> None:
    seen: list[int] = []
    refs: list[weakref.ref[Any]] = []

    class Thing(FutureBase[int]):
        def poll(self, cx: Context, /) -> Poll[int]:
            self.polled = getattr(self, "polled", 0) + 1
            if self.polled == 1:
                cx.waker.wake()
                return PENDING
            return 1

    class Result:
        pass

    async def child() -> Result:
        thing, result = Thing(), Result()
        refs.append(weakref.ref(thing))
        refs.append(weakref.ref(result))
        await thing
        return result  # the task keeps it, so it is there as long as the task is

    class Looks(Clock):
        def idle(self, poller: Any, deadline: float | None) -> None:
            seen.append(sum(ref() is not None for ref in refs))
            super().idle(poller, deadline)

    async def main() -> None:
        for _ in range(3):
            task = spawn(child())
            await task
            del task
            await sleep(1)
            spawn(child())
            await sleep(1)

    gc.collect()
    gc.disable()
    try:
        Executor(clock=Looks(), checked=checked, instruments=[Recorder()] if watched else ()).run(
            main()
        )
    finally:
        gc.enable()
    assert len(refs) == 12
    assert len(seen) == 6
    assert seen == [0] * 6


class Clock:
    """A VirtualClock that can be extended."""

    def __init__(self) -> None:
        self._clock = VirtualClock()

    def now(self) -> float:
        return self._clock.now()

    def idle(self, poller: Any, deadline: float | None) -> None:
        self._clock.idle(poller, deadline)


# ---- the fast path ----


@pytest.mark.parametrize("kind", [Executor, Loop, ObservedLoop, ReadyQueue, Task])
def test_what_the_loop_touches_inherits_from_no_protocol(kind: type) -> None:
    """A protocol in the bases costs at each isinstance, and hides which class is meant."""
    assert not any(getattr(base, "_is_protocol", False) for base in kind.__mro__)


def calls_in(program: Callable[[], Any], within: CodeType) -> list[str]:
    """The Python functions that are called from `within` while `program` runs."""
    called: list[str] = []

    def profile(frame: Any, event: str, arg: Any) -> None:
        if event == "call" and frame.f_back is not None and frame.f_back.f_code is within:
            called.append(frame.f_code.co_qualname)

    sys.setprofile(profile)
    try:
        program()
    finally:
        sys.setprofile(None)
    return called


@needs_pure
def test_a_step_of_the_everyday_loop_calls_the_coroutine_and_the_leaf_and_nothing_else() -> None:
    class Once(FutureBase[None]):
        def poll(self, cx: Context, /) -> Poll[None]:
            return None

    async def worker() -> None:
        for _ in range(50):
            await yield_now()
        for _ in range(50):
            await Once()

    async def main() -> None:
        tasks = [spawn(worker()) for _ in range(4)]
        for task in tasks:
            await task

    executor = Executor(clock=VirtualClock(), checked=False)
    called = calls_in(lambda: executor.run(main()), Loop.run_turns.__code__)
    name = "test_a_step_of_the_everyday_loop_calls_the_coroutine_and_the_leaf_and_nothing_else"
    own = f"{name}.<locals>."
    # 2 polls and a step of main for each task that it waits for, a finish for each task, and a
    # look every 64 steps; all else is the coroutines and what they wait for.
    assert called.count(f"{own}worker") >= 4 * 100
    assert called.count(f"{own}Once.poll") == 4 * 50
    others = {one for one in called if not one.startswith(own)} - {"main"}
    # Whoever made a checked executor before has left records on; they are not of the loop.
    others = {one for one in others if not one.startswith("Record.")}
    assert others <= {"Task.poll", "Task.finish", "Loop.look", "Task.wake"}, others
    assert called.count("Task.finish") == 5
    assert called.count("Task.poll") <= 8
