"""Owned: what a bank pays for as an object, so that destroying the bank finds it.

Each bank has a list of its objects, linked through the objects themselves: adding one,
taking one out, and handing all of them to another bank cost the same however many there are.

The life of an object::

    owned ──free──────────────────────────────▶ gone
      └──its bank is destroyed──▶ doomed ──last pin──▶ gone
                                    (at once if nothing pins it)
"""

from __future__ import annotations

from typing import Any, Final, Protocol, final

from pinfut.rpc.errors import StillPinned
from pinfut.stack import require_stack

STACK: Final = 24
"""Frames that are taken at most by what buys or sells and does more."""


class OwningBank(Protocol):
    """A bank, as what it pays for sees it."""

    name: str
    objects: Objects
    doomed: Objects
    heir: Any  # any: once removed, who owns what it owned; a bank as well

    def acquire(self, pages: int = 0, caps: int = 0, *, why: str = "memory") -> None: ...

    def refund(self, pages: int = 0, caps: int = 0) -> None: ...

    def settle(self) -> None: ...


class Owned:
    """An object of a bank. Pins keep it where it is while it is used."""

    __slots__ = ("_after", "_bank", "_before", "doomed", "pins")

    def __init__(self, bank: OwningBank) -> None:
        self._bank = bank
        self._before: Owned | None = None
        self._after: Owned | None = None
        self.pins = 0  # how many use it at present
        # Invariant: set only while pinned: the bank is being destroyed and waits for the pins.
        self.doomed = False
        bank.objects.add(self)

    @property
    def bank(self) -> Any:
        """The bank that owns this: the one that bought it, or who inherited it from that."""
        bank = self._bank
        while bank.heir is not None:
            bank = bank.heir
        self._bank = bank
        return bank

    def pin(self) -> None:
        """Use it: it stays until `unpin`, whatever becomes of its bank."""
        self.pins += 1

    def unpin(self) -> None:
        """One use is over. With the last one a doomed object goes. Raises ValueError for more
        than were pinned."""
        if not self.pins:
            raise ValueError(f"{self!r} was unpinned more often than pinned")
        if self.doomed:
            require_stack(2 * STACK)
        self.pins -= 1
        if self.doomed and not self.pins:
            bank = self.bank
            self._reclaim()
            bank.settle()

    def revoke(self) -> None:
        """The bank is being destroyed: go now, or, if pinned, with the last pin."""
        if not self.pins:
            self._reclaim()
            return
        bank = self.bank
        bank.objects.discard(self)
        self.doomed = True
        bank.doomed.add(self)

    def require_unpinned(self) -> None:
        """Raises Pinned while somebody uses it."""
        if self.pins:
            raise StillPinned(
                f"{self!r} is in use ({self.pins} pins); end the turn that uses it first"
            )

    def leave_bank(self) -> None:
        """Take it out of its bank's list: it is about to be gone."""
        bank = self.bank
        (bank.doomed if self.doomed else bank.objects).discard(self)
        self.doomed = False

    def _reclaim(self) -> None:
        """Give back what it holds and be gone."""
        raise NotImplementedError


@final
class Objects:
    """A list of objects, linked through them."""

    __slots__ = ("first", "last")

    def __init__(self) -> None:
        # Invariant: both None exactly when the list is empty.
        self.first: Owned | None = None
        self.last: Owned | None = None

    def add(self, thing: Owned) -> None:
        """Put an object that stands in no list behind the others."""
        last = self.last
        thing._before, thing._after = last, None
        if last is None:
            self.first = thing
        else:
            last._after = thing
        self.last = thing

    def discard(self, thing: Owned) -> None:
        """Take an object out of this list; harmless when it stands in none."""
        before, after = thing._before, thing._after
        if before is not None:
            before._after = after
        elif self.first is thing:
            self.first = after
        if after is not None:
            after._before = before
        elif self.last is thing:
            self.last = before
        thing._before = thing._after = None

    def take_all(self, other: Objects) -> None:
        """Put everything of another list behind what is here."""
        if other.first is None:
            return
        other.first._before = self.last
        if self.last is None:
            self.first = other.first
        else:
            self.last._after = other.first
        self.last = other.last
        other.first = other.last = None
