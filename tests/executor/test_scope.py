"""scope: tasks that end with their block, whatever happens in it or to it."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from pinfut import CoroutineFuture, join, race, select
from pinfut.executor import (
    CancelledError,
    Scope,
    call_soon,
    current_executor,
    current_task,
    scope,
    sleep,
    spawn,
    timeout,
    yield_now,
)
from pinfut.future import drop
from tests.executor.world import Run


class Log(list[Any]):
    """What happened and when."""

    def __call__(self, what: object) -> None:
        self.append((current_executor().now(), what))


async def fails(after: float, text: str = "mine") -> None:
    await sleep(after)
    raise ValueError(text)


async def child(log: Log, name: str, *, clean_up: float = 0) -> None:
    """Works for 100 s; notes how it ended."""
    try:
        await sleep(100)
        log(f"{name} ended")
    except CancelledError:
        if clean_up:
            await sleep(clean_up)
        log(f"{name} cancelled")
        raise


async def group_of(block: Coroutine[Any, Any, None]) -> BaseExceptionGroup[BaseException]:
    """The group that a block raises."""
    with pytest.raises(BaseExceptionGroup) as caught:
        await block
    return caught.value


def messages(group: BaseExceptionGroup[BaseException]) -> list[str]:
    return [str(error) for error in group.exceptions]


def test_a_scope_ends_when_its_last_child_has_ended(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def work(seconds: float) -> None:
            await sleep(seconds)
            log(f"worked {seconds}")

        async with scope() as s:
            s.spawn(work(3))
            s.spawn(work(1))
            log("body ends")
        log("after")
        return log

    assert run(main()) == [
        (0, "body ends"),
        (1, "worked 1"),
        (3, "worked 3"),
        (3, "after"),
    ]


def test_a_scope_without_children_ends_at_once(run: Run) -> None:
    async def main() -> float:
        async with scope():
            pass
        return current_executor().now()

    assert run(main()) == 0


def test_the_children_give_their_results_after_the_block(run: Run) -> None:
    async def work(n: int) -> int:
        await sleep(n)
        return n

    async def main() -> list[int]:
        async with scope() as s:
            tasks = [s.spawn(work(n)) for n in (3, 1, 2)]
        return [task.result() for task in tasks]

    assert run(main()) == [3, 1, 2]


def test_a_failing_child_cancels_its_siblings_and_the_body(run: Run) -> None:
    async def main() -> tuple[Log, list[str]]:
        log = Log()

        async def block() -> None:
            async with scope() as s:
                s.spawn(child(log, "sibling"))
                s.spawn(fails(1))
                await child(log, "body")

        group = await group_of(block())
        log("after")
        return log, messages(group)

    log, errors = run(main())
    assert sorted(log[:2]) == [(1, "body cancelled"), (1, "sibling cancelled")]
    assert log[2:] == [(1, "after")]
    assert errors == ["mine"]


def test_a_child_that_fails_after_the_body_has_ended_cancels_its_siblings(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def block() -> None:
            async with scope() as s:
                s.spawn(child(log, "sibling"))
                s.spawn(fails(1))

        await group_of(block())
        return log

    assert run(main()) == [(1, "sibling cancelled")]


def test_a_failing_body_cancels_the_children_and_is_in_the_group(run: Run) -> None:
    async def main() -> tuple[Log, list[str]]:
        log = Log()

        async def block() -> None:
            async with scope() as s:
                s.spawn(child(log, "child", clean_up=2))
                await fails(1, "the body's")

        group = await group_of(block())
        log("after")
        return log, messages(group)

    assert run(main()) == ([(3, "child cancelled"), (3, "after")], ["the body's"])


def test_all_errors_come_together_with_the_first_in_front(run: Run) -> None:
    async def stubborn() -> None:
        try:
            await sleep(100)
        finally:
            raise KeyError("in clean-up")

    async def main() -> list[str]:
        async def block() -> None:
            async with scope() as s:
                s.spawn(stubborn())
                s.spawn(fails(1, "first"))

        group = await group_of(block())
        return messages(group)

    assert run(main()) == ["first", repr("in clean-up")]


def test_the_error_of_a_child_that_the_body_awaits_comes_once(run: Run) -> None:
    async def main() -> list[str]:
        async def block() -> None:
            async with scope() as s:
                await s.spawn(fails(1))

        group = await group_of(block())
        return messages(group)

    assert run(main()) == ["mine"]


def test_an_error_that_is_no_exception_comes_as_a_base_exception_group(run: Run) -> None:
    class Severe(BaseException): ...

    async def severe() -> None:
        raise Severe("severe")

    async def main() -> list[str]:
        async def block() -> None:
            async with scope() as s:
                s.spawn(severe())

        group = await group_of(block())
        assert not isinstance(group, ExceptionGroup)
        return messages(group)

    assert run(main()) == ["severe"]


# ---- cancel() ----


def test_a_scope_that_is_cancelled_ends_without_an_error(run: Run) -> None:
    async def main() -> Log:
        log = Log()
        async with scope() as s:
            s.spawn(child(log, "child", clean_up=2))
            current_executor().timers.add(1, s.cancel)
            await child(log, "body")
        log("after")
        await sleep(10)
        log("goes on")
        return log

    log = run(main())
    assert log == [
        (1, "body cancelled"),
        (3, "child cancelled"),
        (3, "after"),
        (13, "goes on"),
    ]


def test_a_body_that_cancels_its_scope_and_waits_is_interrupted(run: Run) -> None:
    async def main() -> Log:
        log = Log()
        async with scope() as s:
            s.cancel()
            log("still running")
            await sleep(100)
            log("not reached")
        await sleep(1)
        log("after")
        return log

    assert run(main()) == [(0, "still running"), (1, "after")]


@pytest.mark.parametrize("children", [0, 1])
def test_a_body_that_cancels_its_scope_and_ends_is_not_interrupted_later(
    run: Run, children: int
) -> None:
    async def main() -> Log:
        log = Log()
        async with scope() as s:
            for _ in range(children):
                s.spawn(child(log, "child"))
            await sleep(1)
            s.cancel()
        await sleep(5)
        log("after")
        return log

    assert run(main()) == [*[(1, "child cancelled")] * children, (6, "after")]


def test_a_child_may_cancel_its_scope(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def winner(s: Scope) -> None:
            await sleep(1)
            s.cancel()
            log("winner ends")

        async with scope() as s:
            s.spawn(winner(s))
            s.spawn(child(log, "loser"))
        log("after")
        return log

    assert run(main()) == [(1, "winner ends"), (1, "loser cancelled"), (1, "after")]


def test_a_scope_may_be_cancelled_while_it_waits_for_its_children(run: Run) -> None:
    async def main() -> Log:
        log = Log()
        async with scope() as s:
            s.spawn(child(log, "child"))
            current_executor().timers.add(1, s.cancel)
        log("after")
        await sleep(1)
        return log

    assert run(main()) == [(1, "child cancelled"), (1, "after")]


# ---- cancelled from outside ----


@pytest.mark.parametrize("body_waits", [False, True])
def test_a_cancel_of_the_holder_reaches_the_children_and_passes_on(
    run: Run, body_waits: bool
) -> None:
    async def main() -> Log:
        log = Log()

        async def holder() -> None:
            async with scope() as s:
                s.spawn(child(log, "first", clean_up=1))
                s.spawn(child(log, "second", clean_up=2))
                if body_waits:
                    await sleep(50)
            log("not reached")

        task = spawn(holder())
        await sleep(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        log("after")
        return log

    assert run(main()) == [(2, "first cancelled"), (3, "second cancelled"), (3, "after")]


def test_a_cancel_while_the_holder_waits_for_clean_up_waits_on(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def stubborn() -> None:
            for _ in range(2):
                try:
                    await sleep(10)
                except CancelledError:
                    log("told")
            await sleep(10)
            log("ended")

        async def holder() -> None:
            async with scope() as s:
                s.spawn(stubborn())

        task = spawn(holder())
        await sleep(1)
        task.cancel()
        await sleep(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        log("after")
        return log

    assert run(main()) == [(1, "told"), (2, "told"), (12, "ended"), (12, "after")]


# ---- a scope cancels each child once ----


def test_one_failure_cancels_each_sibling_once(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def busy() -> None:
            try:
                while True:
                    await yield_now()
            finally:
                await sleep(5)
                log("cleaned up")

        async def block() -> None:
            async with scope() as s:
                s.spawn(busy())
                s.spawn(fails(0))
                await sleep(100)

        await group_of(block())
        return log

    assert run(main()) == [(5, "cleaned up")]


def test_a_second_failure_does_not_disturb_the_clean_up_of_the_others(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def fails_in_clean_up() -> None:
            try:
                await sleep(100)
            finally:
                await fails(1, "second")

        async def block() -> None:
            async with scope() as s:
                s.spawn(child(log, "careful", clean_up=5))
                s.spawn(fails_in_clean_up())
                s.spawn(fails(1, "first"))

        group = await group_of(block())
        assert messages(group) == ["first", "second"]
        return log

    assert run(main()) == [(6, "careful cancelled")]


# ---- spawn ----


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_scope_that_is_not_open_takes_no_child(run: Run, when: str) -> None:
    async def main() -> None:
        s = scope()
        if when == "after":
            async with s:
                pass
        # Closed by the refusal: a coroutine that nobody awaits would warn, and warnings
        # are errors here.
        with pytest.raises(RuntimeError, match="not open"):
            s.spawn(fails(0))

    run(main())


def test_a_child_may_spawn_siblings(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def grow(s: Scope, n: int) -> None:
            await sleep(1)
            log(n)
            if n:
                s.spawn(grow(s, n - 1))

        async with scope() as s:
            s.spawn(grow(s, 3))
        log("after")
        return log

    assert run(main()) == [(1, 3), (2, 2), (3, 1), (4, 0), (4, "after")]


@pytest.mark.parametrize("why", ["cancel in the body", "failure", "failure after the body"])
def test_what_is_spawned_into_a_cancelled_scope_is_cancelled(run: Run, why: str) -> None:
    async def main() -> Log:
        log = Log()

        async def spawns_in_clean_up(s: Scope) -> None:
            try:
                await sleep(100)
            finally:
                s.spawn(child(log, "late"))

        try:
            async with scope() as s:
                s.spawn(spawns_in_clean_up(s))
                if why == "cancel in the body":
                    await sleep(1)
                    s.cancel()
                    await sleep(100)
                s.spawn(fails(1))
                if why == "failure":
                    await sleep(100)
        except ExceptionGroup:
            pass
        log("after")
        return log

    log = run(main())
    assert log[-1] == (1, "after"), "the scope ends in the moment in which it is cancelled"
    assert (100, "late ended") not in log


# ---- scopes in scopes ----


def test_a_cancel_travels_through_nested_scopes_from_the_inside_out(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def holder() -> None:
            async with scope() as outer:
                outer.spawn(child(log, "outer child", clean_up=5))
                async with scope() as inner:
                    inner.spawn(child(log, "inner child", clean_up=1))
                log("not reached")

        task = spawn(holder())
        await sleep(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        log("after")
        return log

    # The outer scope learns of the cancel when the inner one has ended.
    assert run(main()) == [(2, "inner child cancelled"), (7, "outer child cancelled"), (7, "after")]


def test_cancelling_the_outer_scope_ends_the_inner_block_and_no_more(run: Run) -> None:
    async def main() -> Log:
        log = Log()
        async with scope() as outer:
            current_executor().timers.add(1, outer.cancel)
            async with scope() as inner:
                inner.spawn(child(log, "inner child"))
                await sleep(100)
            log("not reached")
        log("after outer")
        return log

    assert run(main()) == [(1, "inner child cancelled"), (1, "after outer")]


def test_cancelling_the_inner_scope_leaves_the_outer_one_running(run: Run) -> None:
    async def main() -> Log:
        log = Log()
        async with scope() as outer:
            outer.spawn(child(log, "outer child"))
            async with scope() as inner:
                inner.spawn(child(log, "inner child"))
                current_executor().timers.add(1, inner.cancel)
            log("after inner")
        return log

    assert run(main()) == [
        (1, "inner child cancelled"),
        (1, "after inner"),
        (100, "outer child ended"),
    ]


def test_a_group_of_the_inner_scope_is_an_error_of_the_outer(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def block() -> None:
            async with scope() as outer:
                outer.spawn(child(log, "outer child"))
                async with scope() as inner:
                    inner.spawn(fails(1))

        group = await group_of(block())
        (inner_group,) = group.exceptions
        assert isinstance(inner_group, ExceptionGroup)
        assert messages(inner_group) == ["mine"]
        return log

    assert run(main()) == [(1, "outer child cancelled")]


def test_a_timeout_inside_a_scope_is_an_error_of_its_body(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def block() -> None:
            async with scope() as s:
                s.spawn(child(log, "child"))
                with timeout(1):
                    await sleep(100)

        group = await group_of(block())
        assert [type(error) for error in group.exceptions] == [TimeoutError]
        return log

    assert run(main()) == [(1, "child cancelled")]


def test_a_cancel_and_a_failure_in_one_turn_do_not_hide_the_failure(run: Run) -> None:
    async def main() -> list[str]:
        async def holder() -> None:
            async with scope() as s:
                s.spawn(fails(5))
                await sleep(100)

        task = spawn(holder())
        await yield_now()
        current_executor().timers.add(5, lambda: call_soon(task.cancel))
        with pytest.raises((ExceptionGroup, CancelledError)) as caught:
            await task
        return [type(caught.value).__name__]

    assert run(main()) == ["ExceptionGroup"]


def test_scopes_in_coroutines_side_by_side_are_apart(run: Run) -> None:
    async def main() -> Log:
        log = Log()

        async def left() -> None:
            async with scope() as s:
                s.spawn(child(log, "left child"))
                await sleep(1)
                s.cancel()
                await sleep(100)
            log("left")

        async def right() -> None:
            async with scope() as s:
                s.spawn(sleep_then_log(3))
                await sleep(2)
            log("right")

        async def sleep_then_log(seconds: float) -> None:
            await sleep(seconds)
            log("right child ended")

        await join(left(), right())
        return log

    assert run(main()) == [
        (1, "left child cancelled"),
        (1, "left"),
        (3, "right child ended"),
        (3, "right"),
    ]


@pytest.mark.parametrize("children", [0, 1])
def test_a_block_that_is_closed_with_its_coroutine_cancels_its_children(
    run: Run, children: int
) -> None:
    """The loser of a race is closed: there is no waiting then, and no error to collect."""

    async def main() -> Log:
        log = Log()

        async def loser() -> None:
            async with scope() as s:
                for _ in range(children):
                    s.spawn(child(log, "child"))
                await sleep(50)

        await race(loser(), sleep(1))
        log("won")
        await sleep(200)
        return log

    assert sorted(run(main())) == [*[(1, "child cancelled")] * children, (1, "won")]


def test_a_scope_that_is_over_may_be_cancelled_and_nothing_happens(run: Run) -> None:
    async def main() -> float:
        async with scope() as s:
            await sleep(1)
        s.cancel()
        await sleep(5)
        return current_executor().now()

    assert run(main()) == 6


@pytest.mark.parametrize("waits", ["in the body", "at its end"])
@pytest.mark.parametrize("closed", [False, True])
def test_errors_of_a_scope_whose_coroutine_was_dropped_are_reported(
    run: Run, caplog: pytest.LogCaptureFixture, closed: bool, waits: str
) -> None:
    """Cancelled, as what is dropped is, or closed, where nobody can wait for a clean-up."""

    async def fails(seconds: float, name: str) -> None:
        try:
            await sleep(seconds)
        finally:
            raise KeyError(name)

    async def holds() -> None:
        async with scope() as s:
            s.spawn(fails(10, "while it was cancelled"))
            if waits == "in the body":
                s.spawn(fails(1, "before"))
                try:
                    await sleep(10)
                except CancelledError:
                    await sleep(10)  # the scope has the first error, and never raises it

    async def main() -> float:
        executor = current_executor()
        children = len(executor.tasks)
        waiting = CoroutineFuture(holds())
        await select(waiting, sleep(2))
        executor.ending = closed
        drop(waiting)
        executor.ending = False
        await sleep(1)
        gc.collect()
        assert len(executor.tasks) == children, "every child has ended"
        return executor.now()

    with caplog.at_level(logging.ERROR):
        try:
            assert run(main()) == 3
            raised = []
        except BaseExceptionGroup as group:
            # It had ended by the drop already, which then says so itself.
            raised = messages(group)
    told = [record.exc_info[1] for record in caplog.records if record.exc_info]
    for error in told:
        raised += messages(error) if isinstance(error, BaseExceptionGroup) else [str(error)]
    expected = ["'while it was cancelled'"]
    assert sorted(raised) == (["'before'", *expected] if waits == "in the body" else expected)


# ---- start ----


async def serves(started: Callable[[int], None], port: int = 80) -> None:
    await sleep(1)
    started(port)
    await sleep(2)


def test_start_waits_until_the_child_says_that_it_has_started(run: Run) -> None:
    async def main() -> Log:
        log = Log()
        async with scope() as s:
            log(await s.start(serves))
            log(await s.start(partial(serves, port=81)))
        log("after")
        return log

    assert run(main()) == [(1, 80), (2, 81), (4, "after")]


@pytest.mark.parametrize("ends", ["fails", "returns", "is cancelled"])
def test_what_ends_a_child_before_it_has_started_is_raised_by_start_alone(
    run: Run, ends: str
) -> None:
    async def ended(started: Callable[[int], None]) -> None:
        await sleep(1)
        if ends == "fails":
            raise KeyError("before")
        if ends == "is cancelled":
            raise CancelledError

    errors: dict[str, tuple[type[BaseException], str]] = {
        "fails": (KeyError, "before"),
        "returns": (RuntimeError, "ended returned and had not called started"),
        "is cancelled": (CancelledError, "^$"),
    }
    kind, text = errors[ends]

    async def main() -> Log:
        log = Log()
        async with scope() as s:
            s.spawn(child(log, "sibling"))
            with pytest.raises(kind, match=text):
                await s.start(ended)
            log("goes on")
            await sleep(200)
        return log

    assert run(main()) == [(1, "goes on"), (100, "sibling ended")]


def test_what_a_child_raises_after_it_has_started_fails_the_scope(run: Run) -> None:
    async def fails_later(started: Callable[[str], None], after: float) -> None:
        started("running")
        await sleep(after)
        raise ValueError("later")

    async def block(after: float) -> None:
        async with scope() as s:
            assert await s.start(partial(fails_later, after=after)) == "running"
            await sleep(50)

    async def main() -> list[str]:
        return messages(await group_of(block(1))) + messages(await group_of(block(0)))

    assert run(main()) == ["later", "later"]


def test_a_start_that_is_cancelled_cancels_the_child_and_loses_no_error(run: Run) -> None:
    async def slow(started: Callable[[int], None]) -> None:
        try:
            await sleep(50)
        finally:
            raise KeyError("in clean-up")

    async def block() -> None:
        async with scope() as s:
            with pytest.raises(TimeoutError), timeout(1):
                await s.start(slow)
            await sleep(100)

    async def main() -> tuple[list[str], float]:
        return messages(await group_of(block())), current_executor().now()

    assert run(main()) == (["'in clean-up'"], 1)


def test_a_child_starts_once(run: Run) -> None:
    async def twice(started: Callable[[None], None]) -> None:
        started(None)
        with pytest.raises(RuntimeError, match="has called started"):
            started(None)

    async def main() -> None:
        async with scope() as s:
            await s.start(twice)

    run(main())


def test_a_scope_that_is_not_open_starts_nothing(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="not open"):
            await scope().start(serves)

    run(main())


def test_an_error_that_comes_after_the_coroutine_was_closed_is_reported_too(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> None:
        try:
            await sleep(10)
        finally:
            raise KeyError("in its clean-up")

    async def holds() -> None:
        async with scope() as s:
            s.spawn(fails())
            await sleep(10)

    async def main() -> None:
        await race(holds(), sleep(2))
        await sleep(1)
        gc.collect()

    with caplog.at_level(logging.ERROR, logger="pinfut.executor"):
        run(main())
    [told] = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert isinstance(told, BaseExceptionGroup)
    assert messages(told) == ["'in its clean-up'"]


def test_a_scope_in_a_generator_that_is_closed_is_no_block_of_its_task_any_more(run: Run) -> None:
    async def generate() -> AsyncGenerator[int]:
        async with scope() as s:
            s.spawn(sleep_long())
            yield 1

    async def sleep_long() -> None:
        await sleep(10)

    async def main() -> float:
        numbers = generate()
        assert await anext(numbers) == 1
        assert current_task().block is not None
        await numbers.aclose()
        assert current_task().block is None
        await sleep(1)
        return current_executor().now()

    assert run(main()) == 1


def test_a_scope_that_was_cancelled_before_it_began_interrupts_nobody(run: Run) -> None:
    async def main() -> float:
        s = scope()
        s.cancel()
        async with s:
            await sleep(1)
        return current_executor().now()

    assert run(main()) == 1


class Alike(Exception):
    """Equal to every other of its kind."""

    def __eq__(self, other: object) -> bool:
        return type(other) is Alike

    __hash__ = Exception.__hash__


class Odd(Exception):
    """Cannot be compared."""

    def __eq__(self, other: object) -> bool:
        raise LookupError("no comparing")

    __hash__ = Exception.__hash__


@pytest.mark.parametrize("kind", [Alike, Odd])
def test_errors_are_told_apart_by_what_they_are_and_not_by_what_they_equal(
    run: Run, kind: type[Exception]
) -> None:
    async def raises() -> None:
        raise kind("child")

    async def main() -> None:
        async with scope() as s:
            s.spawn(raises())
            try:
                await sleep(5)
            finally:
                raise kind("body")

    with pytest.raises(ExceptionGroup) as raised:
        run(main())
    assert [str(error) for error in raised.value.exceptions] == ["child", "body"]
