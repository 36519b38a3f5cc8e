"""map, then, join, select and timeout once more, as unboxed coroutines (see test_combinators)."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from typing import Any, final

from pinfut import PENDING, Context, Future, Poll, Selected, Waker, pin, poll_fn
from pinfut.executor import sleep
from pinfut.future import FutureBase, drop
from pinfut.unboxed import unboxed


@final
class Bell:
    """The waker of one child."""

    def __init__(self, bells: Bells, index: int) -> None:
        self.bells = bells
        self.index = index

    def wake(self) -> None:
        self.bells.rung[self.index] = None
        self.bells.wake()


@final
class Bells:
    """Children that are polled when they were woken, and then alone."""

    def __init__(self, *children: Future[Any]) -> None:
        # Invariant: None where a child has ended.
        self.children: list[Future[Any] | None] = list(children)
        self.rung: dict[int, None] = dict.fromkeys(range(len(children)))
        self.waker: Waker | None = None
        # A round has just ended: who woke himself in it waits for the next poll.
        self.ended = False

    def wake(self) -> None:
        waker, self.waker = self.waker, None
        if waker is not None:
            waker.wake()

    def round(self, first: bool = False) -> FutureBase[list[tuple[int, Any, BaseException | None]]]:
        """Those that end in one round, with what they gave or raised; with `first`, the one."""

        def poll(cx: Context) -> Poll[list[tuple[int, Any, BaseException | None]]]:
            self.waker = None
            if not self.ended:
                found = self.polled(cx, first)
                if found:
                    self.ended = True
                    return found
            self.ended = False
            self.waker = cx.waker
            if self.rung:
                self.wake()
            return PENDING

        return poll_fn(poll)

    def polled(self, cx: Context, first: bool) -> list[tuple[int, Any, BaseException | None]]:
        found: list[tuple[int, Any, BaseException | None]] = []
        rung, self.rung = self.rung, {}
        for index in rung:
            child = self.children[index]
            if child is None:
                continue
            error: BaseException | None = None
            value: Any = None
            try:
                value = cx.derive(Bell(self, index)).poll(child)
            except BaseException as raised:
                error = raised
            if value is not PENDING:
                self.children[index] = None
                found.append((index, value, error))
                if first:
                    break
        return found


@unboxed
async def map_(future: FutureBase[Any], fn: Callable[[Any], Any]) -> Any:
    return fn(await future)


@unboxed
async def then(future: FutureBase[Any], fn: Callable[[Any], FutureBase[Any]]) -> Any:
    second = fn(await future)
    return await second


@unboxed
async def join_two(a: Future[Any], b: Future[Any]) -> tuple[Any, Any]:
    bells = Bells(a, b)
    values: list[Any] = [None, None]
    errors: list[BaseException] = []
    left = 2
    while left:
        for index, value, error in await bells.round():
            left -= 1
            values[index] = value
            if error is not None:
                errors.append(error)
    if errors:
        failures = [error for error in errors if not isinstance(error, CancelledError)]
        if not failures:
            raise errors[0]
        raise BaseExceptionGroup("errors in a join", failures)
    return values[0], values[1]


@unboxed
async def select_two(a: Future[Any], b: Future[Any]) -> Selected[Any]:
    bells = Bells(a, b)
    [(winner, value, error)] = await bells.round(first=True)
    if error is not None:
        raise error
    return Selected(
        winner, value, tuple(pin(loser) for loser in bells.children if loser is not None)
    )


@unboxed
async def timed(seconds: float, future: FutureBase[Any]) -> Any:
    timer = sleep(seconds)

    def step(cx: Context) -> Poll[tuple[Any, ...]]:
        value = cx.poll(future)
        if value is not PENDING:
            return (value,)
        return PENDING if cx.poll(timer) is PENDING else ()

    found: tuple[Any, ...] = ()
    try:
        found = await poll_fn(step)
    finally:
        drop(timer)
    if found:
        return found[0]
    drop(future)
    raise TimeoutError(seconds)
