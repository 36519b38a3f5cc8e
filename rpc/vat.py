"""Vat: a process that serves and calls, and the loop that looks at its ready sessions."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, TypeVar, final

from pinfut.closing import close_each, tell
from pinfut.coroutine import yield_now
from pinfut.executor.contract import JoinHandle, Priority
from pinfut.executor.current import current_executor
from pinfut.executor.task import INTERNAL
from pinfut.laws import checked_by_default
from pinfut.rpc import contract
from pinfut.rpc.contract import (
    Balance,
    BankLike,
    Endpoint,
    Kernel,
    Port,
    Process,
    ServiceSpec,
    SessionSpec,
)
from pinfut.rpc.errors import SessionClosed
from pinfut.rpc.kernel.memory_mode import tell_prices
from pinfut.rpc.kernel.sizes import first_pages, least_quota
from pinfut.rpc.memory.event_buffer import EventBuffer
from pinfut.rpc.memory.receive import ReceivePool
from pinfut.rpc.objects.interface import Interface, is_capability, longest, resolve
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.session.fairness import BUDGET, QUANTUM, TURN, FairQueue, level_of
from pinfut.rpc.session.purse import Purse, tell_leaks
from pinfut.rpc.session.sending import Outbox
from pinfut.rpc.session.session import Session
from pinfut.rpc.wire.export_table import ExportTable
from pinfut.tables import tidied

I = TypeVar("I", bound=Interface)  # noqa: E741

_log = logging.getLogger("pinfut.rpc")

LEAST: Final = 256
"""Bytes of a message that every service takes."""

HAND_OVER: Final = 3
"""Turns from the moment when an answer is visible until its caller has run."""

QUOTA_CAPS: Final = 64
"""Capabilities in a session's quota unless it says otherwise."""


