"""Share: what one account has bought of a bank."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from pinfut.rpc.bank.owned import Owned, OwningBank
from pinfut.rpc.errors import BankDead, OutOfPages


@final
class Share(Owned):
    """Pages and capabilities of a bank that somebody counts the use of. It knows only what was
    bought, so who is gone cannot keep it: `seize` takes all of it back. `leaves`: pages that the
    bank has to have left after each purchase. One whose bank was destroyed buys nothing, and has
    nothing to sell."""

    __slots__ = ("_leaves", "alive", "caps", "on_short", "pages")

    def __init__(self, bank: OwningBank, *, leaves: int = 0) -> None:
        super().__init__(bank)
        self._leaves = leaves
        # Invariant: what the bank is debited for this; both 0 once it is not alive.
        self.pages = 0
        self.caps = 0
        self.alive = True
        # Gives up what is bought elsewhere and not in use; whether there was any.
        self.on_short: Callable[[], bool] | None = None

    @property
    def name(self) -> str:
        """What its bank is called."""
        return self._bank.name

    def buy(self, pages: int, caps: int, why: str, /) -> None:
        """Buy more. Raises OutOfPages, OutOfCaps and BankDead; nothing has changed then."""
        if not self.alive:
            raise BankDead(f"what this account had of bank {self.name!r} was taken back", self.name)
        # Bought with what has to be left, so that the refusal is the bank's own.
        leaves = self._leaves if pages else 0
        try:
            self._bank.acquire(pages + leaves, caps, why=why)
        except OutOfPages:
            if self.on_short is None or not self.on_short():
                raise
            self._bank.acquire(pages + leaves, caps, why=why)
        if leaves:
            self._bank.refund(leaves)
        self.pages += pages
        self.caps += caps

    def sell(self, pages: int, caps: int, /) -> None:
        """Sell some of it. Raises ValueError for more than there is."""
        if not self.alive:
            return
        if not (0 <= pages <= self.pages and 0 <= caps <= self.caps):
            raise ValueError(
                f"a share of {self.pages} pages and {self.caps} caps has not {pages} and {caps} "
                "to sell"
            )
        self._bank.refund(pages, caps)
        self.pages -= pages
        self.caps -= caps

    def pass_on(self, to: Share, pages: int, caps: int, /) -> None:
        """So much of it is another share's of its bank from now on. Raises ValueError for one of
        another bank, and for more than there is."""
        if self.bank is not to.bank or pages > self.pages or caps > self.caps:
            raise ValueError(f"{self!r} cannot pass {pages} pages and {caps} caps on to {to!r}")
        self.pages -= pages
        self.caps -= caps
        to.pages += pages
        to.caps += caps

    def seize(self) -> None:
        """Sell everything, also what is in use, and leave the bank. Idempotent."""
        if self.alive:
            self.alive = False
            pages, self.pages = self.pages, 0
            caps, self.caps = self.caps, 0
            self._bank.refund(pages, caps)
            self.leave_bank()

    def _reclaim(self) -> None:
        self.seize()

    def __repr__(self) -> str:
        return f"<Share of {self.name!r}, {self.pages} pages and {self.caps} caps>"
