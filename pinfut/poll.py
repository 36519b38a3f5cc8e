"""The poll contract: PENDING, Waker, Context, and the two protocols of futures.

``poll(cx)`` gives the value, or PENDING, or raises; PENDING promises that the newest waker of
``cx`` is registered (law 2 in `pinfut.laws`). The names are Rust's. States of a future::

    idle ──first poll──▶ pinned ──poll gives a value or raises──▶ done
      │                    │
      └────── drop ────────┴──▶ dropped (the started operation is cancelled; its slot
                                stays taken until the other side has acknowledged)
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Iterable
from typing import Final, Literal, Never, NoReturn, ParamSpec, Protocol, TypeAlias, TypeVar

from pinfut.core import accelerate
from pinfut.laws import ContextKept

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Pending(enum.Enum):
    PENDING = "PENDING"

    def __repr__(self) -> str:
        return "PENDING"

    __str__ = __repr__


PENDING: Final = _Pending.PENDING
"""What `poll` gives when the value has not come yet. Compare with ``is``."""

Pending: TypeAlias = Literal[_Pending.PENDING]
"""The type of PENDING."""

Poll: TypeAlias = T | Pending
"""What a poll gives: ``Poll[int]`` is an int or PENDING."""


class Waker(Protocol):
    """Says that polling again is worth while."""

    def wake(self) -> None:
        """Have the task polled again. Idempotent, and harmless when it comes too late."""


def wake_each(wakers: Iterable[Waker]) -> None:
    """Wake them all, also when one raises; the first error is raised."""
    first: BaseException | None = None
    for waker in wakers:
        try:
            waker.wake()
        except BaseException as error:
            first = first or error
    if first is not None:
        try:
            raise first
        finally:
            del first  # or the traceback would keep what it is part of


class _Nobody:
    """The waker of a context between polls."""

    __slots__ = ()

    def wake(self) -> NoReturn:
        raise ContextKept(
            "the waker of a Context was read when no poll was under way, and wakes nobody. Read "
            "cx.waker in the poll, and keep that, never cx"
        )


NOBODY: Final = _Nobody()


class Context:
    """What a future may use while it is polled, and only then (law 5).

    Only an executor makes one (`TaskContext`), and none can be copied. A combinator derives one
    for a child that wakes it through a waker of its own; `pinfut.testing.Hand` polls by hand.
    """

    __slots__ = ("waker",)

    waker: Waker

    def __init__(self, *_: Never) -> None:
        raise TypeError(
            "only an executor makes a Context: poll children with the one that was given, or one "
            "that it derives, and a future by hand with pinfut.testing.Hand"
        )

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise ContextKept("a Context cannot be copied. Keep cx.waker, never cx")

    def poll(self, future: Future[T]) -> Poll[T]:
        """Poll `future` with this context: combinators do, so that checked mode sees it."""
        return future.poll(self)

    def derive(self, waker: Waker, owner: object = None) -> Context:
        """A context like this one that wakes through `waker`; valid as long as this one.

        `owner`: whose the futures polled with it are, if they are not the present task's.
        """
        return TaskContext(waker)


class TaskContext(Context):
    """The context of an executor, which sets the waker before each poll and NOBODY after it.

    Invariant: `waker` is that of the task whose future is being polled.
    """

    __slots__ = ()

    def __init__(self, waker: Waker = NOBODY) -> None:
        self.waker = waker

    def derive(self, waker: Waker, owner: object = None) -> Context:
        return type(self)(waker)


class Future(Protocol[T_co]):
    """Whatever can be polled. It may change hands until it is polled for the first time."""

    def poll(self, cx: Context, /) -> Poll[T_co]:
        """The value, or PENDING (then ``cx.waker`` is registered), or raises."""
        ...


class PinnedFuture(Future[T_co], Protocol[T_co]):
    """A future behind which an operation runs: the one who gives it up has to say so."""

    def drop(self) -> None:
        """The owner polls no more: take the waker back and cancel what was started.

        Idempotent; never raises; a no-op once the future is done.
        """


class AsyncConstructor(Protocol[P, T_co]):
    """A class whose objects are made by waiting: ``session = await Session.construct(key)``.

    `construct` is a class method. It waits for what an object needs, and only then makes the class
    that it was called on, so that nobody meets an object that is half made.
    """

    def construct(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T_co]: ...


accelerate(globals())
