"""ExportTable: under which numbers a client's sessions have objects, and who pays for them.

An id is an index and a generation, so that one which was released by all names nothing, also after
its place has been used again. The sessions of one client and bank share a table
(docs/protocol.md); what each of them may name is in its `Bushel`."""

from __future__ import annotations

from typing import Any, Final, final

from pinfut.rpc import prices
from pinfut.rpc.contract import Account
from pinfut.rpc.wire.charge import pay, refund
from pinfut.stack import require_stack

_INDEX_BITS: Final = 32
_INDEX: Final = (1 << _INDEX_BITS) - 1
SMALL: Final = 16
"""Entries for which a table keeps its room."""

_NOTHING: Final[frozenset[int]] = frozenset()
_STACK: Final = 4  # Frames that the tables take at most, without what is charged
_LAST_GENERATION: Final = (1 << 32) - 1  # An index whose generations are used up is retired


@final
class Exported:
    """The number of a facet, by its key, what was charged for it, and how many bushels have it."""

    __slots__ = ("charged", "held", "key", "number")

    def __init__(self, number: int, key: int, charged: int) -> None:
        self.number = number
        self.key = key
        self.charged = charged
        self.held = 0


def key_of(thing: Any, interface: Any) -> int:
    """What no other facet has while this one is held: both addresses, in one small object."""
    return id(thing) << 64 | id(interface)


@final
class ExportTable:
    """Entries by facet. `account` pays for them, the first that has joined and not left; `purse`
    pays for the pages of its session (`pinfut.rpc.session.purse`), if these are counted: then all
    that changes the table is called in nobody's (`off_call`), since it may outlive the session."""

    __slots__ = (
        *("_base", "_free", "_generation", "_high", "_kept", "_next", "_width"),
        *("account", "charged", "entries", "payers", "purse"),
    )

    def __init__(self) -> None:
        self.account: Account | None = None
        self.purse: Any = None
        self.charged = 0  # the sum over entries
        # Each account of a session that uses the table, oldest first, with its purse.
        self.payers: dict[Account | None, Any] = {}
        # Invariant: by `key_of`, so that a facet has one id here.
        self.entries: dict[int, Exported] = {}
        # Ids of released entries, to be used again with the next generation.
        self._free: list[int] = []
        self._next = 0
        # The highest generation, and the number of indices, that were ever handed out.
        self._generation = 0
        self._width = 0
        self._base = 0  # indices below this have used all their generations up
        # The indices that were taken when the tables were last made small.
        self._kept = _NOTHING
        self._high = SMALL  # the most entries since then

    def join(self, account: Account | None, purse: Any) -> None:
        """One more session uses the table."""
        if not self.payers:
            self.account, self.purse = account, purse
        self.payers[account] = purse

    def leave(self, account: Account | None) -> None:
        """It does no more, and has no entry: what its account pays for the others, the next one
        does. Idempotent."""
        require_stack(2 * _STACK)
        self.payers.pop(account, None)
        if account is not self.account or account is None or not self.payers:
            return
        heir, purse = next(iter(self.payers.items()))
        assert heir is not None, "who pays shares with who pays"
        account.pass_on(heir, self.charged, len(self.entries))
        left, self.account, self.purse = self.purse, heir, purse
        if left is not None and purse is not None:
            apart = prices.EXPORT * len(self.entries)
            left.apart -= apart
            purse.apart += apart
            purse.settle()

    def admit(self, thing: Any, interface: Any, account: Account | None) -> Exported:
        """A new entry, paid, over the session that has `account`. Raises OutOfPages, OutOfCaps."""
        price = prices.EXPORT + type(thing)._pinfut_charge
        if self.account is None:
            require_stack(_STACK)
        else:
            pay(self.account, price, "an object handed out")  # which has looked at the stack
        self.charged += price
        if self.purse is not None:
            self.purse.apart += prices.EXPORT
            if account is not self.account:
                self.purse.settle()  # its own session may not be looked at for long
        if self._free:
            number = self._free.pop()
        else:
            while self._next & _INDEX in self._kept:
                self._next += 1
            number = self._next
            self._next += 1
        key = key_of(thing, interface)
        entry = self.entries[key] = Exported(number, key, price)
        self._high = max(self._high, len(self.entries))
        return entry

    def drop(self, entry: Exported) -> None:
        """Nobody has it any more: refund it."""
        require_stack(_STACK)
        if self.account is not None:
            refund(self.account, entry.charged)
        self.charged -= entry.charged
        if self.purse is not None:
            self.purse.apart -= prices.EXPORT
        number = entry.number
        self._note(number)
        del self.entries[entry.key]
        if number >> _INDEX_BITS < _LAST_GENERATION:
            self._free.append(number + (1 << _INDEX_BITS))
        if len(self.entries) * 4 <= self._high:
            self._shrink()

    def _shrink(self) -> None:
        """Make the tables as small as what is in them: nobody pays for the rest."""
        self.entries = dict(self.entries)
        self._free.clear()
        self._high = max(len(self.entries), SMALL)
        # Begin again at the lowest index, with a generation that was never used; around
        # those that stay, since two of one index would be two generations of it at once.
        for entry in self.entries.values():
            self._note(entry.number)
        if self._generation == _LAST_GENERATION:
            self._base, self._generation = self._width, -1
        self._next = self._generation + 1 << _INDEX_BITS | self._base
        self._kept = frozenset(entry.number & _INDEX for entry in self.entries.values())

    def _note(self, number: int) -> None:
        """Count a number among those that were ever handed out."""
        self._generation = max(self._generation, number >> _INDEX_BITS)
        self._width = max(self._width, (number & _INDEX) + 1)