@final
class Vat:
    """A process of a kernel with its sessions; needs a running executor."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel = kernel
        self.process: Process = kernel.process(name)
        self._executor = current_executor()
        self._sessions: dict[Endpoint, Session] = {}
        # By `Endpoint.client`: the table of each that has sessions here.
        self._tables: dict[object, ExportTable] = {}
        # What is served at each port, and how long its handlers may take to stop.
        self._roots: dict[Port, tuple[Interface, float]] = {}
        self._queue: FairQueue[Endpoint] = FairQueue()
        self._outbox = Outbox(self._executor)  # what is answered and not visible yet
        self.budget = BUDGET  # messages of one session that are handled at one service
        # Whether it was closed or killed: nobody would look at a new session.
        self._closed = False
        self.serviced = 0  # how often a session was serviced, to see what the idle ones cost
        self._task: JoinHandle[None] = self._executor.spawn(
            self._run(), name=f"vat {name}", owner=INTERNAL
        )

    @property
    def sessions(self) -> list[Session]:
        """The sessions that are open, oldest first."""
        return list(self._sessions.values())

    def listen(self, name: str, root: Interface, spec: ServiceSpec | None = None) -> None:
        """Offer `root` under a name. Raises ValueError when the name is taken, and SessionClosed
        for a vat that was closed or has died."""
        self._require_open()
        spec = spec or ServiceSpec()
        port = self.kernel.listen(self.process, name, spec)
        self._roots[port] = root, spec.grace

    def connect(
        self,
        name: str,
        bank: BankLike,
        spec: SessionSpec | None = None,
    ) -> Session:
        """Open a session to a service. Raises as `contract.Kernel.connect` does, and SessionClosed
        for a vat that was closed or has died."""
        self._require_open()
        spec = spec or SessionSpec()
        end = self.kernel.connect(self.process, name, bank, spec)
        session = Session(
            self._executor, end, None, self._forget, self._enter, self._outbox, events=spec.events
        )
        self._sessions[end] = session
        return session

    def _require_open(self) -> None:
        if self._closed:
            raise SessionClosed(
                f"vat {self.process.name!r} was closed or has died; make another one"
            )

    async def _run(self) -> None:
        """Dispatch until the vat is closed. An error in it is a crash of the process: the
        other sides are told, and the error is raised where the vat is closed."""
        try:
            await self._dispatch()
        except GeneratorExit:
            raise
        except BaseException as error:
            if not (self._task.cancels and issubclass(type(error), CancelledError)):
                tell(_log.error, error, "the dispatcher of %r failed, and ends it", self.process)
                self.kill()
            raise

    async def _dispatch(self) -> None:
        """Wait for signals; service each ready session for a bounded time, and no more than `TURN`
        before other tasks run. What is signalled meanwhile is sorted in before the next service."""
        process, queue = self.process, self._queue
        end: Endpoint | None = None
        while True:
            # Who was serviced last may have gone: its memory is not kept here.
            end = None
            badges = await process.wait()
            if len(badges) == 1:
                # One session alone, which is what most wakes are: no queue to stand in.
                session = self._sessions.get(process.at(badges[0]))  # type: ignore[arg-type]
                if session is not None:
                    self.serviced += 1
                    if self._outbox.mixed and self._outbox.flush(session.end.level):
                        await self._hand_over()
                    if session.purse is None:
                        more = session.service(self.budget, QUANTUM)
                    else:
                        more = self._look_at(session, session.purse)
                    session = None
                    if not more:
                        continue
            self._sort(badges)
            badges.clear()
            while True:
                # As many services as there are ready sessions: none has two while others wait.
                end = None
                for _ in range(min(len(queue), TURN)):
                    if end is not None:
                        queue.put(end, end.level)
                    end = queue.pick()
                    if self._outbox.mixed and self._outbox.flush(end.level):
                        await self._hand_over()
                    if not self._service(end):
                        end = None
                    if process.ready:
                        self._sort(process.take())
                if end is None and not queue:
                    break
                await yield_now()
                # Who comes now goes before who has just been serviced and wants more.
                if process.ready:
                    self._sort(process.take())
                if end is not None:
                    queue.put(end, end.level)

    async def _hand_over(self) -> None:
        """Let those go on who have just been answered, before what is less urgent is serviced.
        Where client and server are one executor's: the signal is delivered, the other side's
        dispatcher reads, the caller runs."""
        for _ in range(HAND_OVER):
            await yield_now()

    def _sort(self, badges: list[int]) -> None:
        """Put what is ready where its turn will come. New sessions are let in at once."""
        for badge in badges:
            thing: Any = self.process.at(badge)
            if thing in self._roots:
                self._accept(thing)
            elif thing is not None:
                self._queue.put(thing, thing.level)

    def _service(self, end: Endpoint) -> bool:
        """Have one session's messages handled; whether it has more."""
        self.serviced += 1
        session = self._sessions.get(end)
        if session is None:
            if end.via is not None and end.ending is not None:
                end.close()  # taken back before it was used
            return False
        if session.purse is None:
            return session.service(self.budget, QUANTUM)
        return self._look_at(session, session.purse)

    def _look_at(self, session: Session, purse: Purse) -> bool:
        """Service a session on its client's account; whether it has more."""
        more = purse.payer.soft_call(session.service, self.budget, QUANTUM)
        if not purse.settle():
            session.settle(purse)
        return more

    def _enter(self, guest: Session) -> None:
        """A session that a client introduced: look what is there already."""
        self._sessions[guest.end] = guest
        self.process.nudge(guest.end.handle & 0xFFFF_FFFF)

    def _forget(self, end: Endpoint) -> None:
        # What its calls and it itself have made large is paid no more.
        self._sessions.pop(end, None)
        self._sessions = tidied(self._sessions)
        table = self._tables.get(end.client)
        if table is not None and not table.payers:
            del self._tables[end.client]
            self._tables = tidied(self._tables)
        self._queue.tidy()
        self._executor.tidy()

    def _accept(self, port: Port) -> None:
        root, grace = self._roots[port]
        for end in port.accept():
            purse = Purse(end) if self.kernel.memory == "arenas" else None
            table = self._tables.setdefault(end.client, ExportTable())
            make = partial(
                Session, self._executor, end, root, self._forget, self._enter, self._outbox,
                grace=grace, purse=purse, table=table,
            )  # fmt: skip
            session = make() if purse is None else purse.payer.soft_call(make)
            self._sessions[end] = session
            if purse is not None:
                purse.opened()
                session.settle(purse)
            self._queue.put(end, end.level)

    async def close(self) -> None:
        """End every session, wait until their handlers have ended, and stop."""
        self._closed = True
        for port in list(self._roots):
            self.kernel.unlisten(port)
        self._roots.clear()
        sessions = self.sessions
        try:
            close_each(partial(_close, session) for session in sessions)
            for session in sessions:
                await session.wait_released()
        finally:
            self._task.cancel()
        try:
            await self._task
        except CancelledError:
            if not self._task.done:
                raise  # the one who closes is cancelled

    def kill(self) -> None:
        """Die at once, whatever is under way, as a crashed process does. Idempotent."""
        if not self.process.alive:
            return
        self._closed = True
        self._roots.clear()
        self.kernel.kill(self.process)
        close_each([*[session.die for session in self.sessions], self._task.cancel])


