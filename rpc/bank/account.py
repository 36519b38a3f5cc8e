"""SessionAccount: bytes within bought pages, and capabilities bought in lots."""

from __future__ import annotations

from typing import Any, Final, Protocol, final

from pinfut.rpc.errors import OutOfBytes, OutOfCaps

PAGE: Final = 4096
"""Bytes in a page."""

CAP_LOT: Final = 16
"""How many capabilities an account buys at once."""


class AccountSource(Protocol):
    """Where an account buys: a share of a bank, or the kernel that has one for it."""

    @property
    def name(self) -> str:
        """What errors call it."""
        ...

    def buy(self, pages: int, caps: int, why: str, /) -> None:
        """Buy so much for the account. Raises OutOfPages, OutOfCaps and BankDead."""

    def sell(self, pages: int, caps: int, /) -> None:
        """Take so much back; nothing, when it went with its bank."""

    def pass_on(self, to: Any, pages: int, caps: int, /) -> None:
        """So much of it is another source's from now on. Raises ValueError for another bank's."""


@final
class SessionAccount:
    """A count of bytes inside pages that were bought for it, and of capabilities (as
    `pinfut.rpc.contract.Account`).

    A page is bought when the bytes run short, and sold when two whole pages are free: one
    spare page keeps a small charge that comes and goes from buying each time. Capabilities
    are bought and sold in lots for the same reason.

    `ceiling`: bytes that may be charged at most, whatever the bank still has; whole pages.
    `charged`: bytes that are in use from the beginning, in pages that the source has bought."""

    __slots__ = ("_source", "_why", "caps", "ceiling", "free", "free_caps", "high", "pages")

    def __init__(
        self, source: AccountSource, *, ceiling: int | None = None, charged: int = 0
    ) -> None:
        if ceiling is not None and (ceiling < 0 or ceiling % PAGE):
            raise ValueError(f"an account's ceiling is a multiple of {PAGE} bytes, not {ceiling}")
        self._source = source
        self._why = "memory"
        # Invariant: pages * PAGE <= ceiling, unless None.
        self.ceiling = ceiling
        self.pages = -(-charged // PAGE)
        # Invariant: 0 <= free <= pages * PAGE, and free < 2 * PAGE after every `give`.
        self.free = self.pages * PAGE - charged
        # Invariant: min(2 * PAGE, pages * PAGE + 1), where `give` has to look closer.
        self.high = min(2 * PAGE, self.pages * PAGE + 1)
        # Invariant: 0 <= free_caps <= caps, and free_caps < 2 * CAP_LOT after a `give_cap`.
        self.caps = 0
        self.free_caps = 0

    @property
    def payer(self) -> str:
        return self._source.name

    @property
    def used(self) -> int:
        return self.pages * PAGE - self.free

    def take(self, count: int, why: str = "memory", /) -> None:
        """Charge `count` bytes. Raises OutOfPages, OutOfBytes when the account has a ceiling,
        and BankDead; nothing has changed then."""
        if count > self.free:
            self._grow(count, why)
        self.free -= count

    def give(self, count: int, /) -> None:
        """Refund `count` bytes that were taken. Raises ValueError for more than that."""
        free = self.free + count
        if free >= self.high:
            if free > self.pages * PAGE:
                raise ValueError(f"an account of {self.used} used bytes was given {count} back")
            self._resize(1 - free // PAGE)
        self.free += count

    def _grow(self, count: int, why: str) -> None:
        """Buy what `count` bytes need beside what is free."""
        pages = -((self.free - count) // PAGE)
        ceiling = self.ceiling
        if ceiling is not None and (self.pages + pages) * PAGE > ceiling:
            name = self._source.name
            raise OutOfBytes(
                f"an account of bank {name!r} has {self.free} bytes left of {ceiling} "
                f"and needs {count} for {why}: release what it holds, or ask for a higher ceiling",
                name,
                count - self.free,
            )
        self._why = why
        self._resize(pages)

    def _resize(self, pages: int) -> None:
        """Buy so many pages more, or sell."""
        if pages > 0:
            self._source.buy(pages, 0, self._why)
        else:
            self._source.sell(-pages, 0)
        self.pages += pages
        self.free += pages * PAGE
        self.high = 2 * PAGE if self.pages > 1 else self.pages * PAGE + 1

    def take_cap(self, why: str = "a capability", /) -> None:
        if not self.free_caps:
            lot = CAP_LOT
            try:
                self._source.buy(0, lot, why)
            except OutOfCaps:
                lot = 1
                self._source.buy(0, lot, why)
            self.caps += lot
            self.free_caps = lot
        self.free_caps -= 1

    def give_cap(self) -> None:
        """Refund one capability. Raises ValueError for more than were taken."""
        if self.free_caps >= self.caps:
            raise ValueError("an account was given a capability back that it had not paid for")
        if self.free_caps + 1 >= 2 * CAP_LOT:
            self._source.sell(0, CAP_LOT)
            self.caps -= CAP_LOT
            self.free_caps -= CAP_LOT
        self.free_caps += 1

    def pass_on(self, to: Any, count: int, caps: int, /) -> None:
        """As `pinfut.rpc.contract.Account`. What stays charged here may lack a part of a page
        then: that much of it goes with the side that had the account."""
        pages = max(0, -((to.free - count) // PAGE))
        self._source.pass_on(to._source, pages, caps)
        for account, sign in ((self, -1), (to, 1)):
            account.pages += sign * pages
            account.free += sign * (pages * PAGE - count)
            account.caps += sign * caps
            account.high = 2 * PAGE if account.pages > 1 else account.pages * PAGE + 1

    def require_unused(self, but: int = 0) -> None:
        """Raises ValueError while anything is in use; `but`: bytes that may be."""
        if self.used != but or self.free_caps != self.caps:
            raise ValueError(
                f"{self.used - but} bytes and {self.caps - self.free_caps} capabilities of this "
                "account are still in use"
            )

    def close(self) -> None:
        """Sell everything. Raises ValueError while anything is in use."""
        self.require_unused()
        self._source.sell(self.pages, self.caps)
        self.pages = self.free = self.caps = self.free_caps = 0
        self.high = 1

    def __repr__(self) -> str:
        return f"<SessionAccount of {self._source.name!r}, {self.used} bytes in {self.pages} pages>"
