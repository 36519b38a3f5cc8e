"""Handles: what others may do with a bank, and telling a bank from a fake.

Ranks, each with all that is below it; a handle can only be made weaker::

    USE     buy, sell, make a bank below that this one limits
    READ    see limits and usage
    LIMIT   change the limits
    DESTROY destroy, remove, close
"""

from __future__ import annotations

from enum import IntEnum
from typing import final

from pinfut.rpc import prices
from pinfut.rpc.bank.bank import DEAD, Bank
from pinfut.rpc.bank.owned import STACK
from pinfut.rpc.bank.teardown import Destroying, destroy
from pinfut.rpc.contract import Balance
from pinfut.rpc.errors import NotABank, Restricted
from pinfut.stack import require_stack


class Rank(IntEnum):
    """How much a handle allows."""

    USE = 0
    READ = 1
    LIMIT = 2
    DESTROY = 3


@final
class BankHandle:
    """A weaker capability to a bank: a number that stands for it in a table of its kernel. The
    bank's ledger pays for it until `drop`. Under their names it has the methods of `Bank`, and
    they raise Restricted where it is too weak or was dropped."""

    __slots__ = ("_number", "_table", "no_remove", "rank")

    def __init__(self, bank: Bank, rank: Rank, *, no_remove: bool = False) -> None:
        self._table = bank.machine.handles
        self._number = 0
        require_stack(STACK)
        bank.keep(prices.HANDLE, "a handle of the bank")
        self._number = next(bank.machine.numbers)
        self._table[self._number] = bank
        self.rank = rank
        self.no_remove = no_remove

    def peek(self) -> Bank | None:
        """The bank, for the kernel itself; None once the handle was dropped."""
        return self._table.get(self._number)

    def living(self) -> Bank | None:
        """The bank, for the kernel itself; None when nothing is left of it."""
        bank = self.peek()
        return None if bank is None or bank.state == DEAD else bank

    def bank(self, need: Rank = Rank.USE) -> Bank:
        """The bank, for the kernel itself. Raises Restricted when the handle is too weak or was
        dropped."""
        bank = self.peek()
        if bank is None:
            raise Restricted("this handle was dropped")
        if self.rank < need:
            raise Restricted(
                f"this handle of bank {bank.name!r} is for {self.rank.name} and "
                f"{need.name} is needed; ask the one who made it for a stronger one"
            )
        return bank

    def reduce(self, rank: Rank | None = None, *, no_remove: bool = False) -> BankHandle:
        """Another handle, at most as strong as this one. Raises Restricted for a stronger one,
        and OutOfPages when the bank cannot keep one more."""
        wanted = self.rank if rank is None else Rank(rank)
        bank = self.bank(wanted)
        return BankHandle(bank, wanted, no_remove=self.no_remove or no_remove)

    def drop(self) -> None:
        """Give the handle up. Idempotent."""
        require_stack(STACK)
        bank = self._table.pop(self._number, None)
        if bank is not None:
            bank.forget(prices.HANDLE)

    def __del__(self) -> None:
        # Who lets go of it without a word leaves the books as they are, and the table without it.
        self._table.pop(self._number, None)

    # ---- USE ----

    def buy(self, pages: int = 0, caps: int = 0, *, why: str = "memory") -> None:
        self.bank().buy(pages, caps, why=why)

    def sell(self, pages: int = 0, caps: int = 0) -> None:
        self.bank().sell(pages, caps)

    def child(self, name: str, *, pages: int, caps: int = 1024, funded: bool = False) -> Bank:
        """As `Bank.child`; where this handle may not remove, nobody may remove the new bank."""
        return self.bank().child(
            name, pages=pages, caps=caps, funded=funded, no_remove=self.no_remove
        )

    # ---- READ ----

    @property
    def balance(self) -> Balance:
        return self.bank(Rank.READ).balance

    @property
    def pages_used(self) -> int:
        return self.bank(Rank.READ).pages_used

    @property
    def caps_used(self) -> int:
        return self.bank(Rank.READ).caps_used

    # ---- LIMIT ----

    def refill(self, pages: int = 0, caps: int = 0) -> None:
        self.bank(Rank.LIMIT).refill(pages, caps)

    # ---- DESTROY ----

    def destroy(self) -> Destroying:
        return destroy(self.bank(Rank.DESTROY))

    def remove(self) -> None:
        """As `Bank.remove`. Raises Restricted also for a handle with `no_remove`."""
        bank = self.bank(Rank.DESTROY)
        if self.no_remove:
            raise Restricted(f"this handle of bank {bank.name!r} may not remove; destroy instead")
        bank.remove()

    def close(self) -> None:
        self.bank(Rank.DESTROY).close()

    def __repr__(self) -> str:
        bank = self.peek()
        return f"<BankHandle of bank {bank and bank.name!r}, {self.rank.name}>"


def verify(root: Bank, thing: object) -> bool:
    """Whether `thing` is a bank of the tree of `root`, or a handle of one: the kernel's own
    object and no look-alike, whatever it says of itself. False for a dead one."""
    if type(thing) is BankHandle:
        thing = thing.peek()
    return type(thing) is Bank and thing.alive and thing.is_below(root)


def bank_of(root: Bank, thing: object) -> Bank:
    """The bank that `thing` is, or is a handle of. Raises NotABank for what this kernel has not
    made, and Restricted for a handle that was dropped."""
    bank = thing.bank() if type(thing) is BankHandle else thing
    if type(bank) is not Bank or not (bank.is_below(root) or not bank.alive):
        raise NotABank(
            f"this {type(thing).__name__} is no bank of this kernel; make one with "
            "kernel.bank(...) or bank.child(...)"
        )
    return bank
