"""Space banks: who pays. A tree of limits, and the purse of bytes within bought pages.

The rules are those of Coyotos and KeyKOS space banks: an allocation debits the bank and
every ancestor, the tightest limit wins, and it happens whole or not at all. Capabilities
are a second quota beside pages, as in Genode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from pinfut.rpc.errors import BankDead, BankError, OutOfCaps, OutOfPages

PAGE: Final = 4096
"""Bytes in a page."""

CAP_LOT: Final = 16
"""How many capabilities a purse buys at once."""

MAX_DEPTH: Final = 16
"""How deep banks may nest: every operation walks to the root, so its cost is bounded."""


class Balance(NamedTuple):
    """What a bank can still pay."""

    pages: int
    caps: int


@final
class Bank:
    """A limit on pages and capabilities, below another bank's.

    Made by `child`, or for the root by a kernel. A bank is not a reserve: what its limit
    allows can still be refused by an ancestor.
    """

    __slots__ = (
        "_children",
        "_depth",
        "_on_change",
        "_own_caps",
        "_own_pages",
        "alive",
        "cap_limit",
        "caps_used",
        "name",
        "page_limit",
        "pages_used",
        "parent",
    )

    def __init__(
        self,
        name: str,
        pages: int,
        caps: int,
        parent: Bank | None = None,
        on_change: Callable[[Bank, int, int], None] | None = None,
    ) -> None:
        if pages < 0 or caps < 0:
            raise ValueError(f"limits are 0 or more, not pages={pages}, caps={caps}")
        self.name = name
        self.parent = parent
        self.page_limit = pages
        self.cap_limit = caps
        # Invariant: the sum over everything bought from this bank and the banks below it.
        self.pages_used = 0
        self.caps_used = 0
        # Invariant: what of it was bought from this bank and not from one below.
        self._own_pages = 0
        self._own_caps = 0
        self.alive = True
        self._children: dict[str, Bank] = {}
        self._on_change = on_change
        self._depth: int = 0 if parent is None else parent._depth + 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"bank {name!r} would be nested deeper than {MAX_DEPTH}")
        if parent is not None:
            if name in parent._children:
                raise ValueError(f"bank {parent.name!r} has a child {name!r} already")
            parent._children[name] = self

    def child(self, name: str, *, pages: int, caps: int = 1024) -> Bank:
        """A bank below this one with limits of its own.

        Raises ValueError for a name in use and for negative limits, BankDead.
        """
        self._require_alive()
        return Bank(name, pages, caps, self, self._on_change)

    @property
    def balance(self) -> Balance:
        """What this bank itself still allows; an ancestor may allow less."""
        return Balance(
            max(0, self.page_limit - self.pages_used), max(0, self.cap_limit - self.caps_used)
        )

    def buy(self, pages: int = 0, caps: int = 0, *, why: str = "memory") -> None:
        """Debit this bank and every ancestor, or nobody.

        `why` says in the error what it was for. Raises OutOfPages, OutOfCaps, BankDead,
        and ValueError for negative amounts.
        """
        if pages < 0 or caps < 0:
            raise ValueError(f"buy takes amounts of 0 or more, not {pages} and {caps}")
        # First ask everybody, then debit everybody: a refusal has nothing to undo.
        bank: Bank | None = self
        while bank is not None:
            bank._require_alive()
            if pages and bank.pages_used + pages > bank.page_limit:
                raise bank._lack(OutOfPages, pages, self, why)
            if caps and bank.caps_used + caps > bank.cap_limit:
                raise bank._lack(OutOfCaps, caps, self, why)
            bank = bank.parent
        self._own_pages += pages
        self._own_caps += caps
        self._debit(pages, caps)

    def sell(self, pages: int = 0, caps: int = 0) -> None:
        """Refund this bank and every ancestor. Raises ValueError for more than was bought
        from this bank itself."""
        if not (0 <= pages <= self._own_pages and 0 <= caps <= self._own_caps):
            raise ValueError(
                f"bank {self.name!r} sold {pages} pages and {caps} caps, "
                f"but holds {self._own_pages} and {self._own_caps}"
            )
        self._own_pages -= pages
        self._own_caps -= caps
        self._debit(-pages, -caps)

    def refill(self, pages: int = 0, caps: int = 0) -> None:
        """Raise this bank's limits (or, with negative amounts, lower them).

        A limit below what is used takes nothing back: it only refuses what is new.
        """
        self._require_alive()
        self.page_limit = max(0, self.page_limit + pages)
        self.cap_limit = max(0, self.cap_limit + caps)

    def close(self) -> None:
        """Give an unused bank up. Raises ValueError while anything is bought from it.

        Idempotent.
        """
        if not self.alive:
            return
        if self.pages_used or self.caps_used:
            raise ValueError(
                f"bank {self.name!r} still pays for {self.pages_used} pages and "
                f"{self.caps_used} capabilities; close what uses it first"
            )
        self.alive = False
        if self.parent is not None:
            del self.parent._children[self.name]

    def _debit(self, pages: int, caps: int) -> None:
        bank: Bank | None = self
        while bank is not None:
            bank.pages_used += pages
            bank.caps_used += caps
            bank = bank.parent
        if self._on_change is not None:
            self._on_change(self, pages, caps)

    def _require_alive(self) -> None:
        if not self.alive:
            raise BankDead(f"bank {self.name!r} was closed; open the session with another bank")

    def _lack(self, kind: type[BankError], need: int, asked: Bank, why: str) -> BankError:
        if kind is OutOfPages:
            used, limit, units, keyword = self.pages_used, self.page_limit, "pages", "pages"
        else:
            used, limit, units, keyword = self.caps_used, self.cap_limit, "capabilities", "caps"
        via = "" if asked is self else f" (asked through bank {asked.name!r})"
        error = kind(
            f"bank {self.name!r}{via} has {max(0, limit - used)} of {limit} {units} left and "
            f"needs {need} for {why}: refill it with bank.refill({keyword}={used + need - limit}) "
            "or more, or take answers and release what you hold, then call again"
        )
        error.bank = self.name
        error.short = used + need - limit
        return error

    def __repr__(self) -> str:
        return (
            f"<Bank {self.name!r}, pages {self.pages_used}/{self.page_limit}, "
            f"caps {self.caps_used}/{self.cap_limit}>"
        )


@final
class Purse:
    """A count of bytes inside pages that were bought for it, and of capabilities.

    A page is bought when the bytes run short, and sold when two whole pages are free: one
    spare page keeps a small charge that comes and goes from buying each time. Capabilities
    are bought and sold in lots for the same reason.
    """

    __slots__ = ("_bank", "_why", "caps", "free", "free_caps", "high", "on_short", "pages")

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self.pages = 0
        # Invariant: 0 <= free <= pages * PAGE, and free < 2 * PAGE after every `give`.
        self.free = 0
        # Invariant: min(2 * PAGE, pages * PAGE + 1), where `give` has to look closer.
        self.high = 1
        self._why = "memory"
        # Gives up what is bought and not in use; whether there was any.
        self.on_short: Callable[[], bool] | None = None
        # Invariant: 0 <= free_caps <= caps, and free_caps < 2 * CAP_LOT after a `give_cap`.
        self.caps = 0
        self.free_caps = 0

    @property
    def used(self) -> int:
        """Bytes that are charged now."""
        return self.pages * PAGE - self.free

    def take(self, count: int, why: str = "memory") -> None:
        """Charge `count` bytes. Raises OutOfPages, and nothing has changed then."""
        if count > self.free:
            self._why = why
            self._resize(-((self.free - count) // PAGE))
        self.free -= count

    def give(self, count: int) -> None:
        """Refund `count` bytes that were taken. Raises ValueError for more than that."""
        self.free = free = self.free + count
        if free >= self.high:
            if free > self.pages * PAGE:
                self.free = free - count
                raise ValueError(f"a purse of {self.used} used bytes was given {count} back")
            self._resize(1 - free // PAGE)

    def _resize(self, pages: int) -> None:
        """Buy so many pages more, or sell."""
        if pages > 0:
            try:
                self._bank.buy(pages, why=self._why)
            except OutOfPages:
                if self.on_short is None or not self.on_short():
                    raise
                self._bank.buy(pages, why=self._why)
        else:
            self._bank.sell(-pages)
        self.pages += pages
        self.free += pages * PAGE
        self.high = min(2 * PAGE, self.pages * PAGE + 1)

    def take_cap(self, why: str = "a capability") -> None:
        """Charge one capability. Raises OutOfCaps, and nothing has changed then."""
        if not self.free_caps:
            lot = CAP_LOT
            try:
                self._bank.buy(caps=lot, why=why)
            except OutOfCaps:
                lot = 1
                self._bank.buy(caps=lot, why=why)
            self.caps += lot
            self.free_caps = lot
        self.free_caps -= 1

    def give_cap(self) -> None:
        """Refund one capability. Raises ValueError for more than were taken."""
        if self.free_caps >= self.caps:
            raise ValueError("a purse was given a capability back that it had not paid for")
        self.free_caps += 1
        if self.free_caps >= 2 * CAP_LOT:
            self._bank.sell(caps=CAP_LOT)
            self.caps -= CAP_LOT
            self.free_caps -= CAP_LOT

    def close(self) -> None:
        """Sell everything. Raises ValueError while anything is in use."""
        if self.used or self.free_caps != self.caps:
            raise ValueError(
                f"{self.used} bytes and {self.caps - self.free_caps} capabilities of this purse "
                "are still in use"
            )
        self.seize()

    def seize(self) -> None:
        """Sell everything, also what is in use: whoever held it is dead."""
        self._bank.sell(self.pages, self.caps)
        self.pages = self.free = self.caps = self.free_caps = 0
        self.high = 1
