"""One side of a session over a stream, and what it holds of the bank that pays for this side.

The methods do what `pinfut.rpc.contract` says of them; only what is particular here is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import error as struct_error
from typing import Any, Final, final

from pinfut.future import FutureBase
from pinfut.rpc import contract, prices
from pinfut.rpc.bank.account import PAGE, SessionAccount
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.funds import SessionFunds
from pinfut.rpc.bank.owned import Owned
from pinfut.rpc.contract import CALLS, MAX_CAPS, BankLike, Cap, Route, SessionSpec, Ticket
from pinfut.rpc.errors import (
    BankError,
    GarbageFrame,
    NotABank,
    OutOfPages,
    PeerDied,
    ProtocolError,
    RpcError,
    SessionClosed,
    SessionDead,
    UnknownObject,
)
from pinfut.rpc.kernel.sim.process import SimProcess
from pinfut.rpc.kernel.stream import parts as part
from pinfut.rpc.kernel.stream.lanes import StreamRequests, StreamSubmissions
from pinfut.rpc.kernel.stream.parts import pack
from pinfut.rpc.kernel.stream.records import Posted, Records
from pinfut.rpc.kernel.stream.wire import Wire
from pinfut.rpc.memory.lane_pages import lane_bytes, tables_of
from pinfut.rpc.memory.pages import pages_for
from pinfut.rpc.memory.side_table import CAP, SideTable
from pinfut.rpc.records import Shape
from pinfut.sync import Event

PUSH: Final = 1 << 16
"""Bytes of answers that wait for the end of the turn: the server's own."""

IDLE: Final = 64
"""Heartbeats of the other side that may come between two of this side."""


@final
class Holdings(Owned):
    """What one side has bought for a session. Raises OutOfPages, and ValueError for a cell that
    makes no sense; then the funds are given back. `on_revoke`: the bank is being destroyed."""

    __slots__ = ("caps", "funds", "lane", "on_revoke", "pages")

    def __init__(self, funds: SessionFunds, spec: SessionSpec) -> None:
        self.funds = funds
        self.caps = SideTable(funds.bank)
        self.pages = 0
        self.on_revoke: Callable[[], None] | None = None
        # Pages of one direction: its ring, and the tables of its slots.
        self.lane = pages_for(lane_bytes(spec.slots, spec.ring)) + tables_of(spec.slots)
        super().__init__(funds.bank)
        self.pin()
        try:
            if PAGE % spec.cell or spec.cell < 64:
                raise ValueError(f"a cell's size divides {PAGE} and is 64 or more")
            self.buy(self.lane, "the ring of a session")
        except BaseException:
            self.free(lambda bank: bank.close())
            raise

    def buy(self, pages: int, why: str) -> None:
        """Buy memory. Raises OutOfPages."""
        self.bank.buy(pages, why=why)
        self.pages += pages

    def sell(self, pages: int) -> None:
        """Sell memory."""
        self.bank.sell(pages)
        self.pages -= pages

    def revoke(self) -> None:
        super().revoke()
        if self.on_revoke is not None:
            self.on_revoke()

    def _reclaim(self) -> None:
        self.leave_bank()

    def free(self, destroy: Callable[[Bank], None]) -> None:
        """Give everything back to the bank."""
        self.on_revoke = None
        self.sell(self.pages)
        self.caps.close()
        self.funds.release()
        if not self.doomed:
            self.leave_bank()
        self.unpin()
        self.funds.end(destroy)


