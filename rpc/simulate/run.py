"""One run: a plan is carried out, and audited after each operation.

The run owns everything it makes. It ends by letting the faults stop: then every client opens
new sessions and is served, every call has ended, and every bank is back at its start.
"""

from __future__ import annotations

import gc
import hashlib
import logging
from asyncio import CancelledError
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pinfut.coroutine import yield_now
from pinfut.executor import Instrument, Task, VirtualClock, sleep, spawn, timeout
from pinfut.executor import run as run_executor
from pinfut.rpc import vat as vats
from pinfut.rpc.errors import BankError, OutOfPages, ProtocolError, RpcError, SessionClosed
from pinfut.rpc.introduce import introduce
from pinfut.rpc.kernel.bank import Bank
from pinfut.rpc.kernel.channel import End
from pinfut.rpc.kernel.destroy import destroy
from pinfut.rpc.kernel.sim import SimKernel
from pinfut.rpc.session import Session
from pinfut.rpc.simulate.audit import audit_banks, audit_session
from pinfut.rpc.simulate.draws import Op, Plan
from pinfut.rpc.simulate.service import CLIENT, UNIT, Book, Broken, Node, NodeServer, value_of
from pinfut.rpc.vat import Vat

SERVICES = ("a", "b")

PATIENCE = 1000.0
"""Simulated seconds within which everything has ended once the faults have stopped."""

SIZES = (0, 1, 100, 900, 1500, 3000, 9000)
MAX_HELD = 16


@dataclass(slots=True)
class Outcome:
    """What came of a run. `failure` is the invariant that broke, None for a run that held."""

    seed: int
    ops: int = 0
    digest: str = ""
    failure: str | None = None
    text: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    history: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Held:
    """A capability that a client holds, and what it has sent to it."""

    session: Session
    proxy: Any
    sent: list[int]
    # The highest id that was seen in the session; ids only grow.
    last: int = -1


class Client:
    """One client: its bank, its process, and a session with each service."""

    def __init__(self, number: int, bank: Bank, slots: int) -> None:
        self.number = number
        self.bank = bank
        self.slots = slots
        self.vat: Vat | None = None
        self.roots: dict[str, Held] = {}
        self.banks: list[Bank] = []
        self.held: list[Held] = []
        self.tasks: list[tuple[int, Task[None]]] = []
        self.tags = number * CLIENT


