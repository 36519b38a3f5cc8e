"""Channel: what a session is to the kernel: two ends, two lanes, what pays for them.

Everything is bought from the bank of the side that connected, before the channel exists.
It is freed when both sides have let go of it::

    open ──either side closes or dies──▶ closing ──both have released──▶ freed

So a client that closes, or dies, takes nothing from under the server's hands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.funds import SessionFunds
from pinfut.rpc.bank.owned import Owned
from pinfut.rpc.contract import ServiceSpec, SessionSpec
from pinfut.rpc.memory.event_buffer import EventBuffer
from pinfut.rpc.memory.lane_pages import LanePages
from pinfut.rpc.memory.receive import ReceivePool
from pinfut.rpc.memory.side_table import SideTable


@final
class Channel(Owned):
    """What both sides of a session use together. Raises OutOfPages, and ValueError for sizes
    that make no sense; then nothing is held, and the funds are given back."""

    __slots__ = ("_spec", "caps", "ends", "events", "funds", "lanes", "limits", "on_revoke", "pool")

    def __init__(self, funds: SessionFunds, spec: SessionSpec, limits: ServiceSpec) -> None:
        self._spec = spec
        # Those of the server, also for sessions that are introduced over this one.
        self.limits = limits
        self.funds = funds
        self.caps = SideTable(funds.bank, self.trim)
        # What the client has of it, and what the server has.
        self.ends: tuple[Any, ...] = ()
        # Where events come to; the client brings it, and its pages stay until both have let go.
        self.events: EventBuffer | None = None
        # The client's, for packets that the server moves to it.
        self.pool: ReceivePool | None = spec.receive
        # Called when the bank is being destroyed, to tell both sides.
        self.on_revoke: Callable[[], None] | None = None
        # The lane for the calls of the client, and the one for those of the serving side, once
        # it makes any.
        self.lanes: list[LanePages] = []
        try:
            self.open_lane()
        except BaseException:
            funds.give_up()
            raise
        super().__init__(funds.bank)
        # Both sides use it until both have let go, whatever becomes of the bank.
        self.pin()
        if spec.events is not None:
            spec.events.attach()
            self.events = spec.events
        funds.near.on_short = funds.far.on_short = self.trim

    def open_lane(self) -> None:
        """Buy one more lane. Raises OutOfPages."""
        self.lanes.append(LanePages(self.funds.bank, self._spec, self.trim))

    def trim(self) -> bool:
        """Give up the memory for answers that is between two uses: somebody runs short."""
        found = False
        for lane in self.lanes:
            found |= lane.trim()
        return found

    def revoke(self) -> None:
        """The bank is being destroyed: ask both sides to close; what the session holds goes
        when they have let go."""
        super().revoke()
        if self.on_revoke is not None:
            self.on_revoke()

    def _reclaim(self) -> None:
        self.leave_bank()

    def free(self, destroy: Callable[[Bank], None]) -> None:
        """Give everything back to the bank; `destroy` ends a bank that is nobody's any more."""
        for lane in self.lanes:
            lane.free()
        self.caps.close()
        self.funds.release()
        if self.events is not None:
            self.events.detach()
            self.events = None
        self.pool = None
        self.on_revoke = None
        if not self.doomed:
            self.leave_bank()
        self.unpin()
        self.funds.end(destroy)
