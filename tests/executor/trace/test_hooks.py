"""Who did it: every wake names its cause, every timer is told from its setting to its end."""

from __future__ import annotations

import gc
import weakref
from contextvars import copy_context
from types import CoroutineType
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut import FutureBase, pending, yield_now
from pinfut.coroutine import native
from pinfut.executor import (
    Executor,
    Instrument,
    JoinHandle,
    Recorder,
    Task,
    VirtualClock,
    call_soon,
    current_executor,
    current_task,
    scope,
    sleep,
    spawn,
    timeout,
)
from pinfut.executor.contract import Poller
from pinfut.executor.current import current_poller
from pinfut.sync import OneshotSender, oneshot
from tests.covered import covered, require


def watch(main: Any, clock: VirtualClock | None = None) -> Recorder:
    recorder = Recorder()
    Executor(clock=clock or VirtualClock(), checked=False, instruments=[recorder]).run(main)
    return recorder


def names(recorder: Recorder) -> dict[int, str]:
    return {e["a"]: e["n"] for e in recorder.events if e["k"] == "spawn"}


def wakes(recorder: Recorder) -> list[tuple[str, str, int]]:
    """Who was woken, and by what or by which task: its name and its number."""
    known = names(recorder)
    return [
        (known[e["a"]], e.get("by") or known[e["b"]], e.get("b", 0))
        for e in recorder.events
        if e["k"] == "wake" and "m" not in e
    ]


def test_a_wake_by_a_task_names_the_task() -> None:
    async def main() -> None:
        ends: tuple[OneshotSender[int], FutureBase[int]] = oneshot()
        tx, rx = ends

        async def waits() -> None:
            await rx

        async def sends() -> None:
            tx.send(1)

        waiter = spawn(waits(), name="waiter")
        await yield_now()
        spawn(sends(), name="sender")
        await waiter

    assert wakes(watch(main())) == [("waiter", "sender", 3), ("main", "waiter", 2)]


def test_wakes_between_the_steps_name_the_timer_or_the_call() -> None:
    async def main() -> None:
        await sleep(1)
        ends: tuple[OneshotSender[int], FutureBase[int]] = oneshot()
        tx, rx = ends
        call_soon(tx.send, 1)
        await rx
        with pytest.raises(TimeoutError), timeout(1):
            await sleep(5)

    first, call, last = [by for _, by, _ in wakes(watch(main()))]
    assert (first, last) == ("timer 1", "timer 2")
    assert call.startswith("call ")
    assert call.endswith(".send"), "which call it was"


@pytest.mark.parametrize("io", [False, True])
def test_a_wake_from_outside_is_put_down_to_io_if_a_descriptor_fired(io: bool) -> None:
    class Clock:
        """In its idle time something from outside happens."""

        def __init__(self) -> None:
            self.senders: list[OneshotSender[int]] = []

        def now(self) -> float:
            return 0.0

        def idle(self, poller: Poller, deadline: float | None) -> None:
            if io:
                current_executor().instruments.io(7, "read", "fired")
            self.senders.pop().send(1)

    clock = Clock()
    recorder = Recorder()

    async def main() -> None:
        for _ in range(2):
            ends: tuple[OneshotSender[int], FutureBase[int]] = oneshot()
            tx, rx = ends
            clock.senders.append(tx)
            current_poller().external += 1
            await rx
            current_poller().external -= 1
        # What comes later is not put down to the descriptor.
        call_soon(int)
        await yield_now()
        await yield_now()

    Executor(clock=clock, checked=False, instruments=[recorder]).run(main())
    assert [by for _, by, _ in wakes(recorder)] == ["fd 7" if io else "outside"] * 2
    assert recorder.counts["io"] == (2 if io else 0)
    if io:
        assert {"k": "io", "t": 0.0, "fd": 7, "e": "read", "s": "fired"} in recorder.events


def test_the_cancel_of_what_is_left_at_the_end_comes_from_outside() -> None:
    async def main() -> None:
        spawn(sleep_long(), name="left")
        await sleep(1)

    async def sleep_long() -> None:
        await sleep(100)

    assert wakes(watch(main())) == [("main", "timer 1", 0), ("left", "outside", 0)]


def test_a_wake_in_a_first_step_names_the_coroutine() -> None:
    class Server:
        def ended(self, task: JoinHandle[Any], /) -> None:
            raise AssertionError("its outcome came from the step itself")

    async def main() -> None:
        ends: tuple[OneshotSender[int], FutureBase[int]] = oneshot()
        tx, rx = ends

        async def waits() -> None:
            await rx

        async def handler() -> None:
            tx.send(1)

        task = spawn(waits(), name="waiter")
        await sleep(1)
        executor = current_executor()
        coro = cast("CoroutineType[Any, Any, None]", handler())
        outside = executor.begin_inline()
        executor.first = (coro, copy_context(), Server(), None)
        with pytest.raises(StopIteration):
            coro.send(None)
        executor.end_first(None, None)
        executor.end_inline(outside)
        await task

    subject, by, source = wakes(watch(main()))[1]
    assert (subject, source) == ("waiter", 0)
    assert by.startswith("first step of ")
    assert by.endswith("handler")


