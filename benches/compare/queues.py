"""Queues as kernel objects: each message is a transition in and a transition out.

The kernel copies a message into memory of its own, and out of it. A queue is bought in advance,
as long as it can become; the queue of answers has room for each open call's.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Final, final

from benches.compare.calls import Counts, Handler, Held, Serving, expect
from pinfut.slots import CANCELLING, SlotTable

_MESSAGE: Final = struct.Struct("<QQ")  # x; one more than the call it waits for, or CANCEL
_CANCEL: Final = (1 << 64) - 1
_KERNEL: Final = 16
"""Bytes that the kernel keeps beside a message: its length, its link."""
_OWN: Final = 24
_BATCH: Final = 64


@final
class KernelQueue:
    """A bounded queue of messages in kernel memory."""

    def __init__(self, messages: int, size: int, counts: Counts) -> None:
        self.bytes = messages * (_KERNEL + size)
        self._counts = counts
        self._most = messages
        self._messages: deque[bytes] = deque()

    def send(self, message: bytes, payload: int) -> bool:
        """False, and a transition all the same, when it is full."""
        self._counts.transitions += 1
        if len(self._messages) == self._most:
            return False
        self._messages.append(bytes(memoryview(message)))
        self._counts.copied += payload
        self._counts.written += len(message) - payload + _KERNEL
        return True

    def receive(self) -> bytes | None:
        """None where a receiver would sleep, in the transition that the next message ends."""
        if not self._messages:
            return None
        self._counts.transitions += 1
        message = self._messages.popleft()
        self._counts.copied += len(message) - _MESSAGE.size
        return message


@final
class QueueCalls:
    """A call is a message, its answer another. A message is seen when it is sent."""

    def __init__(self, slots: int, size: int, handler: Handler) -> None:
        self.counts = Counts()
        self._slots = slots
        self._size = size
        self._there = KernelQueue(2 * min(slots, _BATCH), _MESSAGE.size + size, self.counts)
        self._back = KernelQueue(slots, _MESSAGE.size + size, self.counts)
        self._table: SlotTable[bytes] = SlotTable(slots)
        # Invariant: at most `slots`.
        self._cancels: list[int] = []
        self._serving = Serving(slots, handler, self._answered)

    def held(self) -> Held:
        kernel = self._there.bytes + self._back.bytes
        own = self._slots * (_OWN + self._size)
        return Held(0, kernel, self._slots * Serving.ENTRY, own)

    def start(self, data: bytes, on: int | None = None, /) -> int | None:
        if self._table.full:
            return None
        slot = self._table.acquire()
        message = _MESSAGE.pack(slot.x, 0 if on is None else on + 1) + data
        if not self._there.send(message, len(data)):
            self._table.release(slot)
            return None
        return slot.x

    def submit(self) -> None:
        while self._cancels:
            if not self._there.send(_MESSAGE.pack(self._cancels[-1], _CANCEL), 0):
                break
            self._cancels.pop()

    def cancel(self, x: int, /) -> None:
        if self._table.cancel(x):
            self._cancels.append(x)

    def serve(self) -> None:
        while (message := self._there.receive()) is not None:
            expect(len(message) >= _MESSAGE.size, "a message is too short")
            x, on = _MESSAGE.unpack_from(message)
            data = message[_MESSAGE.size :]
            expect(len(data) <= self._size, "more data than was agreed on")
            if on == _CANCEL:
                self._serving.cancel(x)
            else:
                self._serving.begin(x, data, on - 1 if on else None)

    def finish(self, token: int, answer: bytes, /) -> None:
        self._serving.finish(token, answer)

    def _answered(self, x: int, answer: bytes | None) -> None:
        rest = b"" if answer is None else answer
        expect(len(rest) <= self._size, "a longer answer than was agreed on")
        sent = self._back.send(_MESSAGE.pack(x, answer is not None) + rest, len(rest))
        assert sent, "there is room for each open call's answer"

    def publish(self) -> None:
        """An answer is seen when it is sent."""

    def collect(self) -> list[int]:
        ready = []
        while (message := self._back.receive()) is not None:
            expect(len(message) >= _MESSAGE.size, "a message is too short")
            x, _ = _MESSAGE.unpack_from(message)
            slot = self._table.find(x)
            if slot.state == CANCELLING:
                self._table.release(slot)
            else:
                self._table.complete(x, message[_MESSAGE.size :])
                ready.append(x)
        return ready

    def take(self, x: int, /) -> bytes:
        return self._table.take(self._table.find(x), x)

    def open(self) -> tuple[int, int]:
        return len(self._table), self._serving.open
