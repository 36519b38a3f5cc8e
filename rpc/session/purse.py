"""Purse: what a session's payer buys its pages with (`pinfut.payers`): the client's bank.

Where a kernel's memory is "arenas", what the serving side of a session allocates lies in pages of
that session's payer, and what its client pays is the larger of two sums: these pages, and the
prices that are charged to the same account. A handler has its price before it begins; once it
waits, its pages are counted in place of that. On top of both comes what may be memory that no
payer sees: what is kept by `keep`, and what lies at the client and in the kernel."""

from __future__ import annotations

import gc
import logging
from functools import cache
from sys import getsizeof
from typing import Final, final

from pinfut import payers
from pinfut.payers import PAGE, Leak, Payer
from pinfut.rpc.contract import Endpoint
from pinfut.rpc.errors import RpcError

FEW: Final = 16
"""Pages that ended sessions may leave before that is told at the end of a server."""

LISTED: Final = 10
"""So many leaks are told at the end of a server, of however many."""

PARKED: Final = 96
"""Bytes of a handler's price that stay charged while it waits: its places in the executor's
tables of tasks and of timers, and in others of the server's."""

_UNLIMITED: Final = 1 << 40

_log = logging.getLogger("pinfut.rpc")


@final
class Purse:
    """Buys for the payer of the session over `end`. Invariant: between two services, and where a
    handler waits, the pages of the payer are paid for (`settle`), or the session is told to give
    some up."""

    __slots__ = ("_account", "_bought", "_end", "apart", "payer", "refusal")

    def __init__(self, end: Endpoint) -> None:
        self._end = end
        self._account = end.account
        # Invariant: bytes of the account that are there for the payer, and priced by nothing.
        self._bought = 0
        # Bytes of the account for what lies elsewhere: tables of the other side and of the kernel,
        # what stays charged for handlers that wait, and what the service keeps by its price.
        self.apart = 0
        # Why it could not buy, the last time that it could not.
        self.refusal: RpcError | None = None
        self.payer = Payer(0)
        self.payer.buyer = self
        self._due()

    def _due(self) -> int:
        """Pages to buy, or below 0 to sell: paid for is what has its price, or was bought here."""
        return self.payer.due(self._account.pages, self.apart)

    def opened(self) -> None:
        """The session has been made: what its tables were priced at, and do not take of the
        payer's pages, is for its other side and the kernel."""
        self.apart = max(0, self._account.used - self.payer.pages * PAGE)

    def buy(self) -> None:
        """The payer is over its limit: raise it, if the client can pay (`payers.Buyer`)."""
        due = self._due()
        if due > 0:
            self._buy(due)

    def look(self) -> None:
        """Tell the payer how much it could buy (`payers.Buyer`)."""
        try:
            room = self._end.room()
        except RpcError:
            room = 0
        self.payer.could = self.payer.limit + room

    def _buy(self, due: int) -> None:
        account = self._account
        least = self.payer.pages - self.payer.limit
        for pages in (due, least) if least < due else (due,):
            # What is bought and not charged is paid for already.
            count = pages * PAGE + account.free
            try:
                account.take(count, "what its handlers hold")
            except RpcError as refused:
                self.refusal = refused.with_traceback(None)
            else:
                self._bought += count
                self.payer.limit += pages
                break
        self.look()

    def take_over(self, charge: int) -> int:
        """What was charged in advance is there now: its pages are counted, not its price. What
        stays charged all the same, until it ends."""
        stays = min(charge, PARKED)
        self.apart += stays
        self._bought += charge - stays
        return stays

    def settle(self) -> bool:
        """Buy what is in use, and sell what is not. False when the client cannot pay for it, and
        no garbage is left."""
        payer = self.payer
        due = payer.due(self._account.pages, self.apart)
        if not due or payer.buyer is None:
            return True
        if due < 0:
            count = min(-due * PAGE, self._bought)
            if count:
                self._bought -= count
                self._account.give(count)
                self._due()
            return True
        self._buy(due)
        return payer.pages <= payer.limit or not payer.settle()

    def close(self, refund: bool = True) -> None:
        """The session is over: what is left of it is the server's. Without `refund` the kernel
        has taken the account already. Idempotent."""
        if self.payer.buyer is not None:
            self.payer.buyer = None
            count, self._bought = self._bought, 0
            if refund:
                self._account.give(count)
            server().adopt(self.payer)


@cache
def server() -> Payer:
    """Who pays in this process for what ended sessions have left. It is never refused."""
    return Payer(_UNLIMITED)


def leaks() -> list[Leak]:
    """What sessions of this process that are over have left in it, each with the container that
    holds it: a module's dict, a cache, a class. Collects garbage first; takes a time like all
    objects of the process. Empty on prices, where nobody knows."""
    if not payers.installed():
        return []
    gc.collect()
    return payers.leaks(server())


def tell_leaks(name: str) -> None:
    """Log what ended sessions have left, when the server `name` ends. Of less than `FEW` pages
    nothing is told: any object may lie there in which the interpreter has used memory again."""
    found = leaks() if payers.installed() and server().pages >= FEW else []
    if found:
        found.sort(key=lambda leak: getsizeof(leak.held), reverse=True)
        listed = "\n  ".join(map(str, found[:LISTED]))
        _log.warning(
            "server %r: sessions that are over have left %d pages, and in them %d objects that are "
            "held from elsewhere, the largest of which:\n  %s",
            name, server().pages, len(found), listed,
        )  # fmt: skip
