"""SideTable: the capabilities of one session, in memory of the kernel that neither side writes.

The bytes of a message lie where both sides can write them; the capabilities in it do not. The
sender has the kernel put them down here, and the receiver takes them out with the message, as they
were put down. So nobody names what it does not hold, whatever bytes it writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from struct import error as struct_error
from typing import Final, final

from pinfut.rpc.bank.account import PAGE
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.share import Share
from pinfut.rpc.contract import CALLS, MAX_CAPS, RECEIVER, RECEIVER_ANSWER, SENDER, Cap
from pinfut.rpc.errors import GarbageFrame, MessageTooLarge, UnknownObject
from pinfut.rpc.prices import CAP_ENTRY

CAP: Final = Struct("<BQQ")
"""kind, id, interface: a capability as it lies here"""

FIRST: Final = 8
"""Entries that a session has from the beginning, paid with its tables."""

_PER_PAGE: Final = PAGE // CAP_ENTRY


@final
class SideTable:
    """What each side of a session holds of the other, and what is under way to it. Sides are
    False, which connected, and True, which serves. Entries beyond the first are pages of `bank`,
    bought before anything lies in them and sold when they are empty. `on_short`: gives up what
    is not in use elsewhere; whether there was any."""

    __slots__ = ("_bank", "_free", "_held", "_on_short", "_sent", "_share", "_taken", "_under_way")

    def __init__(self, bank: Bank, on_short: Callable[[], bool] | None = None) -> None:
        self._bank = bank
        self._on_short = on_short
        # By the side that holds: the ids under which the other side has handed objects to it.
        self._held: tuple[dict[int, None], dict[int, None]] = ({}, {})
        # By the side that it goes to: what was put down and not taken. With an answer, by its
        # place; with calls, by ~n for the nth message of them that has any.
        self._under_way: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})
        self._sent = [0, 0]
        self._taken = [0, 0]
        # Invariant: entries that are paid, and in which nothing lies.
        self._free = FIRST
        self._share: Share | None = None

    def hand_over(self, side: bool, caps: Sequence[Cap], place: int = CALLS) -> None:
        """`side` puts capabilities down; `pinfut.rpc.contract.Endpoint.hand_over` says how."""
        if len(caps) > MAX_CAPS:
            raise MessageTooLarge(f"{len(caps)} capabilities in one message; {MAX_CAPS} may be")
        if not caps:
            return  # no entry, so nobody would pay for what is kept
        held, theirs = self._held[side], self._held[not side]
        for cap in caps:
            if not (
                cap.kind == SENDER
                or (cap.kind == RECEIVER and cap.id in held)
                or (cap.kind == RECEIVER_ANSWER and place == CALLS)
            ):
                raise UnknownObject(f"this side holds nothing that {cap} could name")
        try:
            packed = b"".join([CAP.pack(*cap) for cap in caps])
        except struct_error:
            raise UnknownObject(f"one of {len(caps)} capabilities has no number at all") from None
        fresh = {cap.id: None for cap in caps if cap.kind == SENDER and cap.id not in theirs}
        way = self._under_way[not side]
        calls = place == CALLS
        if calls:
            place = ~(self._sent[side] + 1)
        # What its caller has not taken of an earlier answer there is lost to it.
        self._use(len(caps) + len(fresh) - len(way.get(place, b"")) // CAP.size)
        theirs.update(fresh)
        self._sent[side] += calls
        way[place] = packed

    def take_over(self, side: bool, count: int, place: int = CALLS) -> tuple[Cap, ...]:
        """`side` takes out what came. Raises GarbageFrame."""
        way = self._under_way[side]
        if place == CALLS:
            place = ~(self._taken[not side] + 1)
        packed = way.get(place, b"")
        if len(packed) != count * CAP.size:
            raise GarbageFrame(
                f"a message is said to carry {count} capabilities, and {len(packed) // CAP.size} "
                "were handed over with it"
            )
        if not count:
            return ()
        self._use(-count)
        if place < 0:
            self._taken[not side] += 1
        del way[place]
        return tuple(Cap(*cap) for cap in CAP.iter_unpack(packed))

    def take_back(self, side: bool, number: int) -> None:
        """The other side holds nothing any more that `side` handed over as `number`."""
        theirs = self._held[not side]
        if number in theirs:
            self._use(-1)
            del theirs[number]

    @property
    def used(self) -> int:
        """Entries in which something lies."""
        pages = 0 if self._share is None else self._share.pages
        return FIRST + pages * _PER_PAGE - self._free

    def _use(self, count: int) -> None:
        """Have so many entries more in use, or fewer. Raises OutOfPages and BankDead; nothing has
        changed then."""
        left = self._free - count
        if left < 0:
            if self._share is None:
                self._share = Share(self._bank)
                self._share.on_short = self._on_short
                # Both sides use it until both have let go, whatever becomes of the bank.
                self._share.pin()
            pages = -(left // _PER_PAGE)
            self._share.buy(pages, 0, "entries for capabilities")
            left += pages * _PER_PAGE
        elif self._share is not None and count < 0 and left >= _PER_PAGE:
            pages = min(left // _PER_PAGE, self._share.pages)
            self._share.sell(pages, 0)
            left -= pages * _PER_PAGE
        self._free = left

    def close(self) -> None:
        """Both sides have let go: sell every page."""
        self._on_short = None
        if self._share is not None:
            self._share.on_short = None
            self._share.seize()
