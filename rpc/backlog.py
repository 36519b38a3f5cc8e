"""Backlog: the calls of one side that found no slot, each paid for while it waits."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, final

from pinfut.executor.task import INTERNAL
from pinfut.rpc.errors import RpcError
from pinfut.rpc.interface import Method
from pinfut.rpc.kernel import prices
from pinfut.rpc.local import later, settle
from pinfut.rpc.promise import EMBARGOED, OWN, PROMISED, UNSENT, Promise, Target, Unsent
from pinfut.rpc.protocol import frames
from pinfut.rpc.protocol.frames import Cap
from pinfut.rpc.proxy import proxy

if TYPE_CHECKING:
    from pinfut.rpc.session import Session


@final
class Backlog:
    """Sends what waits in the order in which it was called, as slots become free."""

    __slots__ = ("_session", "calls")

    def __init__(self, session: Session) -> None:
        self._session = session
        # Invariant: calls that found no slot, oldest first, each charged; while there are
        # any, every other call goes behind them.
        self.calls: deque[Unsent] = deque()

    def wait(
        self,
        holder: Any,
        target: Target,
        method: Method,
        args: tuple[Any, ...],
        room: int,
        place: int,
        things: list[Any],
        caps: tuple[Cap, ...],
        payload: bytes,
        kind: int,
    ) -> Any:
        """Keep a call until a slot is free. It is paid for like everything that waits."""
        session = self._session

        def build(x: int) -> bytes:
            # By then the target may have been sent, or have come.
            target.require_usable()
            flags = frames.PIPELINE if method.returns is not None else 0
            if target.state == PROMISED:
                flags |= frames.ON_ANSWER
                session.returns.ride(x, target)
            now = session.capabilities.describe_again(things, caps) if caps else caps
            session.returns.remember(x, method, now)
            return session.peer.call(
                x, flags, method.number, target.id, room, place, now, payload, kind
            )

        charge = prices.UNSENT + len(payload) + prices.QUEUED_CAP * len(caps)
        session.end.purse.take(charge, "a call that waits for a slot")
        settles: Target | None = None
        if method.returns is not None:
            settles = Target(session, method.returns, UNSENT)
            settles.parent = holder, args
        unsent = Unsent(build, (holder, target, method, args), caps, place, charge, settles)
        self.calls.append(unsent)
        session.flowing = False
        if settles is None:
            return Promise(session, unsent, method, (holder, args))
        settles.unsent = unsent
        return proxy(settles)

    def send(self) -> None:
        """Send calls that waited for a slot, in the order in which they were made."""
        session = self._session
        while self.calls and not session.questions.full:
            unsent = self.calls.popleft()
            session.end.purse.give(unsent.charge)
            if unsent.place < 0:
                continue  # given up meanwhile
            if unsent.call[1].state in (OWN, EMBARGOED):
                self._call_own(unsent)
                continue
            slot = session.questions.acquire()
            try:
                frame = unsent.build(slot.x)
                session.write(frame, prices.UNWRITTEN + len(frame))
            except RpcError as error:
                session.questions.release(slot)
                session.returns.forget(slot.x)
                session.open_lane().cells.release(unsent.place)
                session.capabilities.take_back(unsent.caps)
                unsent.fail(error)
                continue
            session.places[slot.index] = unsent.place
            session.watch(slot.x, "sent")
            slot.waker = unsent.waker
            unsent.slot = slot
            settles = unsent.settles
            if settles is not None:
                session.returns.settles[slot.x] = settles
                settles.state = PROMISED
                settles.id = slot.x
                settles.unsent = None
        session.flow()

    def _call_own(self, unsent: Unsent) -> None:
        """A call that waited is for what has turned out to be an object of this side."""
        session = self._session
        session.open_lane().cells.release(unsent.place)
        session.capabilities.take_back(unsent.caps)
        holder, _, method, args = unsent.call
        task = session.executor.spawn(later(holder, method, args))
        if unsent.settles is not None:
            session.executor.spawn(settle(unsent.settles, task), owner=INTERNAL)
        unsent.here(task)

    def close(self, error: RpcError) -> None:
        """The session has ended: refund what waits, and fail it."""
        for unsent in self.calls:
            self._session.end.purse.give(unsent.charge)
            if unsent.place >= 0:
                unsent.fail(error)
        self.calls.clear()

    def die(self, error: RpcError) -> None:
        """This process has died, and the kernel has taken what was charged."""
        for unsent in self.calls:
            unsent.fail(error)
        self.calls.clear()
