"""The hosts that a guest is tried in, and what each of them counts."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
import trio
import uvloop

from pinfut.executor.current import running

T = TypeVar("T")


@dataclass(frozen=True)
class Held:
    """What a program holds, counted by its host."""

    tasks: int
    timers: int
    descriptors: int
    threads: int


class Host(ABC):
    """What these tests need of a host."""

    name: str
    cancelled: type[BaseException]
    """What a task of the host's gets that is cancelled."""

    @abstractmethod
    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a program on a new loop."""

    @abstractmethod
    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]: ...

    @abstractmethod
    async def cancel_after(
        self,
        turns: int,
        work: Callable[[], Coroutine[Any, Any, object]],
        then: Callable[[], object] = int,
    ) -> BaseException | None:
        """Run `work` in a task, cancel it after some turns of the host's, call ``then()``, and
        wait for its end: its error, or None for a value. The host's own cancel is an error."""

    @abstractmethod
    async def beside(
        self, other: Callable[[], Awaitable[object]], body: Callable[[], Awaitable[T]]
    ) -> T:
        """Run `body` with `other` in another task, and wait for both."""

    @abstractmethod
    def timers(self) -> int:
        """How many timers the running loop has."""

    @abstractmethod
    def tasks(self) -> int:
        """How many tasks the running loop has."""

    def held(self) -> Held:
        gc.collect()
        return Held(
            self.tasks(), self.timers(), len(os.listdir("/proc/self/fd")), threading.active_count()
        )


class OnAsyncio(Host):
    name = "asyncio"
    cancelled = asyncio.CancelledError

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run(main())

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(seconds)

    async def cancel_after(
        self,
        turns: int,
        work: Callable[[], Coroutine[Any, Any, object]],
        then: Callable[[], object] = int,
    ) -> BaseException | None:
        task = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        then()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        return outcome if isinstance(outcome, BaseException) else None

    async def beside(
        self, other: Callable[[], Awaitable[object]], body: Callable[[], Awaitable[T]]
    ) -> T:
        async def runs() -> None:
            await other()

        task = asyncio.create_task(runs())
        value = await body()
        await task
        return value

    def timers(self) -> int:
        loop: Any = asyncio.get_running_loop()
        return sum(not handle.cancelled() for handle in loop._scheduled)

    def tasks(self) -> int:
        return len(asyncio.all_tasks())


class OnUvloop(OnAsyncio):
    name = "uvloop"

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return uvloop.run(main())

    def timers(self) -> int:
        return sum(
            f"{type(one).__module__}.{type(one).__name__}" == "uvloop.loop.TimerHandle"
            and not one.cancelled()
            for one in gc.get_objects()
        )


class OnTrio(Host):
    name = "trio"
    cancelled = trio.Cancelled

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return trio.run(main)

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        return trio.sleep(seconds)

    async def cancel_after(
        self,
        turns: int,
        work: Callable[[], Coroutine[Any, Any, object]],
        then: Callable[[], object] = int,
    ) -> BaseException | None:
        outcome: list[BaseException | None] = []

        async def runs() -> None:
            try:
                await work()
            except trio.Cancelled as error:
                outcome.append(error)
                raise
            except BaseException as error:
                outcome.append(error)
            else:
                outcome.append(None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(runs)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
            then()
        return outcome[0] if outcome else trio.Cancelled._create(source="unknown")

    async def beside(
        self, other: Callable[[], Awaitable[object]], body: Callable[[], Awaitable[T]]
    ) -> T:
        async def runs() -> None:
            await other()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(runs)
            value = await body()
        return value

    def timers(self) -> int:
        until = trio.lowlevel.current_statistics().seconds_to_next_deadline
        return int(until != float("inf"))

    def tasks(self) -> int:
        return trio.lowlevel.current_statistics().tasks_living


HOSTS = (OnAsyncio(), OnUvloop(), OnTrio())


@pytest.fixture(params=HOSTS, ids=[host.name for host in HOSTS])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """Each host in turn. Afterwards nothing of a guest's is left in the thread."""
    one: Host = request.param
    yield one
    assert running.host is None
    assert running.executor is None
    assert not running.inside


def refuses(match: str) -> AbstractContextManager[pytest.ExceptionInfo[RuntimeError]]:
    return pytest.raises(RuntimeError, match=match)
