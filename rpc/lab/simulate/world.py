"""World: the clients, servers and banks of one plan, and what was seen of them.

Everything that a run makes is here, and is taken down by `settle`.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final, final

from pinfut.executor import Task, VirtualClock, sleep, spawn
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.errors import BankError, OutOfPages, PeerDied, RemoteError, RpcError, SessionClosed
from pinfut.rpc.kernel.sim.arrival import EarlySignal
from pinfut.rpc.kernel.sim.endpoint import SimEndpoint
from pinfut.rpc.kernel.sim.kernel import SimKernel
from pinfut.rpc.lab.simulate.plan import SimulationPlan
from pinfut.rpc.lab.simulate.service import (
    CLIENT,
    UNIT,
    Book,
    Node,
    NodeServer,
    UnboxedServer,
    Watched,
    state_of,
)
from pinfut.rpc.memory.event_buffer import EventBuffer, SourceEvent
from pinfut.rpc.session.session import Session
from pinfut.rpc.vat import Vat

SERVICES: Final = ("a", "b")

LEAST: Final = 1, 256
"""What a client's session begins with; the rest is bought as it is needed."""

PATIENCE: Final = 1.0
"""Simulated seconds within which everything has ended once the faults have stopped: a thousand
times the unit in which handlers and delays are counted, of which none takes more than 20."""


MOST_WATCHED: Final = 16
"""Subscriptions that are posted to."""


@final
class Held:
    """A capability that a client holds, and the tags of what it has sent to it, in order."""

    __slots__ = ("proxy", "sent", "session")

    def __init__(self, session: Session, proxy: Any) -> None:
        self.session = session
        self.proxy = proxy
        self.sent: list[int] = []


@final
class Root:
    """A client's session with a service: what it pays with, and what it watches there."""

    def __init__(self, held: Held, bank: Bank, events: EventBuffer | None) -> None:
        self.held = held
        self.session = held.session
        self.bank = bank
        self.events = events
        self.watcher: Task[None] | None = None
        # Counted apart from the buffer, by key: how often asked for, how many came, and the
        # number of the newest state that was seen.
        self.armed: Counter[int] = Counter()
        self.delivered: Counter[int] = Counter()
        self.seen: Counter[int] = Counter()
        # Keys whose last event has come.
        self.over: set[int] = set()
        # The highest id that a call of this session has had.
        self.last = -1


@final
class Client:
    """One client: its bank, its process, and a session with each service."""

    def __init__(self, number: int, bank: Bank, plan: SimulationPlan) -> None:
        self.number = number
        self.bank = bank
        self.slots = plan.slots[number]
        self.ring = plan.rings[number]
        self.watching = plan.watching[number]
        self.vat: Vat | None = None
        self.roots: dict[str, Root] = {}
        self.held: list[Held] = []
        self.tasks: list[tuple[int, Task[None]]] = []
        self.tags = number * CLIENT
        self.sessions = 0

    def tag(self) -> int:
        """A number for one more call."""
        self.tags += 1
        return self.tags


