"""Gone: being told when a client, or its hold on an object, is there no more.

As leases and presence need it::

    @method
    async def sit(self) -> Seat:
        seat = SeatServer()
        current_executor().spawn(self.free(seat, on_gone(seat)))  # there: await gone; ...
        return seat
"""

from __future__ import annotations

from typing import Any, final

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker
from pinfut.rpc import prices
from pinfut.rpc.objects.interface import Interface
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.session.charging import charge, keep
from pinfut.rpc.session.kept import ClientRef
from pinfut.rpc.session.serving import current_session, session_of
from pinfut.rpc.session.session import Session


@final
class Gone(FutureBase[None]):
    """Ready when a session has ended, or its hold on an object of this side. `on_gone` makes it."""

    __slots__ = ("_over", "_paid", "_session", "_thing", "_waker")

    def __init__(self, session: Session, thing: Any) -> None:
        self._session = session
        self._thing = thing
        self._waker: Waker | None = None
        self._over = session.closed
        self._paid: ClientRef[None] | None = None
        if self._over:
            return
        payer = session if session.end.serving else session.via
        if payer is not None:
            with charge(payer):
                self._paid = keep(None, prices.HANDLER - prices.KEPT)
        session.watch(self._tell)
        if thing is not None:
            session.peer.exports.watch(thing, self._tell)

    def poll(self, cx: Context, /) -> Poll[None]:
        if self._over:
            return None
        self._waker = cx.waker
        return PENDING

    def drop(self) -> None:
        if not self._over:
            self._over = True
            self._session.unwatch(self._tell)
            self._session.peer.exports.unwatch(self._thing, self._tell)
            if self._paid is not None:
                self._paid.drop()

    def _tell(self) -> None:
        self.drop()
        if self._waker is not None:
            self._waker.wake()


def on_gone(what: Session | Interface) -> Gone:
    """A future that is ready when a client, or a capability, is gone. `what`:

    - a session: until it has ended, whichever side did it and how;
    - a capability that the other side serves: until the session has that it came over;
    - an object of this side: until the client whose call is served here has let go of it, however
      it is handed out to that client, now or later, or could not pay for that, or its session has
      ended.

    The client pays for the wait as for a handler, `prices.HANDLER`, from now until it is over, so
    what waits may be a task of its own. Raises OutOfPages when it cannot, TypeError for a promise
    of this process, and RuntimeError for an object of this side outside of a handler."""
    if isinstance(what, Session):
        return Gone(what, None)
    if target_of(what) is not None:
        return Gone(session_of(what), None)
    return Gone(current_session(), what)
