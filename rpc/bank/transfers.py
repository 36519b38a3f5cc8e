"""Quota that moves: between a funded bank and the one that funds it, at once or by a queue."""

from __future__ import annotations

from collections import deque
from typing import Final, final

from pinfut.rpc import prices
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.owned import STACK
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.errors import BankError, NotReference
from pinfut.stack import require_stack

FLUSH: Final = 16
"""Transfers that one flush makes at most, unless it says otherwise."""


def transfer(start: Bank, end: Bank, pages: int = 0, caps: int = 0) -> None:
    """Move so much of what `start` has not used to `end`, whole or not at all. One of them has to
    fund the other. Raises NotReference for any other pair, QuotaInUse for more than is unused,
    OutOfPages, OutOfCaps, BankDead, and ValueError for less than 0."""
    if pages < 0 or caps < 0:
        raise ValueError(f"move 0 or more, not pages={pages}, caps={caps}")
    if end.funded and end.parent is start:
        end.refill(pages, caps)
    elif start.funded and start.parent is end:
        start.refill(-pages, -caps)
    else:
        raise NotReference(
            f"quota of bank {start.name!r} cannot go to {end.name!r}: it moves only between a "
            "funded bank and the one that funds it"
        )


@final
class Transfers:
    """Transfers out of `bank` to banks that it funds, which anyone may carry out. What is queued is
    reserved and paid for by `bank` at once, so that flushing can neither fail nor cost the one who
    does it. A flush is bounded, keeps the order, and does each transfer once, however many flush. A
    transfer to a bank that has ended goes back."""

    __slots__ = ("_bank", "_queue")

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        # Invariant: oldest first; each is debited to the bank, and its entry to the ledger. One
        # whose ticket is not valid any more went with the bank.
        self._queue: deque[tuple[Reservation, Bank]] = deque()

    def __len__(self) -> int:
        if self._queue and not self._queue[0][0].valid:
            self._queue.clear()  # the bank was destroyed, and all tickets with it
        return len(self._queue)

    def add(self, end: Bank, pages: int = 0, caps: int = 0) -> None:
        """Queue a transfer to `end`. Raises as `transfer`; then nothing is queued."""
        if pages < 0 or caps < 0:
            raise ValueError(f"move 0 or more, not pages={pages}, caps={caps}")
        bank = self._bank
        if not (end.funded and end.parent is bank):
            raise NotReference(f"bank {bank.name!r} does not fund bank {end.name!r}")
        require_stack(2 * STACK)
        bank.keep(prices.TRANSFER, "a transfer that waits")
        try:
            ticket = Reservation(bank, pages, caps, "a transfer that waits")
        except BaseException:
            bank.forget(prices.TRANSFER)
            raise
        self._queue.append((ticket, end))

    def flush(self, limit: int = FLUSH) -> int:
        """Carry out the oldest transfers, at most `limit`; how many that were. Anyone may."""
        done = 0
        while done < limit and len(self):
            require_stack(2 * STACK)
            ticket, end = self._queue.popleft()
            pages, caps = ticket.pages, ticket.caps
            ticket.drop()
            self._bank.forget(prices.TRANSFER)
            done += 1
            try:
                end.refill(pages, caps)
            except BankError:
                continue  # it has ended, or something above it: the amount is back where it was
        return done
