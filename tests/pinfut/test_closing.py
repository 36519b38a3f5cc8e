"""Whoever closes several things closes all of them, also when some fail."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest

from pinfut import (
    Context,
    FutureBase,
    FuturesOrdered,
    FuturesUnordered,
    Pending,
    StreamBase,
    buffer_unordered,
    buffered,
    drop,
    from_async_generator,
    join,
    merge,
    race,
    ready,
    try_join,
)
from pinfut.closing import close_each
from pinfut.executor import CancelledError, sleep, spawn, timeout
from pinfut.executor.io import PIPE, open_process
from tests.executor.world import Run
from tests.pinfut.hand import Gate


class Refused(FutureBase[int]):
    """Cannot be dropped, and says so."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def poll(self, cx: Context, /) -> Pending:
        raise AssertionError("never polled here")

    def drop(self) -> None:
        raise self.error


def refuses(error: BaseException) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


def test_the_first_error_is_raised_as_it_is_and_the_rest_stands_in_its_notes() -> None:
    closed: list[int] = []
    with pytest.raises(KeyError) as caught:
        close_each(
            [
                lambda: closed.append(1),
                refuses(KeyError("a")),
                lambda: closed.append(2),
                refuses(OSError("b")),
                lambda: closed.append(3),
            ]
        )
    assert closed == [1, 2, 3]
    assert caught.value.__notes__ == ["closing the others: OSError: b"]


def test_ctrl_c_goes_before_other_errors() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        close_each([refuses(KeyError("a")), refuses(KeyboardInterrupt())])
    assert caught.value.__notes__ == ["closing the others: KeyError: 'a'"]
    close_each([])


MADE_OF_TWO: dict[str, Callable[[StreamBase[int], StreamBase[int]], StreamBase[Any]]] = {
    "merge": merge,
    "zip": lambda a, b: a.zip(b),
    "merge in zip": lambda a, b: merge(a, b).zip(merge(a, b)),
    "zip in chunks": lambda a, b: a.zip(b).chunks(2),
    "buffered": lambda a, b: buffered(merge(a, b).map(ready), 4),
}


@pytest.mark.parametrize("made", MADE_OF_TWO)
@pytest.mark.parametrize("failing", ["a", "b", "ab"])
def test_a_stream_that_is_left_closes_each_that_it_is_made_of(
    run: Run, made: str, failing: str
) -> None:
    closed: list[str] = []

    async def numbers(name: str) -> AsyncGenerator[int, None]:
        try:
            for number in range(100):
                yield number
                await sleep(1)
        finally:
            await sleep(2 if name == "a" else 1)
            closed.append(name)
            if name in failing:
                raise KeyError(name)

    async def main() -> None:
        a, b = (from_async_generator(numbers(name)) for name in "ab")
        stream = MADE_OF_TWO[made](a, b)
        await stream.next()
        await stream.next()
        with pytest.raises(KeyError) as caught:
            await stream.aclose()
        first = caught.value
        assert first.args == ("b" if "b" in failing else "a",)
        notes = ["closing the others: KeyError: 'a'"] if failing == "ab" else []
        assert getattr(first, "__notes__", []) == notes

    run(main())
    assert closed == ["b", "a"]


@pytest.mark.parametrize("made", MADE_OF_TWO)
def test_a_close_that_is_cancelled_drops_what_is_not_closed_yet(run: Run, made: str) -> None:
    left: list[str] = []

    async def numbers(name: str) -> AsyncGenerator[int, None]:
        try:
            for number in range(100):
                yield number
        finally:
            try:
                await sleep(10)
            finally:
                left.append(name)

    async def leaves() -> None:
        a, b = (from_async_generator(numbers(name)) for name in "ab")
        async with MADE_OF_TWO[made](a, b) as stream:
            await stream.next()
            await stream.next()

    async def main() -> None:
        task = spawn(leaves())
        await sleep(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        assert sorted(left) == ["a", "b"]

    run(main())


@pytest.mark.parametrize("buffer", [buffered, buffer_unordered])
def test_what_is_in_flight_cannot_keep_the_source_of_a_buffer_open(run: Run, buffer: Any) -> None:
    left: list[str] = []

    async def futures() -> AsyncGenerator[FutureBase[int], None]:
        try:
            yield ready(1)
            yield Sticks("a")
            yield Sticks("b")
        finally:
            left.append("source")

    class Sticks(Gate[int]):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def drop(self) -> None:
            left.append(self.name)
            raise KeyError(self.name)

    async def main(close: Callable[[StreamBase[int]], Coroutine[Any, Any, None]]) -> None:
        left.clear()
        stream = buffer(from_async_generator(futures()), 2)
        assert await stream.next() == 1
        assert await timeout(1, race(stream.next(), sleep(0.5))) is None
        with pytest.raises(KeyError):
            await close(stream)
        assert left == ["a", "b", "source"]

    async def close(stream: StreamBase[int]) -> None:
        await stream.aclose()

    async def throw_away(stream: StreamBase[int]) -> None:
        stream.drop()

    run(main(close))
    run(main(throw_away))


OF_THREE: dict[str, Callable[[FutureBase[int], FutureBase[int], FutureBase[int]], object]] = {
    "join": join,
    "try_join": try_join,
    "race": race,
    "unordered": lambda *futures: full(FuturesUnordered(3), futures),
    "ordered": lambda *futures: full(FuturesOrdered(3), futures),
}


def full(stream: Any, futures: tuple[FutureBase[int], ...]) -> Any:
    for future in futures:
        stream.push(future)
    return stream


@pytest.mark.parametrize("made", OF_THREE)
def test_a_future_that_cannot_be_dropped_does_not_keep_its_siblings(made: str) -> None:
    last: Gate[int] = Gate()
    whole = OF_THREE[made](Refused(KeyError("a")), Refused(OSError("b")), last)
    with pytest.raises(KeyError) as caught:
        drop(whole)
    assert last.drops == 1
    assert caught.value.__notes__ == ["closing the others: OSError: b"]


def test_a_collect_that_finds_too_much_waits_for_the_clean_up(run: Run) -> None:
    story: list[str] = []

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
        finally:
            await sleep(1)
            story.append("clean")

    async def main() -> None:
        with pytest.raises(RuntimeError, match="more than the 2 items"):
            await from_async_generator(numbers()).collect(2)
        assert story == ["clean"]

    run(main())


def test_a_pipe_that_cannot_be_closed_leaves_no_other_end_of_the_process_open(run: Run) -> None:
    async def main() -> None:
        process = open_process([sys.executable, "-c", ""], stdin=PIPE, stdout=PIPE, stderr=PIPE)
        stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        with pytest.raises(OSError, match="Bad file descriptor"):
            async with process:
                os.close(stdout.fileno())
        assert stderr.fileno() == stdin.fileno() == -1
        assert process.returncode == 0

    run(main())
