"""Regions: whole pages, bought from a bank, that two processes can map."""

from __future__ import annotations

from typing import final

from pinfut.rpc.kernel.bank import PAGE, Bank


@final
class Region:
    """`pages` contiguous pages, zeroed, paid by `bank` until `free`.

    Raises OutOfPages when the bank cannot pay; then there is no region.
    """

    __slots__ = ("_bank", "buffer", "pages")

    def __init__(self, bank: Bank, pages: int, why: str = "a region") -> None:
        bank.buy(pages, why=why)
        try:
            memory = bytearray(pages * PAGE)
        except MemoryError:
            bank.sell(pages)
            raise
        self._bank = bank
        # Invariant: 0 once freed.
        self.pages = pages
        # New memory is zeroed by the interpreter, so nothing of a former owner shows.
        self.buffer = memoryview(memory)

    def free(self) -> None:
        """Give the pages back, once; the buffer is empty afterwards."""
        pages, self.pages = self.pages, 0
        if pages:
            self.buffer = memoryview(b"")
            self._bank.sell(pages)


def pages_for(count: int) -> int:
    """How many pages `count` bytes take."""
    return -(-count // PAGE)
