"""Bushel: the objects that one client may name at one server, as integers.

One bushel per bank and client. An id is an index and a generation, so that one which was
released names nothing, also after its place has been used again. Each entry is paid by
the client, and everything in the bushel goes when its session does.

What is handed out is a facet: an object *as* one of its interfaces. The entry holds the
methods of that interface, and the number in a call selects among these and no others, so an
object that was handed out as a Reader cannot be used as anything else. One object that is
handed out as two interfaces has two ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from pinfut.rpc import prices
from pinfut.rpc.contract import Account
from pinfut.rpc.errors import GarbageFrame, UnknownObject
from pinfut.rpc.wire.charge import pay, refund
from pinfut.stack import require_stack

_INDEX_BITS: Final = 32
_INDEX: Final = (1 << _INDEX_BITS) - 1
_SMALL: Final = 16
_NOTHING: Final[frozenset[int]] = frozenset()
_STACK: Final = 4  # Frames that the tables take at most, without what is charged
_LAST_GENERATION: Final = (1 << 32) - 1  # An index whose generations are used up is retired
Facet = tuple[Any, Any, Any]
"""An object, the methods of one of its interfaces in the order of their numbers, and that
interface."""


@final
class _Entry:
    __slots__ = ("charged", "facet", "holds", "number", "uses")

    def __init__(self, number: int, facet: Facet, charged: int) -> None:
        self.number = number
        self.facet = facet
        # Invariant: how often the id was handed out and not yet released, and by how many
        # answers the object is held besides; one of them is above 0.
        self.uses = 0
        self.holds = 0
        self.charged = charged


def _key(thing: Any, interface: Any) -> int:
    """What no other facet has while this one is held: both addresses, in one small object."""
    return id(thing) << 64 | id(interface)


@final
class Bushel:
    """The exports of one side of a session. `account` pays for each entry; None on the side
    of the client itself, which holds its own objects anyhow."""

    __slots__ = (
        *("_base", "_entries", "_free", "_generation", "_high", "_kept", "_next"),
        *("_number_of", "_account", "_watched", "_width", "on_released", "things"),
    )

    def __init__(self, account: Account | None = None) -> None:
        self._account = account
        # Called with an id that the other side may not name any more, in a kernel.
        self.on_released: Callable[[int], None] | None = None
        # By id, generation included: whatever is found there was handed out as that id.
        self.things: dict[int, Facet] = {}
        self._entries: dict[int, _Entry] = {}
        # Invariant: by `_key` of each entry, so that a facet has one id here.
        self._number_of: dict[int, int] = {}
        # Ids of released entries, to be used again with the next generation.
        self._free: list[int] = []
        self._next = 0
        # The highest generation, and the number of indices, that were ever handed out.
        self._generation = 0
        self._width = 0
        self._base = 0  # indices below this have used all their generations up
        # The indices that were taken when the tables were last made small.
        self._kept = _NOTHING
        self._high = _SMALL  # the most entries since then
        # By id(thing): what waits until it is here no more; the one that waits holds the object.
        self._watched: dict[int, list[Callable[[], None]]] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bank(self) -> str | None:
        """What the bank is called that pays for each entry, which nobody can change; None for a
        client's own table. A name, since the one who charges has no right to the bank itself."""
        return None if self._account is None else self._account.payer

    def grant(self, thing: Any, interface: Any) -> int:
        """The id of `thing` as `interface`, which its class implements and was looked up for,
        handed out once more. Raises OutOfPages, OutOfCaps."""
        number = self._number_of.get(_key(thing, interface))
        if number is None:
            number = self._admit(thing, interface)
        entry = self._entries[number]
        entry.uses += 1
        if entry.uses == 1:
            self.things[number] = entry.facet
        return number

    def hold(self, number: int) -> None:
        """An answer holds the object: it stays, and stays paid for, until `unhold`."""
        self._entries[number].holds += 1

    def unhold(self, number: int) -> None:
        """The answer is over."""
        entry = self._entries[number]
        if entry.holds == 1 and not entry.uses:
            self._drop(entry)
        entry.holds -= 1

    def get(self, number: int) -> Facet:
        """The facet of an id. Raises UnknownObject for a released or invented one."""
        entry = self._entries.get(number)
        if entry is None or not entry.uses:
            raise UnknownObject(
                f"this session holds no object {number:#x}: it was released, or never handed out"
            )
        return entry.facet

    def release(self, number: int, count: int) -> None:
        """`count` of the times that an id was handed out are over; with the last the object
        is dropped and its charge refunded. Raises UnknownObject, and GarbageFrame for more
        than were handed out."""
        self.get(number)
        entry = self._entries[number]
        if not 1 <= count <= entry.uses:
            raise GarbageFrame(
                f"object {number:#x} was handed out {entry.uses} times, and {count} are released"
            )
        if entry.uses == count:
            if not entry.holds:
                self._drop(entry)
            self.things.pop(number, None)
            if self.on_released is not None:
                self.on_released(number)
        entry.uses -= count

    def close(self) -> None:
        """Drop every object."""
        for entry in list(self._entries.values()):
            self._drop(entry)

    @property
    def charged(self) -> int:
        """Bytes charged for what is in the bushel."""
        return sum(entry.charged for entry in self._entries.values())

    def _admit(self, thing: Any, interface: Any) -> int:
        require_stack(_STACK)
        facet = thing, type(thing)._pinfut_tables[interface], interface
        price = prices.EXPORT + type(thing)._pinfut_charge
        if self._account is not None:
            try:
                pay(self._account, price, "an object handed out")
            except BaseException:
                self.lost(thing)
                raise
        if self._free:
            number = self._free.pop()
        else:
            while self._next & _INDEX in self._kept:
                self._next += 1
            number = self._next
            self._next += 1
        self._entries[number] = _Entry(number, facet, price)
        self._number_of[_key(thing, interface)] = number
        self._high = max(self._high, len(self._entries))
        return number

    def _drop(self, entry: _Entry) -> None:
        require_stack(_STACK)
        if self._account is not None:
            refund(self._account, entry.charged)
        number = entry.number
        self._note(number)
        self.things.pop(number, None)
        del self._entries[number]
        thing, _, interface = entry.facet
        del self._number_of[_key(thing, interface)]
        if number >> _INDEX_BITS < _LAST_GENERATION:
            self._free.append(number + (1 << _INDEX_BITS))
        if len(self._entries) * 4 <= self._high:
            self._shrink()
        self.lost(thing)

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
        if self._watched and not any(
            _key(thing, one) in self._number_of for one in type(thing)._pinfut_tables
        ):
            for call in self._watched.pop(id(thing), ()):
                call()

    def _shrink(self) -> None:
        """Make the tables as small as what is in them: nobody pays for the rest."""
        for table in (self.things, self._entries, self._number_of):
            rest = dict(table)
            table.clear()
            table.update(rest)  # type: ignore[arg-type]  # what it held before
        self._free.clear()
        self._high = max(len(self._entries), _SMALL)
        # Begin again at the lowest index, with a generation that was never used; around
        # those that stay, since two of one index would be two generations of it at once.
        for number in self._entries:
            self._note(number)
        if self._generation == _LAST_GENERATION:
            self._base, self._generation = self._width, -1
        self._next = self._generation + 1 << _INDEX_BITS | self._base
        self._kept = frozenset(number & _INDEX for number in self._entries)

    def _note(self, number: int) -> None:
        """Count a number among those that were ever handed out."""
        self._generation = max(self._generation, number >> _INDEX_BITS)
        self._width = max(self._width, (number & _INDEX) + 1)
