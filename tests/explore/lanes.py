"""What lies in the shared memory of a session, read without touching anything."""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterator

from pinfut.rpc import Session
from pinfut.rpc.memory.ring import RingReader, RingWriter
from pinfut.rpc.wire.frames import CALL_HEAD

Frame = tuple[str, int]
"""What a frame is, and which call it is about."""


def _ring(session: Session) -> tuple[RingWriter, RingReader] | None:
    """The ring that this side reads, with both of its ends."""
    lane = session.end.into()
    return None if lane is None or session.end.channel.freed else (lane.writer, lane.reader)


_KINDS = "", "CALL", "RETURN", "FINISH", "RELEASE", "CANCEL", "BOOTSTRAP"


def head(frame: bytes) -> Frame:
    kind = frame[4]
    return _KINDS[kind], struct.unpack_from("<Q", frame, 8)[0]


def _frames(writer: RingWriter, start: int, end: int) -> Iterator[Frame]:
    while start < end:
        at = start & writer._mask
        length = int(writer._lengths[at >> 2])
        if length == 1 << 31:
            start += writer.capacity - at
            continue
        frame = writer._buffer[at : at + min(length, CALL_HEAD.size)].tobytes()
        yield head(frame)
        start += length + 7 & -8


def unread(session: Session) -> list[Frame]:
    """The frames that this side can read: what they are, and which call they are about."""
    ends = _ring(session)
    if ends is None:
        return []
    return list(_frames(ends[0], ends[1].head, ends[0]._published))


def in_ring(session: Session) -> list[Frame]:
    """The frames of this side that the other has not read, published or not."""
    lane = session.lane
    return [] if lane is None else list(_frames(lane.writer, lane.reader.head, lane.writer.tail))


def unpublished(session: Session) -> Hashable:
    """What this side has written and not said: frames, and answers to the other's calls."""
    if session.end.channel.freed or (session.lane is None and session.end.into() is None):
        return ()
    frames: list[Frame] = []
    if session.lane is not None:
        writer = session.lane.writer
        frames = list(_frames(writer, writer._published, writer.tail))
    into = session.end.into()
    return tuple(frames), () if into is None else tuple(into.completions.posted)


def replies(session: Session) -> list[int]:
    """The replies that this side could take."""
    lane = session.lane
    if lane is None or session.end.channel.freed:
        return []
    completions = lane.completions
    words, capacity = completions._words, completions.capacity
    return [words[1 + at % capacity] for at in range(completions._head, words[0])]
