"""Freed: told once when pages come back.

A bank has one bit for it, armed or not, and no queue. Arming looks again, so that what came
back just before is not missed; being told says only that it is worth while to look."""

from __future__ import annotations

from typing import final

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker
from pinfut.rpc import prices
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.owned import STACK
from pinfut.rpc.errors import AlreadyArmed
from pinfut.stack import require_stack


@final
class Freed(FutureBase[None]):
    """Ready when the bank could pay for so much; nothing is reserved by it."""

    __slots__ = ("_bank", "_caps", "_pages", "_waker", "lacking")

    def __init__(self, bank: Bank, pages: int, caps: int) -> None:
        self._bank = bank
        self._pages = pages
        self._caps = caps
        # The bank that lacks what is waited for, whose shortage this is: the one that was asked,
        # or one above it, the machine's at the top. None while it does not wait.
        self.lacking: Bank | None = None
        self._waker: Waker | None = None

    def poll(self, cx: Context, /) -> Poll[None]:
        require_stack(STACK)
        bank = self._bank
        if bank.armed is not self:
            if bank.armed is not None:
                raise AlreadyArmed(
                    f"somebody waits for pages of bank {bank.name!r} already, and a bank has one "
                    "bit for it; share that wait (pinfut.shared)"
                )
            bank.keep(prices.ARMED, "a wait for pages")
            bank.armed = self
        self._waker = cx.waker
        self._leave()
        # Looked at after arming: from here on nothing that comes back is missed.
        try:
            lacking = bank.lacking(self._pages, self._caps)
        except BaseException:
            self.drop()
            raise
        if lacking is None:
            self.drop()
            return None
        self.lacking = lacking
        lacking.enlist(self)
        return PENDING

    def wake(self) -> None:
        """Something came back, or the bank ended: look again. Once."""
        waker, self._waker = self._waker, None
        if waker is not None:
            waker.wake()

    def _leave(self) -> None:
        lacking, self.lacking = self.lacking, None
        if lacking is not None:
            lacking.strike(self)

    def drop(self) -> None:
        """Disarm."""
        self._waker = None
        self._leave()
        if self._bank.armed is self:
            self._bank.armed = None
            self._bank.forget(prices.ARMED)


def freed(bank: Bank, pages: int = 1, caps: int = 0) -> Freed:
    """Wait until `bank` and all above it have so much: ``await freed(bank, pages=3)``. One waits
    for one bank at a time. Raises AlreadyArmed for a second, BankDead when the bank ends, and
    OutOfPages when its ledger cannot pay for the wait."""
    if pages < 0 or caps < 0:
        raise ValueError(f"wait for 0 or more, not pages={pages}, caps={caps}")
    return Freed(bank, pages, caps)
