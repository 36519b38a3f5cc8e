"""Advances: what a server buys on a client's behalf, and has the client's bank pay for later.

A client that opens a session says how many pages it takes over at most (`connect(refund=)`).
The server buys from a bank of its own, so that nothing waits for the client, and asks for a
refund when it knows what the purchase was for::

    OWN ──refund──▶ REFUNDED ──close──▶ CLOSED
     └──────────────close──────────────────▲

A refund moves the charge from the server's bank to the client's, whole or not at all and at
most once; closing gives the pages back to whoever pays for them then, also once. No bank is
shared for it, and neither side can spend the other's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from pinfut.rpc.errors import OutOfPages, SessionClosed
from pinfut.rpc.kernel.bank import Bank

if TYPE_CHECKING:
    from pinfut.rpc.kernel.channel import Channel

OWN: Final = "own"
REFUNDED: Final = "refunded"
CLOSED: Final = "closed"


@final
class Advance:
    """So many pages, bought by a server for one session. Raises OutOfPages and ValueError;
    then nothing was bought."""

    __slots__ = ("_bank", "_channel", "_why", "pages", "state")

    def __init__(self, channel: Channel, bank: Bank, pages: int, why: str) -> None:
        if pages < 1:
            raise ValueError(f"an advance is of 1 page or more, not {pages}")
        bank.buy(pages, why=why)
        self._channel = channel
        self._bank = bank
        self._why = why
        self.pages = pages
        self.state = OWN

    def refund(self) -> bool:
        """Have the client's bank pay from now on. False when it does already, or when the
        advance is closed.

        Raises OutOfPages when that is above what the client allowed, or more than its bank
        has, and SessionClosed; then the server's bank pays as before.
        """
        if self.state != OWN:
            return False
        channel = self._channel
        if channel.freed:
            raise SessionClosed("the session is over, and its client pays for nothing any more")
        left = channel.refundable - channel.refunded
        if self.pages > left:
            raise self._above(left)
        channel.bank.buy(self.pages, why=self._why)
        self._bank.sell(self.pages)
        channel.refunded += self.pages
        channel.advances[self] = None
        self.state = REFUNDED
        return True

    def _above(self, left: int) -> OutOfPages:
        channel = self._channel
        return OutOfPages(
            f"the client takes over {left} of {channel.refundable} pages still, and "
            f"{self.pages} are asked for {self._why}: it allows more with connect(refund=)",
            channel.bank.name,
            self.pages - left,
        )

    def close(self) -> None:
        """The pages are not needed any more. Idempotent; the end of the session does it for
        what was refunded."""
        state, self.state = self.state, CLOSED
        if state == OWN:
            self._bank.sell(self.pages)
        elif state == REFUNDED:
            channel = self._channel
            channel.advances.pop(self, None)
            channel.refunded -= self.pages
            channel.bank.sell(self.pages)
