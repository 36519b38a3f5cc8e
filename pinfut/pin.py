"""pin: a future that stays where it is, and says so in its type.

To a type checker a `Pinned` is an Awaitable and no Future: what takes futures to give them to
others refuses it, while ``await`` and combinators of the same task poll it in place."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator
from sys import getrefcount
from typing import Any, Final, Generic, NoReturn, TypeVar, cast, final, overload

from pinfut.core import bridge
from pinfut.coroutine import into_future
from pinfut.future import drop_of, let_go
from pinfut.laws import PinError, describe
from pinfut.poll import Future

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class _Ends(threading.local):
    """The futures that this thread lets go of, one after the other; None when it does not."""

    left: list[Any] | None = None


_ends: Final = _Ends()


def _end(future: Any) -> None:
    """Let go of `future`, and then of those whose Pinned goes with it. Not of one inside of the
    other: the interpreter puts off what goes in the middle of what goes, at some depth, and by
    then nobody can say whether anybody else holds it."""
    left = _ends.left
    if left is not None:
        left.append(future)
        return
    _ends.left = left = [future]
    try:
        while left:
            let_go(left.pop())
    finally:
        _ends.left = None


@final
class Pinned(Generic[T_co]):
    """A future in its place. Await it, give it to a combinator, or drop it, all in the task that
    pinned it; copying and pickling raise PinError, and checked mode sees a poll by another task. It
    adds nothing to a poll: what is in it is polled directly. What nobody holds any more ends: when
    a Pinned goes away and nobody else has the future that is in it, that is dropped."""

    __slots__ = ("_future", "_owns")

    def __init__(self, future: Future[T_co]) -> None:
        self._future = future
        self._owns = True  # Invariant: False while a combinator has it, which drops it itself

    def __await__(self) -> Generator[Any, Any, T_co]:
        return (yield from bridge(self._future))  # type: ignore[no-any-return]

    def __pinned__(self) -> Future[T_co]:
        """The future in its place, for `into_future` and combinators, which drop it in the end."""
        self._owns = False
        return self._future

    def keep(self) -> None:
        """Who took the future gives it back in the end: for `select`, which holds this one."""
        self._owns = True

    def drop(self) -> None:
        """Give it up: what it has started is cancelled. Idempotent."""
        drop_of(self._future)()

    def __del__(self) -> None:
        if self._owns and self._references() <= _ALONE:
            _end(self._future)

    def _references(self) -> int:
        registered: Callable[[Any], int] | None = getattr(type(self._future), "registrations", None)
        return getrefcount(self._future) - (0 if registered is None else registered(self._future))

    def __copy__(self) -> NoReturn:
        raise PinError(self._future, "copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise PinError(self._future, "copied")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise PinError(self._future, "pickled")

    def __repr__(self) -> str:
        return f"<Pinned {describe(self._future)}>"


_ALONE = 0
# What `_references` gives for a future that a Pinned alone has: the interpreter decides it.
_ALONE = Pinned(cast("Future[Any]", object()))._references()


@overload
def pin(awaitable: Awaitable[T]) -> Pinned[T]: ...
@overload
def pin(awaitable: Future[T]) -> Pinned[T]: ...
def pin(awaitable: Awaitable[T] | Future[T]) -> Pinned[T]:
    """Keep a future, or a coroutine, in its place: ``read = pin(file.read())``. It can be awaited
    or selected again after a select that it lost; it starts when it is polled first. What is pinned
    stays the same one. Raises TypeError for what cannot be awaited."""
    if isinstance(awaitable, Pinned):
        return awaitable
    return Pinned(into_future(awaitable))
