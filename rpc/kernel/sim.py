"""SimKernel: processes, banks and channels in one process, deterministic.

The kernel has a clock of its own, in simulated nanoseconds, and a generator of random
numbers from a seed. Signals of one turn are delivered when it ends, in an order and with
delays drawn from the seed: the same program and the same seed give the same history.
"""

from __future__ import annotations

import hashlib
import random
import zlib
from collections import Counter
from typing import Final, final

from pinfut.executor.contract import Runner
from pinfut.executor.current import running
from pinfut.rpc.errors import SafetyExceeded, SessionClosed, UnknownService
from pinfut.rpc.kernel.arrival import Arrival, Arrivals
from pinfut.rpc.kernel.bank import Balance, Bank
from pinfut.rpc.kernel.capset import CapSet
from pinfut.rpc.kernel.channel import Channel, End, pages_of
from pinfut.rpc.kernel.cost import CostModel
from pinfut.rpc.kernel.destroy import Destroying, destroy
from pinfut.rpc.kernel.events import EventBuffer
from pinfut.rpc.kernel.handle import Handle, bank_of, verify
from pinfut.rpc.kernel.notification import Notification

MAX_SLOTS: Final = 1 << 16

MAX_ROUTE_CAPS: Final = 256
"""The capabilities that a channel between two servers may take of the bank that pays for it."""

ROUTE_CELL: Final = 1024


@final
class Process:
    """A protection domain: what it may name, and the word that tells it what is ready."""

    __slots__ = ("alive", "caps", "name", "notification")

    def __init__(self, name: str) -> None:
        self.name = name
        self.caps: CapSet[End | Port] = CapSet()
        self.notification = Notification()
        self.alive = True

    def at(self, badge: int) -> End | Port | None:
        """What a badge stands for: the capability in that place, if it is still there."""
        return self.caps.at(badge)

    def __repr__(self) -> str:
        return f"<Process {self.name!r}{'' if self.alive else ', dead'}>"


@final
class Port:
    """A name that others connect to. The waiting ends are bounded by their payers: each
    is a channel that its client has paid for."""

    __slots__ = ("handle", "level", "name", "process", "safety", "waiting")

    def __init__(self, process: Process, name: str, safety: int | None, level: int) -> None:
        self.process = process
        self.name = name
        # Pages that the server can hold locked for one session; None for any number.
        self.safety = safety
        # The most urgent that a session is looked at here, whatever its client asks for.
        self.level = level
        self.waiting: list[End] = []
        self.handle = process.caps.insert(self)


