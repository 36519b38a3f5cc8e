"""Channel: what a session is to the kernel: two ends, two lanes, one payer.

Everything is bought from the bank of the side that connected, before the channel exists.
It is freed when both sides have let go of it::

    open ──either side closes or dies──▶ closing ──both have released──▶ freed

So a client that closes, or dies, takes nothing from under the server's hands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker
from pinfut.rpc.kernel import prices
from pinfut.rpc.kernel.advance import Advance
from pinfut.rpc.kernel.bank import Bank, Purse
from pinfut.rpc.kernel.lane import Lane
from pinfut.rpc.kernel.pages import pages_for
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


@final
class Channel:
    """The shared state of a session. Raises OutOfPages or OutOfCaps; then nothing was
    bought."""

    __slots__ = (
        "_caps",
        "_reverse",
        "_terms",
        "_wakers",
        "advances",
        "bank",
        "forward",
        "freed",
        "purse",
        "refundable",
        "refunded",
    )

    def __init__(self, bank: Bank, slots: int, ring: int, cell: int) -> None:
        self._terms = (slots, ring, cell)
        self.bank = bank
        self.purse = Purse(bank)
        self.freed = False
        # Pages that the client takes over from the server at most, and does now. Invariant:
        # refunded is the sum over advances, each of a page or more, and at most refundable.
        self.refundable = 0
        self.refunded = 0
        self.advances: set[Advance] = set()
        self._wakers: list[Waker] = []
        self._reverse: Lane | None = None
        self._caps = 0
        bank.buy(caps=CAPS, why="a session")
        try:
            self.forward = Lane(bank, slots, ring, cell)
            try:
                self.purse.on_short = self._trim
                self.purse.take(prices.SESSION + slots * prices.SLOT, "the tables of a session")
            except BaseException:
                self.forward.free()
                raise
        except BaseException:
            bank.sell(caps=CAPS)
            raise

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
        else:
            self.purse.give(tables)
            self.purse.close()
        self.forward.free()
        if self._reverse is not None:
            self._reverse.free()
        for advance in list(self.advances):
            advance.close()
        self.bank.sell(caps=CAPS)
        self.purse.on_short = None
        self.freed = True
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
        # How urgent it is, 0 before 2; the same on both sides.
        self.level = 1
        # The end of the same process over which a client introduced it to this one, and the
        # ends that came so over this one: they do not outlive it.
        self.via = via
        self.guests: set[End] = set()
        if via is not None:
            via.guests.add(self)

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
