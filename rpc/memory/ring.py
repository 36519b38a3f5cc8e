"""Ring: frames from one process to another through shared pages, one writer, one reader.

The layout: four 64-bit words (tail, head, want, unused), then `capacity` bytes, a power
of two. Tail and head count bytes forever; a position is a count mod capacity. A frame
begins with its length in 32 bits, is contiguous, and starts on a multiple of eight; where
it would cross the end, a word with the top bit set says "go on at the start".

A ring is never moved. Its writer goes on in another one, where both go on counting, and says
so by the top bit of the tail: the reader goes there when it has read all before.

Both sides keep their own count in private memory and treat the other's word as hostile:
read once, checked, then used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pinfut.core import accelerate
from pinfut.rpc.errors import GarbageFrame

WORDS: Final = 4
HEAD_BYTES: Final = WORDS * 8

_TAIL: Final = 0
_HEAD: Final = 1
_WANT: Final = 2
_SKIP: Final = 1 << 31
_MIN_FRAME: Final = 8
LAST: Final = 1 << 63
"""With a count in shared memory: here it ends, and goes on in the next memory."""
ALL: Final = 1 << 62
"""A credit that is no limit."""
BEGIN: Final = 64
"""Bytes of a frame that say how long it may be."""


def ring_bytes(capacity: int) -> int:
    """How much memory a ring of `capacity` bytes takes. Raises ValueError unless the
    capacity is a power of two of at least 64."""
    if capacity < 64 or capacity & (capacity - 1):
        raise ValueError(f"a ring's capacity is a power of two, at least 64, not {capacity}")
    return HEAD_BYTES + capacity


class RingWriter:
    """The writing end. `submit` puts frames down; `publish` makes them visible at once."""

    __slots__ = (
        *("_begin", "_buffer", "_left", "_lengths", "_limit", "_mask", "_published", "_words"),
        *("capacity", "largest", "tail"),
    )

    def __init__(self, memory: memoryview) -> None:
        self.tail = 0
        self._published = 0
        # The rings that were left since the last `publish`: their words, and where each ends.
        self._left: list[tuple[memoryview, int]] = []
        self._write_to(memory)

    def _write_to(self, memory: memoryview) -> None:
        self._words = memory[:HEAD_BYTES].cast("Q")
        self.capacity = len(memory) - HEAD_BYTES
        self._mask = self.capacity - 1
        self._buffer = memory[HEAD_BYTES:]
        self._lengths = self._buffer.cast("I")
        # The count at which this ring began; until its reader has said anything it is there.
        self._begin = self.tail
        # Invariant: tail <= _limit, and everything below _limit has been read.
        self._limit = self.tail + self.capacity
        # The longest frame that can always be sent, whatever the position, in bytes.
        self.largest = self.capacity // 2

    def go_on(self, memory: memoryview) -> None:
        """Write to another ring from now on."""
        self._left.append((self._words, self.tail))
        self._write_to(memory)

    def submit(self, frame: bytes, /) -> bool:
        """Put a frame down behind the others. False when there is no room at present. Raises
        GarbageFrame when the reader's count makes no sense."""
        length = len(frame)
        tail = self.tail
        position = tail & self._mask
        end = tail + (length + 7 & -8)
        if end > self._limit or position + length > self.capacity:
            skip = 0 if position + length <= self.capacity else self.capacity - position
            end += skip
            if end > self._limit and not self._has_room(end):
                return False
            if skip:
                # The frame starts at the beginning; what is left at the end is skipped.
                self._lengths[position >> 2] = _SKIP
                position = 0
        self._buffer[position : position + length] = frame
        self.tail = end
        return True

    def submit_all(self, frames: Iterable[bytes], /) -> int:
        """Put frames down in order, up to the first for which there is no room: how many."""
        taken = 0
        for frame in frames:
            if not self.submit(frame):
                break
            taken += 1
        return taken

    def _has_room(self, end: int) -> bool:
        if end <= self._read_limit():
            return True
        # Say that we wait before looking again: the reader may have moved in between.
        self._words[_WANT] = 1
        return end <= self._read_limit()

    def _read_limit(self) -> int:
        head = self._words[_HEAD] or self._begin
        if not self._limit - self.capacity <= head <= self.tail:
            raise GarbageFrame(f"the reader of a ring claims to be at {head} of {self.tail}")
        self._limit = head + self.capacity
        return self._limit

    @property
    def unpublished(self) -> int:
        """Bytes that were written since the last `publish`."""
        return self.tail - self._published

    def publish(self) -> bool:
        """Make everything written so far visible to the reader; whether that was anything."""
        tail, left = self.tail, self._left
        if tail == self._published and not left:
            return False
        self._words[_TAIL] = self._published = tail
        # The newest first: who sees that a ring has ended finds the next one there.
        while left:
            words, end = left.pop()
            words[_TAIL] = end | LAST
        return True


