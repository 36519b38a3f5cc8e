"""The end of a run: nobody waits for what it left, and nothing of it is in the next one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pinfut import pending, race
from pinfut.executor import (
    CancelledError,
    Executor,
    NoExecutor,
    Priority,
    VirtualClock,
    current_executor,
    from_thread,
    sleep,
    spawn,
    to_thread,
    yield_now,
)
from pinfut.executor.cleanup import CLEAN_UP
from pinfut.executor.current import current_poller
from pinfut.executor.io import socketpair
from pinfut.executor.source import EdgeSource
from pinfut.executor.task import Task
from pinfut.executor.threads import Relay, RemoteWaker
from tests.executor.test_entries import Handle
from tests.executor.world import MODES, Run, make


async def stubborn() -> None:
    """Ends at no cancel."""
    while True:
        try:
            await pending()
        except CancelledError:
            pass


# ---- tasks that would not end ----


def test_a_task_that_would_not_end_is_done_when_the_run_is_and_says_why(run: Run) -> None:
    tasks: list[Task[None]] = []

    async def main() -> str:
        tasks.append(spawn(stubborn()))
        await yield_now()
        return "main"

    assert run(main()) == "main"
    assert tasks[0].done
    with pytest.raises(CancelledError, match="the run has ended"):
        tasks[0].result()


def test_who_joins_it_in_another_executor_is_told(executor: Executor) -> None:
    other = Executor(clock=VirtualClock(), checked=False)
    got: list[str] = []

    async def joins(task: Task[None]) -> None:
        try:
            await task
        except CancelledError as error:
            got.append(str(error))

    executor.open()
    other.open()
    other.spawn(joins(executor.spawn(stubborn())))
    executor.turn(0)
    other.turn(0)
    executor.close()
    assert other.turn(0) or got
    other.close()
    assert got == ["the run has ended, and the task was closed where it waited"]


def test_a_thread_whose_call_was_lost_to_an_interrupt_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got: list[str] = []

    def interrupted(_: Relay) -> None:
        raise KeyboardInterrupt

    def work() -> None:
        try:
            from_thread(len, "")
        except NoExecutor as error:
            got.append(str(error))

    async def main() -> None:
        await to_thread(work)

    monkeypatch.setattr(Relay, "begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Executor().run(main())
    assert got == ["the executor's run was interrupted before the call's end"]
    assert not [one for one in threading.enumerate() if one.name.startswith("pinfut")]


def test_an_interrupt_in_a_call_of_a_thread_ends_the_run_as_well() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        thread.start()
        await sleep(60)

    executor = Executor()
    thread = threading.Thread(target=lambda: got.append(outcome(interrupted)))
    got: list[type[BaseException]] = []

    def outcome(call: Callable[[], object]) -> type[BaseException]:
        try:
            from_thread(call, executor=executor)
        except BaseException as error:
            return type(error)
        raise AssertionError("it raised nothing")

    with pytest.raises(KeyboardInterrupt):
        executor.run(main())
    thread.join(30)
    assert got == [KeyboardInterrupt]


# ---- the next run ----


def test_a_wait_of_a_run_before_that_is_given_up_late_counts_in_no_other_run() -> None:
    executor = Executor()
    wakers: list[RemoteWaker] = []

    async def first() -> None:
        wakers.append(RemoteWaker(executor.current))  # type: ignore[arg-type]  # a task is one

    async def second() -> str:
        wakers[0].drop()
        return await to_thread(lambda: "second")

    executor.run(first())
    assert executor.run(second()) == "second"


@pytest.mark.parametrize("mode", MODES)
def test_what_was_ready_or_had_a_deadline_at_the_close_never_runs(mode: str) -> None:
    executor = make(mode)
    ran: list[str] = []
    handle = Handle(executor.low, lambda: ran.append("handle"))
    executor.open()
    later = executor.timers.add(1.0, lambda: ran.append("timer"))
    executor.timers.add(2.0, lambda: ran.append("timer"))
    handle.wake()
    executor.close()
    assert not later.live
    executor.timers.cancel(later)
    assert len(executor.timers) == 0
    assert executor.due() is None
    executor.open()
    executor.turn(5)
    assert executor.now() == 5
    assert ran == []
    handle.wake()  # it can be used again
    executor.turn(0)
    assert ran == ["handle"]
    executor.close()


def test_what_is_spawned_while_a_run_ends_is_closed_with_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks: list[Task[None]] = []

    async def never() -> None:
        raise AssertionError("it runs")

    class Spawns(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tasks.append(executor.spawn(never(), name="by the log"))

    async def spawns_at_its_end() -> None:
        try:
            await stubborn()
        finally:
            tasks.append(spawn(never(), name="by a close"))

    async def fails() -> None:
        raise ValueError("nobody awaits it")

    held: list[Any] = []
    executor: Any = None

    async def main() -> None:
        nonlocal executor
        executor = current_executor()
        held.append(spawn(fails()))
        spawn(spawns_at_its_end())
        await yield_now()

    log = logging.getLogger("pinfut.executor")
    handler = Spawns()
    log.addHandler(handler)
    try:
        run(main())
    finally:
        log.removeHandler(handler)
    assert {task.name for task in tasks} == {"by the log", "by a close"}
    assert not executor.tasks
    assert all(isinstance(task.error(), CancelledError) for task in tasks)


def test_a_close_that_was_interrupted_among_its_descriptors_is_whole_the_second_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detach, interrupts = EdgeSource.detach, [KeyboardInterrupt()]

    def interrupted(source: EdgeSource) -> None:
        if interrupts:
            raise interrupts.pop()
        detach(source)

    monkeypatch.setattr(EdgeSource, "detach", interrupted)
    executor = Executor(checked=False)
    one, other = socketpair()

    async def waits() -> bytes:
        return await one.recv(1)

    async def talks() -> bytes:
        await other.sendall(b"x")
        return await one.recv(1)

    with one, other:
        executor.open()
        executor.spawn(waits())
        executor.turn(0)
        with pytest.raises(KeyboardInterrupt):
            executor.close()
        assert not interrupts
        for _ in range(2):
            assert Executor().run(talks()) == b"x"


# ---- a turn that was cut short ----


@pytest.mark.parametrize("mode", MODES)
def test_tasks_that_were_lined_up_for_an_interrupted_turn_keep_their_priority(mode: str) -> None:
    executor = make(mode)
    log: list[str] = []

    async def one(name: str) -> None:
        log.append(name)

    async def interrupts() -> None:
        raise KeyboardInterrupt

    def add(name: str, priority: Priority) -> None:
        executor.spawn(one(name), priority=priority)

    executor.open()
    executor.spawn(interrupts(), priority="high")
    add("low", "low")
    add("normal", "normal")
    add("high", "high")
    with pytest.raises(KeyboardInterrupt):
        executor.turn(0)
    assert log == []
    add("later normal", "normal")
    add("later high", "high")
    executor.turn(0)
    executor.close()
    assert log == ["high", "later high", "normal", "later normal", "low"]


# ---- what cleans up ----


def test_clean_ups_that_drop_others_share_the_time_of_one_at_the_end(
    executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[int] = []

    async def dropped(depth: int) -> None:
        try:
            await pending()
        finally:
            begun.append(depth)
            await sleep(CLEAN_UP * 0.4)
            await race(dropped(depth + 1), sleep(0))
            await sleep(CLEAN_UP)

    async def main() -> float:
        await race(dropped(0), sleep(1))
        return current_executor().now()

    ended = executor.run(main())
    assert len(begun) >= 3, "they drop one another"
    assert executor.now() == pytest.approx(ended + CLEAN_UP)
    assert "which all share" in caplog.text


def test_the_next_run_of_an_executor_begins_with_all_its_time(executor: Executor) -> None:
    done: list[str] = []

    async def dropped() -> None:
        try:
            await pending()
        finally:
            await sleep(CLEAN_UP / 2)
            done.append("cleaned up")

    async def main() -> None:
        await sleep(CLEAN_UP * 3)
        await race(dropped(), sleep(1))
        await sleep(CLEAN_UP)

    executor.run(yield_twice())
    executor.run(main())
    assert done == ["cleaned up"]


async def yield_twice() -> None:
    await yield_now()
    await yield_now()


def test_the_count_of_wakes_from_outside_is_that_of_an_opening() -> None:
    async def main() -> int:
        return current_poller().external

    executor = Executor()
    assert (executor.run(main()), executor.run(main())) == (0, 0)
