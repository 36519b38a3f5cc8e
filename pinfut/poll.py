"""The poll contract: PENDING, Waker and Context.

``poll(cx)`` gives the value, or PENDING, or raises. PENDING is a promise in itself:
the newest waker of ``cx`` is registered with something that will call it (law 2 in
`pinfut.laws`). The names are those of Rust's `core::task`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from typing import Self

    from pinfut.future import Future

T = TypeVar("T")


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
    """Tells whoever parked that polling again is worth while."""

    def wake(self) -> None:
        """Have the task polled again. Idempotent, and harmless when it comes too late."""


class Context:
    """What a future may use while it is polled, and only then (law 5).

    Only the executor makes one. A combinator derives one for a child that wakes it
    through a waker of its own.
    """

    # Invariant: `waker` is the waker of the task whose step is running; the executor
    # sets it before each poll and uses one Context for all tasks.
    __slots__ = ("waker",)

    waker: Waker

    def __init__(self, waker: Waker) -> None:
        self.waker = waker

    def poll(self, future: Future[T]) -> Poll[T]:
        """Poll `future` with this context.

        Combinators poll their children through here, never by ``child.poll(cx)``, so
        that checked mode sees every poll.
        """
        return future.poll(self)

    def derive(self, waker: Waker, owner: object = None) -> Self:
        """A context like this one that wakes through `waker`; valid as long as this one.

        `owner`: whose the futures polled with it are, if they are not the present task's.
        """
        return type(self)(waker)
