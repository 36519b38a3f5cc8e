"""What a process has of a `CopyKernel`: the kernel, numbers, and mail of its own.

The methods do what `pinfut.rpc.contract` says of them; only what is particular here is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, final

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker
from pinfut.rpc import contract, prices
from pinfut.rpc.bank.account import SessionAccount
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.funds import SessionFunds
from pinfut.rpc.bank.handle import BankHandle, Rank
from pinfut.rpc.contract import CALLS, BankLike, Cap, Route, SessionSpec, Ticket
from pinfut.rpc.errors import (
    GarbageFrame,
    NotABank,
    PeerDied,
    RpcError,
    SessionClosed,
    SessionDead,
    UnknownObject,
)
from pinfut.rpc.memory.event_buffer import EventBuffer
from pinfut.rpc.memory.pages import Region
from pinfut.rpc.memory.receive import ReceivePool
from pinfut.rpc.memory.side_table import SideTable
from pinfut.rpc.names import shortened
from pinfut.rpc.records import Shape
from tests.kernels.mail import (
    ANSWER,
    CALL,
    DESTROYED,
    DIED,
    EVENT,
    READ,
    RESIZE,
    Places,
    Posted,
    Records,
    Requests,
    Submissions,
    pack,
    unpack,
)


class Calls(Places, Protocol):
    """The kernel, as a process calls it. A `number` stands for one side of a session."""

    def accept(self, port: CopyPort, /) -> list[contract.Endpoint]: ...

    def send(self, number: int, message: bytes, /) -> None: ...
    def post(self, number: int, place: int, data: bytes, /) -> None: ...
    def generation(self, number: int, place: int, /) -> int: ...
    def close(self, number: int, /) -> None: ...

    def open_back(self, number: int, /) -> None: ...

    def funds(self, number: int, /) -> SessionFunds | None:
        """What pays for the session, until that is over. Used within one call, and never kept."""

    def caps(self, number: int, /) -> SideTable | None:
        """The capabilities of the session, until that is over. Never kept."""

    def pool(self, number: int, /) -> ReceivePool | None: ...
    def destroy(self, bank: Bank, /) -> None: ...

    def introduce(self, at: int, to: int, pages: int, slots: int, ring: int, /) -> Route: ...
    def withdraw(self, channel: int, /) -> None: ...
    def route_open(self, channel: int, /) -> bool: ...


@final
class CopyProcess:
    """A protection domain (`pinfut.rpc.contract.Process`): its names, and which are ready."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self._things: dict[int, CopyEndpoint | CopyPort] = {}
        self._last = 0
        self._badges: set[int] = set()
        self._waker: Waker | None = None

    def __repr__(self) -> str:
        return f"<Process {self.name!r}{'' if self.alive else ', dead'}>"

    def insert(self, thing: CopyEndpoint | CopyPort) -> int:
        """A handle for a thing, and its badge. None is used again."""
        self._last += 1
        self._things[self._last] = thing
        return self._last

    def remove(self, handle: int) -> None:
        """The handle names nothing any more."""
        self._things.pop(handle, None)
        self._badges.discard(handle)

    def all(self) -> list[CopyEndpoint | CopyPort]:
        """Everything that has a handle, oldest first."""
        return list(self._things.values())

    def at(self, badge: int, /) -> CopyEndpoint | CopyPort | None:
        return self._things.get(badge)

    @property
    def ready(self) -> bool:
        return bool(self._badges)

    def take(self) -> list[int]:
        badges = sorted(self._badges)
        self._badges.clear()
        return badges

    def wait(self) -> FutureBase[list[int]]:
        return _Badges(self)

    def nudge(self, badge: int, /) -> None:
        self._badges.add(badge)
        waker, self._waker = self._waker, None
        if waker is not None:
            waker.wake()

    def park(self, waker: Waker | None) -> None:
        """Wake this one at the next signal, and nobody else."""
        self._waker = waker


@final
class _Badges(FutureBase[list[int]]):
    __slots__ = ("_process",)

    def __init__(self, process: CopyProcess) -> None:
        self._process = process

    def poll(self, cx: Context, /) -> Poll[list[int]]:
        if self._process.ready:
            return self._process.take()
        self._process.park(cx.waker)
        return PENDING

    def drop(self) -> None:
        self._process.park(None)


@final
class CopyPort:
    """A name that others connect to (`pinfut.rpc.contract.Port`)."""

    def __init__(self, kernel: Calls, process: CopyProcess, name: str) -> None:
        self._kernel = kernel
        self.name = name
        self.handle = process.insert(self)

    def accept(self) -> list[contract.Endpoint]:
        return self._kernel.accept(self)


