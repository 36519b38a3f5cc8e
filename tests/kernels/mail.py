"""What goes between two processes of a `CopyKernel`, and where each keeps its own part of it.

A message is bytes, of parts: what it is, two numbers, and bytes. It is packed by `Submissions`
and `Requests` of one side and unpacked into those of the other. No memory is seen from both, so
nothing is seen before it is published, and no word can lie to who reads it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from struct import Struct
from typing import Final, Protocol, final

from pinfut.rpc.bank.account import PAGE
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.errors import GarbageFrame
from pinfut.rpc.memory.event_buffer import EventBuffer
from pinfut.rpc.records import ARM, BITS, GENERATION, OWNER, SEEN, VERSION, Shape

CALL: Final = 0
"""The bytes are a call."""
ANSWER: Final = 1
"""The bytes are the answer to call `b`, for place `a`."""
READ: Final = 2
"""`a` bytes of calls were read in all."""
EVENT: Final = 3
"""The bytes are the server's part of the record in place `a`."""
END: Final = 4
"""This side has to let go; `a` says why: CLOSED, DIED, DESTROYED."""

RESIZE: Final = 5
"""The calls behind this are of the next size that was paid."""

CLOSED: Final = 0
DIED: Final = 1
DESTROYED: Final = 2

LARGE: Final = 1 << 31
"""Places from here on hold one answer that is too long for a small place."""

_HEAD: Final = Struct("<IIQ")
"""How an answer begins."""

_PART: Final = Struct("<BQQI")
_SERVERS: Final = 8 * OWNER
"""Where the words of the server begin in a record of an event buffer; the states follow."""


def pack(kind: int, a: int = 0, b: int = 0, data: bytes = b"") -> bytes:
    """A part of a message."""
    return _PART.pack(kind, a, b, len(data)) + data


