"""Watch a run: what each bank holds at most, what the machine pays beside them, and how
many calls are in flight."""

from __future__ import annotations

from dataclasses import dataclass

from pinfut.executor import Instrument
from pinfut.rpc import Bank, SimKernel


@dataclass(slots=True)
class Account:
    """A bank, what it allowed at the beginning, and what happened to it since."""

    bank: Bank
    pages: int
    caps: int
    used_before: tuple[int, int]
    refilled: int = 0
    peak_pages: int = 0
    peak_caps: int = 0

    def refill(self, pages: int) -> None:
        """Raise the bank's limit."""
        self.bank.refill(pages=pages)
        self.refilled += pages

    @property
    def restored(self) -> bool:
        """Whether the bank pays for nothing and allows what it did, and what was added."""
        return (
            self.bank.pages_used == 0
            and self.bank.caps_used == 0
            and self.bank.balance == (self.pages + self.refilled, self.caps)
        )


class InFlight(Instrument):
    """Counts the calls that were sent and not answered, and keeps the most at one time."""

    def __init__(self) -> None:
        self._calls: set[tuple[str, int]] = set()
        self.peak = 0

    def slot(self, session: str, x: int, state: str, /, **about: object) -> None:
        if state == "sent":
            self._calls.add((session, x))
            self.peak = max(self.peak, len(self._calls))
        else:
            self._calls.discard((session, x))


class Auditor(Instrument):
    """Opens the accounts of a kernel and looks at all of them at every charge.

    It sees the charges made while it is among the instruments of the executor.
    """

    def __init__(self, kernel: SimKernel) -> None:
        self._kernel = kernel
        self.accounts: list[Account] = []
        # The most that the machine paid beside the accounts.
        self.peak_beside = 0
        self.looked = 0

    def open(self, name: str, pages: int, caps: int = 1024) -> Account:
        """A new bank directly below the machine's."""
        bank = self._kernel.bank(name, pages=pages, caps=caps)
        account = Account(bank, *bank.balance, (bank.pages_used, bank.caps_used))
        self.accounts.append(account)
        return account

    @property
    def beside(self) -> int:
        """Pages that the machine pays now and that are in no account."""
        return self._kernel.root.pages_used - sum(a.bank.pages_used for a in self.accounts)

    def charge(self, bank: str, pages: int, caps: int, /, **about: object) -> None:
        self.looked += 1
        for account in self.accounts:
            account.peak_pages = max(account.peak_pages, account.bank.pages_used)
            account.peak_caps = max(account.peak_caps, account.bank.caps_used)
        self.peak_beside = max(self.peak_beside, self.beside)