@final
class CopyEndpoint:
    """One side of a session (`pinfut.rpc.contract.Endpoint`). `number`: the kernel's for it;
    `buffer`: what a client has brought for events, of that `shape` for the server."""

    def __init__(
        self,
        kernel: Calls,
        process: CopyProcess,
        number: int,
        name: str,
        spec: SessionSpec,
        level: int,
        *,
        serving: bool,
        via: CopyEndpoint | None = None,
        buffer: EventBuffer | None = None,
        shape: Shape | None = None,
        client: object = None,
    ) -> None:
        self._kernel = kernel
        self.process: contract.Process = process
        self.number = number
        self.name = name
        self.serving = serving
        self.slots = spec.slots
        self.ring = spec.ring
        self.largest = spec.largest
        self.level = level
        self.client = client
        self.message = spec.message
        self.via: contract.Endpoint | None = via
        # Bytes that are charged here from the beginning, and given back with the session.
        self._tables = prices.SESSION if serving else 0
        self._account = SessionAccount(_Source(kernel, number, serving), charged=self._tables)
        self.account: contract.Account = self._account
        self.ending: RpcError | None = None
        self.released = False
        # Whether this side may call, and the other one.
        self._calls = not serving
        self.called = serving
        self._out = Submissions(kernel, number, spec)
        self._into = Requests(kernel, number, spec)
        self._posted = None if buffer is None else Posted(buffer)
        self._records = None if shape is None else Records(shape)
        # How many banks for nested calls were made.
        self._nestings = 0
        self.handle = process.insert(self)

    # ---- the two directions ----

    def submissions(self) -> Submissions:
        if not self._calls:
            self._kernel.open_back(self.number)
            self._calls = True
        return self._out

    def requests(self) -> Requests | None:
        return self._into if self.called else None

    def publish(self) -> bool:
        """Send everything that is new as one message. What was read goes with it, or alone, and
        then wakes only who waits for room."""
        if self.released:
            raise SessionClosed(f"session {self.name} was closed by this side")
        out, into = self._out, self._into
        if len(into.answers) > self.slots:
            raise GarbageFrame(f"{len(into.answers)} answers at once, with {self.slots} slots")
        calls = [pack(RESIZE) if one is None else pack(CALL, data=one) for one in out.calls]
        parts = calls + into.answers + into.credit()
        if not parts:
            return False
        self._kernel.send(self.number, b"".join(parts))
        out.published()
        into.published()
        return True

    def deliver(self, message: bytes) -> bool:
        """The kernel: a message has come. Whether the process has to look."""
        look = False
        for kind, a, b, data in unpack(message):
            if kind == EVENT:
                assert self._posted is not None
                self._posted.write(a, data)
            elif kind == READ:
                look |= self._out.credited(a)
            else:
                look = True
                if kind in (CALL, RESIZE):
                    self._into.called(data if kind == CALL else None)
                elif kind == ANSWER:
                    self._out.answered(a, b, data)
                else:
                    self._end(a)
        return look

    def _end(self, why: int) -> None:
        name, other = self.name, "client" if self.serving else "server"
        if why == DESTROYED:
            error: RpcError = SessionDead(f"the bank that paid for session {name} was destroyed")
        elif why == DIED:
            error = PeerDied(f"the {other} of session {name} died")
        else:
            error = SessionClosed(f"the {other} closed session {name}")
        if self.ending is None or type(self.ending) is SessionClosed:
            self.ending = error

    def close(self) -> None:
        """Raises ValueError when something is still charged that nobody will refund."""
        if not self.released:
            self._kernel.close(self.number)
            self._account.require_unused(self._tables)

    def wait_freed(self) -> FutureBase[None]:
        return _Gone(self._payer)

    # ---- capabilities ----

    def _caps(self) -> SideTable:
        caps = None if self.released else self._kernel.caps(self.number)
        if caps is None:
            raise SessionClosed(f"session {self.name} was closed by this side")
        return caps

    def hand_over(self, caps: Sequence[Cap], place: int = CALLS, /) -> None:
        self._caps().hand_over(self.serving, caps, place)

    def take_over(self, count: int, place: int = CALLS, /) -> tuple[Cap, ...]:
        return self._caps().take_over(self.serving, count, place)

    def take_back(self, number: int, /) -> None:
        caps = self._kernel.caps(self.number)
        if caps is not None:
            caps.take_back(self.serving, number)

    # ---- memory on the client's behalf ----

    def _payer(self) -> SessionFunds | None:
        return self._kernel.funds(self.number)

    def _funds(self) -> SessionFunds:
        funds = None if self.released else self._payer()
        if funds is None:
            raise SessionClosed(f"session {self.name} was closed by this side")
        return funds

    def room(self) -> int:
        return self._funds().bank.available.pages

    def credit(self) -> memoryview:
        if self.serving:
            raise ValueError("the other side pays")
        return self._funds().credit()

    def nested(self, pages: int, caps: int, /) -> BankHandle:
        funds = self._funds()
        self._nestings += 1
        bank = funds.nested(shortened(f"{self.name}+{self._nestings}"), pages, caps)
        try:
            return BankHandle(bank, Rank.READ, no_remove=True)
        except BaseException:
            self._kernel.destroy(bank)
            raise

    def end_nested(self, payer: BankLike, /) -> FutureBase[None]:
        """Raises NotABank for what `nested` of this session has not given."""
        bank = payer.peek() if isinstance(payer, BankHandle) else None
        funds = self._payer()
        if bank is None or (bank.alive if funds is None else not funds.is_below(bank)):
            raise NotABank("this is no bank that this session has made for a nested call")
        if self.process.alive:  # else the end of the session does it
            self._kernel.destroy(bank)
        assert isinstance(payer, BankHandle)
        return _Gone(payer.living)

    def keep_ticket(self, x: int, ticket: Ticket, /) -> None:
        self._funds().tickets[x, self.serving] = ticket

    def drop_ticket(self, x: int, /) -> None:
        if (funds := self._payer()) is not None:
            funds.tickets.pop((x, self.serving), None)

    def redeem(self, x: int, /) -> bool:
        return self._funds().redeem(x, not self.serving)

    def refund(self, pages: int, why: str, /) -> int:
        return self._funds().refund(pages, why)

    def end_refund(self, number: int, /) -> None:
        if (funds := self._payer()) is not None:
            funds.end_refund(number)

    def refunds(self, number: int, /) -> bool:
        funds = self._payer()
        return funds is not None and number in funds.refunds

    # ---- events ----

    def events(self) -> Records | None:
        """With what the client's words say now of which places are open."""
        records = self._records
        if records is None or self.released:
            return None
        for place in range(records.shape.places):
            records.open(place, self._kernel.generation(self.number, place))
        return records

    def post_event(self, place: int, /) -> None:
        """Send the client what its record has to say, and learn whether the place is open."""
        records = self._records
        if records is not None and not self.released:
            self._kernel.post(self.number, place, records.take(place))
            records.open(place, self._kernel.generation(self.number, place))

    def generation(self, place: int) -> int:
        """The kernel: the client's word of that name in a place of its event buffer."""
        return 0 if self._posted is None else self._posted.generation(place)

    def move(self, packets: Sequence[Region], sizes: Sequence[int], /) -> list[Region]:
        self._caps()  # or it is over
        pool = self._kernel.pool(self.number) if self.serving else None
        if pool is None:
            raise ValueError(f"the other side of session {self.name} takes no packets")
        return pool.give(packets, sizes)

    # ---- introductions ----

    def introduce(self, to: contract.Endpoint, pages: int, slots: int, ring: int, /) -> Route:
        assert isinstance(to, CopyEndpoint), "both are of this process"
        return self._kernel.introduce(self.number, to.number, pages, slots, ring)

    def withdraw(self, route: Route, /) -> None:
        self._kernel.withdraw(route.number)

    def route_open(self, route: Route, /) -> bool:
        return self._kernel.route_open(route.number)

    def guest(self, handle: int, /) -> CopyEndpoint:
        thing = self.process.at(handle)
        if not isinstance(thing, CopyEndpoint) or thing.via is not self or thing.ending is not None:
            raise UnknownObject(f"{handle:#x} is no way that this session was introduced to")
        return thing