def unpack(message: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The parts of a message, each with a copy of its bytes."""
    end = 0
    while end < len(message):
        kind, a, b, length = _PART.unpack_from(message, end)
        start = end + _PART.size
        end = start + length
        yield kind, a, b, message[start:end]


def size_of(frame: bytes) -> int:
    """Bytes of credit that a call takes until it is read; an empty one takes some, too."""
    return max(8, len(frame) + 7 & -8)


class Places(Protocol):
    """The kernel, as far as places for answers need it; `number` stands for a side."""

    def grow(self, number: int, small: int, /) -> int: ...
    def reserve(self, number: int, room: int, /) -> int: ...
    def release(self, number: int, place: int, /) -> None: ...
    def room(self, number: int, place: int, /) -> int: ...
    def resize(self, number: int, slots: int, ring: int, /) -> None: ...
    def left(self, number: int, /) -> int: ...


@final
class Submissions:
    """The caller's end (`pinfut.rpc.contract.Submissions`): calls that wait to be published, and
    the places into which answers are delivered."""

    def __init__(self, kernel: Places, number: int, spec: SessionSpec) -> None:
        self._kernel = kernel
        self._number = number
        self.small = spec.cell
        # Credit: bytes that were sent and not read by the other side are at most `capacity`.
        self.slots, self.capacity = spec.first
        self._message = spec.message
        self.largest = min(self.capacity // 2, spec.message)
        self.tail = 0
        self._read = 0
        # As many answers may come as there were slots since the last look.
        self._most = self.slots
        # Whether a call found no room, so that the next READ is worth a wake.
        self._short = False
        # None stands for a resize.
        self.calls: list[bytes | None] = []
        self.unpublished = 0
        # Small places that are bought and free; what was delivered, by place, and for which calls.
        self.places: deque[int] = deque()
        self._answers: dict[int, bytes] = {}
        self._come: list[int] = []

    def reserve(self, room: int, /) -> int:
        if room > self.small:
            return self._kernel.reserve(self._number, room)
        if not self.places:
            small = PAGE // self.small
            first = self._kernel.grow(self._number, small)
            self.places.extend(range(first, first + small))
        return self.places.popleft()

    # Nothing is given back, and nothing has to be left.
    spare = False
    behind = 0

    def submit(self, frame: bytes, /) -> bool:
        sent = self.tail + size_of(frame)
        if sent - self._read > self.capacity:
            self._short = True
            return False
        self.tail = sent
        self.calls.append(frame)
        self.unpublished += len(frame)
        return True

    def submit_all(self, frames: Iterable[bytes], /) -> int:
        return sum(1 for _ in takewhile(self.submit, frames))

    def resize(self, slots: int, ring: int, /) -> None:
        self._kernel.resize(self._number, slots, ring)
        self.slots, self.capacity = slots, ring
        self._most = max(self._most, slots)
        self.largest = min(ring // 2, self._message)
        self.calls.append(None)

    def published(self) -> None:
        """What was submitted is on its way."""
        self.calls.clear()
        self.unpublished = 0

    def completed(self) -> list[int]:
        come, self._come = self._come, []
        if len(come) > self._most:
            raise GarbageFrame(f"more answers came than there can be calls in {self._most} slots")
        self._most = self.slots
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
            self._kernel.release(self._number, place)

    def trim(self) -> None:
        """Nothing is kept between two uses: a large place is sold when it is released."""

    def answered(self, place: int, x: int, frame: bytes) -> None:
        """An answer is delivered. One more than there are slots is remembered, and no more."""
        self._answers[place] = frame
        if len(self._come) <= self._most:
            self._come.append(x)

    def credited(self, read: int) -> bool:
        """The other side has read so much; whether a call waits for that."""
        self._read = read
        short, self._short = self._short, False
        return short


@final
class Requests:
    """The callee's end (`pinfut.rpc.contract.Requests`): calls that were delivered, and answers
    that wait to be published."""

    def __init__(self, kernel: Places, number: int, spec: SessionSpec) -> None:
        self._kernel = kernel
        self._number = number
        self._largest = spec.largest
        self.slots = spec.first[0]
        self._resized: Callable[[int], None]
        self._frames: deque[bytes | None] = deque()
        self._told = 0
        self.more = False
        self.most: Callable[[bytes], int] | None = None
        self.consumed = 0
        self.answers: list[bytes] = []

    def receive(self, limit: int, credit: int, /) -> list[bytes]:
        frames: list[bytes] = []
        last = self.consumed + credit
        while self._frames and len(frames) < limit and self.consumed < last:
            frame = self._frames[0]
            if frame is None:
                # What came before a resize is handled first.
                if not frames:
                    self._frames.popleft()
                    self.slots = self._kernel.left(self._number)
                    self._resized(self.slots)
                break
            frames.append(frame)
            self._frames.popleft()
            length, most = len(frame), self.most
            if length > self._largest or (most is not None and length > most(frame[:64])):
                raise GarbageFrame(f"a frame of {length} bytes is longer than it may be")
            self.consumed += size_of(frames[-1])
        self.more = bool(self._frames)
        return frames

    def watch(self, resized: Callable[[int], None], /) -> None:
        self._resized = resized

    def put_back(self, frames: Sequence[bytes], /) -> None:
        self._frames.extendleft(reversed(frames))
        self.consumed -= sum(map(size_of, frames))
        self.more = bool(self._frames)

    def complete(self, place: int, x: int, frame: bytes, /) -> None:
        room = self._kernel.room(self._number, place)
        if len(frame) > room:
            raise GarbageFrame(f"place {place:#x} has {room} bytes, the answer {len(frame)}")
        self.answers.append(pack(ANSWER, place, x, frame))

    def called(self, frame: bytes | None) -> None:
        """A call is delivered, or None for a resize."""
        self._frames.append(frame)

    def credit(self) -> list[bytes]:
        """What the other side has to hear about reading."""
        return [] if self._told == self.consumed else [pack(READ, self.consumed)]

    def published(self) -> None:
        """Answers and credit are on their way."""
        self._told = self.consumed
        self.answers.clear()


# ---- events ----


@final
class Records:
    """The server's own event records (`pinfut.rpc.contract.EventMemory`): what it writes here
    goes to the client as it posts. Of the client's words only the generation comes back."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.memory = memoryview(bytearray(shape.places * shape.record))
        self._words = self.memory.cast("Q")

    def open(self, place: int, generation: int) -> None:
        """The client has opened or closed a place, or nothing has changed."""
        self._words[(place * self.shape.record >> 3) + GENERATION] = generation

    def take(self, place: int) -> bytes:
        """A copy of what the server has written. The next state is asked for at once, and what
        `BITS` says from then on is new: it is the client's side that combines and that arms."""
        start, words = place * self.shape.record, self._words
        at = start >> 3
        words[at + ARM] = words[at + ARM] + 1 & (1 << 64) - 1
        words[at + SEEN] = words[at + VERSION]
        return bytes(self.memory[start + _SERVERS : start + self.shape.record])


def combine(old: bytes, new: bytes) -> bytes:
    """The server's part of a record, for who has seen neither. The newer one has the states."""
    both, other = bytearray(new), memoryview(old).cast("Q")
    words = memoryview(both).cast("Q")
    if words[0] == other[0]:
        words[BITS - OWNER] |= other[BITS - OWNER]
    return bytes(both)


@final
class Posted:
    """The client's event buffer, into which its endpoint writes what the server has posted."""

    def __init__(self, buffer: EventBuffer) -> None:
        self._buffer = buffer
        # By place: the arming that was signalled last.
        self._fired: dict[int, int] = {}

    def generation(self, place: int) -> int:
        """Of a place: which opening of it, or whether it is closed."""
        return self._buffer.memory.cast("Q")[(place * self._buffer.shape.record >> 3) + GENERATION]

    def write(self, place: int, data: bytes) -> None:
        """Write what was posted, unless the place is the poster's no more, and signal it if that
        was asked for."""
        buffer, start = self._buffer, place * self._buffer.shape.record
        memory, words, at = buffer.memory, buffer.memory.cast("Q"), start >> 3
        if words[at + GENERATION] != memoryview(data).cast("Q")[0]:
            return
        if words[at + SEEN] != words[at + VERSION]:
            data = combine(bytes(memory[start + _SERVERS : start + buffer.shape.record]), data)
        memory[start + _SERVERS : start + buffer.shape.record] = data
        if self._fired.get(place) != words[at + ARM]:
            self._fired[place] = words[at + ARM]
            buffer.notification.signal(place)
            buffer.notification.wake()
