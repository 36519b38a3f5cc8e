"""What lies in the shared memory of a session, read without touching anything."""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterator
from typing import Any

from pinfut.rpc import Session, SimKernel
from pinfut.rpc.memory.lane_pages import LanePages
from pinfut.rpc.memory.ring import HEAD_BYTES
from pinfut.rpc.wire.frames import CALL_HEAD

Frame = tuple[str, int]
"""What a frame is, and which call it is about."""

_KINDS = "", "CALL", "RETURN", "FINISH", "RELEASE", "CANCEL", "BOOTSTRAP"


def head(frame: bytes) -> Frame:
    kind = frame[4]
    return _KINDS[kind], struct.unpack_from("<Q", frame, 8)[0]


class Lane:
    """One direction of a session: the bytes, and what its two sides have of it, if anything."""

    def __init__(self, pages: LanePages, caller: Session, callee: Session) -> None:
        self.pages = pages
        # What is explored here has all its slots from the beginning.
        memory, slots = pages.lane()
        assert slots == caller.end.slots
        split = 8 * (1 + slots)
        self._completions = memory[:split].cast("Q")
        self._ring = memory[split + HEAD_BYTES :]
        # These two have it as soon as they use it, and are asked only as long as they are there.
        self.submissions: Any = (
            caller.end.submissions() if caller.out.opened and not caller.end.released else None
        )
        self.requests: Any = None if callee.end.released else callee.end.requests()

    def frames(self, start: int, end: int) -> Iterator[Frame]:
        """What was written from one position to another."""
        lengths = self._ring.cast("I")
        while start < end:
            at = start % len(self._ring)
            length = lengths[at >> 2]
            if length == 1 << 31:
                start += len(self._ring) - at
                continue
            yield head(self._ring[at : at + min(length, CALL_HEAD.size)].tobytes())
            start += length + 7 & -8

    def replies(self) -> list[int]:
        """The ids that were posted and that the caller has not taken."""
        if self.submissions is None:
            return []
        ids, taken = self._completions[1:], self.submissions.completed.__self__._head
        return [ids[at % len(ids)] for at in range(taken, self._completions[0])]


def lane_of(kernel: SimKernel, caller: Session, callee: Session) -> Lane | None:
    """The lane of one side's calls; None while there is none, and once the session is over."""
    channel = kernel.channel_of(caller.end)
    if channel is None or len(channel.lanes) <= caller.end.serving:
        return None
    return Lane(channel.lanes[caller.end.serving], caller, callee)


def unread(lane: Lane | None) -> list[Frame]:
    """The frames that the callee can read: what they are, and which call they are about."""
    if lane is None or lane.requests is None:
        return []
    return list(lane.frames(lane.requests.consumed, lane.pages.counts[0]))


def in_ring(lane: Lane | None) -> list[Frame]:
    """The frames of the caller that the callee has not read, published or not."""
    if lane is None or lane.submissions is None:
        return []
    read = lane.pages.counts[1] if lane.requests is None else lane.requests.consumed
    return list(lane.frames(read, lane.submissions.tail))


def unpublished(out: Lane | None, into: Lane | None) -> Hashable:
    """What a side has written and not said: frames, and answers to the other's calls."""
    frames: list[Frame] = []
    if out is not None and out.submissions is not None:
        frames = list(out.frames(out.pages.counts[0], out.submissions.tail))
    posted = () if into is None or into.requests is None else into.requests.completions.posted
    return tuple(frames), tuple(posted)


def replies(lane: Lane | None) -> list[int]:
    """The replies that the caller could take."""
    return [] if lane is None else lane.replies()
