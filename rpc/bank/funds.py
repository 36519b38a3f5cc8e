"""SessionFunds: everything that one session holds of a bank, for whatever kernel carries it.

::

    held ──release: both sides have let go──▶ released ──nothing is left below──▶ over

Each side has a share of its own, so that nobody counts what another one counts too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from pinfut.poll import Waker, wake_each
from pinfut.rpc import prices
from pinfut.rpc.bank.account import PAGE
from pinfut.rpc.bank.bank import DEAD, Bank
from pinfut.rpc.bank.credit_page import CreditPage, show
from pinfut.rpc.bank.share import Share
from pinfut.rpc.contract import Balance, SessionSpec, Ticket
from pinfut.rpc.errors import DonationTooSmall, OutOfCaps, OutOfPages, PayerExhausted, SessionClosed

CAPS: Final = 2
"""Capabilities that a session costs: each side holds one to its end."""


@final
class SessionFunds:
    """What `payer` has given a session called `name`, whose least is `least`. With `spec.quota` or
    `ceiling` the session has a bank of its own below the payer: a donation, bought at once, or no
    more than a limit. Raises DonationTooSmall, PayerExhausted, OutOfPages and OutOfCaps; then
    nothing was bought."""

    __slots__ = (
        *("_below", "_last", "_page", "_wakers", "bank", "far", "near", "on_over", "own"),
        *("refundable", "refunds", "released", "tickets"),
    )

    def __init__(
        self,
        payer: Bank,
        name: str,
        spec: SessionSpec,
        least: Balance,
        ceiling: Balance | None = None,
    ) -> None:
        self.own: Bank | None = None  # the session's own bank, if it has one
        if spec.quota is not None:
            self.own = _donate(payer, spec.quota, least, spec.slots, name)
        elif ceiling is not None:
            self.own = payer.child(name, pages=ceiling.pages, caps=ceiling.caps, no_remove=True)
        self.bank = bank = payer if self.own is None else self.own  # the bank that pays
        try:
            bank.acquire(caps=CAPS, why="a session")
            try:
                # What the client's side and the serving side have bought.
                # A call that waits at the client leaves a page for its own handler.
                self.near = Share(bank, leaves=1)
                self.far = Share(bank)
                self.far.buy(-(-prices.SESSION // PAGE), 0, "the tables of a session")
            except BaseException:
                self.near.seize()
                self.far.seize()
                bank.refund(caps=CAPS)
                raise
        except BaseException:
            if self.own is not None:
                self.own.close()
            raise
        # Both sides use them until both have let go, whatever becomes of the bank.
        self.near.pin()
        self.far.pin()
        # Pages that the client takes over from the server at most; what it has, by number.
        # Invariant: the sum over refunds, each of a page or more, is at most `refundable`.
        self.refundable = spec.refund
        self.refunds: dict[int, int] = {}
        self._last = 0
        # By question and side: what is kept for it.
        self.tickets: dict[tuple[int, bool], Ticket] = {}
        # What others have below the bank on behalf of this session, until it has ended: the
        # sessions of introductions, and the banks of nested calls.
        self._below: dict[object, None] = {}
        # Shows the client what the bank has left, once it looks.
        self._page: CreditPage | None = None
        self.released = False
        self._wakers: list[Waker] = []
        self.on_over: Callable[[], None] | None = None  # called once, when all is over

    def share(self, serving: bool) -> Share:
        """What one side has bought."""
        return self.far if serving else self.near

    def give_up(self) -> None:
        """There will be no session: nobody has used anything of this."""
        self.release()
        if self.own is not None:
            self.own.close()

    def credit(self) -> memoryview:
        """What shows how much the bank has left. Raises OutOfPages and BankDead."""
        if self._page is None:
            self._page = show(self.bank)
        return self._page.view

    # ---- tickets and refunds ----

    def redeem(self, x: int, serving: bool) -> bool:
        """What was kept for question `x` of that side is there now; whether there was any."""
        ticket = self.tickets.pop((x, serving), None)
        if ticket is None:
            return False
        ticket.drop()
        return True

    def refund(self, pages: int, why: str) -> int:
        """The bank of the session pays for pages of the server's from now on; the number of the
        refund. Raises OutOfPages for more than the client allows or has, and SessionClosed."""
        if self.released:
            raise SessionClosed("the session is over, and its client pays for nothing any more")
        left = self.refundable - sum(self.refunds.values())
        if pages > left:
            raise OutOfPages(
                f"the client takes over {left} of {self.refundable} pages still, and {pages} are "
                f"asked for {why}: it allows more with connect(refund=)",
                self.bank.name,
                pages - left,
            )
        self.bank.acquire(pages, why=why)
        self._last += 1
        self.refunds[self._last] = pages
        return self._last

    def end_refund(self, number: int) -> None:
        """These pages are not needed any more. Idempotent."""
        self.bank.refund(self.refunds.pop(number, 0))

    # ---- what is below ----

    def nested(self, name: str, pages: int, caps: int) -> Bank:
        """A bank below the one that pays, for one nested call. Raises OutOfPages."""
        bank = self.bank.child(name, pages=pages, caps=caps, no_remove=True)
        try:
            bank.keep(prices.NESTED, "a nested call")
        except BaseException:
            bank.close()
            raise
        self._lend(bank)
        return bank

    def lend(self, thing: object) -> None:
        """Somebody else has this on behalf of the session, which is not over before it ends."""
        self._below[thing] = None

    def _lend(self, bank: Bank) -> None:
        self._below[bank] = None
        bank.watch_end(_Ended(self, bank))

    def is_below(self, bank: Bank) -> bool:
        """Whether this is the bank of a nested call, or was until it was destroyed."""
        return bank in self._below or not bank.alive

    def ended(self, thing: object) -> None:
        """What was lent is no more. Idempotent."""
        self._below.pop(thing, None)
        self._look()

    # ---- the end ----

    def release(self) -> None:
        """Both sides have let go: sell everything, also what a side that died had in use."""
        self.released = True
        self.near.on_short = self.far.on_short = None
        self.near.seize()
        self.far.seize()
        for ticket in self.tickets.values():
            ticket.drop()
        self.tickets.clear()
        for number in list(self.refunds):
            self.end_refund(number)
        if self._page is not None:
            self._page.leave()
        self.bank.refund(caps=CAPS)

    def end(self, destroy: Callable[[Bank], None]) -> None:
        """Nothing of the session is left in its bank: have `destroy` end its own, and the banks of
        nested calls that a server which died has left."""
        if self.own is not None and self.own.state != DEAD:
            self._lend(self.own)
        for thing in list(self._below):
            if isinstance(thing, Bank):
                destroy(thing)
        self._look()

    def _look(self) -> None:
        if self.over:
            wakers, self._wakers = self._wakers, []
            over, self.on_over = self.on_over, None
            if over is not None:
                over()
            wake_each(wakers)

    @property
    def over(self) -> bool:
        """Whether nothing of the session is left anywhere."""
        return self.released and not self._below

    def watch_end(self, who: Waker, /) -> None:
        """Wake once all is over."""
        self._wakers.append(who)

    def forget_end(self, who: Waker, /) -> None:
        """Wake it no more. Idempotent."""
        if who in self._wakers:
            self._wakers.remove(who)


class _Ended(NamedTuple):
    """Hears that a bank below is no more."""

    funds: SessionFunds
    bank: Bank

    def wake(self) -> None:
        """It is no more."""
        self.funds.ended(self.bank)


def _donate(payer: Bank, quota: Balance, least: Balance, slots: int, name: str) -> Bank:
    """A funded bank for one session. Raises DonationTooSmall, PayerExhausted, BankDead."""
    short = least.pages - quota.pages, least.caps - quota.caps
    if max(short) > 0:
        raise DonationTooSmall(
            f"a session of {slots} slots takes {least.pages} pages and {least.caps} capabilities "
            f"before its first call, and {quota.pages} and {quota.caps} were donated: donate "
            f"{max(0, short[0])} pages and {max(0, short[1])} capabilities more, or ask for "
            "fewer slots",
            payer.name,
            short[0] if short[0] > 0 else short[1],
        )
    try:
        return payer.child(name, pages=quota.pages, caps=quota.caps, funded=True, no_remove=True)
    except (OutOfPages, OutOfCaps) as lack:
        raise PayerExhausted(
            f"a donation of {quota.pages} pages cannot be made: {lack}", lack.bank, lack.short
        ) from lack
