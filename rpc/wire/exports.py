"""Bushel: the objects that one client may name over one session, as integers.

The numbers are those of an `ExportTable`, which sessions of one client and bank share; which of
them this session may use, and how often each was handed out over it, is its own. Everything in
the bushel goes when its session does.

What is handed out is a facet: an object *as* one of its interfaces (docs/protocol.md). The number
in a call selects among the methods of that and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from pinfut.payers import off_call
from pinfut.rpc import prices
from pinfut.rpc.contract import Account
from pinfut.rpc.errors import GarbageFrame, UnknownObject
from pinfut.rpc.wire.export_table import SMALL, Exported, ExportTable, key_of
from pinfut.stack import require_stack

_STACK: Final = 24  # Frames that a drop takes at most behind its first refund
Facet = tuple[Any, Any, Any]
"""An object, the methods of one of its interfaces in the order of their numbers, and that
interface."""


@final
class _Use:
    __slots__ = ("charged", "entry", "facet", "holds", "uses")

    def __init__(self, entry: Exported, facet: Facet, charged: int) -> None:
        self.entry = entry
        self.facet = facet
        # Invariant: how often the id was handed out and not yet released, and by how many
        # answers the object is held besides; one of them is above 0.
        self.uses = 0
        self.holds = 0
        # What the session itself pays: nothing for the first use of an entry.
        self.charged = charged


@final
class Bushel:
    """The exports of one side of a session. `account` pays for them; None on the side of the
    client itself, which holds its own objects anyhow. `table`: that of the client's other sessions,
    if it has any; `purse`: as `ExportTable` has it."""

    __slots__ = ("_account", "_high", "_uses", "_watched", "on_released", "table", "things")

    def __init__(
        self,
        account: Account | None = None,
        table: ExportTable | None = None,
        purse: Any = None,
    ) -> None:
        self._account = account
        self.table = ExportTable() if table is None else table
        off_call(self.table.join, account, purse)
        # Called with an id that the other side may not name any more, in a kernel.
        self.on_released: Callable[[int], None] | None = None
        # By id, generation included: whatever is found there was handed out as that id.
        self.things: dict[int, Facet] = {}
        self._uses: dict[int, _Use] = {}
        self._high = SMALL  # the most of them since the tables were last made small
        # By id(thing): what waits until it is here no more; the one that waits holds the object.
        self._watched: dict[int, list[Callable[[], None]]] | None = None

    def __len__(self) -> int:
        return len(self._uses)

    @property
    def bank(self) -> str | None:
        """What the bank is called that pays for each entry, which nobody can change; None for a
        client's own table. A name, since the one who charges has no right to the bank itself."""
        return None if self._account is None else self._account.payer

    def grant(self, thing: Any, interface: Any) -> int:
        """The id of `thing` as `interface`, which its class implements and was looked up for,
        handed out once more. Raises OutOfPages, OutOfCaps."""
        entry = self.table.entries.get(key_of(thing, interface))
        use = None if entry is None else self._uses.get(entry.number)
        if use is None:
            use = self._admit(thing, interface, entry)
        use.uses += 1
        number = use.entry.number
        if use.uses == 1:
            self.things[number] = use.facet
        return number

    def hold(self, number: int) -> None:
        """An answer holds the object: it stays, and stays paid for, until `unhold`."""
        self._uses[number].holds += 1

    def unhold(self, number: int) -> None:
        """The answer is over."""
        use = self._uses[number]
        if use.holds == 1 and not use.uses:
            self._drop(use)
        use.holds -= 1

    def get(self, number: int) -> Facet:
        """The facet of an id. Raises UnknownObject for a released or invented one."""
        use = self._uses.get(number)
        if use is None or not use.uses:
            raise UnknownObject(
                f"this session holds no object {number:#x}: it was released, or never handed out"
            )
        return use.facet

    def release(self, number: int, count: int) -> None:
        """`count` of the times that an id was handed out are over; with the last the object
        is dropped and its charge refunded. Raises UnknownObject, and GarbageFrame for more
        than were handed out."""
        self.get(number)
        use = self._uses[number]
        if not 1 <= count <= use.uses:
            raise GarbageFrame(
                f"object {number:#x} was handed out {use.uses} times, and {count} are released"
            )
        if use.uses == count:
            if not use.holds:
                self._drop(use)
            self.things.pop(number, None)
            if self.on_released is not None:
                self.on_released(number)
        use.uses -= count

    def close(self) -> None:
        """Drop every object."""
        for use in list(self._uses.values()):
            self._drop(use)
        self.table.leave(self._account)

    @property
    def charged(self) -> int:
        """Bytes that this session's account pays for what is in bushels."""
        of_all = self.table.charged if self.table.account is self._account else 0
        return of_all + sum(use.charged for use in self._uses.values())

    def _admit(self, thing: Any, interface: Any, entry: Exported | None) -> _Use:
        charged = 0
        try:
            if entry is None:
                entry = off_call(self.table.admit, thing, interface, self._account)
            elif self._account is not None:
                self._account.take(prices.REFERENCE, "an object handed out over a second session")
                charged = prices.REFERENCE
        except BaseException:
            self.lost(thing)
            raise
        entry.held += 1
        facet = thing, type(thing)._pinfut_tables[interface], interface
        use = self._uses[entry.number] = _Use(entry, facet, charged)
        self._high = max(self._high, len(self._uses))
        return use

    def _drop(self, use: _Use) -> None:
        entry = use.entry
        if use.charged and self._account is not None:
            require_stack(_STACK)
            self._account.give(use.charged)
        if entry.held == 1:
            off_call(self.table.drop, entry)
        entry.held -= 1
        self.things.pop(entry.number, None)
        del self._uses[entry.number]
        if len(self._uses) * 4 <= self._high:
            # Nobody pays for more room than what is in them has.
            for table in (self._uses, self.things):
                rest = dict(table)
                table.clear()
                table.update(rest)  # type: ignore[arg-type]  # what it held before
            self._high = max(len(self._uses), SMALL)
        self.lost(use.facet[0])

    def watch(self, thing: Any, call: Callable[[], None]) -> None:
        """Make a call when `thing`, handed out now or later, is here no more, as whatever it was
        handed out, or could not be handed out."""
        if self._watched is None:
            self._watched = {}
        self._watched.setdefault(id(thing), []).append(call)

    def unwatch(self, thing: Any, call: Callable[[], None]) -> None:
        """It need not be made any more. Nothing for one that was made."""
        calls = self._watched.get(id(thing)) if self._watched else None
        if self._watched and calls and call in calls:
            calls.remove(call)
            if not calls:
                del self._watched[id(thing)]

    def lost(self, thing: Any) -> None:
        """An entry is gone, or was not made: who watches `thing` is told if it was the last."""
        if not self._watched:
            return
        keys = [key_of(thing, one) for one in type(thing)._pinfut_tables]
        entries = [self.table.entries[key] for key in keys if key in self.table.entries]
        if not any(entry.number in self._uses for entry in entries):
            for call in self._watched.pop(id(thing), ()):
                call()
