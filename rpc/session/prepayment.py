"""Prepayments: what a server buys on a client's behalf, and has the client's bank pay for later.

A client that opens a session says how many pages it takes over at most (`connect(refund=)`).
The server buys from a bank of its own, so that nothing waits for the client, and asks for a
refund when it knows what the purchase was for::

    OWN ──refund──▶ REFUNDED ──close, or the session ends──▶ CLOSED
     └──────────────close──────────────────▲

A refund moves the charge from the server's bank to the client's, whole or not at all and at
most once; closing gives the pages back to the one who pays for them then, also once. No bank is
shared for it, and neither side can spend the other's."""

from __future__ import annotations

from typing import Final, final

from pinfut.rpc.contract import BankLike, Endpoint

OWN: Final = "own"
REFUNDED: Final = "refunded"
CLOSED: Final = "closed"


@final
class Prepayment:
    """So many pages, bought by a server for one session. Raises OutOfPages and ValueError;
    then nothing was bought."""

    __slots__ = ("_bank", "_endpoint", "_number", "_state", "_why", "pages")

    def __init__(self, endpoint: Endpoint, bank: BankLike, pages: int, why: str) -> None:
        if pages < 1:
            raise ValueError(f"a prepayment is of 1 page or more, not {pages}")
        bank.buy(pages, why=why)
        self._endpoint = endpoint
        self._bank = bank
        self._why = why
        self._number = 0
        self._state = OWN
        self.pages = pages

    @property
    def state(self) -> str:
        """Who pays: `OWN`, `REFUNDED`, or nobody any more, `CLOSED`."""
        if self._state == REFUNDED and not self._endpoint.refunds(self._number):
            self._state = CLOSED  # with the session
        return self._state

    def refund(self) -> bool:
        """Have the client's bank pay from now on. False when it does already, or when the
        prepayment is closed. Raises OutOfPages when that is above what the client allowed, or more
        than its bank has, SessionClosed, and what `sell` of a bank that is gone does; then nothing
        has changed."""
        if self.state != OWN:
            return False
        number = self._endpoint.refund(self.pages, self._why)
        try:
            self._bank.sell(self.pages)
        except BaseException:
            self._endpoint.end_refund(number)
            raise
        self._number = number
        self._state = REFUNDED
        return True

    def close(self) -> None:
        """The pages are not needed any more. Idempotent; the end of the session does it for
        what was refunded."""
        state, self._state = self._state, CLOSED
        if state == OWN:
            self._bank.sell(self.pages)
        elif state == REFUNDED:
            self._endpoint.end_refund(self._number)
