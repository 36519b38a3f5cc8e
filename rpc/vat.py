"""Vat: a process that serves and calls, and the loop that looks at its ready sessions."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, final

from pinfut.closing import close_each
from pinfut.coroutine import yield_now
from pinfut.executor.contract import JoinHandle, Priority
from pinfut.executor.current import current_executor
from pinfut.executor.task import INTERNAL
from pinfut.rpc.errors import SessionClosed
from pinfut.rpc.interface import Interface, interface_of, resolve
from pinfut.rpc.kernel.bank import Balance, Bank
from pinfut.rpc.kernel.channel import End, least_quota, pages_of
from pinfut.rpc.kernel.events import EventBuffer
from pinfut.rpc.kernel.handle import Handle, bank_of
from pinfut.rpc.kernel.sim import Port, Process, SimKernel
from pinfut.rpc.proxy import target_of
from pinfut.rpc.session import Session
from pinfut.rpc.turns import BUDGET, QUANTUM, TURN, Turns, level_of

I = TypeVar("I", bound=Interface)  # noqa: E741

QUOTA_CAPS: Final = 64
"""Capabilities in a session's quota unless it says otherwise."""


@final
class Vat:
    """A process of a kernel with its sessions; needs a running executor."""

    def __init__(self, kernel: SimKernel, name: str) -> None:
        self.kernel = kernel
        self.process: Process = kernel.process(name)
        self._executor = current_executor()
        self._sessions: dict[End, Session] = {}
        self._roots: dict[Port, Interface] = {}
        self._turns: Turns[End] = Turns()
        # Calls that are handled in one look at a session.
        self.budget = BUDGET
        # How often a session was looked at, for whoever wants to see what the idle ones cost.
        self.looks = 0
        self._task: JoinHandle[None] = self._executor.spawn(
            self._run(), name=f"vat {name}", owner=INTERNAL
        )

    @property
    def sessions(self) -> list[Session]:
        """The sessions that are open, oldest first."""
        return list(self._sessions.values())

    def listen(
        self,
        name: str,
        root: Interface,
        safety: int | None = None,
        priority: Priority = "high",
    ) -> None:
        """Offer `root` under a name; `safety` and `priority` as of `serve`. Raises ValueError when
        the name is taken."""
        port = self.kernel.listen(self.process, name, safety, level_of(priority))
        self._roots[port] = root

    def connect(
        self,
        name: str,
        bank: Bank | Handle,
        slots: int,
        ring: int,
        cell: int,
        quota: Balance | None = None,
        priority: Priority = "normal",
        refund: int = 0,
        events: EventBuffer | None = None,
    ) -> Session:
        """Open a session to a service. Raises as `SimKernel.connect` does."""
        level = level_of(priority)
        if events is not None:
            events.require_unused()
        end = self.kernel.connect(
            self.process, name, bank, slots=slots, ring=ring, cell=cell, quota=quota, level=level
        )
        end.channel.refundable = refund
        if events is not None:
            self.kernel.attach(end, events)
        session = Session(self._executor, end, None, self._forget, self._enter)
        self._sessions[end] = session
        return session

    async def _run(self) -> None:
        """Dispatch until the vat is closed. An error in it is a crash of the process: the
        other sides are told, and the error is raised for whoever closes the vat."""
        try:
            await self._dispatch()
        except CancelledError:
            raise
        except BaseException:
            self.kill()
            raise

    async def _dispatch(self) -> None:
        """Wait for notifications; look at each ready session for a bounded time, and at no
        more than `TURN` before other tasks run. What is signalled meanwhile is sorted in before
        the next look."""
        notification = self.process.notification
        turns = self._turns
        thing: object = None
        end: End | None = None
        while True:
            # Who was looked at last may have gone: its memory is not kept here.
            thing = end = None
            badges = await notification.wait()
            if len(badges) == 1:
                # One session alone, which is what most wakes are: no turns to take.
                thing = self.process.at(badges[0])
                if type(thing) is End and not self._look(thing):
                    continue
            self._sort(badges)
            while True:
                # As many looks as there are ready sessions: none has two while others wait.
                end = None
                for _ in range(min(len(turns), TURN)):
                    if end is not None:
                        turns.put(end, end.level)
                    end = turns.pick()
                    if not self._look(end):
                        end = None
                    if notification.ready:
                        self._sort(notification.take())
                if end is None and not turns:
                    break
                await yield_now()
                # Who comes now goes before who has just had a look and wants another.
                if notification.ready:
                    self._sort(notification.take())
                if end is not None:
                    turns.put(end, end.level)

    def _sort(self, badges: list[int]) -> None:
        """Put what is ready where its turn will come. New sessions are let in at once."""
        process = self.process
        for badge in badges:
            thing = process.at(badge)
            if isinstance(thing, End):
                self._turns.put(thing, thing.level)
            elif isinstance(thing, Port):
                self._accept(thing)

    def _look(self, end: End) -> bool:
        """Have one session's messages handled; whether it has more."""
        self.looks += 1
        session = self._sessions.get(end)
        if session is None:
            if end.via is not None and end.closed:
                end.close()  # taken back before it was used
            return False
        return session.drain(self.budget, QUANTUM)

    def _enter(self, guest: Session) -> None:
        """A session that a client introduced: look what is there already."""
        self._sessions[guest.end] = guest
        self.process.notification.signal(guest.end.handle & 0xFFFF_FFFF)
        self.process.notification.wake()

    def _forget(self, end: End) -> None:
        self._sessions.pop(end, None)

    def _accept(self, port: Port) -> None:
        waiting, port.waiting = port.waiting, []
        for end in waiting:
            root = self._roots[port]
            session = Session(self._executor, end, root, self._forget, self._enter)
            self._sessions[end] = session
            self._turns.put(end, end.level)

    async def close(self, why: str = "closed") -> None:
        """End every session, wait until their handlers have ended, and stop."""
        for port in list(self._roots):
            self.kernel.unlisten(port)
        self._roots.clear()
        sessions = self.sessions
        try:
            close_each(partial(_close, session, why) for session in sessions)
            for session in sessions:
                await session.wait_released()
        finally:
            self._task.cancel()
        try:
            await self._task
        except CancelledError:
            if not self._task.done:
                raise  # it is whoever closes that is cancelled

    def kill(self) -> None:
        """Die in the midst of everything, as a crashed process does. Idempotent."""
        if not self.process.alive:
            return
        self._roots.clear()
        self.kernel.kill(self.process)
        close_each([*[session.die for session in self.sessions], self._task.cancel])