def _close(session: Session) -> None:
    session.close(SessionClosed(f"session {session.name} was closed by this side"))


@final
class Serving:
    """``async with serve(...) as server:`` offers a service until the block ends."""

    def __init__(self, kernel: Kernel, name: str, root: Interface, spec: ServiceSpec) -> None:
        if not is_capability(root):
            raise TypeError(f"{root!r} is no capability; its class has to implement an Interface")
        if target_of(root) is not None:
            raise TypeError(f"{root!r} is served elsewhere already; serve an object of your own")
        resolve(type(root))
        self._kernel = kernel
        self._name = name
        self._root = root
        self._spec = spec

    async def __aenter__(self) -> Vat:
        if self._kernel.memory == "prices":
            tell_prices()
        self._vat = Vat(self._kernel, self._name)
        try:
            self._vat.listen(self._name, self._root, self._spec)
        except BaseException:
            self._vat.kill()
            raise
        return self._vat

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is GeneratorExit:
            self._vat.kill()  # nothing can be awaited
            return
        await self._vat.close()
        if self._kernel.memory == "arenas" and checked_by_default():
            tell_leaks(self._name)


@final
class Connecting(Generic[I]):
    """``async with connect(...) as root:`` has a session until the block ends."""

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        interface: Callable[..., I],
        bank: BankLike,
        spec: SessionSpec,
        vat: Vat | None,
    ) -> None:
        self._kernel = kernel
        self._name = name
        self._interface: Any = interface
        self._bank = bank
        self._spec = spec
        self._vat = vat
        self._own: Vat | None = None

    async def __aenter__(self) -> I:
        vat = self._vat
        if vat is None:
            vat = self._own = Vat(self._kernel, self._kernel.name_of(self._bank))
        try:
            self._session = vat.connect(self._name, self._bank, self._spec)
            root: I = await self._session.bootstrap(self._interface)
        except BaseException:
            await self._leave()
            raise
        return root

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        await self._leave()

    async def _leave(self) -> None:
        session: Session | None = getattr(self, "_session", None)
        own = self._own
        try:
            if session is not None:
                _close(session)
                await session.wait_closed()
        except GeneratorExit:
            own = None  # nothing can be awaited
            raise
        finally:
            if own is not None:
                await own.close()


