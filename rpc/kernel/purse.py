"""Purse: bytes within bought pages, and capabilities bought in lots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from pinfut.rpc.errors import OutOfBytes, OutOfCaps, OutOfPages
from pinfut.rpc.kernel.owned import Owned

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinfut.rpc.kernel.bank import Bank

PAGE: Final = 4096
"""Bytes in a page."""

CAP_LOT: Final = 16
"""How many capabilities a purse buys at once."""


@final
class Purse(Owned):
    """A count of bytes inside pages that were bought for it, and of capabilities.

    A page is bought when the bytes run short, and sold when two whole pages are free: one
    spare page keeps a small charge that comes and goes from buying each time. Capabilities
    are bought and sold in lots for the same reason.

    `ceiling`: bytes that may be charged at most, whatever the bank still has; whole pages.
    A purse whose bank was destroyed takes nothing, and forgets what it held.
    """

    __slots__ = (
        "_why",
        "alive",
        "caps",
        "ceiling",
        "free",
        "free_caps",
        "high",
        "on_short",
        "pages",
    )

    def __init__(self, bank: Bank, *, ceiling: int | None = None) -> None:
        if ceiling is not None and (ceiling < 0 or ceiling % PAGE):
            raise ValueError(f"a purse's ceiling is a multiple of {PAGE} bytes, not {ceiling}")
        super().__init__(bank)
        # Invariant: pages * PAGE <= ceiling, unless None.
        self.ceiling = ceiling
        # Whether its bank has not taken everything back.
        self.alive = True
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
        """Charge `count` bytes. Raises OutOfPages, OutOfBytes when the purse has a ceiling,
        and BankDead; nothing has changed then."""
        if count > self.free:
            self._grow(count, why)
        self.free -= count

    def give(self, count: int) -> None:
        """Refund `count` bytes that were taken. Raises ValueError for more than that."""
        self.free = free = self.free + count
        if free >= self.high:
            if free > self.pages * PAGE:
                self.free = free - count
                if not self.alive:
                    return  # it went with the bank
                raise ValueError(f"a purse of {self.used} used bytes was given {count} back")
            self._resize(1 - free // PAGE)

    def _grow(self, count: int, why: str) -> None:
        """Buy what `count` bytes need beside what is free."""
        pages = -((self.free - count) // PAGE)
        ceiling = self.ceiling
        if ceiling is not None and (self.pages + pages) * PAGE > ceiling:
            raise OutOfBytes(
                f"a purse of bank {self._bank.name!r} has {self.free} bytes left of {ceiling} and "
                f"needs {count} for {why}: release what it holds, or ask for a higher ceiling",
                self._bank.name,
                count - self.free,
            )
        self._why = why
        self._resize(pages)

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
            if not self.alive:
                return
            raise ValueError("a purse was given a capability back that it had not paid for")
        self.free_caps += 1
        if self.free_caps >= 2 * CAP_LOT:
            self._bank.sell(caps=CAP_LOT)
            self.caps -= CAP_LOT
            self.free_caps -= CAP_LOT

    def close(self) -> None:
        """Sell everything and leave the bank. Raises ValueError while anything is in use."""
        if self.used or self.free_caps != self.caps:
            raise ValueError(
                f"{self.used} bytes and {self.caps - self.free_caps} capabilities of this purse "
                "are still in use"
            )
        self.seize()
        self.leave_bank()

    def seize(self) -> None:
        """Sell everything, also what is in use: whoever held it is dead."""
        self._bank.sell(self.pages, self.caps)
        self.pages = self.free = self.caps = self.free_caps = 0
        self.high = 1

    def _reclaim(self) -> None:
        self.alive = False
        self.seize()
        self.leave_bank()

    def __repr__(self) -> str:
        return f"<Purse of {self._bank.name!r}, {self.used} bytes in {self.pages} pages>"