def _close(session: Session, why: str = "closed") -> None:
    session.close(SessionClosed(f"session {session.name} was {why} by this side"))


@final
class Serving:
    """``async with serve(...) as server:`` offers a service until the block ends."""

    def __init__(
        self,
        kernel: SimKernel,
        name: str,
        root: Interface,
        safety: int | None,
        priority: Priority,
    ) -> None:
        level_of(priority)
        interface_of(root)
        if target_of(root) is not None:
            raise TypeError(f"{root!r} is served elsewhere already; serve an object of your own")
        resolve(type(root))
        self._kernel = kernel
        self._name = name
        self._root = root
        self._safety = safety
        self._priority: Priority = priority

    async def __aenter__(self) -> Vat:
        self._vat = Vat(self._kernel, self._name)
        self._vat.listen(self._name, self._root, self._safety, self._priority)
        return self._vat

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._vat.close()


@final
class Connecting(Generic[I]):
    """``async with connect(...) as root:`` has a session until the block ends."""

    def __init__(
        self,
        kernel: SimKernel,
        name: str,
        interface: Callable[..., I],
        bank: Bank | Handle,
        slots: int,
        ring: int,
        cell: int,
        vat: Vat | None,
        quota: Balance | None,
        priority: Priority,
        refund: int,
        events: EventBuffer | None,
    ) -> None:
        self._kernel = kernel
        self._name = name
        self._interface: Any = interface
        self._bank = bank
        self._sizes = slots, ring, cell, quota, priority, refund, events
        self._vat = vat
        self._own: Vat | None = None

    async def __aenter__(self) -> I:
        vat = self._vat
        if vat is None:
            vat = self._own = Vat(self._kernel, bank_of(self._kernel.root, self._bank).name)
        try:
            self._session = vat.connect(self._name, self._bank, *self._sizes)
            root: I = await self._session.bootstrap(self._interface)
        except BaseException:
            await self._leave()
            raise
        return root

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
    kernel: SimKernel,
    name: str,
    root: Interface,
    *,
    safety: int | None = None,
    priority: Priority = "high",
) -> Serving:
    """Offer `root` as the service `name`: ``async with serve(kernel, "echo", Echo()):``.

    `safety`: how many pages of one session the server has memory to keep locked while it works;
    a session that takes more is refused with SafetyExceeded. None: as many as its client pays.

    `priority`: the highest that a client has here; one that asks for more is looked at as one of
    these, and pays nothing for the difference.

    The block yields the serving `Vat`. When it ends, sessions are closed and handlers
    cancelled. Raises TypeError for what is no implementation of an interface, and
    ValueError for a name that is taken or a priority that is none.
    """
    return Serving(kernel, name, root, safety, priority)