@final
class StreamEndpoint:
    """One side of a session (`pinfut.rpc.contract.Endpoint`). `shape`: that of its client's event
    buffer, on the serving side. `on_closed` hears that this side lets go, `on_freed` that nothing
    of it is left."""

    via: contract.Endpoint | None = None

    def __init__(
        self,
        process: SimProcess,
        name: str,
        spec: SessionSpec,
        level: int,
        held: Holdings,
        destroy: Callable[[Bank], None],
        *,
        serving: bool,
        shape: Shape | None,
    ) -> None:
        self.process = process
        self.name = name
        self.serving = self.called = serving
        # Each session is a connection: whether two are of one process nobody can tell.
        self.client: object = id(self)
        self.slots = spec.slots
        self.ring = spec.ring
        self.largest = spec.largest
        self.message = spec.message
        self.level = level
        self.ending: RpcError | None = None
        self.released = False
        self._held: Holdings | None = held
        self._funds = held.funds
        self._destroy = destroy
        self._freed = Event()
        self.on_closed: Callable[[], object] | None = None
        self.on_freed: Callable[[], None] | None = None
        # Bytes that are charged here from the beginning, and given back with the session.
        self._tables = prices.SESSION if serving else 0
        self._account = SessionAccount(held.funds.share(serving), charged=self._tables)
        self.account: contract.Account = self._account
        # What goes with the next publication; and what was published before there was a wire.
        self.parts: list[bytes] = []
        self._early: list[bytes] = []
        self._wire: Wire | None = None
        # Bytes that wait to be sent, and the pages that are bought for them beside the ring.
        self._waiting = self._outbox = 0
        self._out = StreamSubmissions(self, spec)
        self._into = StreamRequests(self, spec)
        # By kind: the longest part that may come.
        self._most = {part.END: part.LONGEST_END, part.BEAT: 0, part.WELCOME: 0}
        if serving:
            self._welcome()
        self._back = False  # whether the serving side calls, too
        self._beats = 0  # heartbeats since the last of this side
        self._places = 0  # places that were opened or closed since the last call
        self._look = False  # whether what came has to be looked at
        self._records: Records | None = None
        self._posted: Posted | None = None
        if shape is not None:
            held.buy(pages_for(shape.places * shape.record), "events that are not sent")
            self._records = Records(shape)
            self._most[part.PLACE] = 0
        elif spec.events is not None and not serving:
            spec.events.attach()
            self._posted = Posted(spec.events)
        held.on_revoke = self._revoked
        held.funds.on_over = self._over
        self.handle = process.caps.insert(self)

    # ---- the two directions ----

    def submissions(self) -> StreamSubmissions:
        if self.serving and not self._back:
            held = self._holdings()
            held.buy(held.lane, "the ring of a session")
            self._back = True
            self._most |= {part.ANSWER: 0, part.READ: 0}
            self.parts.append(pack(part.LANE))
        return self._out

    def requests(self) -> StreamRequests | None:
        return self._into if self.called else None

    def buy(self, pages: int, why: str, /) -> None:
        self._holdings().buy(pages, why)

    def sell(self, pages: int, /) -> None:
        if self._held is not None:
            self._held.sell(pages)

    def answered(self, length: int, /) -> None:
        self._waiting += length
        if self._waiting > PUSH:
            self._push()

    def publish(self) -> bool:
        self._require_open()
        if credit := self._into.credit():
            self.parts.append(credit)
        parts = self.parts
        if not parts:
            return False
        if self._posted is not None and self._out.unpublished:
            parts[:0] = self._posted.changes()
        self._out.unpublished = 0
        self._push()
        return True

    def _push(self) -> None:
        """Send what is there."""
        parts, self.parts = self.parts, []
        if self._wire is None:
            self._early += parts
        else:
            self._wire.send(b"".join(parts))
            self.sent()

    def attach(self, wire: Wire, first: bytes) -> None:
        """There is a wire: `first`, and what was published meanwhile, is sent."""
        self._wire = wire
        wire.send(b"".join([first, *self._early]))
        self._early.clear()
        self.sent()

    def sent(self) -> None:
        """Pay for what the other side has not read, and sell what it has."""
        self._waiting = 0 if self._wire is None else self._wire.size
        if self._waiting > self.ring or self._outbox:
            self._charge()
        if self._records is not None and self._records.waiting:
            self._send_events()

    def _charge(self) -> None:
        """Have as many pages as what waits takes beyond the ring."""
        held = self._held
        pages = max(0, -((self.ring - self._waiting) // PAGE)) - self._outbox
        if held is None:
            return
        try:
            held.buy(pages, "answers that wait to be read") if pages > 0 else held.sell(-pages)
        except BankError as error:
            words = f"the other side of session {self.name} reads too slowly: {error}"
            self._end(OutOfPages(words, error.bank, error.short), cut=True)
        else:
            self._outbox += pages

    # ---- what comes ----

    def _welcome(self) -> None:
        """From here on the other side sends what belongs to a session."""
        del self._most[part.WELCOME]
        self._most |= {part.CAPS: MAX_CAPS * CAP.size, part.BACK: 0}
        if self.serving:
            self._most[part.CALL] = self.largest
        else:
            self._most |= {part.ANSWER: 0, part.READ: 0, part.LANE: 0}
            if self._posted is not None:
                self._most[part.EVENT] = self._posted.length

    def check(self, kind: int, length: int, a: int, /) -> None:
        most = self._most.get(kind, -1)
        if kind == part.CALL and most >= 0:
            self._into.require_room(length)
        elif kind == part.ANSWER and most >= 0:
            most = self._out.room(a)
        elif kind == part.CAPS and a and self._out.room(a - 1) < 0:
            most = -1
        if length > most:
            raise GarbageFrame(f"a part of kind {kind} with {length} bytes, where {most} may be")

    def take(self, kind: int, a: int, b: int, data: bytes, /) -> None:
        if kind == part.CALL:
            self._places = 0
            self._into.called(data)
            self._look = True
        elif kind == part.ANSWER:
            self._out.come(a, b, data)
            self._look = True
        elif kind == part.READ:
            self._look |= self._out.credited(a)
        elif kind == part.CAPS:
            self._take_caps(a - 1 if a else CALLS, data)
        elif kind == part.BACK:
            if not self._take_back(not self.serving, a):
                raise GarbageFrame(f"{a} was not handed over")
        elif kind == part.BEAT:
            self._beats += 1
            if self._beats > IDLE:
                raise GarbageFrame(f"more than {IDLE} heartbeats at once")
        elif kind == part.WELCOME:
            self._welcome()
            self.message = min(a, self.message)
            self.largest = self._out.largest = min(self.largest, a)
        elif kind == part.LANE:
            self.called = True
            del self._most[part.LANE]
            self._most[part.CALL] = self.largest
            self._buy_or_end(lambda held: held.buy(held.lane, "the ring of a session"))
        elif kind == part.EVENT and self._posted is not None:
            self._posted.write(a, data)
        elif kind == part.PLACE and self._records is not None:
            self._places += 1
            self._records.open(a, b)
            if self._places > self._records.shape.places:
                raise GarbageFrame("places for events are opened and closed without a call")
        else:
            self._end(part.open_end(data, self.name), cut=True)

    def _take_caps(self, place: int, data: bytes) -> None:
        try:
            caps = [Cap(*cap) for cap in CAP.iter_unpack(data)]
            self._buy_or_end(lambda held: held.caps.hand_over(not self.serving, caps, place))
        except (UnknownObject, struct_error) as error:
            raise GarbageFrame(f"these are no capabilities: {error}") from None

    def _buy_or_end(self, buy: Callable[[Holdings], None]) -> None:
        """Have what the other side needs here; without the pages for it the session ends."""
        try:
            buy(self._holdings())
        except BankError as error:
            if self._wire is not None:
                self._wire.send(part.pack_end(error))
            self._end(error, cut=True)

    def fed(self) -> None:
        if self._look:
            self._look = False
            self._nudge()

    def rested(self) -> None:
        self._beats = 0

    def lost(self, error: RpcError, /) -> None:
        if self._wire is not None and isinstance(error, ProtocolError):
            self._wire.send(part.pack_end(error))
        elif type(error) is PeerDied:
            other = "client" if self.serving else "server"
            error = PeerDied(f"the {other} of session {self.name} is gone: {error}")
        self._end(error)

    def gone(self) -> None:
        if self.released:
            self._free()

    def _nudge(self) -> None:
        if not self.released:
            self.process.nudge(self.handle & 0xFFFF_FFFF)

    # ---- the end ----

    def _end(self, error: RpcError, *, cut: bool = False) -> None:
        """This side has to let go. `cut`: nothing more is sent or taken."""
        if self.ending is None:
            self.ending = error
            self._nudge()
        if cut and self._wire is not None:
            self._wire.cut()

    def _revoked(self) -> None:
        self._end(SessionDead(f"the bank that pays for session {self.name} was destroyed"))

    def close(self) -> None:
        """Raises ValueError when something is still charged that nobody will refund."""
        if not self.released:
            side = "server" if self.serving else "client"
            why = self.ending or SessionClosed(f"the {side} closed session {self.name}")
            self._let_go(b"".join([*self.parts, part.pack_end(why)]))
            self._account.require_unused(self._tables)

    def die(self) -> None:
        """The process has died: nothing more is sent, not even that."""
        if not self.released:
            self._let_go(None)

    def _let_go(self, last: bytes | None) -> None:
        """Send the last bytes, and give everything back when they have gone."""
        self.released = True
        self.process.caps.remove(self.handle)
        if self.on_closed is not None:
            self.on_closed()
        wire = self._wire
        if wire is not None and not wire.closed:
            if last is None:
                wire.cut()
            else:
                wire.finish(last)
        if wire is None or wire.closed:
            self._free()

    def _free(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._early.clear()
            if self._posted is not None:
                self._posted.detach()
            self._records = self._posted = None
            held.free(self._destroy)

    def _over(self) -> None:
        self._freed.set()
        if self.on_freed is not None:
            self.on_freed()

    def wait_freed(self) -> FutureBase[None]:
        return self._freed.wait()

    def _require_open(self) -> None:
        if self.released:
            raise SessionClosed(f"session {self.name} was closed by this side")

    def _holdings(self) -> Holdings:
        self._require_open()
        if self._held is None:
            raise SessionClosed(f"session {self.name} is over")
        return self._held

    # ---- capabilities ----

    def hand_over(self, caps: Sequence[Cap], place: int = CALLS, /) -> None:
        table = self._holdings().caps
        table.hand_over(self.serving, caps, place)
        if caps:
            # They lie at the other side from here on; what is held there stays known.
            sent = table.take_over(not self.serving, len(caps), place)
            data = b"".join([CAP.pack(*cap) for cap in sent])
            self.parts.append(pack(part.CAPS, 0 if place == CALLS else place + 1, data=data))

    def take_over(self, count: int, place: int = CALLS, /) -> tuple[Cap, ...]:
        return self._holdings().caps.take_over(self.serving, count, place)

    def take_back(self, number: int, /) -> None:
        if self._take_back(self.serving, number):
            self.parts.append(pack(part.BACK, number))

    def _take_back(self, side: bool, number: int) -> bool:
        """Whether what `side` handed over under this number was held."""
        if self._held is None:
            return False
        used = self._held.caps.used
        self._held.caps.take_back(side, number)
        return self._held.caps.used != used

    # ---- memory on the client's behalf ----

    def room(self) -> int:
        return self._holdings().funds.bank.available.pages

    def credit(self) -> memoryview:
        if self.serving:
            raise ValueError("the other side pays")
        return self._holdings().funds.credit()

    def keep_ticket(self, x: int, ticket: Ticket, /) -> None:
        """It helps no call, for the server pays; who made it drops it."""

    def drop_ticket(self, x: int, /) -> None:
        """None is kept."""

    def redeem(self, x: int, /) -> bool:
        return False

    def refund(self, pages: int, why: str, /) -> int:
        return self._funds.refund(pages, why)

    def end_refund(self, number: int, /) -> None:
        self._funds.end_refund(number)

    def refunds(self, number: int, /) -> bool:
        return number in self._funds.refunds

    # ---- events ----

    def events(self) -> Records | None:
        return None if self.released else self._records

    def post_event(self, place: int, /) -> None:
        if self._records is not None and not self.released:
            self._records.post(place)
            self._send_events()

    def _send_events(self) -> None:
        """Send what was posted; while others wait to be sent, it is put together."""
        records, wire = self._records, self._wire
        if records is not None and wire is not None and not wire.size:
            wire.send(b"".join([pack(part.EVENT, at, data=data) for at, data in records.take()]))

    # ---- what a stream does not carry ----

    def nested(self, pages: int, caps: int, /) -> BankLike:
        raise ValueError(
            f"session {self.name} comes over a stream, where the server grants what it holds: it "
            "pays from a bank of its own what it asks of others"
        )

    def end_nested(self, payer: BankLike, /) -> FutureBase[None]:
        raise NotABank("a session over a stream makes no bank for a nested call")

    def move(self, packets: Sequence[Any], sizes: Sequence[int], /) -> list[Any]:
        raise ValueError(f"the other side of session {self.name} takes no packets: it is elsewhere")

    def introduce(self, to: contract.Endpoint, pages: int, slots: int, ring: int, /) -> Route:
        raise ValueError("servers that are reached over streams are not introduced to each other")

    def withdraw(self, route: Route, /) -> None:
        """There is none."""

    def route_open(self, route: Route, /) -> bool:
        return False

    def guest(self, handle: int, /) -> contract.Endpoint:
        raise UnknownObject(f"{handle:#x} is no way that this session was introduced to")
