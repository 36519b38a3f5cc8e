"""Waiting across: a host's tasks for what is pinfut's, pinfut's tasks for what is the host's.

A host's loop refuses a future that one of its tasks yields, by raising in that task; the future's
``__await__`` then goes on with `Host.wait`. Where no guest is open, no await asks."""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import CoroutineType, coroutine
from typing import Any, ClassVar, Final, NoReturn, TypeVar, cast, final

import pinfut.future
from pinfut.checked import CheckedContext
from pinfut.combinators import Awaited
from pinfut.coroutine import into_future, task_context
from pinfut.executor.block import shield
from pinfut.executor.contract import JoinHandle, Owner, Runner
from pinfut.executor.current import NoExecutor, running
from pinfut.executor.task import current_task
from pinfut.executor.trace.dump import chain
from pinfut.future import let_go
from pinfut.poll import PENDING, Future, Poll, TaskContext
from pinfut.sync import Event

T = TypeVar("T")


@final
class Parked:
    """The waker of a task of the host's, and the owner of what that has spawned and waits for."""

    __slots__ = ("tell", "woken")

    def __init__(self) -> None:
        self.woken = False
        self.tell: Callable[[], object] = int  # while it waits, what ends that

    def wake(self) -> None:
        self.woken = True
        self.tell()

    def ended(self, task: JoinHandle[Any], /) -> None:
        self.tell()


def _inside(call: Callable[[Any], T], future: object) -> T:
    """Poll or drop a future for a task of the host's, between two turns."""
    before, running.inside = running.inside, True
    try:
        return call(future)
    finally:
        running.inside = before


