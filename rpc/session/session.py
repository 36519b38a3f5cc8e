"""Session: one side of a conversation, from its opening until everything is given back.

Its two halves are `CallsOut`, which sends calls and takes answers in place, and `CallsIn`, which
runs handlers and pays for them from what the client brought. Both exist on both sides, since a
client may hand out objects of its own. The session begins and ends them, and looks for both at
what the other side has written::

    open ──close, the other side closes or dies──▶ closing ──handlers have ended──▶ released
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast, final
from weakref import WeakValueDictionary

from pinfut.executor.contract import Runner
from pinfut.future import FutureBase
from pinfut.payers import off_call
from pinfut.rpc import prices
from pinfut.rpc.contract import CALLS, GRACE, BankLike, Cap, Endpoint, EventSink, Requests
from pinfut.rpc.credit import Credit, read_credit
from pinfut.rpc.errors import PeerDied, ProtocolError, RpcError, SessionClosed
from pinfut.rpc.objects.interface import Interface
from pinfut.rpc.objects.promise import again
from pinfut.rpc.session.calls_in import CallsIn
from pinfut.rpc.session.calls_out import CallsOut
from pinfut.rpc.session.fairness import BUDGET, CAP_BYTES, CHUNK, RING
from pinfut.rpc.session.introduce import Provided, Way
from pinfut.rpc.session.kept import Kept
from pinfut.rpc.session.prepayment import Prepayment
from pinfut.rpc.session.purse import Purse
from pinfut.rpc.session.sending import Outbox
from pinfut.rpc.wire.export_table import ExportTable
from pinfut.rpc.wire.exports import Bushel
from pinfut.rpc.wire.peer import Peer
from pinfut.sync import OneshotSender, oneshot


@final
class Session:
    """One side of a session over `end`. `root`: what this side serves, if anything; `events`:
    the event buffer that this side has brought; `grace`: seconds that its handlers have to stop;
    `table`: under which numbers the client's other sessions have what was handed out."""

    __slots__ = (
        *("_calls_in", "_credit", "_dead", "_events", "_idle", "_kept", "_on_guest"),
        *("_on_released", "_outbox", "_provided", "_provided_count", "_released", "_requests"),
        *("_watching", "credit", "end", "executor", "guests", "name", "out", "peer", "purse"),
        *("round_trips", "subscriptions", "via", "ways"),
    )

    def __init__(
        self,
        executor: Runner,
        end: Endpoint,
        root: Interface | None,
        on_released: Callable[[Endpoint], None],
        on_guest: Callable[[Session], None],
        outbox: Outbox,
        via: Session | None = None,
        events: EventSink | None = None,
        grace: float = GRACE,
        purse: Purse | None = None,
        table: ExportTable | None = None,
    ) -> None:
        self.name = end.name
        self.end = end
        # On the serving side, by place: what the client subscribes to; each is kept for it.
        self.subscriptions: dict[int, Any] = {}
        # Bytes of the other side's messages that may be looked at besides the quantum of the
        # next service; below 0 while a message longer than that is paid off (`fairness`).
        self.credit = 0
        # How often this side was woken by answers.
        self.round_trips = 0
        self.executor = executor
        self._on_released = on_released
        self._on_guest = on_guest
        self._outbox = outbox
        self._events = events
        # The session that this one was introduced over, and which pays for what this side
        # of it holds; it ends with that one.
        self.via = via
        # Who buys the pages in which this side allocates; None on prices, and on a client's side.
        self.purse = purse
        # By handle: the sessions that were introduced over this one, and have not ended.
        self.guests: dict[int, Session] = {}
        # By the end of the other session: the ways that this client has paid for.
        self.ways: dict[Endpoint, Way] = {}
        # What is kept for the other side, each paid as an object of the session that it was
        # provided over, and there as long as it is held there.
        self._provided: WeakValueDictionary[int, Provided] | None = None
        self._provided_count = 0
        # The serving side charges what it holds to the client; a client pays for itself.
        payer = end.account if end.serving else via.end.account if via is not None else None
        exports = Bushel(payer, table, purse if via is None else None)
        self.peer = Peer(end.slots, payer, exports)
        self.out: CallsOut = CallsOut(
            end, executor, self.peer, self.close, self, None if via is None else via.out, outbox
        )
        self._calls_in = CallsIn(self, self.peer, self.out.capabilities, executor, root, grace)
        if payer is not None:
            self.out.returns.paid = self._calls_in.decode_answer
        self.peer.attach(self.out, self._calls_in)
        self.peer.beside = self
        self.peer.exports.on_released = end.take_back
        self.peer.on_resumed = self._resume
        # The other side's calls; on the client's side None until that makes room for any.
        self._requests: Requests | None = None
        if not end.serving:
            self.out.open()
        self._dead = False
        # Where what the client's bank has left stands, once this side has looked.
        self._credit: memoryview | None = None
        # What a service keeps for the client; made when it first does.
        self._kept: Kept | None = None
        self._idle = False  # whether all handlers have ended after the session has
        # What is called when it ends; made when somebody waits for that.
        self._watching: dict[Callable[[], None], None] | None = None
        self._released: tuple[OneshotSender[None], FutureBase[None]] = oneshot()
        if end.serving:
            self._find_requests()  # what it takes is of the price of a session

    @property
    def error(self) -> RpcError | None:
        """Why the session has ended, which is what its calls raise from then on; None before."""
        return self.out.error

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self.out.error is not None

    @property
    def things(self) -> int:
        """Things in arguments that were weighed here, in all: the work of decoding them."""
        return self._calls_in.things

    def bootstrap(self, interface: Any) -> Any:
        """A proxy of the other side's root object, which has to be of `interface`."""
        return self.out.bootstrap(interface)

    def left(self) -> Credit | None:
        """What the bank that pays had left a moment ago, read from a page without a call; None when
        that is being written all the time. Advice: only the bank decides. Raises ValueError on the
        serving side, SessionClosed, and OutOfPages or BankDead when the page cannot be bought,
        which is tried at the first look."""
        if self._credit is None or self.end.released:
            self._credit = self.end.credit()
        return read_credit(self._credit)

    def trim(self) -> None:
        """Give memory for large answers that is between two uses back to the bank, and slots and
        room for messages beyond the first, when they are free."""
        self.out.trim()

    def prepay(
        self, bank: BankLike, pages: int, why: str = "what a server made for it"
    ) -> Prepayment:
        """Buy pages from a bank of this side for the client of the session, to be refunded by it
        when asked (`Prepayment.refund`). Raises OutOfPages, and ValueError on the client's side."""
        if not self.end.serving:
            raise ValueError(f"session {self.name} is paid by this side; buy from its bank")
        return Prepayment(self.end, bank, pages, why)

    def move(self, packets: Sequence[Any], sizes: Sequence[int]) -> list[Any]:
        """Move packets of so many bytes, in regions of this side's, to the pool that the client has
        brought (`connect(receive=)`): all that find a buffer there change owner at once, and
        nothing is copied. The regions that this side has in place of the first of them. Raises
        ValueError where the client takes none; then nothing has changed."""
        return self.end.move(packets, sizes)

    def kept(self) -> Kept:
        """What is kept for the client of this session (`pinfut.rpc.session.charging`)."""
        if self._kept is None:
            self._kept = Kept(self.end.account, self.purse if self.via is None else None)
            self._kept.alive = self.error is None
        return self._kept

    # ---- introductions ----

    def guest(self, handle: int, /) -> Session:
        """The session that the client introduced this side to, under `handle` in this process.
        Raises UnknownObject for any other handle, and OutOfPages."""
        guest = self.guests.get(handle)
        if guest is None:
            end = self.end.guest(handle)
            self.end.account.take(_price_of_guest(end), "a session that was introduced")
            enter, leave = self._on_guest, self._on_released
            guest = Session(
                self.executor, end, None, leave, enter, self._outbox, via=self, purse=self.purse
            )
            self.guests[handle] = guest
            self._on_guest(guest)
        return guest

    def keep(self, provided: Provided, /) -> int:
        """Keep something for the other side to accept; the number of it."""
        if self._provided is None:
            self._provided = WeakValueDictionary()
        self._provided_count += 1
        self._provided[self._provided_count] = provided
        return self._provided_count

    def accept(self, number: int, /) -> Provided | None:
        return None if self._provided is None else self._provided.pop(number, None)

    # ---- capabilities beside the bytes ----

    def hand_over(self, caps: Sequence[Cap], place: int = CALLS, /) -> None:
        self.end.hand_over(caps, place)

    def take_over(self, count: int, place: int = CALLS, /) -> tuple[Cap, ...]:
        if place == CALLS:
            # They are looked at as the bytes of a message are.
            self.credit -= CAP_BYTES * count
        return self.end.take_over(count, place)

    # ---- being told ----

    def service(self, budget: int, quantum: int) -> bool:
        """Look at what the other side has written, at most `budget` calls of it and as many
        bytes as its credit allows, which is `quantum` more each time. True when more is left."""
        out = self.out
        if out.error is not None:
            return False
        end = self.end
        ending = end.ending
        if ending is not None:
            self.close(ending)
            return False
        try:
            if out.completed():
                self.round_trips += 1
            requests = self._requests
            if requests is None:
                requests = self._find_requests() if end.called else None
                if requests is None:
                    return False
            self.credit += quantum
            resumed = self.peer.resumed
            if resumed.waiting is not None:
                budget = self._resume(budget)
            while resumed.waiting is None:
                begin, credit = requests.consumed, self.credit
                frames = requests.receive(budget, credit if credit < CHUNK else CHUNK)
                if not frames and not (requests.more and credit > 0):
                    break
                out.touch()  # what was read is told the writer
                receive = self.peer.receive
                outside = self.executor.begin_inline()
                try:
                    for frame in (left := iter(frames)):
                        receive(frame)
                        if out.error is not None:
                            return False
                        if self.credit <= 0 or resumed.waiting is not None:
                            # What these have become has used it up, or others go first.
                            requests.put_back(list(left))
                finally:
                    self.executor.end_inline(outside)
                # Without frames it was a step to the next ring.
                self.credit -= requests.consumed - begin or RING
                budget -= len(frames)
                if not (budget and requests.more and self.credit > 0):
                    break
            if requests.more:
                return True
            if self.credit > 0:
                self.credit = 0
            return False
        except ProtocolError as error:
            self.close(error)
            return False

    def _resume(self, budget: int = BUDGET) -> int:
        """Start calls whose target has come, as many as a look takes; what is left of `budget`. The
        rest has the next look, before anything that came later."""
        peer = self.peer
        resumed = peer.resumed
        while resumed.waiting is not None and budget > 0 and self.credit >= 0:
            peer.resume()
            budget -= 1
        if resumed.waiting is not None:
            self.end.process.nudge(self.end.handle & 0xFFFF_FFFF)
        return budget

    def settle(self, purse: Purse) -> None:
        """Have what this side holds now paid for. What cannot be paid is given up, one handler
        after the other, the last that began first; until all is paid, no call begins."""
        if purse.settle():
            self._calls_in.refusal = None
        elif self.out.error is None:
            self._calls_in.give_up(cast(RpcError, again(purse.refusal)))

    def _find_requests(self) -> Requests | None:
        requests = self._requests = self.end.requests()
        if requests is not None:
            self.peer.complete = requests.complete
            requests.watch(self._resize)
            self.peer.resize(requests.slots)
            requests.most = self.peer.most
        return requests

    def _resize(self, slots: int) -> None:
        self.peer.resize(slots)
        self.out.touch()  # what was left is told the other side

    # ---- the end ----

    def close(self, error: RpcError, /) -> None:
        """End the session: every call of this side gets `error`, every handler of it is
        cancelled, and when they have ended everything is refunded. Idempotent."""
        if self.out.error is None:
            self._close(error, refund=True)

    def _close(self, error: RpcError, *, refund: bool) -> None:
        self.out.close(error, refund=refund)
        self.peer.end()
        for call in list(self._watching or ()):
            call()
        if self._events is not None:
            self._events.end(error)
        for guest in list(self.guests.values()):
            guest.close(SessionClosed(f"session {self.name}, which introduced this one, has ended"))
        self._calls_in.close()

    def released(self) -> None:
        """The last handler has ended. When what is kept and the guests have too: refund what is
        left, and let go of the endpoint."""
        if self._calls_in.busy:
            return  # with the end of the last handler this is called again
        kept = self._kept
        if kept is not None and not kept.close(None if self._dead else self.released):
            return  # a pin scope holds something; with its end this is called again
        self.subscriptions.clear()
        self._idle = True
        if self.guests and not self._dead:
            return
        # What the server and the kernel write down of it is not the client's.
        off_call(self._let_go)

    def _let_go(self) -> None:
        if self.purse is not None and self.via is None:
            self.purse.close(refund=not self._dead)
        if not self._dead:
            self.peer.close()
            self.end.close()
        self._on_released(self.end)
        self._released[0].send(None)
        via = self.via
        if via is not None and via.guests.pop(self.end.handle, None) is not None and not via._dead:
            via.end.account.give(_price_of_guest(self.end))
            if via._idle:
                via.released()

    def watch(self, call: Callable[[], None]) -> None:
        """Make a call when the session ends, whichever side does it and how."""
        if self._watching is None:
            self._watching = {}
        self._watching[call] = None

    def unwatch(self, call: Callable[[], None]) -> None:
        """It need not be made any more."""
        if self._watching is not None:
            self._watching.pop(call, None)

    async def wait_released(self) -> None:
        """Wait until this side, once closed, has let go of everything."""
        await self._released[1]

    async def wait_closed(self) -> None:
        """Wait until everything has been given back to the bank that paid."""
        await self.end.wait_freed()

    def die(self) -> None:
        """The process of this side has died: the kernel has taken everything already."""
        self._dead = True
        if self._kept is not None:
            self._kept.close(None)
        self._calls_in.die()
        # They are of this process too: closed, they would refund what was taken already.
        for guest in list(self.guests.values()):
            guest.die()
        if self.out.error is None:
            self._close(PeerDied(f"this side of session {self.name} died"), refund=False)


def _price_of_guest(end: Endpoint) -> int:
    """What this side of a route costs the session that it was introduced over. The serving
    side's tables are paid with the route, and all slots; the calling side is a server too."""
    return prices.GUEST + (0 if end.serving else prices.SESSION)