@final
class SimKernel:
    """A simulated machine.

    `seed`: draws the order and the delays of signals. `pages`: how much memory the
    machine has. `record`: keep a digest of the history, every published byte included.
    `arrival`: when signals arrive, which is looked at then (`arrival.Arrivals`); None for the
    end of their turn, unlooked at. Raises ValueError for no such time.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        pages: int = 1 << 20,
        cost: CostModel | None = None,
        record: bool = False,
        arrival: Arrival | None = None,
    ) -> None:
        self.seed = seed
        self.arrivals = None if arrival is None else Arrivals(self, arrival, seed)
        self.cost = CostModel() if cost is None else cost
        self.root = Bank("machine", pages, 1 << 20, on_change=self._on_change)
        self.clock_ns = 0
        # Kernel transitions by what they were for.
        self.transitions: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._ports: dict[str, Port] = {}
        # Invariant: what was signalled in this turn, each once, in the order of signals.
        self._signalled: dict[Process | EventBuffer, None] = {}
        # The executor at the end of whose turn they are delivered.
        self._delivers: Runner | None = None
        self._history = hashlib.blake2b(digest_size=16) if record else None
        self._sessions = 0

    # ---- banks and processes ----

    def bank(self, name: str, *, pages: int, caps: int = 1024) -> Bank:
        """A bank directly below the machine's. Raises ValueError for a name in use."""
        return self.root.child(name, pages=pages, caps=caps)

    def process(self, name: str) -> Process:
        """A new process."""
        return Process(name)

    def digest(self) -> str:
        """The history so far as 32 hex digits. Raises ValueError unless recording."""
        if self._history is None:
            raise ValueError("this kernel keeps no history; make it with record=True")
        return self._history.hexdigest()

    # ---- sessions ----

    def listen(
        self, process: Process, name: str, safety: int | None = None, level: int = 0
    ) -> Port:
        """Offer a service under `name`. `safety`: sessions that take more pages before their
        first call are refused. `level`: the most urgent that sessions are here. Raises
        ValueError when the name is taken."""
        if name in self._ports:
            raise ValueError(f"a service {name!r} is served already")
        port = self._ports[name] = Port(process, name, safety, level)
        self._enter("listen")
        return port

    def unlisten(self, port: Port) -> None:
        """Take a service back; whoever waits to be accepted is told."""
        del self._ports[port.name]
        port.process.caps.remove(port.handle)
        for end in port.waiting:
            self.close(end)
        port.waiting.clear()

    def connect(
        self,
        process: Process,
        name: str,
        bank: Bank | Handle,
        *,
        slots: int,
        ring: int,
        cell: int,
        quota: Balance | None = None,
        level: int = 1,
    ) -> End:
        """A channel to the service `name`, paid by `bank`; this side's end. `level`: how urgent
        it is on this side, and on the other as far as the service lets it.

        Raises UnknownService, NotABank, SafetyExceeded, DonationTooSmall, PayerExhausted,
        OutOfPages, OutOfCaps, and ValueError for sizes that make no sense. On any error
        nothing was bought.
        """
        if not 1 <= slots <= MAX_SLOTS:
            raise ValueError(f"a session has 1 to {MAX_SLOTS} slots, not {slots}")
        port = self._ports.get(name)
        if port is None:
            served = ", ".join(sorted(self._ports)) or "nothing"
            raise UnknownService(f"nothing is served as {name!r}; served now: {served}")
        bank = bank_of(self.root, bank)
        working_set = pages_of(slots, ring)
        if port.safety is not None and working_set > port.safety:
            raise SafetyExceeded(
                f"a session of {slots} slots and a ring of {ring} bytes takes {working_set} pages, "
                f"and {name!r} has set aside memory to lock {port.safety}: ask for fewer slots"
            )
        label = f"{bank.name}>{name}#{self._sessions + 1}"
        channel = Channel(bank, slots, ring, cell, quota=quota, name=label)
        self._sessions += 1
        near = End(self, channel, process, label, serving=False)
        far = End(self, channel, port.process, label, serving=True)
        near.peer, far.peer = far, near
        near.level, far.level = level, max(level, port.level)
        channel.on_revoke = lambda: self._revoke(near, far)
        port.waiting.append(far)
        self.clock_ns += self.cost.open
        self._enter("connect")
        self._notify(port.process, port.handle)
        return near

    def introduce(self, at: End, to: End, pages: int, slots: int, ring: int) -> tuple[End, End]:
        """A channel between the processes that `at` and `to` lead to, paid by the bank of `at`
        and never with more than `pages`: the end of the one behind `to`, which calls, and
        that of the one behind `at`, which serves.

        Raises SessionClosed when either is closed, OutOfPages, OutOfCaps, ValueError for
        sizes that make no sense. On any error nothing was bought.
        """
        for end in (at, to):
            if end.released or end.peer.released:
                raise SessionClosed(f"session {end.name} is closed: nobody is there to introduce")
        self._sessions += 1
        label = f"{to.name}>{at.name}#{self._sessions}"
        bank = at.channel.bank.child(label, pages=pages, caps=MAX_ROUTE_CAPS)
        try:
            channel = Channel(bank, slots, ring, ROUTE_CELL)
        except BaseException:
            bank.close()
            raise
        near = End(self, channel, to.peer.process, label, serving=False, via=to.peer)
        far = End(self, channel, at.peer.process, label, serving=True, via=at.peer)
        near.peer, far.peer = far, near
        at.channel.lend(channel)
        # In each process as urgent as the session that it came over: no way round its level.
        near.level, far.level = to.peer.level, at.peer.level
        channel.on_revoke = lambda: self._revoke(near, far)
        self.clock_ns += self.cost.open
        self._enter("introduce")
        return near, far

    def withdraw(self, near: End, far: End) -> None:
        """Tell both sides of a channel that it was taken back. Idempotent."""
        self._enter("withdraw")
        for end in (near, far):
            if not end.released:
                end.closed = True
                self._notify(end.process, end.handle)

    def signal(self, end: End) -> None:
        """`end` has something for its peer. Raises SessionClosed for an end let go of."""
        if end.released:
            raise SessionClosed(f"session {end.name} was closed by this side")
        self._enter("signal")
        if self._history is not None:
            self._record_published(end)
        peer = end.peer
        if not peer.released:
            if self.arrivals is not None:
                self.arrivals.announce(end)
            self._notify(peer.process, peer.handle)

    def close(self, end: End) -> None:
        """This side is done with its end. Idempotent."""
        if end.released:
            return
        end.released = True
        end.process.caps.remove(end.handle)
        if self.arrivals is not None:
            self.arrivals.forget(end)
        self._enter("close")
        peer = end.peer
        for guest in list(end.guests):
            self.close(guest)
        if end.via is not None:
            end.via.guests.pop(end, None)
        if peer.released:
            channel = end.channel
            channel.free(seize=not (end.process.alive and peer.process.alive))
            if channel.donated is not None:
                self._finish(destroy(channel.donated))
            for via in (end.via, peer.via):
                if via is not None:
                    channel.bank.close()
                    via.channel.ended(channel)
        else:
            peer.closed = True
            self._notify(peer.process, peer.handle)

    def attach(self, end: End, buffer: EventBuffer) -> None:
        """Hand a buffer for events over to the other side of `end`; its pages stay until both
        sides have let go. Raises ValueError for one that was handed over before."""
        channel = end.channel
        if channel.events is not None:
            raise ValueError(f"session {end.name} has an event buffer already")
        buffer.attach()
        channel.events = buffer
        self._enter("attach")

    def post(self, buffer: EventBuffer, place: int) -> None:
        """Tell the owner of a buffer that one of its records has changed. Idempotent until it
        looks."""
        self._enter("event")
        if self.arrivals is not None:
            self.arrivals.send(buffer, place)
            return
        buffer.notification.signal(place)
        self.deliver_soon(buffer)

    def verify(self, thing: object) -> bool:
        """Whether `thing` is a bank of this kernel, or a handle of one, and no fake."""
        return verify(self.root, thing)

    def _revoke(self, *ends: End) -> None:
        """The bank of a session is being destroyed: both sides are asked to close it."""
        for end in ends:
            if not end.released:
                end.closed = True
                self._notify(end.process, end.handle)

    def _finish(self, destroying: Destroying) -> None:
        """Destroy the bank of a session that is over, a bounded part of it in each turn."""
        executor = running.executor
        while destroying.step():
            if executor is not None:
                executor.call_soon(lambda: self._finish(destroying))
                return

    def kill(self, process: Process) -> None:
        """The process dies where it stands: its ends are let go of, its peers are told."""
        process.alive = False
        for thing in process.caps.all():
            if isinstance(thing, Port):
                for end in thing.waiting:
                    end.peer.peer_died = True
                self.unlisten(thing)
        for thing in process.caps.all():
            if isinstance(thing, End):
                thing.peer.peer_died = True
                self.close(thing)

    # ---- time and delivery ----

    def _enter(self, kind: str) -> None:
        self.transitions[kind] += 1
        self.clock_ns += self.cost.transition
        if self._history is not None:
            self._history.update(f"{self.clock_ns} {kind}\n".encode())

    def _notify(self, process: Process, handle: int) -> None:
        if self.arrivals is not None:
            self.arrivals.send(process, handle & 0xFFFF_FFFF)
            return
        process.notification.signal(handle & 0xFFFF_FFFF)
        self.deliver_soon(process)

    def deliver_soon(self, one: Process | EventBuffer) -> None:
        """Wake this one when the turn ends."""
        self._signalled[one] = None
        executor = running.executor
        if executor is not None and self._delivers is not executor:
            self._delivers = executor
            executor.call_soon(self.deliver)

    def deliver(self, only: Process | EventBuffer | None = None) -> None:
        """Wake whoever was signalled in this turn, in an order drawn from the seed; or this one,
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
            one.notification.wake()

    def _record_published(self, end: End) -> None:
        assert self._history is not None
        for lane in (end.channel.forward, end.channel.reversed):
            if lane is not None:
                crc = zlib.crc32(lane.memory)
                for cells in lane.cells.memories():
                    crc = zlib.crc32(cells, crc)
                self._history.update(f"{end.name} {crc:08x}\n".encode())

    def _on_change(self, bank: Bank, pages: int, caps: int) -> None:
        self.clock_ns += abs(pages) * self.cost.page
        self._enter("buy" if pages > 0 or caps > 0 else "sell")
        executor = running.executor
        if executor is not None and executor.instruments:
            executor.instruments.charge(bank.name, pages, caps)
