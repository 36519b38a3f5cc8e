"""For tests of futures: poll one by hand, see whether it was woken, no executor needed.

hand = Hand(future) assert_pending(hand.poll()) tx.send(1) assert hand.woken assert
assert_ready(hand.poll()) == 1"""

from __future__ import annotations

from typing import Final, Generic, TypeVar, final

from pinfut.checked import CheckedContext
from pinfut.future import FutureBase, drop
from pinfut.poll import PENDING, Context, Future, Poll, TaskContext

T = TypeVar("T")


def assert_pending(poll: Poll[object]) -> None:
    """Fail unless `poll`, what a poll gave, is PENDING."""
    if poll is not PENDING:
        raise AssertionError(f"the future is ready: it gave {poll!r}, not PENDING")


def assert_ready(poll: Poll[T]) -> T:
    """Fail if `poll`, what a poll gave, is PENDING; the value otherwise."""
    if poll is PENDING:
        raise AssertionError("the future is pending: it gave PENDING and no value")
    return poll


@final
class CountingWaker:
    """A waker that counts its wakes."""

    __slots__ = ("wakes",)

    def __init__(self) -> None:
        self.wakes = 0

    def wake(self) -> None:
        self.wakes += 1


@final
class Hand(Generic[T]):
    """Polls one future as the task that owns it would, each time with a new context. The laws of
    polling are enforced, as in checked mode, unless `checked` is False. `waker` is given to every
    poll; make a new one (`fresh_waker`) to see whether the newest is used."""

    __slots__ = ("_checked", "_seen", "future", "waker")

    def __init__(self, future: Future[T], *, checked: bool = True) -> None:
        self.future: Final = future
        self.waker = CountingWaker()
        self._checked = checked
        self._seen = 0

    def poll(self) -> Poll[T]:
        """Poll the future once. Raises what it raises, and LawError for a broken law."""
        self._seen = self.waker.wakes
        cx = CheckedContext(self.waker, self) if self._checked else TaskContext(self.waker)
        return cx.poll(self.future)

    @property
    def wakes(self) -> int:
        """How often the present waker was woken."""
        return self.waker.wakes

    @property
    def woken(self) -> bool:
        """Whether it was woken since the last poll."""
        return self.waker.wakes > self._seen

    def fresh_waker(self) -> CountingWaker:
        """Poll with a new waker from now on; gives the old one, which nobody should wake."""
        old, self.waker = self.waker, CountingWaker()
        self._seen = 0
        return old

    def drop(self) -> None:
        """Drop the future, as an owner does that polls no more."""
        drop(self.future)


@final
class _PendingTimes(FutureBase[T]):
    __slots__ = ("_left", "_value", "polls")

    def __init__(self, n: int, value: T) -> None:
        self._left = n
        self._value = value
        self.polls = 0  # how often it was polled

    def poll(self, cx: Context, /) -> Poll[T]:
        self.polls += 1
        if self._left:
            self._left -= 1
            cx.waker.wake()
            return PENDING
        return self._value


def pending_times(n: int, value: T) -> FutureBase[T]:
    """A future that is PENDING `n` times, waking at once each time, and then gives `value`. Raises
    ValueError for a negative `n`."""
    if n < 0:
        raise ValueError(f"a future is pending 0 times or more, not {n}")
    return _PendingTimes(n, value)
