"""Endpoint: one side of a session, as its process has it.

All that is here belongs to one process. It reaches the kernel, and names what is there by
numbers; of the other side it sees bytes. What the kernel gives for a number is used within one
call and never kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, final

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker
from pinfut.rpc import contract, prices
from pinfut.rpc.bank.account import SessionAccount
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.funds import SessionFunds
from pinfut.rpc.bank.handle import BankHandle, Rank
from pinfut.rpc.contract import CALLS, BankLike, Cap, Route, SessionSpec, Ticket
from pinfut.rpc.errors import NotABank, RpcError, SessionClosed, UnknownObject
from pinfut.rpc.kernel.sim.channel import Channel
from pinfut.rpc.kernel.sim.process import SimProcess
from pinfut.rpc.memory.lane import RingRequests, RingSubmissions
from pinfut.rpc.memory.lane_pages import LanePages
from pinfut.rpc.memory.pages import Region
from pinfut.rpc.names import shortened
from pinfut.rpc.records import Shape


class KernelCalls(Protocol):
    """The kernel, as an endpoint calls it; `number` is that of its session."""

    def find(self, number: int, /) -> Channel | None: ...

    def signal(self, end: SimEndpoint, /) -> None: ...

    def enter(self, kind: str, /) -> None: ...

    def admit(self, end: SimEndpoint, /) -> None: ...

    def close(self, end: SimEndpoint, /) -> None: ...

    def destroy(self, bank: Bank, /) -> None: ...

    def post_event(self, number: int, place: int, /) -> None: ...

    def introduce(
        self, at: SimEndpoint, to: SimEndpoint, spec: SessionSpec, pages: int, /
    ) -> Route: ...

    def withdraw(self, number: int, /) -> None: ...

    def route_open(self, number: int, /) -> bool: ...


@final
class SimEndpoint:
    """One side of a session; `pinfut.rpc.contract.Endpoint` says what each method does."""

    __slots__ = (
        "_account", "_cell", "_events", "_into", "_kernel", "_nestings", "_out", "_tables",
        "account", "called", "client", "ending", "guests", "handle", "largest", "level", "message",
        "name", "number", "process", "released", "ring", "serving", "slots", "via",
    )  # fmt: skip

    def __init__(
        self,
        kernel: KernelCalls,
        process: SimProcess,
        number: int,
        name: str,
        spec: SessionSpec,
        level: int,
        serving: bool,
        via: SimEndpoint | None,
        client: object,
    ) -> None:
        self._kernel = kernel
        self.process = process
        # The kernel's for the session.
        self.number = number
        self.name = name
        self.serving = serving
        self.slots = spec.slots
        self.ring = spec.ring
        self._cell = spec.cell
        self.largest = spec.largest
        self.message = spec.message
        self.level = level
        self.client = client
        # Bytes that the kernel has charged here at opening.
        self._tables = prices.SESSION if serving else 0
        self._account = SessionAccount(_Source(kernel, number, serving), charged=self._tables)
        self.account: contract.Account = self._account
        # The rest is the kernel's. `called`: whether the other side has room for calls.
        self.ending: RpcError | None = None
        self.released = False
        self.called = serving
        self.handle = process.caps.insert(self)
        # The endpoint of the same process over which a client introduced it to this one, and those
        # that came so over this one: they do not outlive it. They end in the order in which
        # they came, which a set would make one of addresses.
        self.via: contract.Endpoint | None = via
        self.guests: dict[SimEndpoint, None] = {}
        if via is not None:
            via.guests[self] = None
        # The two directions, once they are used.
        self._out: RingSubmissions | None = None
        self._into: RingRequests | None = None
        self._events: EventRecords | None = None
        self._nestings = 0  # how many banks for nested calls were made

    def _session(self) -> Channel:
        """What the kernel has of the session. Raises SessionClosed."""
        return _held(self._kernel, self.number, self.released)

    # ---- the two directions ----

    def submissions(self) -> RingSubmissions:
        if self._out is None:
            if self.serving:
                self._session().open_lane()
                self._kernel.admit(self)
            lane = _Lane(self._kernel, self.number, self.serving)
            self._out = RingSubmissions(lane, self._cell, self.largest)
        return self._out

    def requests(self) -> RingRequests | None:
        if self._into is None and self.called:
            lane = _Lane(self._kernel, self.number, not self.serving)
            self._into = RingRequests(lane, self._cell)
            self._into.largest = self.largest
        return self._into

    def publish(self) -> bool:
        if self.released:
            raise SessionClosed(f"session {self.name} was closed by this side")
        out, into = self._out, self._into
        news = out is not None and out.publish()
        if into is not None and into.publish():
            news = True
        if news:
            self._kernel.signal(self)
        return news

    @property
    def written(self) -> tuple[int, int, int]:
        """What this side has done, published or not: bytes of calls, answers, bytes received."""
        out, into = self._out, self._into
        return (
            0 if out is None else out.tail,
            0 if into is None else into.completions.total,
            0 if into is None else into.consumed,
        )

    def close(self) -> None:
        """As the contract says. Raises ValueError when something is charged still that nobody will
        refund; the session is let go of all the same."""
        if not self.released:
            self._kernel.close(self)
            self._out = self._into = self._events = None
            self._account.require_unused(self._tables)

    def wait_freed(self) -> FutureBase[None]:
        return _Gone(self._funds)

    def _funds(self) -> SessionFunds | None:
        held = self._kernel.find(self.number)
        return None if held is None else held.funds

    # ---- capabilities ----

    def hand_over(self, caps: Sequence[Cap], place: int = CALLS, /) -> None:
        self._kernel.enter("hand over")
        self._session().caps.hand_over(self.serving, caps, place)

    def take_over(self, count: int, place: int = CALLS, /) -> tuple[Cap, ...]:
        # No transition: the receiver may read what the kernel writes.
        return self._session().caps.take_over(self.serving, count, place)

    def take_back(self, number: int, /) -> None:
        held = self._kernel.find(self.number)
        if held is not None:
            self._kernel.enter("take back")
            held.caps.take_back(self.serving, number)

    # ---- memory on the client's behalf ----

    def room(self) -> int:
        return self._session().funds.bank.available.pages

    def credit(self) -> memoryview:
        if self.serving:
            raise ValueError(f"session {self.name} is paid by the other side, which alone looks")
        return self._session().funds.credit()

    def nested(self, pages: int, caps: int, /) -> BankHandle:
        funds = self._session().funds
        self._nestings += 1
        bank = funds.nested(shortened(f"{self.name}+{self._nestings}"), pages, caps)
        try:
            return BankHandle(bank, Rank.READ, no_remove=True)
        except BaseException:
            self._kernel.destroy(bank)
            raise

    def end_nested(self, payer: BankLike, /) -> FutureBase[None]:
        """As the contract says. Raises NotABank for any other bank."""
        bank = payer.peek() if isinstance(payer, BankHandle) else None
        funds = self._funds()
        if bank is None or (bank.alive if funds is None else not funds.is_below(bank)):
            raise NotABank("this is no bank that this session has made for a nested call")
        if self.process.alive:  # else the end of the session does it
            self._kernel.destroy(bank)
        return _Gone(payer.living)  # type: ignore[attr-defined]

    def keep_ticket(self, x: int, ticket: Ticket, /) -> None:
        self._session().funds.tickets[x, self.serving] = ticket

    def drop_ticket(self, x: int, /) -> None:
        if (funds := self._funds()) is not None:
            funds.tickets.pop((x, self.serving), None)

    def redeem(self, x: int, /) -> bool:
        return self._session().funds.redeem(x, not self.serving)

    def refund(self, pages: int, why: str, /) -> int:
        return self._session().funds.refund(pages, why)

    def end_refund(self, number: int, /) -> None:
        if (funds := self._funds()) is not None:
            funds.end_refund(number)

    def refunds(self, number: int, /) -> bool:
        funds = self._funds()
        return funds is not None and number in funds.refunds

    # ---- events ----

    def events(self) -> EventRecords | None:
        if self._events is None and self.serving:
            buffer = self._session().events
            if buffer is not None:
                shape = buffer.shape
                shape = Shape(shape.places, shape.size, shape.keep)
                self._events = EventRecords(shape, buffer.memory)
        return self._events

    def post_event(self, place: int, /) -> None:
        if not self.released:
            self._kernel.post_event(self.number, place)

    def move(self, packets: Sequence[Region], sizes: Sequence[int], /) -> list[Region]:
        pool = self._session().pool if self.serving else None
        if pool is None:
            raise ValueError(f"the other side of session {self.name} takes no packets")
        self._kernel.enter("move")
        return pool.give(packets, sizes)

    # ---- introductions ----

    def introduce(self, to: contract.Endpoint, pages: int, slots: int, ring: int, /) -> Route:
        assert isinstance(to, SimEndpoint), "both are of this process"
        return self._kernel.introduce(self, to, SessionSpec(slots=slots, ring=ring), pages)

    def withdraw(self, route: Route, /) -> None:
        self._kernel.withdraw(route.number)

    def route_open(self, route: Route, /) -> bool:
        return self._kernel.route_open(route.number)

    def guest(self, handle: int, /) -> SimEndpoint:
        thing = self.process.caps.get(handle)
        if not isinstance(thing, SimEndpoint) or thing.via is not self or thing.ending is not None:
            raise UnknownObject(f"{handle:#x} is no way that this session was introduced to")
        return thing

    def __repr__(self) -> str:
        return f"<SimEndpoint of {self.name!r}, {'server' if self.serving else 'client'}>"


@final
@dataclass(slots=True, eq=False)
class EventRecords:
    """A client's records, as its server reaches them (`pinfut.rpc.contract.EventMemory`)."""

    shape: Shape
    memory: memoryview