class Host:
    """A loop of others with a runner in its thread. What it does is done in tasks of the loop's."""

    runner: Runner
    is_run: ClassVar[bool] = False  # whether the runner runs the loop, and not the loop visits
    api: Any  # asyncio or trio
    gave_up: ClassVar[type[BaseException]]  # for who waits for a task that others have cancelled
    shield: Callable[[], AbstractContextManager[object]]  # what keeps cancels off, if there is
    # ``once()`` gives a call, and an awaitable that is ready once that was made: to be awaited at
    # once, by the task that is running. The call may be made again, and does nothing then.
    once: Callable[[], tuple[Callable[[], object], Any]]
    # ``start(awaitable, tell)``: await it in a task of the loop's, and ``tell()`` when it is over.
    # What that gives has ``cancel()``, and ``result()``.
    start: Callable[..., Any]

    def require(self) -> None:
        """Raise RuntimeError where the loop that runs is none that may wait here."""

    def begin_task(self, coro: Coroutine[Any, Any, T], owner: Owner) -> JoinHandle[T]:
        """Run `coro` as a task of the runner's, for a task of the host's that will wait for it."""
        return self.runner.spawn(coro, owner=owner)

    def wait(self, future: Future[T]) -> Generator[Any, Any, T]:
        """Wait for `future`, for ``yield from``; a cancel drops it."""
        self.require()
        parked = Parked()
        cx = CheckedContext(parked, parked) if self.runner.checked else TaskContext(parked)
        while True:
            parked.woken = False
            value: Poll[T] = _inside(cx.poll, future)
            if value is not PENDING:
                return value
            try:
                if parked.woken:
                    yield from self.api.sleep(0).__await__()
                else:
                    parked.tell, waiting = self.once()
                    yield from waiting.__await__()
            except BaseException:
                parked.tell = int
                _inside(let_go, future)
                raise

    async def whole(
        self, over: Callable[[], bool], parked: Parked, again: Callable[[], object] = int
    ) -> CancelledError | None:
        """Behind the shield: wait until ``over()``, looked at whenever `parked` is woken. For each
        cancel that comes all the same, ``again()`` is called; gives the last."""
        cancelled = None
        while not over():
            parked.tell, waiting = self.once()
            try:
                await waiting
            except CancelledError as error:
                cancelled = error
                again()
        return cancelled

    async def join(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run `coro` as a task of the runner, and wait until it has ended; a cancel cancels it."""
        self.require()
        parked = Parked()
        task = self.begin_task(coro, parked)
        if not task.done:
            parked.tell, waiting = self.once()
            try:
                await waiting
            except GeneratorExit:
                parked.tell = int
                task.cancel()
                raise
            except BaseException:
                task.cancel()
                with self.shield():
                    await self.whole(lambda: task.done, parked, task.cancel)
                if isinstance(task.error(), CancelledError | None):
                    raise
        try:
            return task.poll(_OVER)  # type: ignore[return-value]  # it is done
        except CancelledError as error:
            raise self.gave_up(f"{task!r} was cancelled") from error


_OVER: Final = TaskContext()


class AsyncioHost(Host):
    """A loop of asyncio's, or one that keeps to its interface."""

    api = asyncio
    gave_up = CancelledError
    shield = nullcontext
    loop: asyncio.AbstractEventLoop

    def require(self) -> None:
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError(f"the guest of this thread is another loop's: {self.loop!r}")

    def once(self) -> tuple[Callable[[], object], Awaitable[object]]:
        until: asyncio.Future[None] = self.loop.create_future()
        return partial(_set, until), until

    def start(self, awaitable: Awaitable[Any], tell: Callable[[], object]) -> asyncio.Future[Any]:
        future = asyncio.ensure_future(awaitable, loop=self.loop)
        future.add_done_callback(lambda _: tell())
        return future


class AsyncioTasks:
    """For `dump`: lines about the tasks of asyncio on a loop, each time as they are then."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __iter__(self) -> Iterator[str]:
        current = asyncio.current_task(self._loop)
        for task in sorted(asyncio.all_tasks(self._loop), key=lambda task: task.get_name()):
            waits: Any = getattr(task, "_fut_waiter", None)
            state = "ready" if waits is None else f"waits for {type(waits).__name__}"
            yield f"{task.get_name()} of asyncio: {'running' if task is current else state}"
            for line in chain(task.get_coro()):
                yield f"    {line}"


def _set(until: asyncio.Future[None]) -> None:
    if not until.done():
        until.set_result(None)


def in_host() -> Host | None:
    """The host whose own task may run here: between turns, or while no task of pinfut's does."""
    host: Host | None = running.host
    if host is None or (running.inside and not host.is_run):
        return None
    runner = host.runner
    busy = runner.current is not None or runner.first is not None
    return None if host.is_run and busy else host


def _find_wait(future: Future[T]) -> Generator[Any, Any, T] | None:
    host = in_host()
    return None if host is None else host.wait(future)


pinfut.future.find_wait = _find_wait


@coroutine
def _waits(host: Host, future: Future[T]) -> Generator[Any, Any, T]:
    return (yield from host.wait(future))


def from_host(awaitable: Awaited[T]) -> Awaitable[T]:
    """In a task of a host's: wait for what is pinfut's, ``await from_host(fetch())``. A coroutine
    runs in a task of its own, so that blocks work in it, and a cancel arrives when it has ended.
    Any other future is polled in place. Raises NoExecutor where no guest is open, and in a task of
    pinfut's."""
    host = in_host()
    if host is None:
        _refuse(awaitable, "from_host", "asyncio or trio", "a task of pinfut's await it as it is")
    if type(awaitable) is CoroutineType or isinstance(awaitable, Coroutine):
        return host.join(awaitable)
    return _waits(host, into_future(awaitable))


async def to_host(awaitable: Awaitable[T]) -> T:
    """In a task of pinfut's: wait for what is the host's, ``await to_host(client.get(url))``. A
    coroutine runs in a task of the host's, with a copy of the context variables of here; a cancel
    of here is one there, and arrives when that has ended. Raises NoExecutor where no host is."""
    host: Host | None = running.host
    if host is None or host.runner is not running.executor or not running.inside:
        _refuse(awaitable, "to_host", "pinfut", "a run await to_thread(asyncio.run, ...)")
    current_task()
    ended = Event()
    # A loop may begin a task at once, and that is none of pinfut's.
    outside, running.inside = host.runner.begin_inline(), False
    try:
        task = task_context().run(host.start, awaitable, ended.set)
    finally:
        running.inside = True
        host.runner.end_inline(outside)
    try:
        await ended.wait()
        return cast(T, task.result())
    except GeneratorExit:
        task.cancel()
        raise
    except BaseException:
        if not ended.is_set:
            task.cancel()
            with shield():
                await ended.wait()
            task.result()
        raise
    finally:
        del task  # or an error of it, and this frame, keep each other


def _refuse(awaitable: object, name: str, whose: str, way: str) -> NoReturn:
    if isinstance(awaitable, Coroutine):
        awaitable.close()
    raise NoExecutor(
        f"{name} is for a task of {whose} within 'async with pinfut.guest():'; in {way}"
    )
