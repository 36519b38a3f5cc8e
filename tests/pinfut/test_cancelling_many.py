"""Giving n waiters up costs n, for each primitive, in whatever order they go."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pinfut import Barrier, Event, FutureBase, Lock, Notify, Semaphore, broadcast, channel, watch
from pinfut.testing import Hand, assert_pending
from tests.core.both import needs_pure
from tests.covered import covered, require

COUNT = 256

Make = Callable[[], FutureBase[Any]]


def receivers() -> Make:
    _, rx = channel(1)
    return rx.recv


def senders() -> Make:
    tx, _ = channel(1)
    assert tx.try_send(0)
    return lambda: tx.send(1)


def of_a_lock() -> Make:
    lock = Lock()
    assert lock.try_acquire()
    return lock.acquire


def of_a_semaphore() -> Make:
    semaphore = Semaphore(3)
    assert semaphore.try_acquire(2)
    return lambda: semaphore.acquire(2)


WAITERS: dict[str, Callable[[], Make]] = {
    "receivers": receivers,
    "senders": senders,
    "lock": of_a_lock,
    "semaphore": of_a_semaphore,
    "event": lambda: Event().wait,
    "notify": lambda: Notify().notified,
    "barrier": lambda: Barrier(COUNT + 1).wait,
    "watch": lambda: watch(0)[1].changed,
    "broadcast": lambda: broadcast(1)[1].recv,
}

ORDERS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "oldest first": lambda waiting: waiting,
    "newest first": lambda waiting: waiting[::-1],
    "every second, then the rest": lambda waiting: waiting[1::2] + waiting[::2],
    "from the middle out": lambda waiting: sorted(
        waiting, key=lambda one: abs(waiting.index(one) - len(waiting) // 2)
    ),
    "at random": lambda waiting: random.Random(1).sample(waiting, len(waiting)),
}


def counted(kind: type[Any], looks: list[int]) -> type[Any]:
    """`kind`, with a count of how often one of them is compared, hashed or asked for its waker."""
    place = kind.waker  # the slot

    def same(self: object, other: object) -> bool:
        looks[0] += 1
        return self is other

    def number(self: object) -> int:
        looks[0] += 1
        return id(self)

    def waker(self: object) -> Any:
        looks[0] += 1
        return place.__get__(self)

    body = {
        "__slots__": (),
        "__eq__": same,
        "__hash__": number,
        "waker": property(waker, place.__set__),
    }
    return type(kind.__name__, (kind,), body)


@needs_pure
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("waiters", WAITERS)
def test_giving_up_many_looks_at_each_a_few_times(
    waiters: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [0]
    kind = type(WAITERS[waiters]()())
    module = sys.modules[kind.__module__]
    monkeypatch.setattr(module, kind.__name__, counted(kind, looks))
    make = WAITERS[waiters]()
    waiting = [Hand(make(), checked=False) for _ in range(COUNT)]
    for one in waiting:
        assert_pending(one.poll())
    going = ORDERS[order](waiting)
    looks[0] = 0
    for one in going:
        one.drop()
    counts = covered("waiters given up", **{f"looks_at_{waiters}": looks[0]})
    require(counts, f"looks_at_{waiters}")
    assert looks[0] <= 10 * COUNT


@needs_pure
@pytest.mark.parametrize("order", ORDERS)
def test_those_that_stay_in_a_channel_are_served_in_their_order(order: str) -> None:
    tx, rx = channel[int](1)
    waiting = [Hand(rx.recv()) for _ in range(COUNT)]
    for one in waiting:
        assert_pending(one.poll())
    going = ORDERS[order](waiting)[: COUNT * 3 // 4]
    for one in going:
        one.drop()
    staying = [one for one in waiting if one not in going]
    for number, one in enumerate(staying):
        assert not one.woken
        assert tx.try_send(number)
        assert one.poll() == number
    assert staying
