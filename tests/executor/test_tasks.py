"""What a task owns: its result, its failure, its context, its life."""

from __future__ import annotations

import gc
import logging
import sys
import weakref
from contextvars import ContextVar

import pytest

from pinfut import (
    Context,
    FutureBase,
    LostWakeup,
    PinError,
    Poll,
    TakenTwice,
    join,
    pending,
    select,
    shared,
    try_join,
)
from pinfut.executor import (
    CancelledError,
    Executor,
    Task,
    current_executor,
    current_task,
    scope,
    sleep,
    spawn,
    yield_now,
)
from tests.executor.world import Run
from tests.pinfut.hand import Gate

var: ContextVar[str] = ContextVar("var", default="default")


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The errors that were reported because nobody awaited them."""
    found = []
    for record in caplog.records:
        assert (record.name, record.levelno) == ("pinfut.executor", logging.ERROR)
        assert "nobody awaited it" in record.getMessage()
        assert record.exc_info is not None
        found.append(str(record.exc_info[1]))
    return found


async def fails(text: str = "mine") -> None:
    raise ValueError(text)


# ---- results ----


def test_a_task_gives_its_result_to_whoever_awaits_it(run: Run) -> None:
    async def work(n: int) -> int:
        await sleep(n)
        return n

    async def main() -> tuple[int, int, int, int]:
        early, late = spawn(work(1)), spawn(work(5))
        await sleep(2)
        values = (await early, await late)
        return *values, early.result(), late.result()

    assert run(main()) == (1, 5, 1, 5)


def test_a_task_tells_its_name_and_its_state(run: Run) -> None:
    async def work() -> None:
        await sleep(1)

    async def main() -> list[str]:
        task = spawn(work(), name="the worker")
        seen = [repr(task)]
        await yield_now()
        await yield_now()
        seen.append(repr(task))
        await task
        seen.append(repr(task))
        return seen

    ready, parked, done = run(main())
    assert ready == "<Task the worker, ready>"
    assert parked.startswith("<Task the worker, parked on <Sleep at ")
    assert __file__ in parked
    assert done == "<Task the worker, done>"


def test_spawn_takes_a_coroutine_and_says_what_to_write_instead(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match=r"spawn\(f\(\)\)"):
            spawn(main)  # type: ignore[arg-type]

    run(main())


def test_dropping_the_handle_does_not_stop_the_task(run: Run) -> None:
    log = []

    async def work() -> None:
        await sleep(5)
        log.append("done")

    async def main() -> None:
        spawn(work())
        gc.collect()
        await sleep(10)

    run(main())
    assert log == ["done"]


def test_a_waiter_that_gives_up_does_not_stop_the_task(run: Run) -> None:
    async def work() -> str:
        await sleep(5)
        return "done"

    async def main() -> str:
        task = spawn(work())
        assert (await select(task, sleep(1))).winner == 1
        waiter = spawn(wait(task))
        del waiter
        return await task

    async def wait(task: Task[str]) -> None:
        await yield_now()

    assert run(main()) == "done"


# ---- failures ----


def test_a_failure_that_is_awaited_is_raised_and_not_reported(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        early, late = spawn(fails("early")), spawn(fails("late"))
        await yield_now()
        with pytest.raises(ValueError, match="early"):
            await early
        with pytest.raises(ValueError, match="late"):
            await try_join(late)

    run(main())
    gc.collect()
    assert reports(caplog) == []


@pytest.mark.parametrize("how", ["result", "error"])
def test_a_failure_that_was_looked_at_is_not_reported(
    run: Run, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    async def main() -> None:
        task = spawn(fails())
        await yield_now()
        if how == "error":
            assert isinstance(task.error(), ValueError)
        else:
            for _ in range(2):
                with pytest.raises(ValueError, match="mine"):
                    task.result()

    run(main())
    gc.collect()
    assert reports(caplog) == []


def test_a_failure_without_a_handle_is_reported_once_and_at_once(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> list[str]:
        spawn(fails("orphan"))
        await sleep(1)
        gc.collect()
        return reports(caplog)

    assert run(main()) == ["orphan"]
    gc.collect()
    assert reports(caplog) == ["orphan"]


def test_a_failure_whose_handle_is_kept_is_reported_once_when_the_executor_ends(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    kept: list[Task[None]] = []

    async def main() -> list[str]:
        kept.append(spawn(fails("kept")))
        await sleep(1)
        gc.collect()
        return reports(caplog)

    assert run(main()) == []
    assert reports(caplog) == ["kept"]
    kept.clear()
    gc.collect()
    assert reports(caplog) == ["kept"]


def test_the_error_of_main_is_raised_and_not_reported(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="mine"):
        run(fails())
    gc.collect()
    assert reports(caplog) == []


def test_a_cancelled_task_is_no_failure_to_report(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        spawn(sleep_for(100))
        spawn(sleep_for(100)).cancel()
        await sleep(1)

    async def sleep_for(seconds: float) -> None:
        await sleep(seconds)

    run(main())
    gc.collect()
    assert reports(caplog) == []


def test_a_failure_in_the_clean_up_after_main_is_reported(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def child() -> None:
        try:
            await sleep(100)
        finally:
            raise ValueError("in clean-up")

    async def main() -> None:
        spawn(child())
        await sleep(1)

    run(main())
    gc.collect()
    assert reports(caplog) == ["in clean-up"]


def test_the_failure_of_a_child_belongs_to_its_scope(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup):
            async with scope() as s:
                s.spawn(fails())

    run(main())
    gc.collect()
    assert reports(caplog) == []


def test_a_failed_task_and_its_error_do_not_keep_each_other_alive(run: Run) -> None:
    """Without the collector: memory that only it can free is memory that nobody accounts."""

    class Thing: ...

    gone: list[weakref.ref[Thing]] = []

    async def child() -> None:
        thing = Thing()
        gone.append(weakref.ref(thing))
        await yield_now()
        raise ValueError("mine")

    async def main() -> list[bool]:
        try:
            await spawn(child())
        except ValueError:
            pass
        task = spawn(child())
        await sleep(1)
        try:
            task.result()
        except ValueError:
            pass
        del task
        return [ref() is None for ref in gone]

    gc.collect()
    gc.disable()
    try:
        assert run(main()) == [True, True]
    finally:
        gc.enable()


# ---- context variables ----


def test_each_task_has_its_own_context_variables(run: Run) -> None:
    async def child(name: str) -> tuple[str, str]:
        inherited = var.get()
        var.set(name)
        await sleep(1)
        return inherited, var.get()

    async def main() -> tuple[object, str]:
        var.set("main's")
        async with scope() as s:
            a, b = s.spawn(child("a")), s.spawn(child("b"))
            var.set("changed later")
        return (a.result(), b.result()), var.get()

    assert run(main()) == ((("main's", "a"), ("main's", "b")), "changed later")
    assert var.get() == "default"


def test_context_variables_survive_every_kind_of_suspension(run: Run) -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def child() -> None:
            var.set("child's")
            for wait in (yield_now(), sleep(1), sleep(0)):
                await wait
                seen.append(var.get())
            gate: Gate[int] = Gate()
            current_executor().call_soon(gate.open, KeyError())
            try:
                await gate
            except KeyError:
                seen.append(var.get())
            try:
                current_task().cancel()
                await sleep(1)
            except CancelledError:
                seen.append(var.get())

        await spawn(child())
        return seen

    assert run(main()) == ["child's"] * 5


# ---- nothing is lost to the collector ----


def test_a_parked_task_is_held_by_the_executor_alone(run: Run) -> None:
    class Back(FutureBase[str]):
        """Known to nobody but its waiter: a cycle that the collector could take."""

        def poll(self, cx: object, /) -> str:
            return "never polled"

    log: list[str] = []

    async def lonely() -> None:
        gate: Gate[str] = Gate()
        current_executor().timers.add(50, lambda: gate.open("still here"))
        log.append(await gate)

    async def main() -> None:
        for _ in range(10):
            spawn(lonely())
        await sleep(1)
        gc.collect()
        await sleep(100)

    run(main())
    assert log == ["still here"] * 10


def test_a_task_that_nobody_can_wake_is_still_there_to_be_named(run: Run) -> None:
    async def lonely() -> None:
        await pending()

    async def main() -> None:
        spawn(lonely(), name="lonely one")
        await sleep(1)
        gc.collect()
        await pending()

    with pytest.raises(LostWakeup, match="lonely one"):
        run(main())


def test_a_task_that_is_done_is_not_kept(run: Run) -> None:
    async def work() -> None:
        await yield_now()

    async def main() -> tuple[bool, int]:
        executor = current_executor()
        gone = weakref.ref(work.__code__)
        task = spawn(work())
        await task
        del task
        return gone() is not None, len(executor.tasks)

    assert run(main()) == (True, 1)


# ---- the end of main ----


def test_tasks_left_when_main_ends_are_cancelled_and_waited_for(run: Run) -> None:
    log: list[object] = []

    async def server(name: str) -> None:
        try:
            await sleep(1000)
        except CancelledError:
            await sleep(5)
            log.append((name, current_executor().now()))
            raise

    async def main() -> str:
        spawn(server("a"))
        spawn(server("b"))
        await sleep(1)
        return "main's"

    assert run(main()) == "main's"
    assert log == [("a", 6), ("b", 6)]


def test_tasks_left_when_main_fails_are_cancelled_and_waited_for(run: Run) -> None:
    log: list[str] = []

    async def server() -> None:
        try:
            await sleep(1000)
        finally:
            await sleep(1)
            log.append("cleaned up")

    async def main() -> None:
        spawn(server())
        await yield_now()
        raise KeyError("main's")

    with pytest.raises(KeyError):
        run(main())
    assert log == ["cleaned up"]


def test_a_task_that_was_never_started_is_not_started_by_the_end(run: Run) -> None:
    log: list[str] = []

    async def late() -> None:
        log.append("started")

    async def main() -> None:
        spawn(late())

    run(main())
    assert log == []


def test_what_clean_up_spawns_goes_on_while_that_lasts_and_is_cancelled_then(run: Run) -> None:
    log: list[object] = []

    async def last(seconds: float) -> None:
        try:
            await sleep(seconds)
            log.append("last words")
        except CancelledError:
            await sleep(1000)
            log.append("cancelled")

    async def server() -> None:
        try:
            await sleep(1000)
        finally:
            spawn(last(1))
            spawn(last(3))
            await sleep(2)
            log.append("cleaned up")
            spawn(last(4))  # never starts

    async def main() -> None:
        spawn(server())
        await sleep(1)

    run(main())
    assert log == ["last words", "cleaned up", "cancelled"]


def test_clean_ups_that_start_others_without_end_are_named_and_closed(
    executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    async def phoenix() -> None:
        try:
            await sleep(1000)
        finally:
            log.append("burnt")
            await sleep(1)
            spawn(phoenix())
            await sleep(1)

    async def main() -> None:
        spawn(phoenix())
        await sleep(1)

    executor.run(main())
    assert 2 < len(log) < 100
    assert "start one another without end: " in caplog.text
    assert "phoenix" in caplog.text
    assert not executor.tasks
    assert not executor.ready


def test_calls_that_put_themselves_off_do_not_keep_a_run_from_ending(
    executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    made = 0

    def again() -> None:
        nonlocal made
        made += 1
        executor.call_soon(again)

    async def main() -> None:
        again()

    executor.run(main())
    assert 2 < made < 1000
    assert "put off again and again" in caplog.text
    assert not executor.deferred


def test_a_system_exit_in_a_clean_up_closes_the_tasks_that_are_left(executor: Executor) -> None:
    log: list[str] = []

    async def leaves() -> None:
        try:
            await sleep(1000)
        finally:
            raise SystemExit(3)

    async def slow() -> None:
        try:
            await sleep(1000)
        finally:
            log.append("closed")
            await sleep(1000)

    async def main() -> None:
        spawn(leaves())
        spawn(slow())
        await sleep(1)

    with pytest.raises(SystemExit):
        executor.run(main())
    assert log == ["closed"]
    assert not executor.tasks
    assert executor.run(leaves_nothing()) == "again"


async def leaves_nothing() -> str:
    return "again"


def test_tasks_that_catch_their_cancel_and_wait_for_nothing_are_named_and_closed(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    async def stubborn() -> None:
        try:
            await sleep(1000)
        except CancelledError:
            try:
                await pending()
            finally:
                log.append("closed")

    async def main() -> str:
        spawn(stubborn(), name="stubborn one")
        await sleep(1)
        return "main's"

    assert run(main()) == "main's"
    assert log == ["closed"]
    (record,) = caplog.records
    assert "stubborn one" in record.getMessage()
    assert "caught their cancel" in record.getMessage()


def test_what_such_a_task_waits_for_is_dropped_before_it_is_closed(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """Or an operation would stay started, and a coroutine in place would be left to the
    collector."""
    gate: Gate[str] = Gate()
    log: list[object] = []

    async def in_place() -> None:
        try:
            await gate
        finally:
            log.append("in place")

    async def stubborn() -> None:
        try:
            await sleep(1000)
        except CancelledError:
            try:
                await join(in_place())
            finally:
                log.append(("task", gate.drops))

    async def main() -> None:
        spawn(stubborn())
        await sleep(1)

    run(main())
    assert log == ["in place", ("task", 1)]
    assert "caught their cancel" in caplog.text


def test_a_task_that_fails_while_it_is_closed_does_not_keep_the_others_from_it(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    async def stubborn(name: str) -> None:
        try:
            await sleep(1000)
        except CancelledError:
            try:
                await pending()
            finally:
                log.append(name)
                raise ValueError(name)

    async def main() -> str:
        for name in "abc":
            spawn(stubborn(name))
        await sleep(1)
        return "main's"

    assert run(main()) == "main's"
    assert log == ["a", "b", "c"]
    assert "caught their cancel" in caplog.text


def test_a_second_awaiter_of_a_task_is_refused_in_every_mode(run: Run) -> None:
    async def work() -> str:
        await sleep(5)
        return "done"

    async def waits(task: Task[str]) -> str:
        return await task

    async def main() -> None:
        task = spawn(work())
        first = spawn(waits(task))
        await sleep(1)
        with pytest.raises(PinError, match="shared"):
            await task
        assert await first == "done"

    run(main())


def test_tasks_share_a_task_by_clones(run: Run) -> None:
    async def work() -> str:
        await sleep(5)
        return "done"

    async def waits(task: FutureBase[str]) -> str:
        return await task

    async def main() -> None:
        one = shared(spawn(work()))
        other = one.clone()
        assert await join(spawn(waits(one)), spawn(waits(other))) == ("done", "done")

    run(main())


@pytest.mark.skipif(sys.platform == "emscripten", reason="a browser's Python ends of it")
def test_a_failure_that_is_nested_deeper_than_the_stack_ends_its_task(run: Run) -> None:
    async def fails() -> None:
        error: Exception = ValueError()
        for _ in range(3_000):
            error = ExceptionGroup("of a join in a join", [error])
        raise error

    async def main() -> None:
        task = spawn(fails())
        await yield_now()
        assert task.done
        assert isinstance(task.error(), ExceptionGroup)

    run(main())


def test_an_exit_that_a_scope_carries_is_no_failure_to_report(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def leaves() -> None:
        raise SystemExit(3)

    async def main() -> None:
        async with scope() as s:
            s.spawn(leaves())
            await sleep(10)

    with pytest.raises(SystemExit):
        run(main())
    gc.collect()
    assert caplog.records == []


@pytest.mark.parametrize("wrong", [3, None, sleep])
def test_run_takes_a_coroutine_and_says_so(run: Run, wrong: object) -> None:
    with pytest.raises(TypeError, match="run takes a coroutine"):
        run(wrong)  # type: ignore[arg-type]


def test_what_the_clean_up_of_an_abandoned_task_raises_is_reported_with_its_name(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """A task that catches its cancel and waits forever is closed when the executor ends."""

    async def stubborn() -> None:
        while True:
            try:
                await pending()
            except CancelledError:
                pass
            except GeneratorExit:
                raise ValueError("at the very end") from None

    async def main() -> None:
        spawn(stubborn(), name="stubborn")
        await yield_now()

    run(main())
    (told,) = [record for record in caplog.records if record.exc_info]
    assert told.exc_info is not None
    assert str(told.exc_info[1]) == "at the very end"
    assert told.getMessage().startswith("'stubborn' failed")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_an_exit_that_a_task_raises_is_no_failure_to_report(
    run: Run, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    async def leaves() -> None:
        raise error

    async def main() -> None:
        spawn(leaves())
        await sleep(10)

    with pytest.raises(type(error)):
        run(main())
    gc.collect()
    assert caplog.records == []


def test_an_attribute_error_of_a_future_is_not_taken_for_a_future_that_is_none(run: Run) -> None:
    class Broken(FutureBase[int]):
        def poll(self, cx: Context, /) -> Poll[int]:
            raise AttributeError("of the future's own")

    async def main() -> None:
        with pytest.raises(AttributeError, match="of the future's own"):
            await Broken()

    run(main())


def test_an_error_that_an_await_has_raised_is_not_there_to_be_asked_for(run: Run) -> None:
    async def fails() -> None:
        raise LookupError

    async def main() -> None:
        task = spawn(fails())
        with pytest.raises(LookupError):
            await task
        for asks in (task.error, task.result):
            with pytest.raises(TakenTwice, match="was raised by its await"):
                asks()

    run(main())
