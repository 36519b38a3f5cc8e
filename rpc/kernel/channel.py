"""Channel: what a session is to the kernel: two ends, two lanes, one payer.

Everything is bought from the bank of the side that connected, before the channel exists.
It is freed when both sides have let go of it::

    open ──either side closes or dies──▶ closing ──both have released──▶ freed

So a client that closes, or dies, takes nothing from under the server's hands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker
from pinfut.rpc.errors import (
    DonationTooSmall,
    OutOfCaps,
    OutOfPages,
    PayerExhausted,
)
from pinfut.rpc.kernel import prices
from pinfut.rpc.kernel.advance import Advance
from pinfut.rpc.kernel.bank import Balance, Bank, Purse
from pinfut.rpc.kernel.events import EventBuffer
from pinfut.rpc.kernel.lane import Lane
from pinfut.rpc.kernel.owned import Owned
from pinfut.rpc.kernel.pages import pages_for
from pinfut.rpc.kernel.reservation import Reservation
from pinfut.rpc.kernel.ring import ring_bytes

if TYPE_CHECKING:
    from pinfut.rpc.kernel.sim import Process, SimKernel

CAPS = 2
"""Capabilities that a channel costs: each side holds one to its end."""


def pages_of(slots: int, ring: int) -> int:
    """How many pages a channel buys when it is opened. Raises ValueError for a ring whose
    capacity is no power of two."""
    lane = pages_for(8 * (1 + slots) + ring_bytes(ring))
    return lane + pages_for(prices.SESSION + slots * prices.SLOT)


def least_quota(slots: int, ring: int) -> Balance:
    """What a session of these sizes takes of its donation before its first call: its pages
    and the books of its bank."""
    return Balance(pages_of(slots, ring) + pages_for(prices.BANK), CAPS)


def _donate(payer: Bank, quota: Balance, slots: int, ring: int, name: str) -> Bank:
    """A funded bank for one session. Raises DonationTooSmall, PayerExhausted, BankDead."""
    least = least_quota(slots, ring)
    short = least.pages - quota.pages, least.caps - quota.caps
    if max(short) > 0:
        raise DonationTooSmall(
            f"a session of {slots} slots takes {least.pages} pages and {least.caps} capabilities "
            f"before its first call, and {quota.pages} and {quota.caps} were donated: donate "
            f"{max(0, short[0])} pages and {max(0, short[1])} capabilities more, or ask for "
            "fewer slots",
            payer.name,
            short[0] if short[0] > 0 else short[1],
        )
    try:
        return payer.child(name, pages=quota.pages, caps=quota.caps, funded=True, no_remove=True)
    except (OutOfPages, OutOfCaps) as lack:
        raise PayerExhausted(
            f"a donation of {quota.pages} pages cannot be made: {lack}", lack.bank, lack.short
        ) from lack


@final
class Channel(Owned):
    """The shared state of a session.

    `quota`: pages and capabilities that `bank` gives the session at once, into a bank of its
    own; nobody can spend them elsewhere, and they return with the session. Without one the
    session draws on `bank` as it goes. Raises DonationTooSmall, PayerExhausted, OutOfPages or
    OutOfCaps; then nothing was bought.
    """

    __slots__ = (
        "_reverse",
        "_terms",
        "_wakers",
        "advances",
        "below",
        "donated",
        "events",
        "forward",
        "freed",
        "on_revoke",
        "purse",
        "redeemable",
        "refundable",
        "refunded",
    )

    def __init__(
        self,
        bank: Bank,
        slots: int,
        ring: int,
        cell: int,
        *,
        quota: Balance | None = None,
        name: str = "a session",
    ) -> None:
        self._terms = (slots, ring, cell)
        # The session's own bank, if it was given one.
        self.donated: Bank | None = None
        if quota is not None:
            bank = self.donated = _donate(bank, quota, slots, ring, name)
        self.freed = False
        # Where events come to; the client brings it, and this keeps its pages.
        self.events: EventBuffer | None = None
        # By question: what is kept for its charges on the serving side.
        self.redeemable: dict[int, Reservation] = {}
        # What tells both sides that the bank is being destroyed.
        self.on_revoke: Callable[[], None] | None = None
        # Pages that the client takes over from the server at most, and does now. Invariant:
        # refunded is the sum over advances, each of a page or more, and at most refundable.
        self.refundable = 0
        self.refunded = 0
        self.advances: dict[Advance, None] = {}
        # What others have below the bank of this session and on its behalf, until it has ended:
        # the channels of introductions, and the banks of nested calls.
        self.below: list[Channel | Bank] | None = None
        self._wakers: list[Waker] = []
        self._reverse: Lane | None = None
        try:
            bank.buy(caps=CAPS, why="a session")
            try:
                self.forward = Lane(bank, slots, ring, cell)
                self.purse = Purse(bank)
                self.purse.on_short = self._trim
                try:
                    self.purse.take(prices.SESSION + slots * prices.SLOT, "the tables of a session")
                except BaseException:
                    self.purse.close()
                    self.forward.free()
                    raise
            except BaseException:
                bank.sell(caps=CAPS)
                raise
        except BaseException:
            if self.donated is not None:
                self.donated.close()
            raise
        super().__init__(bank)
        # Both sides use it until both have let go, whatever becomes of the bank.
        self.pin()
        self.purse.pin()

    def revoke(self) -> None:
        """The bank is being destroyed: ask both sides to close; what the session holds goes
        when they have let go."""
        super().revoke()
        if self.on_revoke is not None:
            self.on_revoke()

    def redeem(self, x: int) -> None:
        """Question `x` is short of memory: what was kept for it is there now. Whoever calls
        this buys at once."""
        kept = self.redeemable.pop(x, None)
        if kept is not None:
            kept.drop()

    def _reclaim(self) -> None:
        self.leave_bank()

    def lend(self, thing: Channel | Bank) -> None:
        """Somebody else has this on behalf of the session, which is not over before it ends."""
        if self.below is None:
            self.below = []
        self.below.append(thing)

    def ended(self, thing: Channel | Bank) -> None:
        """What was lent is no more. Idempotent."""
        if self.below is not None and thing in self.below:
            self.below.remove(thing)

    def _trim(self) -> bool:
        """Give up the memory for answers that is between two uses: the purse runs short."""
        found = self.forward.cells.trim()
        if self._reverse is not None:
            found |= self._reverse.cells.trim()
        return found

    @property
    def slots(self) -> int:
        """How many calls each side may have open."""
        return self._terms[0]

    def reverse(self) -> Lane:
        """The lane for calls of the serving side, bought when it is first needed.

        Raises OutOfPages.
        """
        if self._reverse is None:
            lane = Lane(self.bank, *self._terms)
            try:
                self.purse.take(self.slots * prices.SLOT, "the slots for calls back")
            except BaseException:
                lane.free()
                raise
            self._reverse = lane
        return self._reverse

    @property
    def reversed(self) -> Lane | None:
        """The lane of the serving side's calls, if there is one."""
        return self._reverse

    def free(self, *, seize: bool) -> None:
        """Give everything back to the bank. `seize`: a side is dead, so what it held of the
        purse died with it; otherwise both have refunded all but the tables."""
        tables = prices.SESSION + self.slots * prices.SLOT * (1 if self._reverse is None else 2)
        if seize:
            self.purse.seize()
            self.purse.leave_bank()
        else:
            self.purse.give(tables)
            self.purse.close()
        self.forward.free()
        if self._reverse is not None:
            self._reverse.free()
        for kept in self.redeemable.values():
            kept.drop()
        self.redeemable.clear()
        for advance in list(self.advances):
            advance.close()
        self.bank.sell(caps=CAPS)
        if self.events is not None:
            self.events.detach()
        self.purse.on_short = None
        self.freed = True
        if not self.doomed:
            self.leave_bank()
        self.unpin()
        for waker in self._wakers:
            waker.wake()
        self._wakers.clear()

    def wait_freed(self) -> FutureBase[None]:
        """A future that is ready when everything has been given back."""
        return _Freed(self, self._wakers)


