"""An id over a queue: a frame in a ring, an answer in the place x mod N. What pinfut does.

Two kinds of places are compared: slots, made for one answer, and cells, which are records of an
event buffer that keep one state. With cells a reply and a source of events are one thing.
"""

from __future__ import annotations

import struct
from typing import ClassVar, Final, Protocol, final

from benches.compare.calls import Counts, Handler, Held, Serving, expect
from pinfut.rpc.memory.ring import RingReader, RingWriter, ring_bytes
from pinfut.rpc.records import ARM, END, GENERATION, OWNER, VERSION, WORDS, Shape
from pinfut.slots import CANCELLING, SlotTable

_FRAME: Final = struct.Struct("<IIQQ")  # length, kind, x, one more than the call it waits for
_CALL: Final = 0
_CANCEL: Final = 1
_ANSWER: Final = struct.Struct("<QQ")  # x, length
_OWN: Final = 24
"""Bytes that the client keeps for a slot: its id, its state, its place among the free ones."""
_BATCH: Final = 64
"""Frames of the longest data for which the ring has room; a frame leaves it when it is read."""


class _Places(Protocol):
    """Shared memory for one answer of each open call. What it counts as written is beside the
    answers."""

    counts: Counts
    held: int

    def __init__(self, slots: int, size: int) -> None: ...

    def open(self, x: int, /) -> None:
        """The client begins x."""

    def put(self, x: int, answer: bytes | None, /) -> None:
        """The server is through with x. None: it was cancelled."""

    def publish(self) -> bool:
        """Whether anything was put since the last time."""

    def over(self) -> list[int]:
        """The ids with which the server is through, since the last time."""

    def read(self, x: int, /) -> bytes: ...


@final
class _Slots:
    """Id, length and data; and a list of the ids that are over, in the order of their ends."""

    def __init__(self, slots: int, size: int) -> None:
        self.counts = Counts()
        self._slots = slots
        self._size = size
        self._place = _ANSWER.size + size
        self._places = bytearray(slots * self._place)
        # A count, and then the ids of the calls that are over: as many as there are open ones.
        self._done = memoryview(bytearray(8 * (1 + slots))).cast("Q")
        self.held = len(self._places) + self._done.nbytes
        self._posted = 0
        self._collected = 0

    def open(self, x: int, /) -> None:
        pass

    def put(self, x: int, answer: bytes | None, /) -> None:
        if answer is not None:
            start = x % self._slots * self._place
            _ANSWER.pack_into(self._places, start, x, len(answer))
            start += _ANSWER.size
            self._places[start : start + len(answer)] = answer
            self.counts.written += _ANSWER.size
        self._done[1 + self._posted % self._slots] = x
        self._posted += 1
        self.counts.written += 8

    def publish(self) -> bool:
        if self._done[0] == self._posted:
            return False
        self._done[0] = self._posted
        return True

    def over(self) -> list[int]:
        seen = self._done[0]
        expect(self._collected <= seen <= self._collected + self._slots, "no such count")
        done = self._done
        ids = [done[1 + position % self._slots] for position in range(self._collected, seen)]
        self._collected = seen
        return ids

    def read(self, x: int, /) -> bytes:
        start = x % self._slots * self._place
        data = bytes(self._places[start : start + self._place])
        whose, length = _ANSWER.unpack_from(data)
        expect(whose == x and length <= self._size, "an answer of another call")
        return data[_ANSWER.size : _ANSWER.size + length]


