"""map, then, catch, fuse, lazy: a future made of another, polled in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar, final, overload

from pinfut.combinators.group import Awaited
from pinfut.coroutine import into_future
from pinfut.future import FutureBase, drop_of
from pinfut.pin import Pinned
from pinfut.poll import PENDING, Context, Future, Poll
from pinfut.variables import copy_context

T = TypeVar("T")
U = TypeVar("U")
X = TypeVar("X", bound=BaseException)


class _OfFuture(FutureBase[U], Generic[T, U]):
    """A future made of another one and a function, which runs in the context variables of here."""

    __slots__ = ("_context", "_fn", "_future")

    def __init__(self, awaitable: Awaited[T], fn: Callable[..., Any]) -> None:
        self._future: Future[Any] = into_future(awaitable)
        self._fn: Any = fn
        self._context = copy_context()

    def drop(self) -> None:
        drop_of(self._future)()


@final
class Map(_OfFuture[T, U]):
    """A future whose value goes through a function; it is as pinned as what is in it."""

    __slots__ = ()

    def poll(self, cx: Context, /) -> Poll[U]:
        value = cx.poll(self._future)
        if value is PENDING:
            return PENDING
        return self._context.run(self._fn, value)


@final
class Then(_OfFuture[T, U]):
    """A future, and the one made of its value; `_fn` is there while the first is polled."""

    __slots__ = ()

    def poll(self, cx: Context, /) -> Poll[U]:
        fn = self._fn
        if fn is not None:
            value = cx.poll(self._future)
            if value is PENDING:
                return PENDING
            self._fn = None
            self._future = self._context.run(_made_by, fn, value)
        second: Poll[U] = cx.poll(self._future)
        return second


def _made_by(fn: Callable[..., Awaited[U]], *args: Any) -> Future[U]:
    # Inside of the right context variables: a coroutine keeps a copy of them.
    return into_future(fn(*args))


@final
class Catch(_OfFuture[T, T | U]):
    """A future whose errors of certain types become values."""

    __slots__ = ("_kinds",)

    def __init__(
        self, awaitable: Awaited[T], kinds: type[X] | tuple[type[X], ...], handler: Callable[[X], U]
    ) -> None:
        super().__init__(awaitable, handler)
        self._kinds = kinds

    def poll(self, cx: Context, /) -> Poll[T | U]:
        try:
            return cx.poll(self._future)
        except self._kinds as error:
            return self._context.run(self._fn, error)


@final
class Fuse(FutureBase[T]):
    """A future that may be polled after it was ready, and is PENDING then, forever: for loops that
    poll the same futures again and again. Nobody is woken by it any more."""

    __slots__ = ("_future",)

    polled_after_ready: ClassVar[bool] = True
    """Tells checked mode that law 1 does not hold for this one."""

    def __init__(self, awaitable: Awaited[T]) -> None:
        # Invariant: None once it is done or dropped.
        self._future: Future[T] | None = into_future(awaitable)

    @property
    def done(self) -> bool:
        """Whether it has given its value or its error, or was dropped."""
        return self._future is None

    def poll(self, cx: Context, /) -> Poll[T]:
        future = self._future
        if future is None:
            # Nothing will happen, so there is nothing to wake for; but law 2 wants a look.
            _ = cx.waker
            return PENDING
        try:
            value = cx.poll(future)
        except BaseException:
            self._future = None
            raise
        if value is not PENDING:
            self._future = None
        return value

    def drop(self) -> None:
        """Drop the future inside, unless it is done."""
        future, self._future = self._future, None
        if future is not None:
            drop_of(future)()


@final
class Lazy(FutureBase[T]):
    """The future that `fn` makes at the first poll, and not before: ``lazy(connect)``. `fn` runs
    with the context variables that `lazy` was called with."""

    __slots__ = ("_context", "_fn", "_future")

    def __init__(self, fn: Callable[[], Awaited[T]]) -> None:
        # Invariant: exactly one of the two is there, until it is dropped.
        self._fn: Callable[[], Awaited[T]] | None = fn
        self._future: Future[T] | None = None
        self._context = copy_context()

    def poll(self, cx: Context, /) -> Poll[T]:
        future = self._future
        if future is None:
            fn, self._fn = self._fn, None
            if fn is None:
                raise RuntimeError("this lazy future was dropped, or its function failed")
            future = self._future = self._context.run(_made_by, fn)
        return cx.poll(future)

    def drop(self) -> None:
        """Drop what was made; what was not made never will be."""
        self._fn = None
        if self._future is not None:
            drop_of(self._future)()


@overload
def map(awaitable: Pinned[T], fn: Callable[[T], U]) -> Pinned[U]: ...  # type: ignore[overload-overlap]  # a pinned child pins its parent
@overload
def map(awaitable: Awaited[T], fn: Callable[[T], U]) -> FutureBase[U]: ...
def map(awaitable: Awaited[T], fn: Callable[[T], U]) -> Any:
    """``fn`` of the value: ``await map(read(), len)``. What is made of a Pinned is Pinned."""
    future: Map[T, U] = Map(awaitable, fn)
    return Pinned(future) if isinstance(awaitable, Pinned) else future


@overload
def then(awaitable: Pinned[T], fn: Callable[[T], Awaited[U]]) -> Pinned[U]: ...  # type: ignore[overload-overlap]  # a pinned child pins its parent
@overload
def then(awaitable: Awaited[T], fn: Callable[[T], Awaited[U]]) -> FutureBase[U]: ...
def then(awaitable: Awaited[T], fn: Callable[[T], Awaited[U]]) -> Any:
    """Go on with the value: ``await then(open(name), lambda file: file.read())``. `fn` gives a
    future or a coroutine, whose value is that of the whole. What is made of a Pinned is Pinned."""
    future: Then[T, U] = Then(awaitable, fn)
    return Pinned(future) if isinstance(awaitable, Pinned) else future


def catch(
    awaitable: Awaited[T], kinds: type[X] | tuple[type[X], ...], handler: Callable[[X], U], /
) -> FutureBase[T | U]:
    """``handler`` of the error, if it is one of `kinds`, in place of a value:
    ``await catch(find(key), KeyError, lambda error: None)``. Other errors pass."""
    return Catch(awaitable, kinds, handler)


fuse = Fuse
lazy = Lazy
