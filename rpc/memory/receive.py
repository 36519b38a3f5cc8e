"""Receive credits: memory for what comes unasked, posted and paid by who receives it.

A packet is an allocation in the opposite direction: the sender decides when, the receiver has
to hold it. So the receiver posts buffers of its own beforehand; a packet takes the oldest. When
none is left it is dropped and counted, and nobody allocates."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import final

from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.bank.owned import STACK
from pinfut.rpc.errors import MessageTooLarge
from pinfut.rpc.memory.pages import Region
from pinfut.stack import require_stack


@final
class ReceivePool:
    """Buffers that `bank` pays for, of `pages` pages each; at most `limit` of them. A buffer is
    posted, then filled, then taken by the receiver, which posts it again or keeps it. While it is
    posted or filled it is pinned, so that it can be written into."""

    __slots__ = ("_bank", "_filled", "_posted", "delivered", "dropped", "limit", "pages")

    def __init__(self, bank: Bank, *, pages: int = 1, limit: int = 64) -> None:
        if pages < 1 or limit < 1:
            raise ValueError(f"buffers of 1 page or more, 1 or more, not {pages} and {limit}")
        self._bank = bank
        self.pages = pages
        self.limit = limit
        # Invariant: each is pinned once; together at most `limit`.
        self._posted: deque[Region] = deque()
        self._filled: deque[tuple[Region, int]] = deque()
        # Packets that found a buffer, and those that found none.
        self.delivered = 0
        self.dropped = 0

    @property
    def posted(self) -> int:
        """How many packets could come now."""
        return len(self._posted)

    def post(self, buffer: Region | None = None) -> None:
        """Offer one more buffer: a new one, or one that was taken before. Raises OutOfPages, and
        ValueError for a buffer of another bank or size, or above `limit`."""
        if len(self._posted) + len(self._filled) >= self.limit:
            raise ValueError(f"this pool holds {self.limit} buffers at most; take some first")
        if buffer is None:
            buffer = Region(self._bank, self.pages, "a buffer for what comes")
        elif buffer.bank is not self._bank or buffer.pages != self.pages or buffer.pins:
            raise ValueError(f"a buffer of this pool has {self.pages} pages of its own bank")
        buffer.pin()
        self._posted.append(buffer)

    def deliver(self, packet: bytes) -> bool:
        """Put a packet down, for the sender. False when no buffer is left: it is dropped and
        counted. Raises MessageTooLarge."""
        if len(packet) > self.pages * PAGE:
            raise MessageTooLarge(f"a packet of {len(packet)} bytes, buffers of {self.pages} pages")
        while self._posted:
            buffer = self._posted.popleft()
            if buffer.doomed:
                buffer.unpin()  # its bank is being destroyed, and waited for this
                continue
            buffer.buffer[: len(packet)] = packet
            self._filled.append((buffer, len(packet)))
            self.delivered += 1
            return True
        self.dropped += 1
        return False

    def give(self, packets: Sequence[Region], sizes: Sequence[int]) -> list[Region]:
        """Hand over packets that lie in pages of the sender: these pages become the receiver's,
        and as many of its posted buffers the sender's; nothing is copied, and nobody pays for
        more than before. What the sender has now in place of the first packets, one for each that
        was taken; the others stay the sender's, dropped and counted.

        Raises ValueError for packets of other sizes or of several banks, Pinned and BankDead; then
        nothing has changed."""
        if len(sizes) != len(packets) or len({id(one) for one in packets}) < len(packets):
            raise ValueError("each packet is given once, with its size")
        room = range(self.pages * PAGE + 1)
        for one, size in zip(packets, sizes, strict=True):
            if (one.bank, one.pages) != (packets[0].bank, self.pages) or size not in room:
                raise ValueError(f"packets in this pool lie in {self.pages} pages of one bank")
        count = min(len(packets), len(self._posted)) if self._bank.alive else 0
        if not count:
            self.dropped += len(packets)
            return []
        coming, going = list(packets[:count]), list(self._posted)[:count]
        for one in going:
            one.unpin()
        try:
            # The sender's first: at no moment does anybody pay for both.
            swap(coming, going, packets[0].bank, self._bank)
        except BaseException:
            for one in going:
                one.pin()
            raise
        self.dropped += len(packets) - count
        for one, size in zip(coming, sizes, strict=False):
            self._posted.popleft()
            one.pin()
            self._filled.append((one, size))
        self.delivered += count
        return going

    def take(self) -> tuple[Region, int] | None:
        """The oldest packet and its size, which is the receiver's from now on; None when there
        is none."""
        while self._filled:
            buffer, size = self._filled.popleft()
            doomed = buffer.doomed
            buffer.unpin()
            if not doomed:
                return buffer, size
        return None

    def close(self) -> None:
        """Give every buffer back that was not taken."""
        for buffer in (*self._posted, *(one for one, _ in self._filled)):
            buffer.unpin()
            buffer.free()
        self._posted.clear()
        self._filled.clear()


def swap(some: list[Region], others: list[Region], first: Bank, second: Bank) -> None:
    """Exchange regions of equal size between two banks: usage stays as it is on both sides. Raises
    Pinned, BankDead and ValueError; then nothing has changed."""
    if sum(r.pages for r in some) != sum(r.pages for r in others):
        raise ValueError("regions are swapped page for page")
    for one in (*some, *others):
        one.require_unpinned()
    for bank in (first, second):
        bank.lacking(0, 0)  # raises for one that is dead
    require_stack(STACK)
    pages = sum(r.pages for r in some)
    first.refund(pages)
    second.refund(pages)
    for one, owner in [*((r, second) for r in some), *((r, first) for r in others)]:
        one.change_owner(owner)
    first.take_back(pages)
    second.take_back(pages)
