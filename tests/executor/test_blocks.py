"""Blocks as one chain: which interrupt is whose, and what happens when they are left in disorder.

Each kind of block in each kind of trouble, so that no pair of them is anybody's special case.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from pinfut import PENDING, Context, CoroutineFuture, Poll, join, poll_fn, race
from pinfut.executor import (
    CancelledError,
    current_executor,
    current_task,
    scope,
    shield,
    sleep,
    spawn,
    timeout,
    timeout_at,
)
from tests.executor.world import Run


def now() -> float:
    return current_executor().now()


# ---- an interrupt that was delivered is delivered: what is opened later is its own ----


async def times_out() -> None:
    with pytest.raises(TimeoutError), timeout(1):
        await sleep(9)


async def times_out_in_place() -> None:
    with pytest.raises(TimeoutError):
        await timeout(1, times_out_never())


async def times_out_never() -> None:
    await sleep(9)


async def cancels_its_scope() -> None:
    async with scope() as s:
        s.spawn(sleeps(9))
        current_executor().timers.add(now() + 1, s.cancel)
        await sleep(9)


async def sleeps(seconds: float) -> None:
    await sleep(seconds)


async def cancels_a_scope_that_waits() -> None:
    async with scope() as s:
        s.spawn(sleeps(9))
        current_executor().timers.add(now() + 1, s.cancel)


INNER = [times_out, times_out_in_place, cancels_its_scope, cancels_a_scope_that_waits]


async def waits_and_cleans_up(clean_up: Callable[[], Awaitable[None]]) -> None:
    try:
        await sleep(9)
    finally:
        await clean_up()


async def under_a_timeout(clean_up: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(TimeoutError, match="after 2 s"), timeout(2):
        await waits_and_cleans_up(clean_up)


async def under_a_scope(clean_up: Callable[[], Awaitable[None]]) -> None:
    async with scope() as s:
        current_executor().timers.add(2, s.cancel)
        await waits_and_cleans_up(clean_up)


async def under_a_cancel(clean_up: Callable[[], Awaitable[None]]) -> None:
    task = spawn(waits_and_cleans_up(clean_up))
    await sleep(2)
    task.cancel()
    with pytest.raises(CancelledError):
        await task


async def under_a_race(clean_up: Callable[[], Awaitable[None]]) -> None:
    await race(waits_and_cleans_up(clean_up), sleep(2))
    await sleep(1)


@pytest.mark.parametrize("outer", [under_a_timeout, under_a_scope, under_a_cancel, under_a_race])
@pytest.mark.parametrize("inner", INNER)
def test_a_block_of_a_clean_up_is_its_own(
    run: Run,
    outer: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]],
    inner: Callable[[], Awaitable[None]],
) -> None:
    ended: list[float] = []

    async def clean_up() -> None:
        await inner()
        ended.append(now())

    async def main() -> float:
        await outer(clean_up)
        return now()

    assert (run(main()), ended) == (3, [3])


# ---- an interrupt that met a failing clean-up comes again ----


async def fails_in_a_scope() -> None:
    async def child() -> None:
        try:
            await sleep(9)
        finally:
            raise ValueError("of the clean-up")

    try:
        async with scope() as s:
            s.spawn(child())
            await sleep(9)
    except* ValueError:
        pass


async def fails_in_a_scope_that_waits() -> None:
    async def child() -> None:
        try:
            await sleep(9)
        finally:
            raise ValueError("of the clean-up")

    try:
        async with scope() as s:
            s.spawn(child())
    except* ValueError:
        pass


async def fails_in_a_timeout() -> None:
    try:
        with timeout(8):
            try:
                await sleep(9)
            finally:
                raise ValueError("of the clean-up")
    except ValueError:
        pass


FAILS = [fails_in_a_scope, fails_in_a_scope_that_waits, fails_in_a_timeout]


@pytest.mark.parametrize("fails", FAILS)
@pytest.mark.parametrize("outer", ["cancel", "timeout", "scope", "failure", "shield"])
def test_what_a_failing_clean_up_replaced_interrupts_the_next_wait(
    run: Run, fails: Callable[[], Awaitable[None]], outer: str
) -> None:
    log: list[object] = []

    async def body() -> None:
        await fails()
        log.append("handled")
        if outer == "shield":
            with shield():
                await sleep(1)
                log.append("whole")
        try:
            await sleep(5)
            log.append("went on")
        except CancelledError:
            log.append(now())
            raise

    async def sibling() -> None:
        await sleep(2)
        raise KeyError("sibling")

    async def beside_a_failure() -> None:
        async with scope() as s:
            s.spawn(sibling())
            await body()

    async def main() -> None:
        if outer in ("cancel", "shield"):
            task = spawn(body())
            await sleep(2)
            task.cancel()
            with pytest.raises(CancelledError):
                await task
            assert task.cancels == 1
        elif outer == "timeout":
            with pytest.raises(TimeoutError), timeout(2):
                await body()
        elif outer == "scope":
            async with scope() as s:
                current_executor().timers.add(2, s.cancel)
                await body()
        else:
            with pytest.raises(ExceptionGroup) as caught:
                await beside_a_failure()
            assert [type(error) for error in caught.value.exceptions] == [KeyError]

    run(main())
    assert log == (["handled", "whole", 3] if outer == "shield" else ["handled", 2])


def test_an_error_that_leaves_the_task_is_not_followed_by_a_cancel(run: Run) -> None:
    async def main() -> str:
        async def victim() -> None:
            async with scope() as s:
                s.spawn(fails())
                await sleep(9)

        async def fails() -> None:
            try:
                await sleep(9)
            finally:
                raise ValueError

        task = spawn(victim())
        await sleep(1)
        task.cancel()
        with pytest.raises(ExceptionGroup):
            await task
        await sleep(5)
        return "went on"

    assert run(main()) == "went on"


# ---- out of order ----


async def held(block: AbstractContextManager[Any]) -> AsyncGenerator[int, None]:
    with block:
        yield 1
        await sleep(50)
        yield 2


async def held_scope() -> AsyncGenerator[int, None]:
    async with scope() as s:
        s.spawn(sleeps(1))
        yield 1


MAKES = {
    "timeout(2)": lambda: held(timeout(2)),
    "timeout(40)": lambda: held(timeout(40)),
    "shield()": lambda: held(shield()),
    "scope()": held_scope,
}


@pytest.mark.parametrize("inner", list(MAKES))
@pytest.mark.parametrize("outer", ["timeout(30)", "shield()", "scope()"])
def test_a_block_that_outlives_the_one_around_it_is_an_error_of_its_task_alone(
    run: Run, inner: str, outer: str
) -> None:
    async def consumer() -> None:
        generator = MAKES[inner]()
        if outer == "scope()":
            async with scope():
                await anext(generator)
        else:
            with timeout(30) if outer == "timeout(30)" else shield():
                await anext(generator)
        try:
            await sleep(5)
        finally:
            await generator.aclose()

    async def other() -> str:
        await sleep(20)
        with pytest.raises(TimeoutError), timeout(1):
            await sleep(5)
        return "undisturbed"

    async def main() -> str:
        task, another = spawn(consumer()), spawn(other())
        with pytest.raises((RuntimeError, ExceptionGroup)) as caught:
            await task
        error: Any = caught.value
        if isinstance(error, ExceptionGroup):
            (error,) = error.exceptions
        text = str(error)
        assert "out of order" in text
        assert text.index(inner) < text.rindex(outer), "both are named"
        assert text.count("test_blocks.py:") == 2, "and where each was left"
        return await another

    assert run(main()) == "undisturbed"


def test_an_exit_stack_that_is_left_too_early_is_told_of_with_the_lines(run: Run) -> None:
    async def disorder() -> None:
        stack = ExitStack()
        stack.enter_context(timeout(3))
        with timeout(5):
            stack.close()
            await sleep(1)

    async def main() -> float:
        named = r"timeout\(5\), left at .*timeout\(3\), left at"
        with pytest.raises(RuntimeError, match=named) as caught:
            await disorder()
        assert str(caught.value).count("test_blocks.py:") == 2
        with pytest.raises(TimeoutError), timeout(1):
            await sleep(9)
        return now()

    assert run(main()) == 2


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_coroutine_that_ends_inside_of_a_block_fails_and_names_who_holds_it(
    run: Run, waits: bool, in_place: bool
) -> None:
    async def consumer(generator: AsyncGenerator[int, None]) -> int:
        value = await anext(generator)
        if waits:
            await sleep(9)  # interrupted, by a block that is open nowhere
        return value

    async def main() -> float:
        generator = held(timeout(2))
        work = consumer(generator)
        named = r"timeout\(2\), held by .*test_blocks.py:.* in held"
        with pytest.raises(RuntimeError, match=named):
            await (CoroutineFuture(work) if in_place else spawn(work))
        await sleep(5)
        await generator.aclose()
        with pytest.raises(TimeoutError), timeout(1):
            await sleep(9)
        return now()

    assert run(main()) == (8 if waits else 6)


def test_an_error_is_not_replaced_by_that_of_a_block_left_open(run: Run) -> None:
    async def consumer(generator: AsyncGenerator[int, None]) -> None:
        await anext(generator)
        raise KeyError("mine")

    async def main() -> None:
        generator = held(timeout(2))
        with pytest.raises(KeyError, match="mine"):
            await spawn(consumer(generator))
        await generator.aclose()

    run(main())


# ---- an entrance that fails leaves nothing ----


@pytest.mark.parametrize("make", [lambda: timeout(10**400), lambda: timeout_at(10**400)])
def test_a_block_whose_entrance_fails_is_not_open(run: Run, make: Callable[[], Any]) -> None:
    async def main() -> float:
        task = current_task()
        with pytest.raises(OverflowError), make():
            pass
        assert task.block is None
        with pytest.raises(TimeoutError), timeout(1):
            await sleep(5)
        return now()

    assert run(main()) == 1


def test_a_timer_queue_that_fails_leaves_no_block(run: Run) -> None:
    async def main() -> None:
        timers: Any = current_executor().timers
        heap, timers.heap = timers.heap, ()  # nothing can be pushed there
        with pytest.raises(TypeError), timeout(5):
            pass
        timers.heap = heap
        assert current_task().block is None

    run(main())


# ---- timeout(s, coroutine) is the block ----


@pytest.mark.parametrize("how", ["cancel", "outer timeout", "its own", "dropped"])
def test_a_coroutine_with_a_timeout_may_clean_up_whatever_ends_it(run: Run, how: str) -> None:
    log: list[object] = []

    async def work() -> None:
        try:
            with shield():
                await sleep(3)
                log.append("whole")
            await sleep(9)
        except CancelledError:
            await sleep(1)
            log.append(now())
            raise

    async def main() -> None:
        if how == "cancel":
            task = spawn(limited())
            await sleep(2)
            task.cancel()
            with pytest.raises(CancelledError):
                await task
        elif how == "outer timeout":
            with pytest.raises(TimeoutError, match="after 2 s"), timeout(2):
                await timeout(7, work())
        elif how == "its own":
            with pytest.raises(TimeoutError, match="after 2 s"):
                await timeout(2, work())
        else:
            await race(timeout(7, work()), sleep(2))
            await sleep(5)

    async def limited() -> None:
        await timeout(7, work())

    run(main())
    assert log == ["whole", 4]


def test_timeouts_of_coroutines_in_a_combinator_end_each_its_own(run: Run) -> None:
    async def work(seconds: float) -> str:
        try:
            await timeout(seconds, sleeps(9))
        except TimeoutError:
            return f"at {now()}"
        return "never"

    async def main() -> object:
        return await join(work(1), work(2), timeout(7, work(3)))

    assert run(main()) == ("at 1.0", "at 2.0", "at 3.0")


def test_a_coroutine_with_a_timeout_that_is_never_polled_is_closed_by_a_drop(run: Run) -> None:
    async def main() -> None:
        timeout(5, sleeps(1)).drop()
        await race(sleep(0), timeout(5, sleeps(1)))

    run(main())


def test_all_blocks_inside_of_one_that_is_left_too_early_are_told_of(run: Run) -> None:
    async def main() -> int:
        outer, middle, inner = timeout(10), timeout(20), timeout(30)
        for block in (outer, middle, inner):
            block.__enter__()
        outer.__exit__(None, None, None)
        for block, seconds in ((inner, 30), (middle, 20)):
            named = rf"timeout\({seconds}\), left at .*timeout\(10\), left at"
            with pytest.raises(RuntimeError, match=named):
                block.__exit__(None, None, None)
        with timeout(1):
            return 5

    assert run(main()) == 5


def test_a_coroutine_with_a_timeout_that_was_polled_can_be_awaited(run: Run) -> None:
    begun = 0

    async def slow() -> int:
        nonlocal begun
        begun += 1
        await sleep(2)
        return 7

    async def main() -> int:
        future = timeout(10, slow())

        def polls(cx: Context) -> Poll[bool]:
            return cx.poll(future) is PENDING

        assert await poll_fn(polls)
        return await future

    assert run(main()) == 7
    assert begun == 1