def connect(
    kernel: SimKernel,
    name: str,
    interface: Callable[..., I],
    bank: Bank | Handle,
    *,
    slots: int = 64,
    ring: int | None = None,
    cell: int = 1024,
    vat: Vat | None = None,
    quota: int | Balance | None = None,
    priority: Priority = "normal",
    refund: int = 0,
    events: EventBuffer | None = None,
) -> Connecting[I]:
    """A session with the service `name`: ``async with connect(k, "echo", Echo, bank) as e:``.

    The block yields the service's root object. `bank` pays for everything that the session
    holds, and has it back when the block ends. `slots`: how many calls may be open at once;
    more wait. `ring`: bytes for messages on their way, a power of two, 16 KiB or more by
    default. `cell`: bytes of a small answer's memory, a divisor of 4,096. `vat`: the process
    that calls; by default one of its own. `quota`: pages (or pages and capabilities) that the
    session has for itself: bought at once, never spent elsewhere, and back at the end. Without
    one it draws on `bank` as it goes. `priority`: before which other sessions of both processes
    this one is looked at; the service may give less on its side. `refund`: pages that the
    server may have bought on the client's behalf and have `bank` pay for, at most
    (`Session.advance`). `events`: memory for what happens there, handed over to the service;
    without it there are no events.

    Raises UnknownService, InterfaceMismatch, NotABank, SafetyExceeded, DonationTooSmall,
    PayerExhausted, OutOfPages, OutOfCaps and ValueError; then nothing is held.
    """
    if type(quota) is int:
        quota = Balance(quota, QUOTA_CAPS)
    assert not isinstance(quota, int)
    level_of(priority)
    if type(refund) is not int or refund < 0:
        raise ValueError(f"refund is 0 pages or more, not {refund!r}")
    ring = ring or _ring_for(slots)
    return Connecting(
        kernel, name, interface, bank, slots, ring, cell, vat, quota, priority, refund, events
    )


def session_pages(*, slots: int = 64, ring: int | None = None, donated: bool = False) -> int:
    """How many pages a session of these sizes takes before its first call. `donated`: of one
    with a quota, whose least this is.

    Raises ValueError for sizes that make no sense.
    """
    if donated:
        return least_quota(slots, ring or _ring_for(slots)).pages
    return pages_of(slots, ring or _ring_for(slots))


def _ring_for(slots: int) -> int:
    """Room for a short message in every slot, and for one or two long ones."""
    return max(16_384, 1 << (max(slots, 1) * 64 - 1).bit_length())


def session_of(capability: Interface) -> Session:
    """The session that a capability came over. Raises TypeError for an own object."""
    target = target_of(capability)
    if target is None or not isinstance(target.session, Session):
        raise TypeError(f"{capability!r} did not come over a session")
    return target.session
