"""both: a few words that mean the same under asyncio and under pinfut, for one program on both."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, final

import pinfut
from pinfut import executor
from pinfut.executor.current import running


def _asyncio() -> bool:
    """Whether asyncio runs this task."""
    return running.executor is None


def sleep(seconds: float) -> Awaitable[Any]:
    """Wait for so many seconds."""
    return asyncio.sleep(seconds) if _asyncio() else executor.sleep(seconds)


def yield_now() -> Awaitable[Any]:
    """Let others run first."""
    return asyncio.sleep(0) if _asyncio() else executor.yield_now()


def event() -> Any:
    """An event with `set` and `wait`: of asyncio or of pinfut."""
    return asyncio.Event() if _asyncio() else pinfut.Event()


@final
class Tasks:
    """``async with Tasks() as tasks: tasks.spawn(work(), name="worker")``: a TaskGroup of asyncio,
    a scope of pinfut."""

    def __init__(self) -> None:
        self._exit = AsyncExitStack()
        self._group: Any = None

    async def __aenter__(self) -> Self:
        opened = asyncio.TaskGroup() if _asyncio() else executor.scope()
        self._group = await self._exit.enter_async_context(opened)
        return self

    def spawn(self, coro: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Start a task."""
        start = self._group.create_task if _asyncio() else self._group.spawn
        start(coro, name=name)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._exit.__aexit__(kind, error, traceback)
