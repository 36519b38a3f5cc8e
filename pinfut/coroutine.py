"""Coroutines as futures: what a coroutine may yield, and a future that drives one.

Whoever runs a coroutine keeps to one protocol: the coroutine yields either a future,
the leaf that it waits for, or YIELD, which means "again, after the others". The runner
polls the leaf and sends its value in, or throws its error in. The frames between the
coroutine and the leaf are never polled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Generator
from contextvars import copy_context
from typing import Any, Final, TypeVar, cast, final

from pinfut.future import Future, FutureBase, drop
from pinfut.poll import PENDING, Context, Poll

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


@final
class CoroutineFuture(FutureBase[T]):
    """A coroutine polled in place: no task is made, the frame is the future's state.

    It runs in a copy of the context variables with which it was made. `drop` closes the
    coroutine, so that its ``finally`` blocks run.
    """

    __slots__ = ("_context", "_coro", "_leaf")

    def __init__(self, coro: Coroutine[Any, Any, T] | Generator[Any, Any, T]) -> None:
        self._coro = coro
        self._context = copy_context()
        # Invariant: the future that the coroutine is suspended on; YIELD before its start
        # and after a yield.
        self._leaf: Any = YIELD

    def poll(self, cx: Context, /) -> Poll[T]:
        coro = self._coro
        run = self._context.run
        leaf = self._leaf
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
                if leaf is YIELD:
                    self._leaf = YIELD
                    cx.waker.wake()
                    return PENDING
        except StopIteration as stop:
            return cast(T, stop.value)

    def drop(self) -> None:
        leaf, self._leaf = self._leaf, YIELD
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
