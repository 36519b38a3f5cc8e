"""Lane: one direction of a session in shared memory: calls one way, their answers back.

The caller writes calls into the ring and reserves cells for the answers. The callee reads
the calls, writes each answer into its cell and posts the call's id to the completions, a
ring of as many ids as there are slots, which therefore cannot overflow.
"""

from __future__ import annotations

from array import array
from typing import final

from pinfut.rpc.errors import GarbageFrame
from pinfut.rpc.kernel.bank import Bank
from pinfut.rpc.kernel.cells import Cells
from pinfut.rpc.kernel.pages import Region, pages_for
from pinfut.rpc.kernel.ring import RingReader, RingWriter, ring_bytes


@final
class Completions:
    """Ids of the calls that are answered, oldest first."""

    __slots__ = ("_head", "_posted", "_words", "capacity", "post", "posted")

    def __init__(self, memory: memoryview, capacity: int) -> None:
        # Word 0 counts what was posted; the ids follow.
        self._words = memory.cast("Q")
        self.capacity = capacity
        self._posted = 0
        self._head = 0
        # Ids to publish. The callee posts each call once, so there is room for what an honest
        # caller asks.
        self.posted: list[int] = []
        self.post = self.posted.append

    def publish(self) -> bool:
        """Make what was posted visible. False when nothing is new. Raises GarbageFrame for more
        answers than there can be calls: the caller used ids again before it had their answers."""
        if not self.posted:
            return False
        words, posted = self._words, self.posted
        if len(posted) > self.capacity:
            raise GarbageFrame(
                f"{len(posted)} calls were made and answered at once with {self.capacity} slots"
            )
        # Room for all of them behind the last, or the rest goes on at the beginning.
        begin = 1 + self._posted % self.capacity
        room = 1 + self.capacity - begin
        words[begin : begin + len(posted[:room])] = array("Q", posted[:room])
        if len(posted) > room:
            words[1 : 1 + len(posted) - room] = array("Q", posted[room:])
        self._posted += len(posted)
        words[0] = self._posted
        posted.clear()
        return True

    def take(self) -> list[int]:
        """The ids published since the last time. Raises GarbageFrame for a count that
        makes no sense."""
        head = self._head
        posted = self._words[0]
        if not head <= posted <= head + self.capacity:
            raise GarbageFrame(f"completions go from {head} to {posted}")
        self._head = posted
        begin = 1 + head % self.capacity
        end = begin + posted - head
        over = end - 1 - self.capacity
        if over <= 0:
            return self._words[begin:end].tolist()
        return self._words[begin:].tolist() + self._words[1 : 1 + over].tolist()


@final
class Lane:
    """Ring, completions and cells of one direction, all paid by `bank`.

    `slots`: how many calls may be open at once. `ring`: capacity in bytes, a power of two.
    `cell`: bytes of a small answer. Raises OutOfPages; then nothing was bought.
    """

    __slots__ = ("_region", "cells", "completions", "reader", "slots", "writer")

    def __init__(self, bank: Bank, slots: int, ring: int, cell: int) -> None:
        self.slots = slots
        ids = 8 * (1 + slots)
        size = ids + ring_bytes(ring)
        self.cells = Cells(bank, cell)
        self._region = Region(bank, pages_for(size), "the ring of a session")
        # Both sides read and write here until they have let go.
        self._region.pin()
        memory = self._region.buffer
        self.completions = Completions(memory[:ids], slots)
        self.writer = RingWriter(memory[ids:size])
        self.reader = RingReader(memory[ids:size])

    @property
    def memory(self) -> memoryview:
        """The shared bytes of the ring and the completions."""
        return self._region.buffer

    @property
    def pages(self) -> int:
        """Pages of the ring and the completions."""
        return self._region.pages

    def free(self) -> None:
        """Give all pages back."""
        self.cells.free()
        if self._region.pages:
            self._region.unpin()
            self._region.free()
