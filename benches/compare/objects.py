"""Shared allocation for each call: a block that both sides reach holds the call and its answer.

Blocks are linked: the client links what it submits, the server what it has answered. Each word
has one writer, so no lock is needed, and nobody frees what the other may still look at:

- The client allocates, and the client alone. A block is free when its call is over *and* the
  server has gone on from it in its list *and* the client has in its own.
- The claims are two words, one of each side. A cancel takes the client's back; the server sees
  that when it has an answer, for nothing in a list tells it before.
"""

from __future__ import annotations

from collections import deque
from typing import Final, final

from benches.compare.calls import Counts, Handler, Held, Serving, expect

# The words of a block, of 32 bits; the first six are the client's.
_NEXT: Final = 0  # one more than the block that was submitted after it
_X: Final = 1
_ON: Final = 2  # one more than the call that it waits for
_LENGTH: Final = 3
_CLAIM: Final = 4  # 1 until the client wants no answer any more
_ANSWERED: Final = 5  # one more than x when it is over
_ANSWER_LENGTH: Final = 6
_BACK: Final = 7  # one more than the block that was answered after it
_WORDS: Final = 8
_HEADER: Final = 4 * _WORDS
_OWN: Final = 16
"""Bytes that the client keeps for a block: its call, when it was submitted, the free list."""
_SPARE: Final = 2
"""Blocks that the two lists keep back at the end: the last submitted, and the last answered."""