def serve(
    kernel: Kernel,
    name: str,
    root: Interface,
    *,
    safety: int | None = None,
    priority: Priority = "high",
    max_message: int | None = None,
    max_sessions: int = contract.SESSIONS,
    max_slots: int = contract.SLOTS,
    grace: float = contract.GRACE,
    backlog: int | None = None,
    payer: BankLike | None = None,
) -> Serving:
    """Offer `root` as the service `name`: ``async with serve(kernel, "echo", Echo()):``.

    `safety`: how many pages of one session the server has memory to keep locked while it works;
    a session that takes more is refused with SafetyExceeded. None: as many as its client pays.

    `priority`: the highest that a client has here; one that asks for more is looked at as one of
    these, and pays nothing for the difference.

    What the server can bear, beside what its clients pay: `max_message`, bytes of the longest
    message, above which a call is MessageTooLarge at its caller, and a client that sends it all
    the same has broken the protocol (None: as long as `method(touch=)` allows in all interfaces of
    `root`, or 1 MiB where one does not say); `max_sessions` at once, and `max_slots` of one, above
    which connecting raises SafetyExceeded. `grace`: seconds after which a handler that was asked to
    stop is ended where it stands.

    `backlog`: how many sessions may wait to be let in, each in a place that `payer`, a bank of the
    server's, has bought when the block begins; one more is SafetyExceeded, and costs nobody
    anything. None: as many as their clients pay.

    The block yields the serving `Vat`. When it ends, sessions are closed and handlers
    cancelled. Raises TypeError for what is no implementation of an interface, and
    ValueError for a name that is taken, a priority that is none, a limit below 1 (of a message
    below 256 bytes), or a backlog without a payer; entering it OutOfPages, NotABank and BankDead.

    Logs once that memory is paid by prices, where the kernel's is; in checked mode, on arenas, at
    its end what sessions have left in the process."""
    if max_message is None:
        said = longest(type(root)) if is_capability(root) else None
        max_message = contract.MESSAGE if said is None else max(LEAST, said)
    for what, limit, least in (
        ("max_message", max_message, LEAST),
        ("max_sessions", max_sessions, 1),
        ("max_slots", max_slots, 1),
        ("backlog", 1 if backlog is None else backlog, 1),
    ):
        if type(limit) is not int or limit < least:
            raise ValueError(f"{what} is a number of {least} or more, not {limit!r}")
    if not grace > 0:
        raise ValueError(f"grace is a time above 0 s, not {grace!r}")
    if (backlog is None) != (payer is None):
        raise ValueError("a backlog is bought: name how many places (backlog=), and who pays them")
    level = level_of(priority)
    spec = ServiceSpec(safety, level, max_message, max_sessions, max_slots, grace, backlog, payer)
    return Serving(kernel, name, root, spec)


def connect(
    kernel: Kernel,
    name: str,
    interface: Callable[..., I],
    bank: BankLike,
    *,
    slots: int = 64,
    ring: int | None = None,
    cell: int = 1024,
    vat: Vat | None = None,
    quota: int | Balance | None = None,
    priority: Priority = "normal",
    refund: int = 0,
    events: EventBuffer | None = None,
    receive: ReceivePool | None = None,
) -> Connecting[I]:
    """A session with the service `name`: ``async with connect(k, "echo", Echo, bank) as e:``.

    The block yields the service's root object. `bank` pays for everything that the session holds,
    and has it back when the block ends. `slots`: how many calls may be open at once, at most; more
    wait. `ring`: bytes for messages on their way, at most, a power of two, 16 KiB or more by
    default. Both grow and shrink with what is in use, from what is bought when the session is
    opened. `cell`: bytes of a small answer's memory, a divisor of 4,096. `vat`: the process that
    calls; by default one of its own. `quota`: pages (or pages and capabilities) that the session
    has for itself: bought at once, never spent elsewhere, and back at the end. Without one it draws
    on `bank` as it goes. `priority`: before which other sessions of both processes this one is
    looked at; the service may give less on its side. `refund`: pages that the server may have
    bought on the client's behalf and have `bank` pay for, at most (`Session.prepay`). `events`:
    memory for what happens there, handed over to the service; without it there are no events.
    `receive`: buffers for packets that the service moves there (`Session.move`).

    Raises UnknownService, InterfaceMismatch, NotABank, SafetyExceeded, DonationTooSmall,
    PayerExhausted, OutOfPages, OutOfCaps and ValueError; then nothing is held."""
    if type(quota) is int:
        quota = Balance(quota, QUOTA_CAPS)
    assert not isinstance(quota, int)
    if type(refund) is not int or refund < 0:
        raise ValueError(f"refund is 0 pages or more, not {refund!r}")
    spec = SessionSpec(
        slots,
        ring or _ring_for(slots),
        cell,
        quota,
        level_of(priority),
        refund,
        events,
        receive=receive,
    )
    return Connecting(kernel, name, interface, bank, spec, vat)


def session_pages(*, slots: int = 64, ring: int | None = None, donated: bool = False) -> int:
    """How many pages a session of these sizes takes before its first call. `donated`: of one with a
    quota, whose least this is. Raises ValueError for sizes that make no sense."""
    spec = SessionSpec(slots, ring or _ring_for(slots))
    return least_quota(spec).pages if donated else first_pages(spec)


def _ring_for(slots: int) -> int:
    """Room for a short message in every slot, and for one or two long ones."""
    return max(16_384, 1 << (max(slots, 1) * 64 - 1).bit_length())
