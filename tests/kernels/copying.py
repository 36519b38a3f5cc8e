"""CopyKernel: a second kernel under sessions, which has nothing of the first but the contract.

It copies every byte. Each session has a mailbox for each of its sides; a message is bytes, is
delivered at once or later as a seed says, and brings with it whatever it announces.
Nothing is shared. What a process has is in `tests.kernels.process`, and names what is here by
numbers; what goes between two of them is in `tests.kernels.mail`.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, final

from pinfut.executor.contract import Runner
from pinfut.executor.current import running
from pinfut.rpc import contract
from pinfut.rpc.bank.account import PAGE
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.funds import SessionFunds
from pinfut.rpc.bank.handle import bank_of, verify
from pinfut.rpc.bank.owned import Owned
from pinfut.rpc.bank.teardown import destroy_by_turns
from pinfut.rpc.contract import Balance, Route, ServiceSpec, SessionSpec
from pinfut.rpc.errors import GarbageFrame, SessionClosed, UnknownService
from pinfut.rpc.kernel.backlog import buy_backlog, require_place
from pinfut.rpc.kernel.sizes import admit, least_quota
from pinfut.rpc.memory.event_buffer import EventBuffer
from pinfut.rpc.memory.lane_pages import lane_bytes, tables_of
from pinfut.rpc.memory.pages import Region, pages_for
from pinfut.rpc.memory.receive import ReceivePool
from pinfut.rpc.memory.side_table import SideTable
from pinfut.rpc.names import shortened
from pinfut.rpc.records import Shape
from tests.kernels.mail import CLOSED, DESTROYED, DIED, END, EVENT, LARGE, combine, pack
from tests.kernels.process import CopyEndpoint, CopyPort, CopyProcess

AT_ONCE: Final = -1
TURN: Final = 0
DELAYS: Final = (AT_ONCE, AT_ONCE, TURN, 1, 2, 4)
"""When a message may arrive: before the call that sends it is over, when the turn ends, or after
the executor has looked at its timers so many times more; others have run meanwhile."""

ROUTE_CAPS: Final = 256
"""Capabilities that a session of an introduction may take of the bank that pays for it."""


def lane_pages(slots: int, ring: int) -> int:
    """What buffers and slots of one direction take."""
    return pages_for(lane_bytes(slots, ring)) + tables_of(slots)


@final
class Side:
    """One side of a session, as the kernel has it: whose it is, and what is under way to it."""

    # Set once, when it has one.
    endpoint: CopyEndpoint

    def __init__(self, channel: Channel, owner: CopyProcess, via: int | None) -> None:
        self.channel = channel
        self.process = owner
        # Messages that were sent to it and not delivered, oldest first, and how many were; a
        # number stands for what was posted in that place of the event buffer. Bounded: by the
        # credit for calls, by slots for answers, by places for events.
        self.queue: deque[bytes | int] = deque()
        self.delivered = 0
        # By place: what was posted last and is not delivered.
        self.events: dict[int, bytes] = {}
        # How many small places its answers have, and the bytes of each larger one.
        self.places = 0
        self.rooms: dict[int, int] = {}
        # The slots and the ring of its calls that are paid, oldest first; the other side is at the
        # first.
        self.sizes = deque([channel.spec.first])
        # The side of the same process that it came over, and those that came over it.
        self.via = via
        self.guests: dict[int, None] = {}


@final
class Channel(Owned):
    """A session, as the kernel has it: what it holds of the bank that pays. The sides have its
    number, doubled, and 1 more for the one that serves. Raises OutOfPages, and ValueError for
    a cell that makes no sense; then the funds are given back."""

    __slots__ = (
        *("buffer", "caps", "funds", "limits", "number", "on_revoke", "pages", "pool", "spec"),
        "whys",
    )

    # Those of the server; set at once.
    limits: ServiceSpec

    def __init__(self, number: int, funds: SessionFunds, spec: SessionSpec) -> None:
        self.number = number
        self.funds = funds
        self.caps = SideTable(funds.bank)
        # The client's, for packets that the server moves to it.
        self.pool: ReceivePool | None = spec.receive
        self.spec = spec
        # Pages that buffers of both sides were bought for.
        self.pages = 0
        # Where events go, once it is this session's.
        self.buffer: EventBuffer | None = None
        # Why both sides were asked to let go.
        self.whys: set[int] = set()
        self.on_revoke: Callable[[], None] | None = None
        super().__init__(funds.bank)
        self.pin()
        try:
            if spec.cell < 64 or PAGE % spec.cell:
                raise ValueError(f"a cell's size divides {PAGE} and is 64 or more")
            self.buy_lane()
        except BaseException:
            self.free(lambda bank: bank.close())
            raise
        if spec.events is not None:
            spec.events.attach()
            self.buffer = spec.events

    def buy_lane(self) -> None:
        """Buy the buffers of one direction. Raises OutOfPages."""
        self.buy(lane_pages(*self.spec.first), "the ring of a session")

    def buy(self, pages: int, why: str) -> None:
        """Buy buffers. Raises OutOfPages."""
        self.bank.buy(pages, why=why)
        self.pages += pages

    def sell(self, pages: int) -> None:
        """Sell buffers."""
        self.bank.sell(pages)
        self.pages -= pages

    def revoke(self) -> None:
        """The bank is being destroyed: both sides are asked to let go."""
        super().revoke()
        if self.on_revoke is not None:
            self.on_revoke()

    def _reclaim(self) -> None:
        self.leave_bank()

    def free(self, destroy: Callable[[Bank], None]) -> None:
        """Both sides have let go, or there never were any: give everything back to the bank."""
        self.sell(self.pages)
        self.caps.close()
        self.funds.release()
        if self.buffer is not None:
            self.buffer.detach()
        self.buffer = self.on_revoke = self.pool = None
        if not self.doomed:
            self.leave_bank()
        self.unpin()
        self.funds.end(destroy)


@final
class Service:
    """A name that is served. Who waits to be accepted is there because its client has paid."""

    def __init__(
        self, port: CopyPort, owner: CopyProcess, spec: ServiceSpec, backlog: Region | None
    ) -> None:
        self.port = port
        self.process = owner
        self.spec = spec
        self.backlog = backlog
        self.waiting: list[int] = []
        self.sessions = 0


@final
class CopyKernel:
    """A kernel (`pinfut.rpc.contract.Kernel`) that copies. `seed`: draws when messages arrive;
    `pages`: the memory of the machine; `delays`: of what is drawn."""

    def __init__(
        self, seed: int = 0, *, pages: int = 1 << 20, delays: tuple[int, ...] = DELAYS
    ) -> None:
        self.memory: contract.Memory = "prices"
        self.root = Bank("machine", pages, 1 << 20)
        self._random = random.Random(f"copying {seed}")
        self._delays = delays
        self._services: dict[str, Service] = {}
        # By number of a session that is not over: the service that it is one of.
        self._served: dict[int, Service] = {}
        # By number: the sides of sessions that are not over.
        self._sides: dict[int, Side] = {}
        self._sessions = 0
        # How many messages were sent with which delay.
        self.drawn: Counter[int] = Counter()

    # ---- banks, processes and services ----

    def bank(self, name: str, *, pages: int, caps: int = 1024) -> Bank:
        """A bank directly below the machine's. Raises ValueError for a name in use."""
        return self.root.child(name, pages=pages, caps=caps)

    def verify(self, thing: object) -> bool:
        """Whether `thing` is a bank of this kernel, or a handle of one, and no fake."""
        return verify(self.root, thing)

    def name_of(self, payer: object, /) -> str:
        """What the bank is called that `payer` is or stands for. Raises NotABank."""
        return bank_of(self.root, payer).name

    def process(self, name: str, /) -> CopyProcess:
        """A new process."""
        return CopyProcess(name)

    def listen(self, owner: contract.Process, name: str, spec: ServiceSpec, /) -> CopyPort:
        """Offer a service. Raises ValueError when the name is taken."""
        if name in self._services:
            raise ValueError(f"a service {name!r} is served already")
        assert isinstance(owner, CopyProcess), "a process of this kernel"
        backlog = buy_backlog(self.root, spec)
        port = CopyPort(self, owner, name)
        self._services[name] = Service(port, owner, spec, backlog)
        return port

    def accept(self, port: CopyPort, /) -> list[contract.Endpoint]:
        """What `Port.accept` gives."""
        service = self._services.get(port.name)
        if service is None or service.port is not port:
            return []
        waiting, service.waiting = service.waiting, []
        return [self._sides[number].endpoint for number in waiting]

    def unlisten(self, port: contract.Port, /) -> None:
        """Take a service back; who waits to be accepted is told."""
        service = self._services.pop(port.name)
        service.process.remove(service.port.handle)
        for number in service.waiting:
            self.close(number)
        if service.backlog is not None:
            service.backlog.free()

    # ---- sessions ----

    def connect(
        self, owner: contract.Process, name: str, payer: object, spec: SessionSpec, /
    ) -> CopyEndpoint:
        """A session with a service; this side's endpoint. Raises as the contract says."""
        service = self._services.get(name)
        if service is None:
            raise UnknownService(f"nothing is served as {name!r}; served: {list(self._services)}")
        bank = bank_of(self.root, payer)
        require_place(name, service.spec, service.backlog, len(service.waiting))
        spec = admit(name, service.spec, spec, service.sessions)
        if spec.events is not None:
            spec.events.require_unused()
        label = shortened(f"{bank.name}>{name}#{self._sessions + 1}")
        funds = SessionFunds(bank, label, spec, least_quota(spec))
        assert isinstance(owner, CopyProcess), "a process of this kernel"
        levels = spec.level, max(spec.level, service.spec.level)
        near, far = self._open(label, funds, spec, (owner, service.process), levels, (None, None))
        channel = self._sides[far.number].channel
        channel.limits = service.spec
        self._served[channel.number] = service
        service.sessions += 1
        service.waiting.append(far.number)
        self._later(service.process.nudge, service.port.handle)
        return near

    def introduce(self, at: int, to: int, pages: int, slots: int, ring: int, /) -> Route:
        """What `Endpoint.introduce` gives, by the numbers of two sides of one process."""
        for number in (at, to):
            if self._is_released(number) or self._is_released(number ^ 1):
                raise SessionClosed("a session is closed: nobody is there to introduce")
        giver, taker = self._sides[at ^ 1], self._sides[to ^ 1]
        label = shortened(f"{taker.endpoint.name}>{giver.endpoint.name}#{self._sessions + 1}")
        limits = giver.channel.limits
        spec = admit(label, limits, SessionSpec(slots=slots, ring=ring))
        above = giver.channel.funds
        ceiling = Balance(pages, ROUTE_CAPS)
        funds = SessionFunds(above.bank, label, spec, least_quota(spec), ceiling)
        levels = taker.endpoint.level, giver.endpoint.level
        owners = taker.process, giver.process
        near, far = self._open(label, funds, spec, owners, levels, (to ^ 1, at ^ 1))
        self._sides[far.number].channel.limits = limits
        above.lend(funds)
        return Route(near.number >> 1, near.handle, far.handle)

    def _open(
        self,
        name: str,
        funds: SessionFunds,
        spec: SessionSpec,
        owners: tuple[CopyProcess, CopyProcess],
        levels: tuple[int, int],
        vias: tuple[int | None, int | None],
    ) -> tuple[CopyEndpoint, CopyEndpoint]:
        channel = Channel(self._sessions + 1, funds, spec)
        self._sessions += 1
        channel.on_revoke = partial(self._end, channel, DESTROYED)
        funds.on_over = partial(self._over, channel)
        shape = None
        if spec.events is not None:
            theirs = spec.events.shape
            shape = Shape(theirs.places, theirs.size, theirs.keep)
        client = (id(funds.bank), id(owners[0])) if funds.own is None else channel.number
        for serving in (False, True):
            number, via = channel.number << 1 | serving, vias[serving]
            side = self._sides[number] = Side(channel, owners[serving], via)
            side.endpoint = CopyEndpoint(
                self,
                side.process,
                number,
                name,
                spec,
                levels[serving],
                serving=serving,
                via=None if via is None else self._sides[via].endpoint,
                buffer=None if serving else spec.events,
                shape=shape if serving else None,
                client=client if serving else None,
            )
            if via is not None:
                self._sides[via].guests[number] = None
        number = channel.number << 1
        return self._sides[number].endpoint, self._sides[number | 1].endpoint

    def withdraw(self, channel: int, /) -> None:
        """Tell both sides of a session that it was taken back. Idempotent."""
        side = self._sides.get(channel << 1)
        if side is not None:
            self._end(side.channel, CLOSED)

    def route_open(self, channel: int, /) -> bool:
        """Whether nobody has ended a session. What is under way to its sides counts."""
        return channel << 1 in self._sides and not self._sides[channel << 1].channel.whys

    def peer_of(self, endpoint: CopyEndpoint) -> CopyEndpoint | None:
        """The other side of a session, for audits; None when that is over."""
        side = self._sides.get(endpoint.number ^ 1)
        return None if side is None else side.endpoint

    # ---- memory ----

    def funds(self, number: int, /) -> SessionFunds | None:
        """What pays for a session; None when that is over."""
        side = self._sides.get(number)
        return None if side is None else side.channel.funds

    def caps(self, number: int, /) -> SideTable | None:
        """What both sides hold of each other; None when the session is over."""
        side = self._sides.get(number)
        return None if side is None else side.channel.caps

    def pool(self, number: int, /) -> ReceivePool | None:
        """Where packets go that are moved to a client; None when it takes none."""
        side = self._sides.get(number)
        return None if side is None else side.channel.pool

    def grow(self, number: int, small: int, /) -> int:
        """Buy so many small places, a page of them; the first."""
        side = self._sides[number]
        side.channel.buy(1, "the memory for answers")
        first = side.places
        side.places += small
        return first

    def reserve(self, number: int, room: int, /) -> int:
        """Buy a place of its own for one answer."""
        side = self._sides[number]
        pages = -(-room // PAGE)
        side.channel.buy(pages, "the memory for answers")
        place = next(place for place in range(LARGE, 2 * LARGE) if place not in side.rooms)
        side.rooms[place] = pages * PAGE
        return place

    def release(self, number: int, place: int, /) -> None:
        """Sell such a place."""
        side = self._sides.get(number)
        if side is not None:
            side.channel.sell(side.rooms.pop(place) // PAGE)

    def room(self, number: int, place: int, /) -> int:
        """Bytes of a place that the other side of `number` has reserved; 0 for none."""
        caller = self._sides[number ^ 1]
        return caller.channel.spec.cell if place < caller.places else caller.rooms.get(place, 0)

    def resize(self, number: int, slots: int, ring: int, /) -> None:
        """Buy what is paid until `left`, together with what is there."""
        side = self._sides[number]
        spec = side.channel.spec
        if not (1 <= slots <= spec.slots and ring <= spec.ring):
            raise ValueError("more than the session asked for")
        side.channel.buy(lane_pages(slots, ring), "a larger ring")
        side.sizes.append((slots, ring))

    def left(self, number: int, /) -> int:
        """The side has read what was sent before the other's last resize: how many slots it may
        use now. Raises GarbageFrame for a resize that was none."""
        side = self._sides[number ^ 1]
        if len(side.sizes) < 2:
            raise GarbageFrame("a resize that was not paid")
        side.channel.sell(lane_pages(*side.sizes.popleft()))
        return side.sizes[0][0]

    def open_back(self, number: int, /) -> None:
        """The serving side wants to call. Raises OutOfPages."""
        self._sides[number].channel.buy_lane()
        self._sides[number ^ 1].endpoint.called = True

    # ---- messages ----

    def send(self, number: int, message: bytes, /) -> None:
        """Carry a message to the other side. Raises SessionClosed."""
        if self._is_released(number):
            raise SessionClosed("this side has let go of its session")
        self._send(number ^ 1, message)

    def generation(self, number: int, place: int, /) -> int:
        """What the client's word says now in a place of its event buffer."""
        client = self._sides[number ^ 1].endpoint
        return 0 if client.released else client.generation(place)

    def post(self, number: int, place: int, data: bytes, /) -> None:
        """Carry a record to the client. What is under way from the same place is the same
        message: there are never more of them than places."""
        client = self._sides[number ^ 1]
        under_way = client.events.get(place)
        client.events[place] = data if under_way is None else combine(under_way, data)
        if under_way is None:
            self._send(number ^ 1, place)

    def _send(self, number: int, message: bytes | int) -> None:
        side = self._sides.get(number)
        if side is not None and not side.endpoint.released:
            side.queue.append(message)
            self._later(self._deliver, side, side.delivered + len(side.queue))

    def _later(self, call: Callable[..., None], *args: Any) -> None:
        """Deliver something when it is drawn; at once, when nobody runs who could wait."""
        executor = running.executor
        delay = AT_ONCE if executor is None else self._random.choice(self._delays)
        self.drawn[delay] += 1
        if executor is None or delay == AT_ONCE:
            call(*args)
        else:
            executor.call_soon(_after, executor, delay, call, *args)

    def _deliver(self, side: Side, last: int) -> None:
        """Deliver what was sent to a side up to this message, in the order of sending."""
        look = False
        while side.delivered < last and side.queue:
            side.delivered += 1
            message = side.queue.popleft()
            if isinstance(message, int):
                message = pack(EVENT, message, data=side.events.pop(message))
            look |= side.endpoint.deliver(message)
        if look and not side.endpoint.released:
            side.process.nudge(side.endpoint.handle)

    # ---- the end ----

    def close(self, number: int, /, why: int = CLOSED) -> None:
        """A side lets go. Idempotent."""
        side = self._sides.get(number)
        if side is None or side.endpoint.released:
            return
        side.endpoint.released = True
        side.queue.clear()
        side.events.clear()
        side.process.remove(side.endpoint.handle)
        for guest in list(side.guests):
            self.close(guest, why)
        if side.via is not None and side.via in self._sides:
            self._sides[side.via].guests.pop(number, None)
        channel = side.channel
        if self._is_released(number ^ 1):
            channel.free(self.destroy)
        else:
            self._end(channel, why)

    def _end(self, channel: Channel, why: int) -> None:
        """Ask the sides of a session that have not let go to do so, once for each reason."""
        if why in channel.whys:
            return
        channel.whys.add(why)
        for number in (channel.number << 1, channel.number << 1 | 1):
            self._send(number, pack(END, why))

    def _is_released(self, number: int) -> bool:
        side = self._sides.get(number)
        return side is None or side.endpoint.released

    def _over(self, channel: Channel) -> None:
        """Nothing of a session is left."""
        service = self._served.pop(channel.number, None)
        if service is not None:
            service.sessions -= 1
        for number in (channel.number << 1, channel.number << 1 | 1):
            via = self._sides.pop(number).via
            above = None if via is None else self._sides.get(via)
            if above is not None:
                above.channel.funds.ended(channel.funds)

    def destroy(self, bank: Bank, /) -> None:
        """Destroy a bank of a session, a bounded part of it in each turn."""
        destroy_by_turns(bank)

    def kill(self, owner: contract.Process, /) -> None:
        """A process dies where it stands: its endpoints are let go of, its peers are told."""
        assert isinstance(owner, CopyProcess), "a process of this kernel"
        owner.alive = False
        for thing in owner.all():
            if isinstance(thing, CopyPort):
                waiting = self._services[thing.name].waiting
                while waiting:
                    self.close(waiting.pop(), DIED)
                self.unlisten(thing)
        for thing in owner.all():
            if isinstance(thing, CopyEndpoint):
                self.close(thing.number, DIED)


def _after(executor: Runner, looks: int, call: Callable[..., None], *args: Any) -> None:
    """Make a call after so many looks at the timers."""
    if looks:
        again = partial(executor.call_soon, _after, executor, looks - 1, call, *args)
        executor.timers.add(executor.now(), again)
    else:
        call(*args)
