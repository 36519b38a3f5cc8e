"""Ring: frames from one process to another through shared pages, one writer, one reader.

The layout: four 64-bit words (tail, head, want, unused), then `capacity` bytes, a power
of two. Tail and head count bytes for ever; a position is a count mod capacity. A frame
begins with its length in 32 bits, is contiguous, and starts on a multiple of eight; where
it would cross the end, a word with the top bit set says "go on at the start".

Both sides keep their own count in private memory and treat the other's word as hostile:
read once, checked, then used.
"""

from __future__ import annotations

from typing import Final, final

from pinfut.rpc.errors import GarbageFrame

WORDS: Final = 4
HEAD_BYTES: Final = WORDS * 8

_TAIL: Final = 0
_HEAD: Final = 1
_WANT: Final = 2
_SKIP: Final = 1 << 31
_MIN_FRAME: Final = 8
_ALL: Final = 1 << 62


def ring_bytes(capacity: int) -> int:
    """How much memory a ring of `capacity` bytes takes. Raises ValueError unless the
    capacity is a power of two of at least 64."""
    if capacity < 64 or capacity & (capacity - 1):
        raise ValueError(f"a ring's capacity is a power of two, at least 64, not {capacity}")
    return HEAD_BYTES + capacity


@final
class RingWriter:
    """The writing end. `write` puts frames down; `publish` makes them visible at once."""

    __slots__ = (
        "_buffer",
        "_lengths",
        "_limit",
        "_mask",
        "_published",
        "_words",
        "capacity",
        "largest",
        "tail",
    )

    def __init__(self, memory: memoryview) -> None:
        self._words = memory[:HEAD_BYTES].cast("Q")
        self.capacity = len(memory) - HEAD_BYTES
        self._mask = self.capacity - 1
        self._buffer = memory[HEAD_BYTES:]
        self._lengths = self._buffer.cast("I")
        self.tail = 0
        self._published = 0
        # Invariant: tail <= _limit, and everything below _limit has been read.
        self._limit = self.capacity
        # The longest frame that can always be sent, whatever the position, in bytes.
        self.largest = self.capacity // 2

    def write(self, frame: bytes) -> bool:
        """Put a frame down behind the others. False when there is no room at present.

        Raises GarbageFrame when the reader's count makes no sense.
        """
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

    def _has_room(self, end: int) -> bool:
        if end <= self._read_limit():
            return True
        # Say that we wait before looking again: the reader may have moved in between.
        self._words[_WANT] = 1
        return end <= self._read_limit()

    def _read_limit(self) -> int:
        head = self._words[_HEAD]
        if not self._limit - self.capacity <= head <= self.tail:
            raise GarbageFrame(f"the reader of a ring claims to be at {head} of {self.tail}")
        self._limit = head + self.capacity
        return self._limit

    @property
    def unpublished(self) -> int:
        """Bytes that were written since the last `publish`."""
        return self.tail - self._published

    def publish(self) -> None:
        """Make everything written so far visible to the reader."""
        self._words[_TAIL] = self._published = self.tail


@final
class RingReader:
    """The reading end: copies each frame once, and only then looks at it."""

    __slots__ = ("_buffer", "_mask", "_seen", "_words", "capacity", "frames", "head")

    def __init__(self, memory: memoryview) -> None:
        self._words = memory[:HEAD_BYTES].cast("Q")
        self.capacity = len(memory) - HEAD_BYTES
        self._mask = self.capacity - 1
        self._buffer = memory[HEAD_BYTES:]
        self.head = 0
        # How many frames were read in all.
        self.frames = 0
        # Invariant: head <= _seen <= head + capacity: the writer's count when last read.
        self._seen = 0

    def look(self) -> bool:
        """Read how far the writer is; whether there is anything to read.

        Raises GarbageFrame when its count makes no sense.
        """
        tail = self._words[_TAIL]
        if not self._seen <= tail <= self.head + self.capacity or tail & 7:
            raise GarbageFrame(f"the writer of a ring claims to be at {tail} of {self.head}")
        self._seen = tail
        return tail != self.head

    def read(self, limit: int, credit: int = _ALL) -> list[bytes]:
        """Copies of the next frames that `look` has seen, at most `limit`, and none that begins
        after the first `credit` bytes.

        Raises GarbageFrame for a length that runs out of what was written.
        """
        frames: list[bytes] = []
        last = self.head + credit
        while self.head < self._seen and self.head < last and len(frames) < limit:
            position = self.head & self._mask
            size = min(self._seen - self.head, self.capacity - position)
            # One copy of all that lies in a row; from here on nobody else can change it.
            data = self._buffer[position : position + size].tobytes()
            lengths = memoryview(data).cast("I")
            start = 0
            stop = min(size, last - self.head)
            for _ in range(limit - len(frames)):
                if start >= stop:
                    break
                length = lengths[start >> 2]
                end = start + (length + 7 & -8)
                if length < _MIN_FRAME or end > size:
                    if length != _SKIP or self.head + size >= self._seen:
                        raise GarbageFrame(
                            f"a frame of {length} bytes does not fit what was written"
                        )
                    start = size
                    break
                frames.append(data[start : start + length])
                start = end
            self.head += start
        self.frames += len(frames)
        return frames

    @property
    def more(self) -> bool:
        """Whether `look` has seen more than was read."""
        return self.head < self._seen

    def release(self) -> bool:
        """Tell the writer what has been read. True when it is waiting to hear."""
        self._words[_HEAD] = self.head
        if self._words[_WANT]:
            self._words[_WANT] = 0
            return True
        return False
