"""pinfut.testing: what users poll their own futures with."""

from __future__ import annotations

import pytest

from pinfut import PENDING, Context, FutureBase, LostWakeup, Poll, PolledAfterReady, Waker
from pinfut.sync import OneshotSender, oneshot
from pinfut.testing import CountingWaker, Hand, assert_pending, assert_ready, pending_times


def test_a_oneshot_is_polled_by_hand_step_by_step() -> None:
    ends: tuple[OneshotSender[int], FutureBase[int]] = oneshot()
    tx, rx = ends
    hand = Hand(rx)
    assert_pending(hand.poll())
    assert not hand.woken
    tx.send(1)
    assert hand.woken
    assert hand.wakes == 1
    assert assert_ready(hand.poll()) == 1
    assert not hand.woken, "not since the last poll"


def test_the_assertions_fail_on_the_other_outcome_and_name_the_value() -> None:
    with pytest.raises(AssertionError, match="gave 'x', not PENDING"):
        assert_pending("x")
    with pytest.raises(AssertionError, match="pending"):
        assert_ready(PENDING)
    # What is false is a value too, and so is None.
    assert assert_ready(None) is None
    with pytest.raises(AssertionError):
        assert_pending(None)


@pytest.mark.parametrize("n", range(4))
def test_pending_times_is_pending_so_often_and_wakes_each_time(n: int) -> None:
    hand = Hand(pending_times(n, "value"))
    for i in range(n):
        assert_pending(hand.poll())
        assert hand.woken
        assert hand.wakes == i + 1
    assert assert_ready(hand.poll()) == "value"
    assert hand.wakes == n


def test_pending_times_refuses_a_negative_number() -> None:
    with pytest.raises(ValueError, match="0 times or more"):
        pending_times(-1, None)


def test_a_hand_enforces_the_laws_unless_told_not_to() -> None:
    class Forgets(FutureBase[int]):
        def poll(self, cx: Context, /) -> Poll[int]:
            return PENDING

    with pytest.raises(LostWakeup):
        Hand(Forgets()).poll()
    assert_pending(Hand(Forgets(), checked=False).poll())
    done = Hand(pending_times(0, 1))
    done.poll()
    with pytest.raises(PolledAfterReady):
        done.poll()


class Stubborn(FutureBase[None]):
    """Keeps the first waker that it is given, or the newest, as the law wants."""

    def __init__(self, newest: bool) -> None:
        self._newest = newest
        self.waker: Waker | None = None
        self.dropped = False

    def poll(self, cx: Context, /) -> Poll[None]:
        waker = cx.waker
        if self._newest or self.waker is None:
            self.waker = waker
        return PENDING

    def drop(self) -> None:
        self.dropped = True


@pytest.mark.parametrize("newest", [True, False])
def test_a_fresh_waker_shows_whether_the_newest_one_is_kept(newest: bool) -> None:
    future = Stubborn(newest)
    hand = Hand(future)
    hand.poll()
    old = hand.fresh_waker()
    assert isinstance(old, CountingWaker)
    hand.poll()
    assert future.waker is not None
    future.waker.wake()
    assert (hand.woken, old.wakes) == ((True, 0) if newest else (False, 1))


def test_a_hand_drops_as_an_owner_does() -> None:
    future = Stubborn(newest=True)
    Hand(future).drop()
    assert future.dropped
