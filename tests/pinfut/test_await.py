"""The bridge into await: the leaf is polled, the frames above it are not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from typing import Any

import pytest

from pinfut import CoroutineFuture, FutureBase, join, ready
from pinfut.executor import CancelledError, Executor, Recorder, VirtualClock, sleep, spawn
from tests.executor.world import Run
from tests.pinfut.hand import Again, Gate


async def nested(depth: int, leaf: FutureBase[Any]) -> Any:
    if depth == 0:
        return await leaf
    return await nested(depth - 1, leaf)


@pytest.mark.parametrize("checked", [False, True])
def test_polls_and_resumes_are_the_same_at_any_depth(checked: bool) -> None:
    seen = set()
    for depth in (1, 10, 100):
        recorder = Recorder()
        leaf = Again(5)
        executor = Executor(clock=VirtualClock(), checked=checked, instruments=[recorder])
        assert executor.run(nested(depth, leaf)) == 6
        seen.add((leaf.polls, recorder.counts["poll"], recorder.counts["resume"]))
    # Resumed for its start and for its value.
    assert seen == {(6, 6, 2)}


def test_no_frame_between_the_task_and_the_leaf_runs_while_it_is_polled(run: Run) -> None:
    """A waiting chain is not touched: polling looks at no frame but the leaf's."""
    entered: list[str] = []

    class Leaf(Again):
        def poll(self, cx: Any, /) -> Any:
            frame = sys._getframe(1)
            names = []
            while frame.f_back is not None:
                names.append(frame.f_code.co_name)
                frame = frame.f_back
            entered.extend(name for name in names if name == "nested")
            return super().poll(cx)

    assert run(nested(20, Leaf(3))) == 4
    assert entered == []


@pytest.mark.parametrize("depth", [0, 1, 50])
def test_an_error_of_the_leaf_is_raised_at_the_await(run: Run, depth: int) -> None:
    async def main() -> str:
        gate: Gate[int] = Gate()

        async def opener() -> None:
            gate.open(KeyError("the leaf's"))

        spawn(opener())
        try:
            await nested(depth, gate)
        except KeyError as error:
            return str(error)
        return "nothing raised"

    assert run(main()) == repr("the leaf's")


@pytest.mark.parametrize("depth", [0, 1, 50])
def test_a_cancel_drops_the_leaf_and_is_raised_at_the_await(run: Run, depth: int) -> None:
    gate: Gate[int] = Gate()
    seen = []

    async def waiter() -> None:
        try:
            await nested(depth, gate)
        except CancelledError:
            seen.append(gate.drops)
            raise

    async def main() -> None:
        task = spawn(waiter())
        await sleep(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task

    run(main())
    assert seen == [1], "dropped before the error is raised"


def test_awaiting_what_belongs_to_asyncio_is_refused_with_the_reason(run: Run) -> None:
    async def main() -> str:
        loop = asyncio.new_event_loop()
        try:
            with pytest.raises(TypeError, match=r"which is not a pinfut future .*their own loop"):
                await loop.create_future()
        finally:
            loop.close()
        with pytest.raises(TypeError, match="awaited None"):
            await asyncio.sleep(0)
        return "goes on"

    assert run(main()) == "goes on"


def test_the_refusal_reaches_a_coroutine_inside_a_combinator(run: Run) -> None:
    async def child() -> str:
        with pytest.raises(TypeError, match="not a pinfut future"):
            await asyncio.sleep(0)
        return "goes on"

    async def main() -> tuple[str]:
        return await join(child())

    assert run(main()) == ("goes on",)


def test_an_attribute_error_of_a_poll_is_not_mistaken_for_a_missing_poll(run: Run) -> None:
    async def main() -> None:
        gate: Gate[int] = Gate()
        gate.open(AttributeError("my own"))
        with pytest.raises(AttributeError, match="my own"):
            await gate

    run(main())


def test_anything_with_await_goes_into_a_combinator(run: Run) -> None:
    class Custom:
        def __await__(self) -> Generator[Any, Any, int]:
            value = yield from Again(2).__await__()
            return value * 10

    async def coroutine() -> int:
        return await Again(1)

    async def main() -> tuple[int, int, int]:
        return await join(Custom(), coroutine(), ready(5))

    assert run(main()) == (30, 2, 5)


def test_what_cannot_be_awaited_is_refused_by_a_combinator() -> None:
    async def function() -> None: ...

    with pytest.raises(TypeError, match="did you forget to call"):
        join(function)  # type: ignore[call-overload]


def test_a_dropped_coroutine_future_drops_its_leaf_and_runs_its_finally(run: Run) -> None:
    gate: Gate[int] = Gate()
    log = []

    async def child() -> None:
        try:
            await gate
        finally:
            log.append(gate.drops)

    async def main() -> None:
        future = CoroutineFuture(child())
        task = spawn(wait(future))
        await sleep(1)
        task.cancel()
        await sleep(1)

    async def wait(future: CoroutineFuture[None]) -> None:
        await future

    run(main())
    assert log == [1]