@final
class World:
    """What there is in a run, and what has happened in it."""

    def __init__(self, plan: SimulationPlan, clock: VirtualClock) -> None:
        self.plan = plan
        self.clock = clock
        self.kernel = SimKernel(plan.seed, arrival=plan.arrival, faults=self)
        self.book = Book(self.kernel)
        self.counts = self.book.counts
        # Simulated ns of the kernel, simulated seconds of the executor, and what there was.
        self.history: list[tuple[int, float, object]] = []
        self.servers: dict[str, Vat] = {}
        self.clients: list[Client] = []
        # Calls that have begun and not ended, and how the others ended.
        self.open: set[int] = set()
        self.ends: dict[int, str] = {}
        self.sent: list[list[int]] = []
        # What runs beside the operations: faults that come later, sessions that wind up.
        self.aside: list[Task[Any]] = []
        # After how many more allocations one is refused; below 0: none.
        self.refusing = -1
        # How many signals are still to be delayed, and by how many units.
        self.delaying = 0
        self.delay = 0
        # For the audit: banks in which something was bought or sold, what was counted in each
        # session, and how often there was one.
        self.moved: dict[Bank, None] = {}
        self.stamps: dict[Session, object] = {}
        # The slots and the ring that a session had then.
        self.sizes: dict[Session, tuple[int, int]] = {}
        self.audits = 0
        # Names of sessions in which a fault broke the protocol on purpose.
        self.spoiled: set[str] = set()
        for name in SERVICES:
            self.start(name)
        for number in range(plan.clients):
            bank = self.kernel.bank(f"client {number}", pages=plan.pages[number], caps=400)
            self.clients.append(Client(number, bank, plan))

    # ---- what is noted ----

    def note(self, what: object) -> None:
        """Add a line to the history: what `str` makes of it."""
        self.history.append((self.kernel.clock_ns, self.clock.now(), what))

    def met(self, what: str) -> None:
        """Count something that happened."""
        self.counts[what] += 1

    def begin(self, client: Client, tag: int, ends: Coroutine[Any, Any, None]) -> None:
        """A call has begun, and `ends` sees to its end."""
        self.open.add(tag)
        client.tasks.append((tag, spawn(ends)))

    def end(self, tag: int, how: str) -> None:
        """A call has ended."""
        if tag in self.ends:
            self.book.breaks("each call ends once", f"{tag}: {self.ends[tag]}, then {how}")
        self.ends[tag] = how
        self.open.discard(tag)
        self.counts[f"ended: {how}"] += 1
        self.note(f"  call {tag} {how}")

    def ended_by(self, tag: int, error: BaseException, told: bool = False) -> None:
        """A call has ended with an error; `told`: its handler may raise one of its own."""
        if isinstance(error, RemoteError) and not told:
            self.book.breaks("handlers fail where they are told", f"call {tag}: {error}")
        self.end(tag, "cancelled" if isinstance(error, CancelledError) else type(error).__name__)

    def run_aside(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have something happen beside the operations."""
        if len(self.aside) >= 64:
            self.aside = [task for task in self.aside if not task.done or task.error()]
        self.aside.append(spawn(work))

    # ---- who is there ----

    def _bought(self, bank: Bank, pages: int, caps: int) -> None:
        """A bank has bought; every bank that paid had what was asked."""
        payer: Bank | None = bank
        while payer is not None:
            over = pages and payer.pages_used > payer.page_limit
            if over or (caps and payer.caps_used > payer.cap_limit):
                self.book.breaks("limits hold", f"{bank!r} has bought {pages}, {caps}: {payer!r}")
            payer = None if payer.funded else payer._above

    def start(self, name: str) -> None:
        """A server, which has crashed or was not there, begins to serve."""
        vat = self.servers[name] = Vat(self.kernel, name)
        vat.budget = self.plan.budget
        vat.listen(name, (NodeServer if name == "a" else UnboxedServer)(self.book))

    def root(self, client: Client, name: str) -> Root:
        """The client's session with a service, opened if need be. Raises BankError when it cannot
        be paid, and RpcError."""
        root = client.roots.get(name)
        if root is not None:
            if root.session.error is None:
                return root
            self.leave(client, name)
        if client.vat is None or not client.vat.process.alive:
            client.vat = Vat(self.kernel, client.bank.name)
        client.sessions += 1
        bank = client.bank.child(f"session {client.sessions}", pages=1000, caps=200)
        events: EventBuffer | None = None
        session: Session | None = None
        try:
            if client.watching:
                events = EventBuffer(bank, places=4, size=32, keep=1 + client.sessions % 3)
            spec = SessionSpec(client.slots, client.ring, events=events, least=LEAST)
            session = client.vat.connect(name, bank, spec)
            held = Held(session, session.bootstrap(Node))
        except BaseException:
            self.run_aside(_abandon(session, events, bank))
            raise
        self.met("sessions")
        root = client.roots[name] = Root(held, bank, events)
        self.sent.append(held.sent)
        if events is not None:
            root.watcher = spawn(self._watch(root, events))
        return root

    def leave(self, client: Client, name: str) -> None:
        """The client closes its session, if it has one; what it held goes back."""
        root = client.roots.pop(name, None)
        if root is None:
            return
        session = root.session
        client.held = [held for held in client.held if held.session is not session]
        if session.end.process.alive:
            session.close(SessionClosed("the client left"))
        self.run_aside(self._wind_up(root))

    def crash(self, client: Client) -> None:
        """The client's process dies where it stands."""
        if client.vat is None or not client.vat.process.alive:
            return
        client.vat.kill()
        self.met("clients died")
        for name in SERVICES:
            self.leave(client, name)

    def raze(self, bank: Bank) -> None:
        """Destroy the bank of a session, and whatever is in it: some of it now, the rest aside."""
        destroying = destroy(bank)
        destroying.step()
        self.run_aside(_finish(destroying))

    def server_of(self, root: Root, name: str) -> Session | None:
        """The other side of a session, if it is there and open."""
        other = self.kernel.peer_of(root.session.end)
        session = None if other is None else self.servers[name]._sessions.get(other)
        return None if session is None or session.error is not None else session

    async def _wind_up(self, root: Root) -> None:
        """Wait until a session has given everything back, and give its bank up."""
        session, bank = root.session, root.bank
        dead = not session.end.process.alive
        if dead:
            # Who owns the machine clears up after a process that died.
            await destroy(bank)
        await session.wait_closed()
        if root.watcher is not None:
            await root.watcher
        if root.events is not None:
            root.events.free()
        try:
            bank.close()
        except ValueError as error:
            self.book.breaks("banks are whole", str(error))

    # ---- events ----

    async def _watch(self, root: Root, events: EventBuffer) -> None:
        """Take events while the session is there. Sources are armed again some time later, a few
        only after the next event; some are cancelled."""
        postponed: int | None = None
        while True:
            try:
                event = await events.next()
                self.counts["events"] += 1
                self._check(root, event)
                if self.book.broken is not None:
                    return  # or one that never stops giving events would stop the clock
                # What comes before the next arming is not signalled, and not lost.
                await sleep(event.version % 3 * UNIT)
                if event.last:
                    continue
                if postponed is not None:
                    self._arm(root, events, postponed)
                    postponed = None
                if event.version % 7 == 4:
                    events.cancel(event.key)
                    self.counts["events cancelled"] += 1
                elif event.version % 7 == 2:
                    postponed = event.key
                else:
                    self._arm(root, events, event.key)
            except RpcError as error:
                if not isinstance(error, (SessionClosed, PeerDied, BankError)):
                    self._suspect(root, error)
                return

    def _arm(self, root: Root, events: EventBuffer, key: int) -> None:
        events.arm(key)
        root.armed[key] += 1

    def _suspect(self, root: Root, error: RpcError) -> None:
        if root.session.name not in self.spoiled:
            self.book.breaks("honest sides keep to the protocol", f"{root.session.name}: {error}")

    def _check(self, root: Root, event: SourceEvent) -> None:
        """What an event says, against what was posted and asked for."""
        key = event.key
        root.delivered[key] += 1
        if root.delivered[key] > root.armed[key]:
            self.book.breaks("delivered below armed", f"{root.session.name}, source {key}: {event}")
        if key in root.over:
            self.book.breaks("exactly one last", f"{root.session.name}, source {key}: {event}")
        if event.last:
            root.over.add(key)
            self.counts["last events"] += 1
            if not any(one.key == key for one in self.book.ended):
                self.book.breaks("exactly one last", f"nobody has ended source {key}: {event}")
        seen, root.seen[key] = root.seen[key], event.version
        if event.version - seen != event.lost + len(event.states):
            self.book.breaks("lost is exact", f"{root.session.name} has seen {seen}: {event}")
        if event.lost:
            self.counts["events lost"] += event.lost
        number = int(root.bank.path.split("/client ")[1].split("/")[0])
        first = event.version - len(event.states) + 1
        expected = tuple(
            state_of(number, key, version) for version in range(first, event.version + 1)
        )
        if event.states != expected:
            self.book.breaks("a value is its caller's", f"{root.session.name} was told {event}")

    def post(self) -> None:
        """The servers post to their newest subscribers; those that are over are forgotten."""
        left: list[Watched] = []
        for watched in self.book.watched[-MOST_WATCHED:]:
            made = watched.subscription
            if made.post(state_of(watched.client, watched.key, made.posted + 1)):
                left.append(watched)
                self.counts["posted"] += 1
        self.book.watched = left

    def hush(self, number: int) -> None:
        """A server ends one of its sources, which says so to who watches it."""
        watched = self.book.watched
        if watched:
            one = watched.pop(number % len(watched))
            if one.subscription.alive:
                self.book.ended.append(one)
                one.subscription.close()

    # ---- the kernel ----

    def signal_idly(self, end: SimEndpoint) -> None:
        """The other side is told to look, and nothing is announced."""
        self.kernel.signal(end, announced=False)

    def early_signal(self) -> EarlySignal | None:
        """The signal of an honest session that came before what it announced."""
        arrivals = self.kernel.arrivals
        assert arrivals is not None
        error, arrivals.error = arrivals.error, None
        return error if error is not None and error.name not in self.spoiled else None

    def buying(self, bank: Bank, pages: int, caps: int) -> None:
        """A bank is about to buy: one of them is refused (`kernel.sim.faults.Faults`)."""
        if self.refusing >= 0 and (pages or caps):
            self.refusing -= 1
            if self.refusing < 0:
                self.met("refused")
                raise OutOfPages(f"bank {bank.name!r} refuses this one", bank.name, 1)

    def changed(self, bank: Bank, pages: int, caps: int) -> None:
        """A bank has bought or sold."""
        self.moved[bank] = None
        if pages > 0 or caps > 0:
            self._bought(bank, pages, caps)

    def delays(self, deliver: Callable[[], None]) -> bool:
        """Some signals are delivered later than their turn, each on its own."""
        if not self.delaying:
            return False
        self.delaying -= 1
        self.counts["delayed"] += 1
        self.run_aside(_later(self.delay, deliver))
        return True


async def _later(units: int, deliver: Callable[[], None]) -> None:
    await sleep(units * UNIT)
    deliver()


async def _finish(destroying: Any) -> None:
    await destroying


async def _abandon(session: Session | None, events: EventBuffer | None, bank: Bank) -> None:
    """Take back what was made of a session that could not be opened whole."""
    if session is not None:
        session.close(SessionClosed("it could not be paid"))
        await session.wait_closed()
    if events is not None:
        events.free()
    bank.close()
