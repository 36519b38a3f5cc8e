"""Async fixtures: made and ended inside the test's own executor.

pytest sets fixtures up before it calls the test. An async one is then only noted, and the
test is given its value when the executor runs; it ends after the test, in reverse order."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, final


@final
class AsyncFixture:
    """Stands in for the value of an async fixture until the executor runs."""

    def __init__(self, name: str, make: Callable[..., Any], kwargs: dict[str, Any]) -> None:
        self.name = name
        self._make = make
        self._kwargs = kwargs
        # Invariant: empty until it is set up, then its value and nothing else.
        self._value: list[Any] = []

    async def value(self, stack: AsyncExitStack) -> Any:
        """The fixture's value; set up at the first call, and what ends it put on `stack`."""
        if not self._value:
            made: Any = self._make(**await _values(self._kwargs, stack))
            if isinstance(made, Awaitable):
                self._value.append(await made)
            else:
                self._value.append(await anext(made))
                stack.push_async_callback(self._end, made)
        return self._value[0]

    async def _end(self, generator: AsyncIterator[Any]) -> None:
        async for _ in generator:
            raise RuntimeError(f"the fixture {self.name!r} yields a second time; it may once")


def is_async(function: object) -> bool:
    """Whether a fixture function is ``async def``, with or without ``yield``."""
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


async def call(test: Callable[..., Any], kwargs: dict[str, Any], others: list[Any]) -> None:
    """Run an async test with its fixtures. `others`: those that it does not name."""
    async with AsyncExitStack() as stack:
        for one in (*others, *kwargs.values()):
            if isinstance(one, AsyncFixture):
                await one.value(stack)
        await test(**await _values(kwargs, stack))


async def _values(kwargs: dict[str, Any], stack: AsyncExitStack) -> dict[str, Any]:
    return {
        name: await one.value(stack) if isinstance(one, AsyncFixture) else one
        for name, one in kwargs.items()
    }