@final
class _Source:
    """Where the account of one side buys: its share, by the number of the side."""

    def __init__(self, kernel: Calls, number: int, serving: bool) -> None:
        self._kernel = kernel
        self._number = number
        self._serving = serving

    @property
    def name(self) -> str:
        funds = self._kernel.funds(self._number)
        return "of a session that is over" if funds is None else funds.bank.name

    def buy(self, pages: int, caps: int, why: str, /) -> None:
        funds = self._kernel.funds(self._number)
        if funds is None:
            raise SessionClosed("the session is over, and nobody pays for it any more")
        funds.share(self._serving).buy(pages, caps, why)

    def sell(self, pages: int, caps: int, /) -> None:
        funds = self._kernel.funds(self._number)
        if funds is not None:
            funds.share(self._serving).sell(pages, caps)

    def pass_on(self, to: _Source, pages: int, caps: int, /) -> None:
        of, heir = self._kernel.funds(self._number), to._kernel.funds(to._number)
        assert of is not None
        assert heir is not None
        of.share(self._serving).pass_on(heir.share(to._serving), pages, caps)


class _Ending(Protocol):
    def watch_end(self, who: Waker, /) -> None: ...
    def forget_end(self, who: Waker, /) -> None: ...


@final
class _Gone(FutureBase[None]):
    """Until `find` finds nothing in the kernel, of which this holds nothing."""

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