@final
class _Freed(FutureBase[None]):
    __slots__ = ("_channel", "_waker", "_wakers")

    def __init__(self, channel: Channel, wakers: list[Waker]) -> None:
        self._channel = channel
        self._wakers = wakers
        self._waker: Waker | None = None

    def poll(self, cx: Context, /) -> Poll[None]:
        if self._channel.freed:
            return None
        self.drop()
        self._waker = cx.waker
        self._wakers.append(self._waker)
        return PENDING

    def drop(self) -> None:
        if self._waker in self._wakers:
            self._wakers.remove(self._waker)


@final
class End:
    """One side of a channel, as a process holds it.

    `out` carries this side's calls, `into` the other's; either is None until somebody
    uses it.
    """

    __slots__ = (
        "_kernel",
        "channel",
        "closed",
        "guests",
        "handle",
        "level",
        "name",
        "peer",
        "peer_died",
        "process",
        "released",
        "serving",
        "via",
    )

    def __init__(
        self,
        kernel: SimKernel,
        channel: Channel,
        process: Process,
        name: str,
        serving: bool,
        via: End | None = None,
    ) -> None:
        self._kernel = kernel
        self.channel = channel
        self.process = process
        self.name = name
        self.serving = serving
        self.peer: End = self
        self.handle = process.caps.insert(self)
        # Set by the other side (or its death): this one has to wind up and release.
        self.closed = False
        self.peer_died = False
        self.released = False
        # How urgent it is, 0 before 2: what the client asked for, and on the serving side never
        # above what the service gives.
        self.level = 1
        # The end of the same process over which a client introduced it to this one, and the
        # ends that came so over this one: they do not outlive it. They end in the order in which
        # they came, which a set would make one of addresses.
        self.via = via
        self.guests: dict[End, None] = {}
        if via is not None:
            via.guests[self] = None

    @property
    def purse(self) -> Purse:
        """The purse of the session, in the bank of the side that connected."""
        return self.channel.purse

    def out(self) -> Lane:
        """The lane of this side's calls, bought if it has to be. Raises OutOfPages."""
        return self.channel.reverse() if self.serving else self.channel.forward

    def into(self) -> Lane | None:
        """The lane of the other side's calls, if it has any."""
        return self.channel.forward if self.serving else self.channel.reversed

    def signal(self) -> None:
        """Tell the other side to look: one kernel transition, however much was written."""
        self._kernel.signal(self)

    def post_event(self, place: int) -> None:
        """Tell the other side that something has happened in this place of its event buffer."""
        events = self.channel.events
        if events is not None and not self.released:
            self._kernel.post(events, place)

    def introduce(self, to: End, pages: int, slots: int, ring: int) -> tuple[End, End]:
        """A channel between the other sides of `to` and of this end, of at most so many pages
        of this session's bank. Raises as `SimKernel.introduce` does."""
        return self._kernel.introduce(self, to, pages, slots, ring)

    def withdraw(self, near: End, far: End) -> None:
        """Take an introduction back: both sides are told to let go of it."""
        self._kernel.withdraw(near, far)

    def close(self) -> None:
        """Tell the other side that this one is done with the session, and let go of it."""
        self._kernel.close(self)
