"""A waker that raises, as that of a task of another executor does, keeps nobody else waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from pinfut import (
    PENDING,
    Barrier,
    BroadcastReceiver,
    BroadcastSender,
    Closed,
    Condition,
    CoroutineFuture,
    Event,
    ForeignWake,
    FutureBase,
    Lock,
    Notify,
    Semaphore,
    broadcast,
    channel,
    drop,
    shared,
    watch,
)
from pinfut.testing import CountingWaker, Hand
from tests.pinfut.hand import Gate

Case = tuple[list[FutureBase[Any]], Callable[[], object]]


class Refuses:
    """Counts its wakes, and raises at each."""

    def __init__(self) -> None:
        self.wakes = 0

    def wake(self) -> None:
        self.wakes += 1
        raise ForeignWake("from elsewhere")


def event() -> Case:
    one = Event()
    return [one.wait() for _ in range(3)], one.set


def notify_all() -> Case:
    one = Notify()
    return [one.notified() for _ in range(3)], one.notify_all


def semaphore() -> Case:
    one = Semaphore(3)
    assert one.try_acquire(3)
    return [one.acquire() for _ in range(3)], lambda: one.release(3)


def barrier() -> Case:
    one = Barrier(4)
    return [one.wait() for _ in range(3)], Hand(one.wait()).poll


def broadcast_send() -> Case:
    pair: tuple[BroadcastSender[int], BroadcastReceiver[int]] = broadcast(1)
    tx, rx = pair
    return [rx.clone().recv() for _ in range(3)], lambda: tx.send(1)


def watch_set() -> Case:
    tx, rx = watch(0)
    return [rx.clone().changed() for _ in range(3)], lambda: tx.send(1)


def receivers_of_a_channel_that_is_closed() -> Case:
    tx, rx = channel[int](1)
    return [rx.recv() for _ in range(3)], tx.close


def senders_of_a_channel_that_is_closed() -> Case:
    tx, _ = channel[int](1)
    assert tx.try_send(0)
    return [tx.send(1) for _ in range(3)], tx.close


def clones_of_a_future() -> Case:
    gate: Gate[int] = Gate()
    handle = shared(gate)
    first = Hand(handle)
    clones: list[FutureBase[Any]] = [handle.clone() for _ in range(3)]

    def opens() -> None:
        gate.open(1)
        first.poll()

    assert first.poll() is PENDING
    return clones, opens


CASES: list[Callable[[], Case]] = [
    event,
    notify_all,
    semaphore,
    barrier,
    broadcast_send,
    watch_set,
    receivers_of_a_channel_that_is_closed,
    senders_of_a_channel_that_is_closed,
    clones_of_a_future,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("refusing", [1, 3])
def test_all_that_wait_are_woken_though_the_first_waker_raises(
    case: Callable[[], Case], refusing: int
) -> None:
    futures, act = case()
    hands = [Hand(future) for future in futures]
    for hand in hands[:refusing]:
        hand.waker = cast(CountingWaker, Refuses())
    for hand in hands:
        assert hand.poll() is PENDING
    with pytest.raises(ForeignWake):
        act()
    assert [hand.wakes for hand in hands] == [1, 1, 1]
    for hand in hands:
        try:
            assert hand.poll() is not PENDING
        except Closed:
            pass


def test_a_lock_belongs_to_who_was_woken_though_the_wake_raises() -> None:
    lock = Lock()
    assert lock.try_acquire()
    hand = Hand(lock.acquire())
    hand.waker = cast(CountingWaker, Refuses())
    assert hand.poll() is PENDING
    with pytest.raises(ForeignWake):
        lock.release()
    assert lock.locked
    assert hand.poll() is None
    assert lock.holder() is not None
    assert "test_waking_many" in lock.holder()  # type: ignore[operator]
    lock.release()
    assert not lock.locked


def test_a_notification_for_one_is_passed_on_though_the_wake_raised() -> None:
    notify = Notify()
    hand, other = Hand(notify.notified()), Hand(notify.notified())
    hand.waker = cast(CountingWaker, Refuses())
    assert hand.poll() is other.poll() is PENDING
    with pytest.raises(ForeignWake):
        notify.notify_one()
    drop(hand.future)
    assert other.woken


def test_what_a_sender_waits_with_goes_into_the_channel_though_its_wake_raises() -> None:
    tx, rx = channel[int](1)
    assert tx.try_send(1)
    hand = Hand(tx.send(2))
    hand.waker = cast(CountingWaker, Refuses())
    assert hand.poll() is PENDING
    with pytest.raises(ForeignWake):
        rx.try_recv()
    assert hand.poll() is None
    assert rx.try_recv() == 2


def test_a_condition_wakes_all_though_the_first_waker_raises() -> None:
    condition = Condition()
    hands = [Hand(CoroutineFuture(condition.wait())) for _ in range(3)]
    hands[0].waker = cast(CountingWaker, Refuses())
    for hand in hands:
        assert condition.lock.try_acquire()
        assert hand.poll() is PENDING
    assert condition.lock.try_acquire()
    with pytest.raises(ForeignWake):
        condition.notify_all()
    assert [hand.wakes for hand in hands] == [1, 1, 1]
    for hand in hands:
        condition.lock.release()
        assert hand.poll() is None