class RingReader:
    """The reading end: copies each frame once, and only then looks at it."""

    __slots__ = (
        *("_buffer", "_mask", "_seen", "_skipped", "_words", "capacity", "consumed", "copied"),
        *("frames", "largest", "more", "most"),
    )

    def __init__(self, memory: memoryview) -> None:
        # Bytes that were read in all, and frames; and bytes that were copied for that.
        self.consumed = 0
        self.frames = 0
        self.copied = 0
        self._read_from(memory)
        # Bytes of the longest frame that is taken; of one that begins so, if somebody knows.
        self.largest = self.capacity
        self.most: Callable[[bytes], int] | None = None
        self._skipped = 0  # bytes that the last `receive` has skipped at the end of the ring
        self.more = False  # whether `receive` has left something that it had seen

    def _read_from(self, memory: memoryview) -> None:
        self._words = memory[:HEAD_BYTES].cast("Q")
        self.capacity = len(memory) - HEAD_BYTES
        self._mask = self.capacity - 1
        self._buffer = memory[HEAD_BYTES:]
        # Invariant: consumed <= _seen <= consumed + capacity: the writer's count when last read.
        self._seen = self.consumed

    def _go_on(self) -> None:
        """All was read up to where the writer has left the ring. Raises GarbageFrame."""
        raise GarbageFrame("the writer of a ring claims to go on in another")

    def receive(self, limit: int, credit: int = ALL, /) -> list[bytes]:
        """Copies of the next frames that were published, at most `limit`, and none that begins
        after the first `credit` bytes.

        Raises GarbageFrame when the writer's count makes no sense, and for a length that runs
        out of what was written or is above `largest`, or what `most` says of its beginning. However
        much lies there, what is copied is `credit` and one frame at most."""
        head = self.consumed
        seen = self._words[_TAIL]
        ends = False
        if not self._seen <= seen <= head + self.capacity or seen & 7:
            seen, ends = seen & ~LAST, seen >= LAST
            if not (ends and self._seen <= seen <= head + self.capacity) or seen & 7:
                raise GarbageFrame(f"the writer of a ring claims to be at {seen} of {head}")
            if seen == head:
                self._go_on()
                self.more = True  # the next look is at the next ring
                return []
        self._seen = seen
        frames: list[bytes] = []
        self._skipped = 0
        last = head + credit
        largest = self.largest
        while head < seen and head < last and len(frames) < limit:
            position = head & self._mask
            size, stop = seen - head, last - head
            if size > self.capacity - position:
                size = self.capacity - position
            if stop > size:
                stop = size
            # One copy of what may be taken, in a row; from here on nobody else can change it.
            here = stop + 7 & -8
            data = self._buffer[position : position + here].tobytes()
            self.copied += here
            lengths = memoryview(data).cast("I")
            start = 0
            for _ in range(limit - len(frames)):
                if start >= stop:
                    break
                length = lengths[start >> 2]
                end = start + (length + 7 & -8)
                if not _MIN_FRAME <= length <= largest or end > size:
                    if length != _SKIP or head + size >= seen:
                        raise GarbageFrame(
                            f"a frame of {length} bytes does not fit what was written, or is "
                            f"longer than {largest} bytes"
                        )
                    self._skipped = size - start
                    start = size
                    break
                frame = data[start : start + length]
                if end > here:
                    # It begins in what may be taken, and goes on: as far as it may.
                    seen_to = max(here, start + min(length, BEGIN))
                    frame += self._buffer[position + here : position + seen_to].tobytes()
                    self.copied += seen_to - here
                    if self.most is not None and length > self.most(frame):
                        raise GarbageFrame(f"a frame of {length} bytes is longer than it may be")
                    frame += self._buffer[position + seen_to : position + start + length].tobytes()
                    self.copied += end - seen_to
                frames.append(frame)
                start = end
            head += start
        self.consumed = head
        self.frames += len(frames)
        self.more = head < seen or ends
        return frames

    def put_back(self, frames: Sequence[bytes], /) -> None:
        """Have the last frames of the last `receive` read again by the next, copied once more:
        until then the writer may change them. Before `release` only."""
        head = self.consumed
        for frame in reversed(frames):
            if not head & self._mask:
                head -= self._skipped
            head -= len(frame) + 7 & -8
        self.consumed = head
        self.frames -= len(frames)
        self.more |= bool(frames)

    def release(self) -> bool:
        """Tell the writer what has been read. True when it is waiting to hear."""
        self._words[_HEAD] = self.consumed
        if self._words[_WANT]:
            self._words[_WANT] = 0
            return True
        return False


accelerate(globals())
