"""join and try_join: all the values.

What is made of Pinned futures alone is Pinned; the overloads for these overlap, on purpose,
with those for any awaitable."""
# mypy: disable-error-code="overload-overlap"
# pyright: reportOverlappingOverload=false

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast, final, overload

from pinfut.closing import ENDS_THE_RUN
from pinfut.combinators.group import A, Awaited, B, C, ChildContext, D, E, Group
from pinfut.future import FutureBase
from pinfut.pin import Pinned
from pinfut.poll import PENDING, Context, Future, Poll, TaskContext

T = TypeVar("T")
Typed = TypeVar("Typed", bound=Callable[..., Any])


class TryJoin(Group[tuple[Any, ...]]):
    """All the values, in the order given, or the first error, once the others were dropped."""

    __slots__ = ("_left", "_values")

    def __init__(self, awaitables: tuple[Awaitable[Any] | Future[Any], ...]) -> None:
        super().__init__(awaitables)
        self._left = len(awaitables)
        self._values: list[Any] = [None] * self._left

    def poll(self, cx: Context, /) -> Poll[tuple[Any, ...]]:
        woken = self._woken
        woken.parent = None
        # Only what is woken by now, or one that yields forever would never let this return.
        keys, woken.keys = woken.keys, {}
        children = self._children
        child_cx = self._cx
        kind = type(cx)
        plain = kind is TaskContext or kind is ChildContext
        for index in keys:
            child = children[index]
            if child is None:
                continue
            try:
                if plain:
                    child_cx.key = index
                    value = child.poll(child_cx)
                else:
                    value = child_cx.poll_child(cx, index, child)
            except BaseException as error:
                child_cx.key = -1
                children[index] = None
                self._left -= 1
                if self._failed(error):
                    self.drop_rest()
                    raise
            else:
                if value is not PENDING:
                    children[index] = None
                    self._values[index] = value
                    self._left -= 1
        child_cx.key = -1
        if self._left:
            woken.rest(cx)
            return PENDING
        return self._end()

    def _failed(self, error: BaseException) -> bool:
        """A child has raised. Whether the others are dropped and that is raised at once."""
        return True

    def _end(self) -> tuple[Any, ...]:
        """No child is left."""
        return tuple(self._values)


@final
class Join(TryJoin):
    """Waits for every child, whatever becomes of the others."""

    __slots__ = ("_errors",)

    def __init__(self, awaitables: tuple[Awaitable[Any] | Future[Any], ...]) -> None:
        super().__init__(awaitables)
        # Invariant: what children have raised so far, in the order in which they did.
        self._errors: list[BaseException] | None = None

    def _failed(self, error: BaseException) -> bool:
        if issubclass(type(error), (*ENDS_THE_RUN, GeneratorExit)):
            return True
        if self._errors is None:
            self._errors = []
        self._errors.append(error)
        return False

    def _dropped(self) -> None:
        self._errors = None  # their tracebacks know the join

    def _end(self) -> tuple[Any, ...]:
        if self._errors is None:
            return tuple(self._values)
        errors, self._errors = self._errors, None
        # A cancel is no failure beside others, as in a scope.
        failures = [error for error in errors if not issubclass(type(error), CancelledError)]
        try:
            if not failures:
                raise errors[0]
            raise BaseExceptionGroup("errors in a join", failures)
        finally:
            del errors, failures  # or the traceback would keep what it is part of


def _typed_as(model: Typed) -> Callable[[Callable[..., Any]], Typed]:
    """Makes a function that type checkers see with the overloads of `model`."""
    return lambda function: cast(Typed, function)


@overload
def join() -> FutureBase[tuple[()]]: ...
@overload
def join(a: Pinned[A], /) -> Pinned[tuple[A]]: ...
@overload
def join(a: Pinned[A], b: Pinned[B], /) -> Pinned[tuple[A, B]]: ...
@overload
def join(a: Pinned[A], b: Pinned[B], c: Pinned[C], /) -> Pinned[tuple[A, B, C]]: ...
@overload
def join(
    a: Pinned[A], b: Pinned[B], c: Pinned[C], d: Pinned[D], /
) -> Pinned[tuple[A, B, C, D]]: ...
@overload
def join(
    a: Pinned[A], b: Pinned[B], c: Pinned[C], d: Pinned[D], e: Pinned[E], /
) -> Pinned[tuple[A, B, C, D, E]]: ...
@overload
def join(a: Awaited[A], /) -> FutureBase[tuple[A]]: ...
@overload
def join(a: Awaited[A], b: Awaited[B], /) -> FutureBase[tuple[A, B]]: ...
@overload
def join(a: Awaited[A], b: Awaited[B], c: Awaited[C], /) -> FutureBase[tuple[A, B, C]]: ...
@overload
def join(
    a: Awaited[A], b: Awaited[B], c: Awaited[C], d: Awaited[D], /
) -> FutureBase[tuple[A, B, C, D]]: ...
@overload
def join(
    a: Awaited[A], b: Awaited[B], c: Awaited[C], d: Awaited[D], e: Awaited[E], /
) -> FutureBase[tuple[A, B, C, D, E]]: ...
@overload
def join(*awaitables: Pinned[T]) -> Pinned[tuple[T, ...]]: ...
@overload
def join(*awaitables: Awaited[T]) -> FutureBase[tuple[T, ...]]: ...
def join(*awaitables: Awaited[Any]) -> Any:
    """All values, in the order given: ``a, b = await join(first(), second())``. Polls the children
    in place; no task is made. It ends when every child has ended: then the errors are raised
    together as an ExceptionGroup, cancels only where there is nothing else, as CancelledError.
    (KeyboardInterrupt and SystemExit do not wait.) `try_join` gives up at the first error."""
    return _pinned_as(awaitables, Join(awaitables))


@_typed_as(join)
def try_join(*awaitables: Awaited[Any]) -> Any:
    """All values, in the order given, or the first error: as it is, and at once; the other
    children are dropped. Polls the children in place; no task is made."""
    return _pinned_as(awaitables, TryJoin(awaitables))


def _pinned_as(awaitables: tuple[object, ...], future: FutureBase[Any]) -> Any:
    """`future`, pinned if all that it is made of is."""
    for awaitable in awaitables:
        if type(awaitable) is not Pinned:
            return future
    return Pinned(future) if awaitables else future