@final
class _Cells:
    """Records of an event buffer, of sources that end with their first state (docs/events.md);
    and a bit for each that has something to say."""

    def __init__(self, slots: int, size: int) -> None:
        self.counts = Counts()
        self._slots = slots
        self._shape = shape = Shape(slots, size, keep=1)
        self._bytes = memoryview(bytearray(slots * shape.record))
        self._words = self._bytes.cast("Q")
        self._ready = memoryview(bytearray(8 * -(-slots // 64))).cast("Q")
        self.held = self._bytes.nbytes + self._ready.nbytes
        # By place: the id that the client has opened there.
        self._opened = [0] * slots

    def _at(self, x: int) -> int:
        return x % self._slots * self._shape.record >> 3

    def open(self, x: int, /) -> None:
        at = self._at(x)
        self._opened[x % self._slots] = x
        self._words[at + GENERATION] = x + 1
        self._words[at + ARM] = x + 1
        self.counts.written += 16

    def put(self, x: int, answer: bytes | None, /) -> None:
        words, at = self._words, self._at(x)
        expect(words[at + GENERATION] == words[at + ARM] == x + 1, "a place that is not open")
        words[at + OWNER] = x + 1
        words[at + VERSION] = 0 if answer is None else 1
        self.counts.written += 24
        if answer is not None:
            words[at + WORDS] = len(answer)
            start = 8 * (at + WORDS + 1)
            self._bytes[start : start + len(answer)] = answer
            self.counts.written += 8
        words[at + END] = x + 1
        place = x % self._slots
        self._ready[place >> 6] |= 1 << (place & 63)
        self.counts.written += 8

    def publish(self) -> bool:
        return any(self._ready)

    def over(self) -> list[int]:
        ids = []
        for index, word in enumerate(self._ready):
            self._ready[index] = 0
            while word:
                low = word & -word
                word ^= low
                place = (index << 6) + low.bit_length() - 1
                expect(place < self._slots, "a bit of no place")
                x = self._opened[place]
                # A bit that was set for nothing is no event.
                if self._words[self._at(x) + END] == x + 1:
                    ids.append(x)
        return ids

    def read(self, x: int, /) -> bytes:
        at = self._at(x)
        whose, version, length = (self._words[at + word] for word in (OWNER, VERSION, WORDS))
        expect(whose == x + 1 and version == 1, "an answer of another call")
        expect(length <= self._shape.size, "a longer answer than was agreed on")
        start = 8 * (at + WORDS + 1)
        return bytes(self._bytes[start : start + length])


class _RingCalls:
    """A call is an entry of a fixed array on both sides; what is between them is a ring."""

    PLACES: ClassVar[type[_Places]]

    def __init__(self, slots: int, size: int, handler: Handler) -> None:
        self._places = self.PLACES(slots, size)
        self.counts = self._places.counts
        self._slots = slots
        self._size = size
        frame = _FRAME.size + size + 8
        self._ring = bytearray(
            ring_bytes(1 << (2 * min(slots, _BATCH) * frame - 1).bit_length() - 1)
        )
        self._writer = RingWriter(memoryview(self._ring))
        self._reader = RingReader(memoryview(self._ring))
        self._table: SlotTable[None] = SlotTable(slots)
        # Invariant: at most `slots`; each is in the ring or waits for room in it.
        self._cancels: list[int] = []
        self._serving = Serving(slots, handler, self._answered)

    def held(self) -> Held:
        shared = len(self._ring) + self._places.held
        return Held(shared, 0, self._slots * Serving.ENTRY, self._slots * _OWN)

    def start(self, data: bytes, on: int | None = None, /) -> int | None:
        if self._table.full:
            return None
        slot = self._table.acquire()
        frame = _FRAME.pack(_FRAME.size + len(data), _CALL, slot.x, 0 if on is None else on + 1)
        if not self._writer.submit(frame + data):
            self._table.release(slot)
            return None
        self.counts.copied += len(data)
        self.counts.written += _FRAME.size
        self._places.open(slot.x)
        return slot.x

    def submit(self) -> None:
        while self._cancels:
            if not self._writer.submit(_FRAME.pack(_FRAME.size, _CANCEL, self._cancels[-1], 0)):
                break
            self._cancels.pop()
            self.counts.written += _FRAME.size
        if self._writer.publish():
            self.counts.transitions += 1

    def cancel(self, x: int, /) -> None:
        if self._table.cancel(x):
            self._cancels.append(x)

    def serve(self) -> None:
        self.counts.transitions += 1
        while frames := self._reader.receive(_BATCH):
            for frame in frames:
                expect(len(frame) >= _FRAME.size, "a frame is too short")
                _, kind, x, on = _FRAME.unpack_from(frame)
                data = frame[_FRAME.size :]
                expect(len(data) <= self._size, "more data than was agreed on")
                if kind == _CANCEL:
                    self._serving.cancel(x)
                else:
                    expect(kind == _CALL, "a frame of no kind")
                    self.counts.copied += len(data)
                    self._serving.begin(x, data, on - 1 if on else None)
            self._reader.release()

    def finish(self, token: int, answer: bytes, /) -> None:
        self._serving.finish(token, answer)

    def _answered(self, x: int, answer: bytes | None) -> None:
        if answer is not None:
            expect(len(answer) <= self._size, "a longer answer than was agreed on")
            self.counts.copied += len(answer)
        self._places.put(x, answer)

    def publish(self) -> None:
        if self._places.publish():
            self.counts.transitions += 1

    def collect(self) -> list[int]:
        self.counts.transitions += 1
        ready = []
        for x in self._places.over():
            slot = self._table.find(x)
            if slot.state == CANCELLING:
                self._table.release(slot)
            else:
                self._table.complete(x, None)
                ready.append(x)
        return ready

    def take(self, x: int, /) -> bytes:
        self._table.take(self._table.find(x), x)
        answer = self._places.read(x)
        self.counts.copied += len(answer)
        return answer

    def open(self) -> tuple[int, int]:
        return len(self._table), self._serving.open


@final
class SlotCalls(_RingCalls):
    """An answer lies in a slot."""

    PLACES = _Slots


@final
class CellCalls(_RingCalls):
    """An answer lies in a cell: a reply is a source of one event."""

    PLACES = _Cells
