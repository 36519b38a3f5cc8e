"""Notifications: badges are ORed in, taken at once, and none is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.executor import CancelledError, VirtualClock, call_soon, run, spawn, yield_now
from pinfut.rpc.memory.notification import Notification
from tests.covered import covered, require

NAME = "notification equals a set"


class Woken:
    """A waker that counts."""

    def __init__(self) -> None:
        self.times = 0

    def wake(self) -> None:
        self.times += 1


def test_badges_are_seen_once_sorted_and_none_is_lost() -> None:
    """Bank rule 26: a signal ORs its badge in; a wait reads and zeroes."""

    follow_a_notification()
    require(covered(NAME), "collapsed", "taken", "parked", "woken", "not_parked", "many_words")


@given(
    steps=st.lists(
        st.one_of(
            st.integers(0, 200),
            st.integers(0, 9),
            st.sampled_from([63, 64, 65, 127, 128, 4095, 4096]),
            st.sampled_from(["take", "park", "wake", "unpark", "sleep", "sleep"]),
        ),
        min_size=10,
        max_size=60,
    )
)
def follow_a_notification(steps: list[int | str]) -> None:
    notification, waker = Notification(), Woken()
    pending: set[int] = set()
    parked = False
    woken = collapsed = taken = parks = refused = words = 0
    # Some steps stand for several, or hardly anybody would ever be asleep.
    single: list[int | str] = []
    for step in steps:
        single += ["take", "park", "wake", 77, "wake"] if step == "sleep" else [step]
    for step in single:
        if isinstance(step, int):
            collapsed += step in pending
            notification.signal(step)
            pending.add(step)
        elif step == "take":
            words += len({badge // 64 for badge in pending}) > 1
            badges = notification.take()
            assert badges == sorted(pending)
            taken += len(badges)
            pending.clear()
        elif step == "park":
            if pending:
                assert not notification.park(waker), "whoever parks would sleep over a badge"
                refused += 1
            else:
                assert notification.park(waker)
                parked = True
                parks += 1
        elif step == "unpark":
            notification.unpark()
            parked = False
        else:
            notification.wake()
            if parked and pending:
                woken += 1
                parked = False
        assert waker.times == woken
    assert notification.take() == sorted(pending)
    assert notification.take() == []
    covered(
        NAME,
        collapsed=collapsed,
        taken=taken,
        parked=parks,
        not_parked=refused,
        woken=woken,
        many_words=words,
    )


def lines_of(call: Callable[[], Any]) -> int:
    """How many lines of Python `call` runs."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def test_taking_costs_what_is_ready_and_not_what_is_in_use() -> None:
    """Row 26: the ready are found in O(ready), whatever is idle."""

    few, many = Notification(), Notification()
    for badge in range(128):
        few.signal(badge)
    for badge in range(20_000):
        many.signal(badge)
    few.take()
    many.take()
    for ready in ([7], [7, 100], [5, 6, 7]):
        for notification in (few, many):
            for badge in ready:
                notification.signal(badge)
        assert lines_of(many.take) == lines_of(few.take)
    many.signal(0)
    many.signal(19_999)
    assert lines_of(many.take) < 50
    assert lines_of(lambda: many.signal(19_999)) < 15


def test_a_signal_during_the_work_is_seen_by_the_next_look() -> None:
    notification = Notification()
    notification.signal(3)
    notification.signal(70)
    seen = []
    for badge in notification.take():
        seen.append(badge)
        if badge == 3:
            notification.signal(3)
            notification.signal(70)
    assert seen == [3, 70]
    assert notification.take() == [3, 70]


def test_a_task_that_waits_gets_what_was_signalled_before_during_and_after() -> None:
    notification = Notification()
    got: list[list[int]] = []

    async def server() -> None:
        while True:
            badges = await notification.wait()
            got.append(badges)
            if badges == [9]:
                return
            if badges == [1]:
                for _ in range(3):
                    notification.signal(2)  # during the work, thrice: once more, and once
                notification.wake()

    async def main() -> None:
        notification.signal(1)
        task = spawn(server())
        for _ in range(4):
            await yield_now()
        for badge in (5, 4, 5):
            notification.signal(badge)
        call_soon(notification.wake)
        for _ in range(4):
            await yield_now()
        notification.signal(9)
        notification.wake()
        await task

    run(main(), clock=VirtualClock())
    assert got == [[1], [2], [4, 5], [9]]


def test_a_wait_that_is_cancelled_takes_nothing_with_it() -> None:
    notification = Notification()

    async def wait() -> list[int]:
        return await notification.wait()

    async def main() -> list[int]:
        task = spawn(wait())
        await yield_now()
        task.cancel()
        notification.signal(8)
        notification.wake()
        with pytest.raises(CancelledError):
            await task
        return await spawn(wait())

    assert run(main(), clock=VirtualClock()) == [8]


def test_waking_without_a_badge_wakes_nobody_and_keeps_whoever_waits() -> None:
    notification, waker = Notification(), Woken()
    assert notification.park(waker)
    notification.wake()
    assert waker.times == 0
    notification.signal(1)
    assert waker.times == 0, "signal wakes nobody by itself"
    notification.wake()
    notification.wake()
    assert waker.times == 1
