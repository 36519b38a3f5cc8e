"""Reservations: pages kept for one request, so that no other one takes them meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from pinfut.rpc import prices
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.owned import STACK, Owned
from pinfut.stack import require_stack


@final
class Reservation(Owned):
    """A ticket for `pages` and `caps` of a bank, debited like everything else and used by nobody
    yet. The ledger of the bank pays for the ticket itself. Raises OutOfPages, OutOfCaps and
    BankDead; then nothing is reserved."""

    __slots__ = ("_keeper", "caps", "pages", "valid")

    def __init__(self, bank: Bank, pages: int = 0, caps: int = 0, why: str = "one request") -> None:
        require_stack(STACK)
        bank.keep(prices.RESERVATION, "a reservation")
        try:
            bank.acquire(pages, caps, why=why)
        except BaseException:
            bank.forget(prices.RESERVATION)
            raise
        super().__init__(bank)
        self._keeper = bank
        # Invariant: what is still reserved, bought from the bank as this object's.
        self.pages = pages
        self.caps = caps
        self.valid = True

    @contextmanager
    def spend(self) -> Iterator[None]:
        """Inside the block, which must not await, the bank has what is reserved here. What was
        not bought then stays reserved."""
        require_stack(STACK)
        bank = self.bank
        pages, caps = self.pages, self.caps
        self.pages = self.caps = 0
        before = bank.pages_used, bank.caps_used
        bank.refund(pages, caps)
        try:
            yield
        finally:
            if self.valid:
                # Nobody else ran meanwhile: what is missing was bought in the block.
                pages = min(pages, max(0, before[0] - bank.pages_used))
                caps = min(caps, max(0, before[1] - bank.caps_used))
                bank.take_back(pages, caps)
                self.pages, self.caps = pages, caps

    def drop(self) -> None:
        """Give back what is still reserved. Idempotent."""
        if self.valid:
            require_stack(STACK)
            self._reclaim()

    def _reclaim(self) -> None:
        self.valid = False
        bank = self.bank
        self.leave_bank()
        pages, caps = self.pages, self.caps
        self.pages = self.caps = 0
        bank.refund(pages, caps)
        self._keeper.forget(prices.RESERVATION)

    def __repr__(self) -> str:
        return f"<Reservation of {self.pages} pages and {self.caps} caps in {self._bank.name!r}>"
