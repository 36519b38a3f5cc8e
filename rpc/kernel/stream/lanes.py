"""The two ends of one direction of a stream, each in memory of its own side.

What a caller submits goes behind the other parts of its side; credit bounds what is under way.
Where an answer goes is the caller's number: the callee gives it back, and the caller believes none
that it has not reserved."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from struct import Struct
from typing import Final, Protocol, final

from pinfut.rpc.bank.account import PAGE
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.errors import GarbageFrame
from pinfut.rpc.kernel.stream.parts import ANSWER, CALL, HEAD, READ

LARGE: Final = 1 << 31
"""Places from here on hold one answer that is too long for a small place."""

_HEAD: Final = Struct("<IIQ")
_LENGTH: Final = Struct("<I")


def size_of(length: int) -> int:
    """Bytes of credit that a call takes until it is read; an empty one takes some, too."""
    return max(8, length + 7 & -8)


class CallSide(Protocol):
    """The endpoint, as its two directions know it."""

    parts: list[bytes]
    """What goes with the next publication."""

    def buy(self, pages: int, why: str, /) -> None:
        """Buy memory of this side. Raises OutOfPages."""

    def sell(self, pages: int, /) -> None:
        """Sell it."""

    def answered(self, length: int, /) -> None:
        """An answer of so many bytes waits to be published."""


@final
class StreamSubmissions:
    """The caller's end (`pinfut.rpc.contract.Submissions`)."""

    # Nothing grows, is given back, or has to be left.
    spare = False
    behind = 0

    def __init__(self, lane: CallSide, spec: SessionSpec) -> None:
        self._lane = lane
        self.small = spec.cell
        self.slots = spec.slots
        self.capacity = spec.ring
        self.largest = spec.largest
        self.tail = 0
        self.read_there = 0  # bytes that the other side has read
        self._short = False  # whether a call found no room: the next READ is worth a wake
        self.unpublished = 0
        # Small places: how many are bought, and which are free; bytes of each larger one.
        self._bought = 0
        self.places: deque[int] = deque()
        self._rooms: dict[int, int] = {}
        self._last = LARGE
        self._answers: dict[int, bytes] = {}  # by place: what has come
        self._come: list[int] = []  # for which calls, since the last look

    def reserve(self, room: int, /) -> int:
        if room > self.small:
            pages = -(-room // PAGE)
            self._lane.buy(pages, "the memory for answers")
            while self._last in self._rooms:
                self._last = self._last + 1 & LARGE - 1 | LARGE
            self._rooms[self._last] = pages * PAGE
            return self._last
        if not self.places:
            small = PAGE // self.small
            self._lane.buy(1, "the memory for answers")
            self.places.extend(range(self._bought, self._bought + small))
            self._bought += small
        return self.places.popleft()

    def submit(self, frame: bytes, /) -> bool:
        length = len(frame)
        tail = self.tail + size_of(length)
        if tail - self.read_there > self.capacity:
            self._short = True
            return False
        self.tail = tail
        self._lane.parts += (HEAD.pack(CALL, length, 0, 0), frame)
        self.unpublished += length
        return True

    def submit_all(self, frames: Iterable[bytes], /) -> int:
        return sum(1 for _ in takewhile(self.submit, frames))

    def resize(self, slots: int, ring: int, /) -> None:
        """Raises ValueError for anything but what there is: a stream grows nothing."""
        if (slots, ring) != (self.slots, self.capacity):
            raise ValueError("more than a session over a stream has, or less: it keeps its sizes")

    def completed(self) -> list[int]:
        come, self._come = self._come, []
        if len(come) > self.slots:
            raise GarbageFrame(f"more answers came than there can be calls in {self.slots} slots")
        return come

    def read(self, place: int, /) -> bytes:
        frame = self._answers.get(place)
        if frame is None:
            raise GarbageFrame(f"there is no answer at {place:#x}")
        return frame

    def take_plain(self, place: int, x: int, word: int, /) -> bytes | None:
        frame = self._answers.get(place, b"")
        if frame[: _HEAD.size] != _HEAD.pack(len(frame), word, x):
            return None
        self.release(place)
        return frame[_HEAD.size :]

    def peek(self, place: int, x: int, /) -> int | None:
        frame = self._answers.get(place, b"")
        word, number = _HEAD.unpack_from(frame)[1:] if len(frame) >= _HEAD.size else (0, -1)
        return int(word) if number == x else None

    def release(self, place: int, /) -> None:
        self._answers.pop(place, None)
        if place < LARGE:
            self.places.append(place)
        else:
            self._lane.sell(self._rooms.pop(place) // PAGE)

    def trim(self) -> None:
        """Nothing is kept between two uses: a large place is sold when it is released."""

    # ---- the kernel's ----

    def room(self, place: int) -> int:
        """Bytes of an answer for a place; -1 for none."""
        return self.small if place < self._bought else self._rooms.get(place, -1)

    def come(self, place: int, x: int, frame: bytes) -> None:
        """An answer has come. One more than there are slots is remembered, and no more."""
        self._answers[place] = frame
        if len(self._come) <= self.slots:
            self._come.append(x)

    def credited(self, read: int) -> bool:
        """The other side has read so much; whether a call waits for that. Raises GarbageFrame."""
        if not self.read_there < read <= self.tail:
            raise GarbageFrame(f"{read} bytes are said to be read of {self.tail}")
        self.read_there = read
        short, self._short = self._short, False
        return short


@final
class StreamRequests:
    """The callee's end (`pinfut.rpc.contract.Requests`). What has come and was not read lies in one
    buffer, so that it takes what credit says and no object for each call."""

    def __init__(self, lane: CallSide, spec: SessionSpec) -> None:
        self._lane = lane
        self._capacity = spec.ring
        self.slots = spec.slots
        self._buffer = bytearray()
        self._at = 0  # where the next frame begins in it
        self._arrived = self._told = 0  # bytes of credit
        self.more = False
        self.most: Callable[[bytes], int] | None = None
        self.consumed = 0

    def watch(self, resized: Callable[[int], None], /) -> None:
        """It is never called: the slots stay as they are."""

    def receive(self, limit: int, credit: int, /) -> list[bytes]:
        frames: list[bytes] = []
        buffer, at, most = self._buffer, self._at, self.most
        last = self.consumed + credit
        while at < len(buffer) and len(frames) < limit and self.consumed < last:
            (length,) = _LENGTH.unpack_from(buffer, at)
            start = at + _LENGTH.size
            at = start + length
            if most is not None and length > most(bytes(buffer[start : start + 64])):
                raise GarbageFrame(f"a frame of {length} bytes is longer than it may be")
            frames.append(bytes(buffer[start:at]))
            self.consumed += size_of(length)
        self._at = at
        self.more = at < len(buffer)
        return frames

    def put_back(self, frames: Sequence[bytes], /) -> None:
        for frame in frames:
            self._at -= _LENGTH.size + len(frame)
            self.consumed -= size_of(len(frame))
        self.more = self._at < len(self._buffer)

    def complete(self, place: int, x: int, frame: bytes, /) -> None:
        """Raises nothing: whether the place is one, its owner looks."""
        self._lane.parts += (HEAD.pack(ANSWER, len(frame), place, x), frame)
        self._lane.answered(len(frame))

    # ---- the kernel's ----

    def require_room(self, length: int) -> None:
        """Raises GarbageFrame for a call beyond its credit."""
        if self._arrived + size_of(length) - self._told > self._capacity:
            raise GarbageFrame(f"a call of {length} bytes beyond its credit")

    def called(self, frame: bytes) -> None:
        """A call has come."""
        self._arrived += size_of(len(frame))
        self._buffer += _LENGTH.pack(len(frame))
        self._buffer += frame

    def credit(self) -> bytes:
        """What the other side has to hear about reading, once that is worth a part."""
        if self.consumed - self._told < self._capacity >> 2:
            return b""
        del self._buffer[: self._at]
        self._at = 0
        self._told = self.consumed
        return HEAD.pack(READ, 0, self.consumed, 0)
