"""SimKernel: processes, banks and sessions in one Python process, deterministic.

The kernel has a clock of its own, in simulated nanoseconds, and a generator of random
numbers from a seed. Signals of one turn are delivered when it ends, in an order and with
delays drawn from the seed: the same program and the same seed give the same history."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections import Counter
from functools import partial
from typing import Final, final

from pinfut.executor.contract import Runner
from pinfut.executor.current import running
from pinfut.rpc import contract
from pinfut.rpc.bank.bank import Bank, Machine
from pinfut.rpc.bank.funds import SessionFunds
from pinfut.rpc.bank.handle import bank_of, verify
from pinfut.rpc.bank.teardown import destroy_by_turns
from pinfut.rpc.contract import Balance, Memory, Route, ServiceSpec, SessionSpec
from pinfut.rpc.errors import PeerDied, RpcError, SessionClosed, SessionDead, UnknownService
from pinfut.rpc.kernel.backlog import buy_backlog, require_place
from pinfut.rpc.kernel.memory_mode import choose_memory
from pinfut.rpc.kernel.sim.arrival import Arrival, Arrivals
from pinfut.rpc.kernel.sim.channel import Channel
from pinfut.rpc.kernel.sim.cost import CostModel
from pinfut.rpc.kernel.sim.endpoint import SimEndpoint
from pinfut.rpc.kernel.sim.faults import Faults
from pinfut.rpc.kernel.sim.process import SimPort, SimProcess
from pinfut.rpc.kernel.sizes import admit, least_quota
from pinfut.rpc.memory.notification import Notification
from pinfut.rpc.memory.pages import Region
from pinfut.rpc.names import shortened
from pinfut.tables import tidied

MAX_ROUTE_CAPS: Final = 256
"""The capabilities that a channel between two servers may take of the bank that pays for it."""


@final
class _Service:
    """What the kernel knows of a port. The waiting ends are bounded by the `backlog` that the
    listener has bought, or by their payers: each is of a session that its client has paid for."""

    __slots__ = ("backlog", "port", "process", "sessions", "spec", "waiting")

    def __init__(
        self, port: SimPort, process: SimProcess, spec: ServiceSpec, backlog: Region | None
    ) -> None:
        self.port = port
        self.process = process
        self.spec = spec
        self.backlog = backlog
        self.waiting: list[contract.Endpoint] = []
        self.sessions = 0  # how many sessions have memory of it still


@final
class SimKernel:
    """A simulated machine; what `pinfut.rpc.contract.Kernel` and its parts have is said there.

    `seed`: draws the order and the delays of signals, from 0 if it is None. `pages`: how much
    memory the machine has. `record`: keep a digest of the history, every published byte included.
    `arrival`: when signals arrive, which is looked at then (`arrival.Arrivals`); None for the end
    of their turn, unlooked at. `faults`: who may refuse purchases and delay signals. `memory`: who
    holds what is known by where it lies ("arenas"), or by declared "prices" (docs/paying.md); None
    for arenas where they can be and neither a seed nor a record is asked for. Raises ValueError for
    no such time or memory, and PayersUnavailable where arenas are asked for and cannot be.

    `channels`, by number, and all that is below is for audits to read."""

    def __init__(
        self,
        seed: int | None = None,
        *,
        pages: int = 1 << 20,
        cost: CostModel | None = None,
        record: bool = False,
        arrival: Arrival | None = None,
        faults: Faults | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.memory: Memory = choose_memory(memory, seeded=seed is not None or record)
        self.seed = seed = seed or 0
        self.arrivals = None if arrival is None else Arrivals(self, arrival, seed)
        self.cost = CostModel() if cost is None else cost
        self._faults = faults
        machine = Machine(self._on_change, None if faults is None else faults.buying)
        self.root = Bank("machine", pages, 1 << 20, machine=machine)
        self.clock_ns = 0
        self.transitions: Counter[str] = Counter()  # kernel transitions by what they were for
        # By number: the sessions that are not over.
        self.channels: dict[int, Channel] = {}
        self._random = random.Random(seed)
        self._services: dict[str, _Service] = {}
        # Invariant: what was signalled in this turn, each once, in the order of signals.
        self._signalled: dict[Notification, None] = {}
        # The executor at the end of whose turn they are delivered.
        self._delivers: Runner | None = None
        self._history = hashlib.blake2b(digest_size=16) if record else None
        self._sessions = 0

    # ---- banks and processes ----

    def bank(self, name: str, *, pages: int, caps: int = 1024) -> Bank:
        """A bank directly below the machine's. Raises ValueError for a name in use."""
        return self.root.child(name, pages=pages, caps=caps)

    def process(self, name: str, /) -> SimProcess:
        return SimProcess(name)

    def digest(self) -> str:
        """The history so far as 32 hex digits. Raises ValueError unless recording."""
        if self._history is None:
            raise ValueError("this kernel keeps no history; make it with record=True")
        return self._history.hexdigest()

    def verify(self, thing: object) -> bool:
        """Whether `thing` is a bank of this kernel, or a handle of one, and no fake."""
        return verify(self.root, thing)

    def name_of(self, payer: object, /) -> str:
        return bank_of(self.root, payer).name

    # ---- services ----

    def listen(self, process: contract.Process, name: str, spec: ServiceSpec, /) -> SimPort:
        if name in self._services:
            raise ValueError(f"a service {name!r} is served already")
        assert isinstance(process, SimProcess), "a process of this kernel"
        backlog = buy_backlog(self.root, spec)
        port = SimPort(self, name)
        port.handle = process.caps.insert(port)
        self._services[name] = _Service(port, process, spec, backlog)
        self.enter("listen")
        return port

    def accept(self, port: SimPort, /) -> list[contract.Endpoint]:
        service = self._services.get(port.name)
        if service is None or service.port is not port:
            return []
        waiting, service.waiting = service.waiting, []
        return waiting

    def unlisten(self, port: contract.Port, /) -> None:
        service = self._services.pop(port.name)
        service.process.caps.remove(service.port.handle)
        for end in service.waiting:
            end.close()
        if service.backlog is not None:
            service.backlog.free()

    # ---- sessions ----

    def connect(
        self, process: contract.Process, name: str, payer: object, spec: SessionSpec, /
    ) -> SimEndpoint:
        service = self._services.get(name)
        if service is None:
            served = ", ".join(sorted(self._services)) or "nothing"
            raise UnknownService(f"nothing is served as {name!r}; served now: {served}")
        bank = bank_of(self.root, payer)
        require_place(name, service.spec, service.backlog, len(service.waiting))
        spec = admit(name, service.spec, spec, service.sessions)
        if spec.events is not None:
            spec.events.require_unused()
        assert isinstance(process, SimProcess), "a process of this kernel"
        label = shortened(f"{bank.name}>{name}#{self._sessions + 1}")
        levels = spec.level, max(spec.level, service.spec.level)
        funds = SessionFunds(bank, label, spec, least_quota(spec))
        processes = process, service.process
        near, far = self._open(funds, label, spec, service.spec, processes, levels, service=service)
        service.sessions += 1
        service.waiting.append(far)
        self.enter("connect")
        self._notify(service.process, service.port.handle)
        if spec.events is not None:
            self.enter("attach")
        return near

    def introduce(
        self, at: SimEndpoint, to: SimEndpoint, spec: SessionSpec, pages: int, /
    ) -> Route:
        giver, taker = self.peer_of(at), self.peer_of(to)
        for end, peer in ((at, giver), (to, taker)):
            if end.released or peer is None or peer.released:
                raise SessionClosed(f"session {end.name} is closed: nobody is there to introduce")
        assert giver is not None
        assert taker is not None
        label = shortened(f"{to.name}>{at.name}#{self._sessions + 1}")
        payer = self.channels[at.number].funds
        limits = self.channels[at.number].limits
        spec = admit(label, limits, spec)
        ceiling = Balance(pages, MAX_ROUTE_CAPS)
        funds = SessionFunds(payer.bank, label, spec, least_quota(spec), ceiling)
        # In each process as urgent as the session that it came over: no way round its level.
        vias, levels = (taker, giver), (taker.level, giver.level)
        processes = taker.process, giver.process
        near, far = self._open(funds, label, spec, limits, processes, levels, vias)
        payer.lend(funds)
        self.enter("introduce")
        return Route(self._sessions, near.handle, far.handle)

    def _open(
        self,
        funds: SessionFunds,
        name: str,
        spec: SessionSpec,
        limits: ServiceSpec,
        processes: tuple[SimProcess, SimProcess],
        levels: tuple[int, int],
        vias: tuple[SimEndpoint | None, SimEndpoint | None] = (None, None),
        service: _Service | None = None,
    ) -> tuple[SimEndpoint, ...]:
        """The two ends of a new channel. Raises as that."""
        channel = Channel(funds, spec, limits)
        self._sessions = number = self._sessions + 1
        self.channels[number] = channel
        # Compared while both are there, and good for nothing else.
        client = (id(funds.bank), id(processes[0])) if funds.own is None else number
        channel.ends = ends = tuple(
            SimEndpoint(
                self, process, number, name, spec, level, serving, via, client if serving else None
            )
            for serving, process, level, via in zip(
                (False, True), processes, levels, vias, strict=True
            )
        )
        executor = running.executor
        if executor is not None and executor.instruments:
            executor.instruments.session(name, spec.slots, funds.bank.name)
        channel.on_revoke = partial(self._revoke, channel)
        funds.on_over = partial(self._over, number, service)
        self.clock_ns += self.cost.open
        return ends

    def channel_of(self, end: contract.Endpoint) -> Channel | None:
        """What the kernel has of a session; None when it is over."""
        assert isinstance(end, SimEndpoint)
        return self.channels.get(end.number)

    def peer_of(self, end: contract.Endpoint) -> SimEndpoint | None:
        """The other side of a session; None when it is over."""
        channel = self.channel_of(end)
        return None if channel is None else channel.ends[not end.serving]

    # ---- what endpoints ask for ----

    def find(self, number: int, /) -> Channel | None:
        """The channel of that number; None when its session is over."""
        return self.channels.get(number)

    def admit(self, end: SimEndpoint, /) -> None:
        """A side has room for calls: the other may look for them."""
        peer = self.peer_of(end)
        if peer is not None:
            peer.called = True

    def signal(self, end: SimEndpoint, /, *, announced: bool = True) -> None:
        """A side has something for its peer; or, not `announced`, nothing, and says so all the
        same. Raises SessionClosed for one that has let go."""
        channel = self.channels.get(end.number)
        if end.released or channel is None:
            raise SessionClosed(f"session {end.name} was closed by this side")
        self.enter("signal")
        if self._history is not None:
            self._record_published(channel, end.name)
        peer = channel.ends[not end.serving]
        if not peer.released:
            if announced and self.arrivals is not None:
                self.arrivals.announce(end)
            self._notify(peer.process, peer.handle)

    def post_event(self, number: int, place: int, /) -> None:
        """Tell the owner of an event buffer that one of its records has changed. Idempotent until
        it looks."""
        buffer = self.channels[number].events
        if buffer is not None:
            self.enter("event")
            self._send(buffer.notification, place)

    def withdraw(self, number: int, /) -> None:
        """Tell both sides of a session that it was taken back. Idempotent."""
        self.enter("withdraw")
        route = self.channels.get(number)
        for end in () if route is None else route.ends:
            self._tell_closed(end)

    def route_open(self, number: int, /) -> bool:
        """Whether neither side of a session has ended it."""
        route = self.channels.get(number)
        return route is not None and not any(end.released or end.ending for end in route.ends)

    # ---- the end of sessions ----

    def close(self, end: SimEndpoint, /, *, died: bool = False) -> None:
        """A side is done with its session, or `died`. Idempotent."""
        channel = self.channels.get(end.number)
        if end.released or channel is None:
            return
        peer = channel.ends[not end.serving]
        end.released = True
        end.process.caps.remove(end.handle)
        if self.arrivals is not None:
            self.arrivals.forget(peer)
        self.enter("close")
        for guest in list(end.guests):
            self.close(guest, died=died)
        if isinstance(end.via, SimEndpoint):
            end.via.guests.pop(end, None)
        if peer.released:
            channel.free(self.destroy)
        else:
            self._tell_closed(peer, died)

    def _tell_closed(self, end: SimEndpoint, died: bool = False) -> None:
        """The other side has closed a session, or has died."""
        who = "client" if end.serving else "server"
        self._ask_to_close(
            end,
            PeerDied(f"the {who} of session {end.name} died")
            if died
            else SessionClosed(f"the {who} closed session {end.name}"),
        )

    def _ask_to_close(self, end: SimEndpoint, error: RpcError) -> None:
        """Ask a side to close, because of `error` unless there was a graver one."""
        if not end.released:
            if end.ending is None or type(end.ending) is SessionClosed:
                end.ending = error
            self._notify(end.process, end.handle)

    def _revoke(self, channel: Channel) -> None:
        """The bank of a session is being destroyed: both sides are asked to close it."""
        for end in channel.ends:
            why = f"the bank that paid for session {end.name} was destroyed"
            self._ask_to_close(end, SessionDead(why))

    def _over(self, number: int, service: _Service | None) -> None:
        """Nothing of a session is left, which was one of `service`."""
        channel = self.channels.pop(number)
        self.channels = tidied(self.channels)
        if service is not None:
            service.sessions -= 1
        for end in channel.ends:
            over = None if end.via is None else self.channel_of(end.via)
            if over is not None:
                over.funds.ended(channel.funds)

    def destroy(self, bank: Bank, /) -> None:
        """Destroy a bank that belongs to a session, a bounded part of it in each turn."""
        destroy_by_turns(bank)

    def kill(self, process: contract.Process, /) -> None:
        assert isinstance(process, SimProcess), "a process of this kernel"
        process.alive = False
        things = process.caps.all()
        for thing in things:
            if isinstance(thing, SimEndpoint):
                self.close(thing, died=True)
        for thing in things:
            if isinstance(thing, SimPort):
                self.unlisten(thing)

    # ---- time and delivery ----

    def enter(self, kind: str, /) -> None:
        """A transition into the kernel."""
        self.transitions[kind] += 1
        self.clock_ns += self.cost.transition
        if self._history is not None:
            self._history.update(f"{self.clock_ns} {kind}\n".encode())

    def _notify(self, process: SimProcess, handle: int) -> None:
        """Send a signal to a process, unless a fault keeps it back."""
        badge = handle & 0xFFFF_FFFF
        if self._faults is None or not self._faults.delays(partial(self._send, process, badge)):
            self._send(process, badge)

    def _send(self, one: Notification, badge: int) -> None:
        if self.arrivals is not None:
            self.arrivals.send(one, badge)
        else:
            self.deliver_soon(one)
            one.signal(badge)

    def deliver_soon(self, one: Notification, /) -> None:
        """Wake this one when the turn ends."""
        self._signalled[one] = None
        executor = running.executor
        if executor is not None and self._delivers is not executor:
            self._delivers = executor
            executor.call_soon(self.deliver)

    def deliver(self, only: Notification | None = None, /) -> None:
        """Wake all that were signalled in this turn, in an order drawn from the seed; or this one,
        now."""
        if only is None:
            self._delivers = None
            waiting = list(self._signalled)
            self._signalled.clear()
            if len(waiting) > 1:
                self._random.shuffle(waiting)
        else:
            waiting = [only]
        for one in waiting:
            delay = self.cost.wake + int(self._random.random() * self.cost.jitter)
            self.clock_ns += delay
            if self._history is not None:
                self._history.update(f"{self.clock_ns} wake {one.name}\n".encode())
            one.wake()

    def _record_published(self, channel: Channel, name: str) -> None:
        assert self._history is not None
        for lane in channel.lanes:
            crc = 0
            for memory in lane.memories:
                crc = zlib.crc32(memory, crc)
            self._history.update(f"{name} {crc:08x}\n".encode())

    def _on_change(self, bank: Bank, pages: int, caps: int, why: str) -> None:
        self.clock_ns += abs(pages) * self.cost.page
        self.enter("buy" if pages > 0 or caps > 0 else "sell")
        if self._faults is not None:
            self._faults.changed(bank, pages, caps)
        executor = running.executor
        if (pages or caps) and executor is not None and executor.instruments:
            left = {"p": bank.page_limit - bank.pages_used, "c": bank.cap_limit - bank.caps_used}
            about = {"L": bank.page_limit, "why": why or None}
            executor.instruments.charge(bank.name, pages, caps, **about, **left)
