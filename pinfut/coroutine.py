"""Coroutines as futures: what a coroutine may yield, and a future that drives one.

Whoever runs a coroutine keeps to one protocol: the coroutine yields either a future,
the leaf that it waits for, or YIELD, which means "again, after the others". The runner
polls the leaf and sends its value in, or throws its error in. The frames between the
coroutine and the leaf are never polled.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Coroutine, Generator, Iterator
from contextvars import Context as ContextVars
from contextvars import ContextVar, copy_context
from inspect import CO_ITERABLE_COROUTINE
from types import CoroutineType
from typing import Any, Final, NoReturn, Protocol, TypeVar, cast, final
from weakref import ref

from pinfut.future import Future, FutureBase, drop
from pinfut.poll import PENDING, Context, Poll, Waker

_log = logging.getLogger("pinfut")

T = TypeVar("T")


class _Yield(tuple[object]):
    """An awaitable that yields YIELD once. Being a tuple, its iterator is the
    interpreter's own: a yield makes no generator and runs no Python frame."""

    __slots__ = ()
    __await__ = tuple.__iter__

    def __repr__(self) -> str:
        return "yield_now()"


class _Marker:
    __slots__ = ()

    def __repr__(self) -> str:
        return "YIELD"


YIELD: Final = _Marker()
"""What a coroutine yields to be resumed after the others that are ready."""

_YIELD_NOW: Final = cast("Awaitable[None]", _Yield((YIELD,)))


def yield_now() -> Awaitable[None]:
    """Let the other ready tasks run first: ``await yield_now()``."""
    return _YIELD_NOW


def not_a_future(thing: object) -> TypeError:
    """The error for a coroutine that yields what nobody can poll."""
    return TypeError(
        f"a coroutine awaited {thing!r}, which is not a pinfut future (it has no poll(cx)). "
        "Futures of asyncio or trio can be awaited only under their own loop"
    )


async def _carry(coro: Coroutine[Any, Any, T]) -> T:
    return await coro


def native(coro: Coroutine[Any, Any, T]) -> CoroutineType[Any, Any, T]:
    """`coro` as a coroutine of the interpreter's own, whatever made it. Raises TypeError for
    anything but a coroutine."""
    if type(coro) is CoroutineType:
        return coro
    if not isinstance(coro, Coroutine) and not _may_be_awaited(coro):
        raise TypeError(
            f"spawn takes a coroutine, not {coro!r}; call the async function: spawn(f())"
        )
    carrier = cast("CoroutineType[Any, Any, T]", _carry(coro))
    carrier.__qualname__ = getattr(coro, "__qualname__", type(coro).__qualname__)
    return carrier


def _may_be_awaited(coro: object) -> bool:
    # A generator that `types.coroutine` has marked.
    code = getattr(coro, "gi_code", None)
    return code is not None and bool(code.co_flags & CO_ITERABLE_COROUTINE)


class Interruptible(Protocol):
    """Whoever runs a coroutine and can raise CancelledError where it waits."""

    cancels: int
    """How often somebody asked for a cancel."""
    delivered: int
    """How many of these the coroutine has seen."""
    block: Any
    """The innermost block (timeout, scope) that the coroutine is in."""

    @property
    def running(self) -> bool:
        """Whether a step is under way, so that it is not known yet where it will wait."""
        ...

    def interrupt(self) -> None:
        """Raise CancelledError in the coroutine where it waits, or will wait next."""


@final
class Interrupt(FutureBase[NoReturn]):
    """Stands in for the leaf of an interrupted coroutine: drops the leaf, then raises."""

    __slots__ = ("_leaf", "_owner")

    def __init__(self, leaf: Any, owner: Interruptible) -> None:
        self._leaf = leaf
        self._owner = owner

    def poll(self, cx: Context, /) -> NoReturn:
        leaf, self._leaf = self._leaf, YIELD
        self._owner.delivered = self._owner.cancels
        if leaf is not YIELD:
            try:
                drop(leaf)
            except Exception as error:
                _log.error("%r could not be dropped", leaf, exc_info=error)
        raise CancelledError

    def drop(self) -> None:
        leaf, self._leaf = self._leaf, YIELD
        if leaf is not YIELD:
            drop(leaf)