def test_a_spawn_names_the_parent_and_numbers_count_up() -> None:
    async def main() -> None:
        async with scope() as s:
            s.spawn(inner(), name="inner")

    async def inner() -> None:
        spawn(sleep_a_little(), name="innermost")
        await yield_now()

    async def sleep_a_little() -> None:
        await sleep(0)

    spawned = [e for e in watch(main()).events if e["k"] == "spawn"]
    assert [(e["n"], e["a"], e.get("b")) for e in spawned] == [
        ("main", 1, None),
        ("inner", 2, 1),
        ("innermost", 3, 2),
    ]


def test_a_timer_is_set_and_then_fires_or_is_cancelled() -> None:
    async def main() -> None:
        await sleep(2)
        with timeout(10):
            await sleep(1)

    events = watch(main()).events
    assert [(e["x"], e["s"], e["d"], e["t"], e.get("a")) for e in events if e["k"] == "timer"] == [
        (1, "set", 2, 0, 1),
        (1, "fired", 2, 2, None),
        (2, "set", 12, 2, 1),
        (3, "set", 3, 2, 1),
        (3, "fired", 3, 3, None),
        (2, "cancelled", 12, 3, None),
    ]


class Timed(Instrument):
    """Keeps what is told of timers."""

    def __init__(self) -> None:
        self.told: dict[int, list[str]] = {}
        self.fired: list[tuple[float, int]] = []

    def timer(self, number: int, state: str, deadline: float) -> None:
        self.told.setdefault(number, []).append(state)
        if state == "fired":
            self.fired.append((deadline, number))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8))
def every_timer(plan: list[tuple[int, int]]) -> None:
    timed = Timed()

    async def one(bound: int, work: int) -> None:
        try:
            with timeout(bound):
                await sleep(work)
        except TimeoutError:
            pass

    async def main() -> None:
        async with scope() as s:
            for bound, work in plan:
                s.spawn(one(bound, work))

    executor = Executor(clock=VirtualClock(), checked=False, instruments=[timed])
    executor.run(main())
    ends = [tuple(states) for states in timed.told.values()]
    assert set(ends) <= {("set", "fired"), ("set", "cancelled")}
    assert timed.fired == sorted(timed.fired), "in the order of their deadlines, then of setting"
    assert len(executor.timers) == 0
    covered(
        "timers told",
        fired=ends.count(("set", "fired")),
        cancelled=ends.count(("set", "cancelled")),
    )


def test_every_timer_that_is_set_is_told_to_fire_or_to_be_cancelled_once() -> None:
    every_timer()
    require(covered("timers told"), "fired", "cancelled")


def test_a_task_made_in_a_first_step_is_told_to_finish_there() -> None:
    """Spawned and finished balance, so what counts live tasks does not grow."""
    recorder = Recorder()
    executor = Executor(clock=VirtualClock(), checked=False, instruments=[recorder])

    class Server:
        def ended(self, task: JoinHandle[Any], /) -> None:
            raise AssertionError("its outcome came from the step itself")

    async def handler() -> int:
        return len(current_task().name)

    async def main() -> None:
        coro = handler()
        outside = executor.begin_inline()
        executor.first = (native(coro), copy_context(), Server(), None)
        try:
            coro.send(None)
        except StopIteration as stop:
            executor.end_first(stop.value, None)
        executor.end_inline(outside)

    executor.run(main())
    assert recorder.counts["spawn"] == recorder.counts["finish"] == 2


def test_a_task_that_is_abandoned_is_told_to_finish(caplog: pytest.LogCaptureFixture) -> None:
    async def stubborn() -> None:
        while True:
            try:
                await pending()
            except GeneratorExit:
                raise
            except BaseException:
                continue

    async def main() -> None:
        spawn(stubborn())
        await yield_now()
        await yield_now()

    recorder = watch(main())
    assert recorder.counts["spawn"] == recorder.counts["finish"] == 2
    assert "wait for what cannot come" in caplog.text


def test_an_error_that_nobody_awaits_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise ValueError("on purpose")

    async def main() -> None:
        spawn(fails(), name="fails")
        await yield_now()
        await yield_now()

    recorder = watch(main())
    assert [(e["n"], e["v"]) for e in recorder.events if e["k"] == "report"] == [
        ("fails", "ValueError")
    ]
    assert "on purpose" in caplog.text, "and still logged"


def test_a_task_does_not_keep_its_ancestors() -> None:
    """A chain in which each task spawns the next holds one task, not the whole chain."""
    alive: list[weakref.ref[Any]] = []

    class Mark:
        pass

    async def link(n: int) -> None:
        mark = Mark()
        alive.append(weakref.ref(mark))
        if n:
            spawn(link(n - 1))
        await yield_now()

    counts: list[int] = []

    async def main() -> None:
        spawn(link(50))
        for turn in range(100):
            await yield_now()
            counts.append(sum(one() is not None for one in alive))
            if turn % 20 == 19:
                own = current_executor()
                tasks = [one for one in gc.get_objects() if isinstance(one, Task)]
                counts.append(sum(task.executor is own for task in tasks))

    watch(main())
    assert max(counts) < 8