def _held(kernel: KernelCalls, number: int, released: bool = False) -> Channel:
    held = None if released else kernel.find(number)
    if held is None:
        raise SessionClosed("this side has let go of its session")
    return held


@final
class _Source:
    """Where the account of one side buys: its share, by the number of the session."""

    __slots__ = ("_kernel", "_number", "_serving")

    def __init__(self, kernel: KernelCalls, number: int, serving: bool) -> None:
        self._kernel = kernel
        self._number = number
        self._serving = serving

    @property
    def name(self) -> str:
        """What the bank is called that pays."""
        held = self._kernel.find(self._number)
        return "of a session that is over" if held is None else held.funds.bank.name

    def buy(self, pages: int, caps: int, why: str, /) -> None:
        _held(self._kernel, self._number).funds.share(self._serving).buy(pages, caps, why)

    def sell(self, pages: int, caps: int, /) -> None:
        """Sell, unless the kernel has taken everything already."""
        held = self._kernel.find(self._number)
        if held is not None:
            held.funds.share(self._serving).sell(pages, caps)

    def pass_on(self, to: _Source, pages: int, caps: int, /) -> None:
        """Have the account of another session pay for it."""
        of, heir = (_held(one._kernel, one._number).funds for one in (self, to))
        of.share(self._serving).pass_on(heir.share(to._serving), pages, caps)


@final
class _Lane:
    """Asks the kernel for the memory of one direction, anew each time. (A partial is larger.)"""

    __slots__ = ("_back", "_kernel", "_number")

    def __init__(self, kernel: KernelCalls, number: int, back: bool) -> None:
        self._kernel = kernel
        self._number = number
        self._back = back

    def __call__(self) -> LanePages:
        return _held(self._kernel, self._number).lanes[self._back]


class _Ending(Protocol):
    def watch_end(self, who: Waker, /) -> None: ...

    def forget_end(self, who: Waker, /) -> None: ...


@final
class _Gone(FutureBase[None]):
    """Until `find` finds nothing: what waits in the kernel holds nothing that is there."""

    __slots__ = ("_find", "_waker")

    def __init__(self, find: Callable[[], _Ending | None]) -> None:
        self._find = find
        self._waker: Waker | None = None

    def poll(self, cx: Context, /) -> Poll[None]:
        self.drop()
        thing = self._find()
        if thing is None:
            return None
        self._waker = cx.waker
        thing.watch_end(cx.waker)
        return PENDING

    def drop(self) -> None:
        waker, self._waker = self._waker, None
        thing = None if waker is None else self._find()
        if thing is not None and waker is not None:
            thing.forget_end(waker)