class Run:
    """The world of one plan."""

    def __init__(self, plan: Plan, clock: VirtualClock) -> None:
        self.plan = plan
        self.clock = clock
        self.kernel = SimKernel(plan.seed)
        self.book = Book(self.kernel)
        self.outcome = Outcome(plan.seed)
        self.servers: dict[str, Vat] = {}
        self.clients: list[Client] = []
        self.ends: dict[int, str] = {}
        self.open: set[int] = set()
        self.sent: list[list[int]] = []
        self.leaving: list[Task[Any]] = []
        self.refusing = -1
        # Ends of channels in which a fault broke the protocol on purpose.
        self.spoiled: set[End] = set()

    # ---- the world ----

    def note(self, text: str) -> None:
        self.outcome.history.append(f"{self.kernel.clock_ns:>12} {self.clock.now():9.4f}  {text}")

    def met(self, what: str) -> None:
        self.outcome.counts[what] += 1

    async def main(self) -> None:
        for name in SERVICES:
            self.start(name)
        for number in range(self.plan.clients):
            bank = self.kernel.bank(f"client {number}", pages=self.plan.pages[number], caps=200)
            self.clients.append(Client(number, bank, self.plan.slots[number]))
        for op in self.plan.ops:
            self.note(str(op))
            client = self.clients[op.who]
            try:
                await self.do(op, client)
            except BankError as error:
                self.met("told at once")
                self.note(f"  told {type(error).__name__}")
            except RpcError as error:
                self.note(f"  told {type(error).__name__}")
            self.outcome.ops += 1
            self.met(op.what)
            self.audit()
        await self.settle()

    def start(self, name: str) -> None:
        vat = self.servers[name] = Vat(self.kernel, name)
        vat.listen(name, NodeServer(self.book))

    def root(self, client: Client, name: str) -> Held:
        """The client's root of a service, over a session that is open. Raises BankError."""
        held = client.roots.get(name)
        if held is not None and held.session.error is None:
            return held
        if held is not None:
            self.leave(client, name)
        if client.vat is None or not client.vat.process.alive:
            client.vat = Vat(self.kernel, client.bank.name)
        bank = client.bank.child(f"session {len(client.banks)}", pages=1000, caps=200)
        client.banks.append(bank)
        session = client.vat.connect(name, bank, client.slots, 2048, 1024)
        self.met("sessions")
        try:
            proxy = session.bootstrap(Node)
        except BaseException:
            session.close(SessionClosed("it could not be paid"))
            raise
        held = client.roots[name] = Held(session, proxy, [])
        self.sent.append(held.sent)
        return held

    def leave(self, client: Client, name: str) -> None:
        held = client.roots.pop(name, None)
        if held is None:
            return
        client.held = [one for one in client.held if one.session is not held.session]
        held.session.close(SessionClosed("the client left"))
        if held.session.end.process.alive:
            self.leaving.append(spawn(held.session.wait_closed()))

    # ---- operations ----

    async def do(self, op: Op, client: Client) -> None:
        what, name = op.what, SERVICES[op.a & 1]
        if what == "let":
            await sleep(op.a % 4 * UNIT)
        elif what == "leave":
            self.leave(client, name)
        elif what == "refill":
            client.bank.refill(op.a % 40, op.b % 20)
        elif what == "drop":
            if client.held:
                client.held.pop(op.a % len(client.held))
                self.met("dropped")
        elif what == "cancel":
            running = [one for one in client.tasks if one[0] in self.open]
            client.tasks = running
            if running and running[op.a % len(running)][1].cancel():
                self.met("cancelled")
        elif not self.fault(op, client):
            self.call(op, client, name)
        if op.c == 0:
            await yield_now()

    def call(self, op: Op, client: Client, name: str) -> None:
        """Make one call, or a chain, and have a task see to its end."""
        held = self.root(client, name)
        what = op.what
        delay, size, stubborn = op.b % 4, SIZES[op.b % len(SIZES)], op.c == 2
        if what == "use" and client.held:
            held = client.held[op.a % len(client.held)]
        tag = self.tag(client)
        expected: object = value_of(tag, size)
        if what in ("read", "use", "deadline", "slow"):
            promise: Any = held.proxy.read(tag, size, delay, stubborn)
            held.sent.append(tag)
        elif what == "chain":
            node = held
            for _ in range(1 + op.b % 3):
                link = self.tag(client)
                below = Held(held.session, node.proxy.child(link, delay), [])
                node.sent.append(link)
                self.sent.append(below.sent)
                node = below
                self.met("pipelined")
            promise = node.proxy.read(tag, size, 0, False)
            node.sent.append(tag)
        elif what == "hold":
            child = held.proxy.child(tag, delay)
            held.sent.append(tag)
            below = Held(held.session, child, [])
            self.sent.append(below.sent)
            if len(client.held) < MAX_HELD:
                client.held.append(below)
            return
        elif what in ("visit", "give"):
            given = NodeServer(self.book) if what == "give" else held.proxy.child(tag, delay)
            if what == "visit":
                held.sent.append(tag)
                tag = self.tag(client)
            promise, expected = held.proxy.visit(tag, given), tag
            held.sent.append(tag)
        elif what == "raise":
            promise, expected = held.proxy.fail(tag), None
            held.sent.append(tag)
        elif what == "nest":
            promise, expected = held.proxy.nest(tag, "b"), value_of(tag + CLIENT // 2, 8)
            held.sent.append(tag)
        else:
            other = self.root(client, "a" if name == "b" else "b")
            self.open.add(tag)
            client.tasks.append((tag, spawn(self.hand_over(tag, held, other))))
            return
        self.open.add(tag)
        if op.c == 3 and what not in ("slow", "deadline"):
            self.end(tag, "dropped")
            return
        limit = op.b % 3 * UNIT if what == "deadline" else PATIENCE
        wait = 20 * UNIT if what == "slow" else 0.0
        client.tasks.append((tag, spawn(self.finish(tag, promise, expected, limit, wait))))

    def tag(self, client: Client) -> int:
        client.tags += 1
        return client.tags

    async def finish(
        self, tag: int, promise: Any, expected: object, limit: float, wait: float
    ) -> None:
        """Await a call, and note how it ended."""
        try:
            if wait:
                await sleep(wait)
            with timeout(limit):
                value = await promise
        except CancelledError:
            self.end(tag, "cancelled")
        except TimeoutError:
            self.end(tag, "too late" if limit < PATIENCE else "never")
        except RpcError as error:
            self.end(tag, type(error).__name__)
        else:
            if value != expected:
                self.breaks(Broken("a value is its caller's", f"call {tag} got {value!r:.60}"))
            self.end(tag, "value")

    async def hand_over(self, tag: int, held: Held, other: Held) -> None:
        """Introduce an object of one service to the other."""
        try:
            at_other = await introduce(held.proxy, other.proxy)
            mark = self.tag(self.clients[tag // CLIENT])
            other.sent.append(mark)
            if await other.proxy.visit(mark, at_other) != mark:
                self.breaks(Broken("a value is its caller's", f"call {mark} got another's"))
        except CancelledError:
            self.end(tag, "cancelled")
        except RpcError as error:
            self.end(tag, type(error).__name__)
        else:
            self.met("introduced")
            self.end(tag, "value")

    async def over(self, tag: int, task: Task[None]) -> None:
        """Wait for a task; one that was cancelled before its first step has noted nothing."""
        try:
            await task
        except CancelledError:
            if tag in self.open:
                self.end(tag, "cancelled")

    def end(self, tag: int, how: str) -> None:
        if tag in self.ends:
            self.breaks(Broken("each call ends once", f"{tag}: {self.ends[tag]}, then {how}"))
        self.ends[tag] = how
        self.open.discard(tag)
        self.met(f"ended: {how}")
        self.note(f"  call {tag} {how}")

    def breaks(self, broken: Broken) -> None:
        if self.book.broken is None:
            self.book.broken = broken

    # ---- faults ----

    def fault(self, op: Op, client: Client) -> bool:
        """Do what goes wrong; False for an operation that is none of this."""
        what, name = op.what, SERVICES[op.a & 1]
        root = client.roots.get(name)
        if what == "refuse":
            self.refusing = op.b % 4
        elif what == "cut":
            client.bank.refill(-(op.a % 30))
        elif what == "crash-server":
            self.servers[name].kill()
            self.start(name)
        elif what == "crash-client":
            if client.vat is not None:
                client.vat.kill()
                client.roots.clear()
                client.held.clear()
        elif what == "jump":
            self.clock.advance(op.a % 8 * UNIT)
        elif what == "garbage":
            self.garbage(op, client, name)
        elif what not in ("spurious", "again", "destroy", "corrupt"):
            return False
        elif root is None or root.session.end.released:
            return True
        elif what == "spurious":
            for end in (root.session.end, root.session.end.peer):
                if not end.released:
                    end.process.notification.signal(end.handle & 0xFFFF_FFFF)
                    end.process.notification.wake()
        elif what == "again":
            for _ in range(1 + op.b % 3):
                self.kernel.signal(root.session.end)
        elif what == "destroy":
            self.leaving.append(spawn(_destroy(root.session.end.channel.bank)))
        else:
            self.spoiled |= {root.session.end, root.session.end.peer}
            lane = root.session.end.channel.forward
            at = 8 * (1 + lane.slots) + 8 * (op.b & 1)
            lane.memory[at : at + 8] = (op.a << 20 | 5).to_bytes(8, "little")
            self.kernel.signal(root.session.end)
        return True

    def garbage(self, op: Op, client: Client, name: str) -> None:
        """A peer that writes what it likes, and leaves."""
        bank = client.bank.child(f"garbage {len(client.banks)}", pages=1000)
        client.banks.append(bank)
        process = self.kernel.process("garbage")
        end = self.kernel.connect(process, name, bank, slots=2, ring=1024, cell=1024)
        self.spoiled.add(end.peer)
        body = bytes((op.a * i + op.b) & 255 for i in range(40))
        end.out().writer.write((44).to_bytes(4, "little") + bytes([op.b % 11]) + body[1:])
        end.out().writer.publish()
        self.kernel.signal(end)
        self.leaving.append(spawn(_close_later(self.kernel, end)))

    def refuse(self, pages: int, caps: int, bank: Bank) -> None:
        """Count one allocation; raises OutOfPages for the one that is to be refused."""
        if self.refusing >= 0 and (pages or caps):
            self.refusing -= 1
            if self.refusing < 0:
                self.met("refused")
                error = OutOfPages(f"bank {bank.name!r} refuses this one")
                error.bank, error.short = bank.name, 1
                raise error

    # ---- what has to hold ----

    def audit(self) -> None:
        if self.book.broken is not None:
            raise self.book.broken
        audit_banks(self.kernel.root)
        for vat in self.servers.values():
            for session in vat._sessions.values():
                self.audit_session(session)
        for client in self.clients:
            for held in client.roots.values():
                self.audit_session(held.session)
                last = held.session.questions._last
                if last < held.last:
                    raise Broken("no live id reused", f"{last} comes after {held.last}")
                held.last = last

    def audit_session(self, session: Session) -> None:
        audit_session(session)
        if isinstance(session.error, ProtocolError) and session.end not in self.spoiled:
            raise Broken("honest sides keep to the protocol", f"{session.name}: {session.error}")

    async def released(self) -> None:
        """Nobody holds anything any more: servers keep their roots and nothing else."""
        for client in self.clients:
            client.held.clear()
        gc.collect(0)
        await sleep(20 * UNIT)
        for client in self.clients:
            for name, held in client.roots.items():
                session = self.servers[name]._sessions.get(held.session.end.peer)
                if session is None or session.error is not None:
                    continue
                if len(session.peer.exports) > 1:
                    kept = len(session.peer.exports)
                    raise Broken("what is released goes", f"{session.name} keeps {kept} objects")

    async def settle(self) -> None:
        """The faults stop: everything ends, everybody is served, and every bank is whole."""
        self.note("the faults stop")
        self.refusing = -1
        for client in self.clients:
            client.bank.refill(1000, 1000)
        try:
            with timeout(PATIENCE):
                for client in self.clients:
                    for tag, one in client.tasks:
                        await self.over(tag, one)
                    client.tasks.clear()
                await self.released()
                for client in self.clients:
                    for name in SERVICES:
                        await self.serve_once(client, name)
                    for name in SERVICES:
                        self.leave(client, name)
                for task in self.leaving:
                    await task
                await sleep(UNIT)
                self.leaving.clear()
                gc.collect(0)
                await sleep(10 * UNIT)
        except TimeoutError:
            raise Broken("everything ends", f"open: {sorted(self.open)[:5]}") from None
        self.audit()
        self.whole()

    async def serve_once(self, client: Client, name: str) -> None:
        self.leave(client, name)
        tag = self.tag(client)
        value = await self.root(client, name).proxy.read(tag, 20, 0, False)
        if value != value_of(tag, 20):
            raise Broken("a value is its caller's", f"call {tag} got {value!r}")

    def whole(self) -> None:
        """The end: nothing open, nothing kept, all in order."""
        if self.open:
            raise Broken("each call ends once", f"{sorted(self.open)} never ended")
        place = {tag: (o, i) for o, tags in self.book.order.items() for i, tag in enumerate(tags)}
        for sent in self.sent:
            arrived = [place[tag] for tag in sent if tag in place]
            if arrived != sorted(arrived) or len({which for which, _ in arrived}) > 1:
                raise Broken("E-order", f"sent {sent}, arrived {arrived}")
        for vat in self.servers.values():
            if vat.sessions:
                raise Broken("everything ends", f"{vat.process} keeps {vat.sessions}")
        for client in self.clients:
            for bank in client.banks:
                try:
                    bank.close()
                except ValueError as error:
                    raise Broken("banks are whole", str(error)) from None
            if client.bank.pages_used or client.bank.caps_used:
                raise Broken("banks are whole", repr(client.bank))


async def _destroy(bank: Bank) -> None:
    await destroy(bank)


async def _close_later(kernel: SimKernel, end: Any) -> None:
    await sleep(3 * UNIT)
    kernel.close(end)


def simulate(plan: Plan, *, instruments: Iterable[Instrument] = ()) -> Outcome:
    """Carry a plan out; what came of it. Raises nothing that the plan brings about."""
    clock = VirtualClock()
    world = Run(plan, clock)
    outcome = world.outcome
    payable = Bank._require_payable

    def require(bank: Bank, pages: int, caps: int, why: str) -> None:
        payable(bank, pages, caps, why)
        world.refuse(pages, caps, bank)

    budget = vars(vats)["BUDGET"]
    setattr(Bank, "_require_payable", require)  # noqa: B010
    setattr(vats, "BUDGET", plan.budget)  # noqa: B010
    logger = logging.getLogger("pinfut")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    gc.disable()
    try:
        run_executor(world.main(), clock=clock, instruments=instruments)
    except Broken as broken:
        outcome.failure, outcome.text = broken.name, str(broken)
    except Exception as error:
        outcome.failure = f"no {type(error).__name__}"
        outcome.text = f"{type(error).__name__}: {error}"
    finally:
        gc.enable()
        logger.setLevel(level)
        setattr(vats, "BUDGET", budget)  # noqa: B010
        setattr(Bank, "_require_payable", payable)  # noqa: B010
    if outcome.failure is not None:
        outcome.history.append(f"BROKEN {outcome.text}")
    outcome.digest = hashlib.blake2b("\n".join(outcome.history).encode(), digest_size=8).hexdigest()
    return outcome
