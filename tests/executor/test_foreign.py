"""Coroutines that something else has made: generators, compiled ones, classes by hand."""

from __future__ import annotations

import gc
import types
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any

import pytest

from pinfut import join
from pinfut.executor import CancelledError, Executor, current_executor, scope, sleep, spawn
from tests.executor.world import Run


async def native(log: list[str], fails: bool) -> str:
    try:
        await sleep(1)
        if fails:
            raise KeyError("mine")
        return f"slept until {current_executor().now()}"
    except CancelledError:
        log.append("cancelled")
        raise
    finally:
        log.append("left")


@types.coroutine
def generator(log: list[str], fails: bool) -> Generator[Any, Any, str]:
    return (yield from native(log, fails).__await__())


class Delegating(Coroutine[Any, Any, str]):
    """What a compiler makes of an async function: an object with the four methods."""

    def __init__(self, log: list[str], fails: bool) -> None:
        self.coro = native(log, fails)

    def send(self, value: Any, /) -> Any:
        return self.coro.send(value)

    def throw(self, *args: Any) -> Any:
        return self.coro.throw(args[-1])

    def close(self) -> None:
        self.coro.close()

    def __await__(self) -> Generator[Any, Any, str]:
        return self.coro.__await__()


class Stepwise(Delegating):
    """Its own iterator, with no coroutine of the interpreter's in sight."""

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return self.send(None)


class Compiled:
    """As `Delegating`, but known by its methods alone."""

    __qualname__ = "compiled.work"

    def __init__(self, log: list[str], fails: bool) -> None:
        coro = native(log, fails)
        self._coro = coro

    def __await__(self) -> Generator[Any, Any, str]:
        return self._coro.__await__()

    def send(self, value: Any, /) -> Any:
        return self._coro.send(value)

    def throw(self, *args: Any) -> Any:
        return self._coro.throw(args[-1])

    def close(self) -> None:
        self._coro.close()


KINDS: list[Any] = [generator, Delegating, Stepwise, Compiled]


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_coroutine_runs_as_a_task_and_as_main(run: Run, kind: Any) -> None:
    log: list[str] = []

    async def main() -> object:
        async with scope() as s:
            child = s.spawn(kind(log, False))
            low = s.spawn(kind(log, False), priority="low")
        return await spawn(kind(log, False)), child.result(), low.result()

    assert run(main()) == ("slept until 2.0", "slept until 1.0", "slept until 1.0")
    assert run(kind(log, False)) == "slept until 3.0"
    assert log == ["left"] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_coroutine_fails_and_is_cancelled_as_any_other(run: Run, kind: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        with pytest.raises(KeyError, match="mine"):
            await spawn(kind(log, True))
        task = spawn(kind(log, False))
        await sleep(0.5)
        task.cancel()
        with pytest.raises(CancelledError):
            await task

    run(main())
    assert log == ["left", "cancelled", "left"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_coroutine_is_polled_in_place_too(run: Run, kind: Any) -> None:
    async def main() -> object:
        return await join(kind([], False), sleep(5))

    assert run(main()) == ("slept until 1.0", None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_of_a_foreign_coroutine_is_named_after_it(run: Run, kind: Any) -> None:
    async def main() -> list[str]:
        tasks = [spawn(kind([], False)), spawn(kind([], False), name="mine")]
        names = [task.name for task in tasks]
        await join(*tasks)
        return names

    name = {generator: "generator", Compiled: "compiled.work"}.get(kind, kind.__qualname__)
    assert run(main()) == [name, "mine"]


def plain() -> Generator[int, None, None]:
    yield 1


async def several() -> AsyncGenerator[int, None]:
    yield 1


@pytest.mark.parametrize("thing", [plain, several, lambda: sleep(1), lambda: 1, lambda: native])
def test_what_is_no_coroutine_is_refused_at_once(run: Run, thing: Any) -> None:
    async def main() -> int:
        with pytest.raises(TypeError, match=r"spawn\(f\(\)\)"):
            spawn(thing())
        return len(current_executor().tasks)

    assert run(main()) == 1


def test_main_that_is_no_coroutine_is_refused_and_the_executor_is_usable(
    executor: Executor,
) -> None:
    with pytest.raises(TypeError, match="call the async function"):
        executor.run(plain())  # type: ignore[arg-type]
    assert executor.run(native([], False)) == "slept until 1.0"
    gc.collect()
