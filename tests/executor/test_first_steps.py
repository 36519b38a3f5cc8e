"""First steps inside another step: a coroutine that ends in its first step costs no task."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from pinfut.coroutine import native
from pinfut.executor import (
    CancelledError,
    JoinHandle,
    NoExecutor,
    Task,
    call_soon,
    current_executor,
    current_task,
    scope,
    sleep,
    spawn,
    timeout,
    yield_now,
)
from tests.executor.world import Run
from tests.pinfut.hand import Gate

var: ContextVar[str] = ContextVar("var", default="default")


class Owner:
    """Told when a task ends."""

    def __init__(self) -> None:
        self.told: list[JoinHandle[Any]] = []

    def ended(self, task: JoinHandle[Any], /) -> None:
        self.told.append(task)


def start(
    coro: Coroutine[Any, Any, Any], owner: Owner
) -> tuple[JoinHandle[Any] | None, object, BaseException | None]:
    """Run the first step of `coro` inside the present step, as a server does: the task that
    was made of it if it waits, its value, its error."""
    executor = current_executor()
    outside = executor.begin_inline()
    try:
        context = copy_context()
        executor.first = (native(coro), context, owner, None)
        try:
            leaf = context.run(coro.send, None)
        except StopIteration as stop:
            executor.end_first(stop.value, None)
            return None, stop.value, None
        except BaseException as error:
            executor.end_first(None, error)
            return None, None, error
        return executor.adopt(leaf), None, None
    finally:
        executor.end_inline(outside)


def test_a_coroutine_that_ends_in_its_first_step_makes_no_task(run: Run) -> None:
    async def handler() -> str:
        return "value"

    async def main() -> tuple[object, list[JoinHandle[Any]], int]:
        owner = Owner()
        started = start(handler(), owner)
        return started, owner.told, len(current_executor().tasks)

    assert run(main()) == ((None, "value", None), [], 1)


def test_a_coroutine_that_fails_in_its_first_step_makes_no_task(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler() -> None:
        raise KeyError("mine")

    async def main() -> int:
        task, _, error = start(handler(), Owner())
        assert task is None
        assert isinstance(error, KeyError)
        return len(current_executor().tasks)

    assert run(main()) == 1
    assert caplog.records == [], "its owner has the error: nothing to report"


def test_the_first_step_runs_at_once_and_the_rest_as_a_task(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def handler() -> str:
            log.append("first step")
            await sleep(1)
            log.append("the rest")
            return "value"

        log.append("before")
        owner = Owner()
        task, _, _ = start(handler(), owner)
        log.append("after")
        assert task is not None
        assert owner.told == []
        log.append(await task)
        assert owner.told == [task]
        return log

    assert run(main()) == ["before", "first step", "after", "the rest", "value"]


def test_the_leaf_of_a_first_step_is_polled_in_the_next_turn(run: Run) -> None:
    gate: Gate[str] = Gate()

    async def handler() -> str:
        return await gate

    async def main() -> str:
        task, _, _ = start(handler(), Owner())
        assert task is not None
        assert gate.polls == 0
        await yield_now()
        assert gate.polls == 1
        gate.open("value")
        value: str = await task
        return value

    assert run(main()) == "value"


def test_a_first_step_that_yields_goes_on_after_the_others(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def handler() -> None:
            log.append("first step")
            await yield_now()
            log.append("second step")

        async def other() -> None:
            log.append("other")

        spawn(other())
        task, _, _ = start(handler(), Owner())
        assert task is not None
        await task
        return log

    assert run(main()) == ["first step", "other", "second step"]


@pytest.mark.parametrize("waits", [False, True])
def test_the_current_task_is_the_handler_s_inside_and_the_outer_one_after(
    run: Run, waits: bool
) -> None:
    async def main() -> None:
        seen: list[Task[Any]] = []

        async def handler() -> None:
            seen.append(current_task())
            assert current_task() is seen[0], "one task for one coroutine"
            if waits:
                await sleep(1)
                assert current_task() is seen[0]

        outer = current_task()
        task, _, error = start(handler(), Owner())
        assert error is None
        assert current_task() is outer
        assert seen[0] is not outer
        if waits:
            assert task is seen[0]
            await task
        else:
            assert task is None
            assert seen[0].done
        assert list(current_executor().tasks) == [outer]

    run(main())


def test_first_steps_may_be_nested(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def inner() -> None:
            current_task()
            log.append("inner")
            await sleep(2)
            log.append("inner ends")

        async def middle() -> None:
            mine = current_task()
            start(inner(), Owner())
            assert current_task() is mine
            log.append("middle")
            await sleep(1)
            log.append("middle ends")

        mine = current_task()
        start(middle(), Owner())
        assert current_task() is mine
        log.append("main")
        await sleep(3)
        return log

    assert run(main()) == ["inner", "middle", "main", "middle ends", "inner ends"]


def test_a_middle_step_that_has_no_task_yet_gets_one_after_a_nested_start(run: Run) -> None:
    async def inner() -> str:
        return "inner"

    async def main() -> object:
        async def middle() -> object:
            return start(inner(), Owner())[1]

        return start(middle(), Owner())[1]

    assert run(main()) == "inner"


def test_a_first_step_outside_of_any_task_leaves_none_behind(run: Run) -> None:
    async def handler(log: list[str]) -> None:
        log.append("first step")
        await sleep(1)
        log.append("the rest")

    async def main() -> list[str]:
        log: list[str] = []
        executor = current_executor()

        def serve() -> None:
            start(handler(log), Owner())
            assert executor.current is None
            with pytest.raises(NoExecutor):
                current_task()

        call_soon(serve)
        await sleep(2)
        return log

    assert run(main()) == ["first step", "the rest"]


def test_a_cancel_of_the_outer_task_inside_a_first_step_is_not_lost(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def handler(outer: Task[Any]) -> None:
            outer.cancel()
            log.append("cancelled the outer")

        async def worker() -> None:
            start(handler(current_task()), Owner())
            log.append("the step goes on")
            try:
                await sleep(100)
            except CancelledError:
                log.append("told at its next wait")
                raise

        task = spawn(worker())
        with pytest.raises(CancelledError):
            await task
        return log

    assert run(main()) == ["cancelled the outer", "the step goes on", "told at its next wait"]


def test_a_timeout_that_fires_in_a_first_step_is_the_handler_s(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def handler() -> str:
            try:
                with timeout(1):
                    await sleep(100)
            except TimeoutError:
                return "timed out"
            return "in time"

        task, _, _ = start(handler(), Owner())
        await sleep(5)
        log.append("the outer one slept")
        assert task is not None
        log.append(task.result())
        return log

    assert run(main()) == ["the outer one slept", "timed out"]


def test_a_scope_in_a_first_step_waits_for_its_children(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def child() -> None:
            await sleep(1)
            log.append("child")

        async def handler() -> None:
            async with scope() as s:
                s.spawn(child())
            log.append("handler")

        task, _, _ = start(handler(), Owner())
        assert task is not None
        await task
        return log

    assert run(main()) == ["child", "handler"]


def test_a_handler_that_cancels_itself_is_told_at_its_first_wait(run: Run) -> None:
    async def main() -> str:
        async def handler() -> str:
            current_task().cancel()
            try:
                await sleep(100)
            except CancelledError:
                return "told"
            return "not told"

        task, _, _ = start(handler(), Owner())
        assert task is not None
        value: str = await task
        return value

    assert run(main()) == "told"


def test_a_first_step_has_its_own_context_variables(run: Run) -> None:
    async def main() -> tuple[str, str]:
        var.set("outer")

        async def handler() -> str:
            var.set("handler")
            await sleep(1)
            return var.get()

        task, _, _ = start(handler(), Owner())
        assert task is not None
        return await task, var.get()

    assert run(main()) == ("handler", "outer")


def test_a_failure_after_the_first_step_belongs_to_the_owner_or_is_reported(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    class Claims(Owner):
        def ended(self, task: JoinHandle[Any], /) -> None:
            super().ended(task)
            task.error()

    async def handler() -> None:
        await sleep(1)
        raise KeyError("mine")

    async def main() -> None:
        start(handler(), Claims())
        await sleep(2)

    with caplog.at_level(logging.ERROR, logger="pinfut.executor"):
        run(main())
    assert caplog.records == []