@final
class ObjectCalls:
    """A call is a block of shared memory; lists go through the blocks themselves."""

    def __init__(self, slots: int, size: int, handler: Handler) -> None:
        self.counts = Counts()
        self._slots = slots
        self._size = size
        self._blocks = slots + _SPARE
        self._block = _HEADER + (size + 3 & -4)
        self._memory = bytearray(self._blocks * self._block)
        # What is not in a block: how many blocks the server has gone on to.
        self._gone_on = memoryview(bytearray(8)).cast("Q")
        self._words = memoryview(self._memory).cast("I")
        # The client's own: which blocks are free, and of each its call, whether its answer is
        # wanted, whether that is here, and when it was submitted.
        self._free: deque[int] = deque(range(1, self._blocks))
        self._x: list[int] = [*range(-self._blocks, 0)]
        self._wanted = [False] * self._blocks
        self._here = [False] * self._blocks
        self._when = [0] * self._blocks
        self._submitted = 0
        # Invariant: blocks whose call is over, and where one of the lists still ends.
        self._limbo: list[int] = [0]
        self._open = 0
        self._last = 0
        self._unseen: list[int] = []
        self._cursor = 0
        # The server's own: where it is in the client's list, and the end of its own.
        self._at = 0
        self._count = 0
        self._end = 0
        self._untold: list[int] = []
        self._serving = Serving(self._blocks, handler, self._answered)

    def held(self) -> Held:
        shared = len(self._memory) + self._gone_on.nbytes
        return Held(shared, 0, self._blocks * Serving.ENTRY, self._blocks * _OWN)

    def start(self, data: bytes, on: int | None = None, /) -> int | None:
        if self._open == self._slots:
            return None
        for block in self._limbo:
            if self._is_passed(block):
                self._free.append(block)
        self._limbo = [block for block in self._limbo if not self._is_passed(block)]
        block = self._free.popleft()
        x: int = self._x[block] + self._blocks
        self._open += 1
        self._submitted += 1
        self._x[block] = x
        self._wanted[block] = True
        self._when[block] = self._submitted
        words, at = self._words, block * self._block // 4
        words[at + _NEXT] = 0
        words[at + _X] = x
        words[at + _ON] = 0 if on is None else on + 1
        words[at + _LENGTH] = len(data)
        words[at + _CLAIM] = 1
        start = block * self._block + _HEADER
        self._memory[start : start + len(data)] = data
        self.counts.copied += len(data)
        self.counts.written += 20
        if self._unseen:
            self._link(self._unseen[-1], _NEXT, block)
        self._unseen.append(block)
        return x

    def _is_passed(self, block: int) -> bool:
        gone_on = self._gone_on[0]
        expect(gone_on <= self._submitted, "the server has gone on to what is not there")
        return self._when[block] < gone_on and block != self._cursor

    def _link(self, block: int, word: int, following: int) -> None:
        self._words[block * self._block // 4 + word] = following + 1

    def submit(self) -> None:
        if self._unseen:
            self._link(self._last, _NEXT, self._unseen[0])
            self._last = self._unseen[-1]
            self._unseen.clear()
            self.counts.transitions += 1

    def cancel(self, x: int, /) -> None:
        block = x % self._blocks
        if self._x[block] == x and self._wanted[block]:
            if self._here[block]:
                self._over(block)
                return
            self._wanted[block] = False
            self._words[block * self._block // 4 + _CLAIM] = 0
            self.counts.written += 4

    def serve(self) -> None:
        self.counts.transitions += 1
        words = self._words
        for _ in range(self._blocks):
            following = words[self._at * self._block // 4 + _NEXT]
            if not following:
                break
            expect(following <= self._blocks, "a link out of the memory")
            block = self._at = following - 1
            at = block * self._block // 4
            x, on, length = words[at + _X], words[at + _ON], words[at + _LENGTH]
            expect(x % self._blocks == block, "a call in the block of another")
            expect(length <= self._size, "more data than was agreed on")
            start = block * self._block + _HEADER
            self._count += 1
            self.counts.copied += length
            data = bytes(self._memory[start : start + length])
            self._serving.begin(x, data, on - 1 if on else None)
        self._gone_on[0] = self._count

    def finish(self, token: int, answer: bytes, /) -> None:
        self._serving.finish(token, answer)

    def _answered(self, x: int, answer: bytes | None) -> None:
        assert answer is not None, "nobody tells the server of a cancel"
        expect(len(answer) <= self._size, "a longer answer than was agreed on")
        block = x % self._blocks
        words, at = self._words, block * self._block // 4
        if words[at + _CLAIM]:
            start = block * self._block + _HEADER
            self._memory[start : start + len(answer)] = answer
            self.counts.copied += len(answer)
        words[at + _ANSWER_LENGTH] = len(answer)
        words[at + _ANSWERED] = x + 1
        words[at + _BACK] = 0
        self.counts.written += 16
        if self._untold:
            self._link(self._untold[-1], _BACK, block)
        self._untold.append(block)

    def publish(self) -> None:
        if self._untold:
            self._link(self._end, _BACK, self._untold[0])
            self._end = self._untold[-1]
            self._untold.clear()
            self.counts.transitions += 1

    def collect(self) -> list[int]:
        self.counts.transitions += 1
        ready = []
        for _ in range(self._blocks):
            following = self._words[self._cursor * self._block // 4 + _BACK]
            if not following:
                break
            expect(following <= self._blocks, "a link out of the memory")
            block = self._cursor = following - 1
            x = self._x[block]
            expect(self._words[block * self._block // 4 + _ANSWERED] == x + 1, "no such answer")
            if self._wanted[block]:
                self._here[block] = True
                ready.append(x)
            else:
                self._over(block)
        return ready

    def _over(self, block: int) -> None:
        self._wanted[block] = self._here[block] = False
        self._open -= 1
        self._limbo.append(block)

    def take(self, x: int, /) -> bytes:
        block = x % self._blocks
        expect(self._x[block] == x and self._here[block], "no answer to take")
        length = self._words[block * self._block // 4 + _ANSWER_LENGTH]
        expect(length <= self._size, "a longer answer than was agreed on")
        start = block * self._block + _HEADER
        data = bytes(self._memory[start : start + length])
        self.counts.copied += length
        self._over(block)
        return data

    def open(self) -> tuple[int, int]:
        return self._open, self._serving.open
