"""An id over a queue: a frame in a ring, an answer in the place x mod N. What pinfut does."""

from __future__ import annotations

import struct
from typing import Final, final

from benches.compare.calls import Counts, Handler, Held, Serving, expect
from pinfut.rpc.memory.ring import RingReader, RingWriter, ring_bytes
from pinfut.slots import CANCELLING, SlotTable

_FRAME: Final = struct.Struct("<IIQQ")  # length, kind, x, one more than the call it waits for
_CALL: Final = 0
_CANCEL: Final = 1
_ANSWER: Final = struct.Struct("<QQ")  # x, length
_OWN: Final = 24
"""Bytes that the client keeps for a slot: its id, its state, its place among the free ones."""
_BATCH: Final = 64
"""Frames of the longest data for which the ring has room; a frame leaves it when it is read."""


@final
class SlotCalls:
    """A call is an entry of a fixed array on both sides; what is between them is a ring."""

    def __init__(self, slots: int, size: int, handler: Handler) -> None:
        self.counts = Counts()
        self._slots = slots
        self._size = size
        frame = _FRAME.size + size + 8
        self._ring = bytearray(
            ring_bytes(1 << (2 * min(slots, _BATCH) * frame - 1).bit_length() - 1)
        )
        self._place = _ANSWER.size + size
        self._places = bytearray(slots * self._place)
        # A count, and then the ids of the calls that are over: as many as there are open ones.
        self._done = memoryview(bytearray(8 * (1 + slots))).cast("Q")
        self._writer = RingWriter(memoryview(self._ring))
        self._reader = RingReader(memoryview(self._ring))
        self._table: SlotTable[None] = SlotTable(slots)
        # Invariant: at most `slots`; each is in the ring or waits for room in it.
        self._cancels: list[int] = []
        self._collected = 0
        self._posted = 0
        self._serving = Serving(slots, handler, self._answered)

    def held(self) -> Held:
        shared = len(self._ring) + len(self._places) + self._done.nbytes
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
            start = x % self._slots * self._place
            _ANSWER.pack_into(self._places, start, x, len(answer))
            start += _ANSWER.size
            self._places[start : start + len(answer)] = answer
            self.counts.copied += len(answer)
            self.counts.written += _ANSWER.size
        self._done[1 + self._posted % self._slots] = x
        self._posted += 1
        self.counts.written += 8

    def publish(self) -> None:
        if self._done[0] != self._posted:
            self._done[0] = self._posted
            self.counts.transitions += 1

    def collect(self) -> list[int]:
        self.counts.transitions += 1
        seen = self._done[0]
        expect(self._collected <= seen <= self._collected + self._slots, "no such count")
        ready = []
        for position in range(self._collected, seen):
            x = self._done[1 + position % self._slots]
            slot = self._table.find(x)
            if slot.state == CANCELLING:
                self._table.release(slot)
            else:
                self._table.complete(x, None)
                ready.append(x)
        self._collected = seen
        return ready

    def take(self, x: int, /) -> bytes:
        self._table.take(self._table.find(x), x)
        start = x % self._slots * self._place
        data = bytes(self._places[start : start + self._place])
        whose, length = _ANSWER.unpack_from(data)
        expect(whose == x and length <= self._size, "an answer of another call")
        self.counts.copied += length
        return data[_ANSWER.size : _ANSWER.size + length]

    def open(self) -> tuple[int, int]:
        return len(self._table), self._serving.open
