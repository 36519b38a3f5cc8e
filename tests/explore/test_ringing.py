"""All states of a ring whose two ends sleep, and the faults that the search has to find."""

from __future__ import annotations

from typing import Any

import pytest

from pinfut.rpc.memory.notification import Notification
from pinfut.rpc.memory.ring import RingReader, RingWriter
from tests.explore.ringing import Ringing
from tests.explore.states import Fault, explore, report

NEEDED = (
    "at rest",
    "writer sleeps",
    "writer woken",
    "published, not told",
    "wanted while it releases",
    "looks again",
    "told while awake",
)


@pytest.mark.parametrize(
    ("size", "limits", "batches", "also"),
    [(16, (1, 9), False, "four frames"), (24, (1, 9), True, "skips the end")],
)
def test_no_order_of_accesses_lets_an_end_sleep_while_there_is_work(
    size: int, limits: tuple[int, ...], batches: bool, also: str
) -> None:
    explored = explore(lambda: Ringing((size,), limits, batches))
    report(f"all states of a ring with frames of {size} bytes", explored, *NEEDED, also)


def hasty_writer(self: Any, end: int) -> bool:
    if end <= self._read_limit():
        return True
    self._words[2] = 1
    return False  # and does not look again


def late_writer(self: Any, end: int) -> bool:
    if end <= self._read_limit() or end <= self._read_limit():
        return True
    self._words[2] = 1  # after the last look
    return False


def release_behind(self: Any) -> bool:
    wanted = bool(self._words[2])
    if wanted:
        self._words[2] = 0
    self._words[1] = self.consumed  # after the check
    return wanted


def release_once(self: Any) -> bool:
    self._words[1] = self.consumed
    return False


def release_too_much(self: Any) -> bool:
    self._words[1] = self._seen  # what was seen, and not what was read
    if self._words[2]:
        self._words[2] = 0
        return True
    return False


def park_blindly(self: Any, waker: Any) -> bool:
    self._waker = waker
    return True


def wake_nobody_twice(self: Any) -> None:
    if self._waker is not None:
        self._summary = 0  # the one that is woken finds nothing
        self._waker.wake()
        self._waker = None


FAULTS = [
    (RingWriter, "_has_room", hasty_writer, "both sleep"),
    (RingWriter, "_has_room", late_writer, "both sleep"),
    (RingReader, "release", release_behind, "both sleep"),
    (RingReader, "release", release_once, "both sleep"),
    (RingReader, "release", release_too_much, "not the frame that was written"),
    (Notification, "park", park_blindly, "sleep"),
    (Notification, "wake", wake_nobody_twice, "sleep"),
]


@pytest.mark.parametrize(("owner", "name", "fault", "what"), FAULTS)
def test_the_search_finds_a_planted_fault(
    owner: type, name: str, fault: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, fault)
    with pytest.raises(Fault, match=what):
        explore(lambda: Ringing((32,), (1, 9)))