_DRIVER: ContextVar[ref[CoroutineFuture[Any]] | None] = ContextVar("pinfut driver", default=None)


def driver() -> CoroutineFuture[Any] | None:
    """The CoroutineFuture whose coroutine is running here, if it is not a task's own."""
    found = _DRIVER.get()
    future = None if found is None else found()
    # A task that was spawned in there has inherited the variable; it runs on its own.
    return future if future is not None and future.running else None


def drivers() -> Iterator[CoroutineFuture[Any]]:
    """Every CoroutineFuture whose coroutine is running here, the innermost first."""
    future = driver()
    while future is not None:
        yield future
        found = future.around
        outer = None if found is None else found()
        future = outer if outer is not None and outer.running else None


def task_context() -> ContextVars:
    """A copy of the context variables for a task of its own."""
    context = copy_context()
    if _DRIVER.get() is not None:
        context.run(_DRIVER.set, None)
    return context


@final
class CoroutineFuture(FutureBase[T]):
    """A coroutine polled in place: no task is made, the frame is the future's state.

    It runs in a copy of the context variables with which it was made, and a timeout or a
    scope in it interrupts it alone. `drop` closes the coroutine, so that its ``finally``
    blocks run.
    """

    __slots__ = (
        "__weakref__",
        "_context",
        "_coro",
        "_leaf",
        "_pending",
        "_waker",
        "around",
        "block",
        "cancels",
        "delivered",
        "running",
    )

    def __init__(self, coro: Coroutine[Any, Any, T] | Generator[Any, Any, T]) -> None:
        self._coro = coro
        self._context = copy_context()
        # The one in whose coroutine this one was made.
        self.around = _DRIVER.get()
        self._context.run(_DRIVER.set, ref(self))
        # Invariant: the future that the coroutine is suspended on; YIELD before its start
        # and after a yield.
        self._leaf: Any = YIELD
        self._waker: Waker | None = None
        # An interrupt came in the midst of a step.
        self._pending = False
        self.running = False
        self.cancels = 0
        self.delivered = 0
        self.block: Any = None

    def poll(self, cx: Context, /) -> Poll[T]:
        coro = self._coro
        run = self._context.run
        leaf = self._leaf
        self._waker = cx.waker
        self.running = True
        try:
            while True:
                if leaf is YIELD:
                    leaf = run(coro.send, None)
                else:
                    try:
                        value = cx.poll(leaf)
                    except BaseException as error:
                        known = hasattr(leaf, "poll")
                        leaf = run(coro.throw, error if known else not_a_future(leaf))
                    else:
                        if value is PENDING:
                            self._leaf = leaf
                            return PENDING
                        leaf = run(coro.send, value)
                if self._pending:
                    self._pending = False
                    leaf = Interrupt(leaf, self)
                elif leaf is YIELD:
                    self._leaf = YIELD
                    cx.waker.wake()
                    return PENDING
        except StopIteration as stop:
            return cast(T, stop.value)
        finally:
            self.running = False

    def interrupt(self) -> None:
        """Raise CancelledError in the coroutine where it waits, or will wait next."""
        if self.running:
            self._pending = True
        elif type(self._leaf) is not Interrupt:
            self._leaf = Interrupt(self._leaf, self)
            if self._waker is not None:
                self._waker.wake()

    def drop(self) -> None:
        leaf, self._leaf = self._leaf, YIELD
        self._waker = None
        if leaf is not YIELD:
            drop(leaf)
        self._context.run(self._coro.close)


def into_future(awaitable: Awaitable[T] | Future[T]) -> Future[T]:
    """The future behind anything that can be awaited: a future is itself, a coroutine is
    driven in place. Raises TypeError for the rest."""
    if hasattr(awaitable, "poll"):
        return cast("Future[T]", awaitable)
    if isinstance(awaitable, Coroutine):
        return CoroutineFuture(awaitable)
    bridge = getattr(awaitable, "__await__", None)
    if bridge is None:
        raise TypeError(f"{awaitable!r} is neither a future nor awaitable; did you forget to call?")
    return CoroutineFuture(bridge())
