"""Session: one side of a conversation: protocol, shared memory and tasks put together.

`Session` is the caller's half: it sends calls, and takes answers in place. What waits for a
slot stands in its `Backlog`, and `Returns` opens what is no plain answer. Its callee's half,
which runs handlers and pays for them from the client's purse, is `Server`. Both halves
exist on both sides, since a client may hand out objects of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast, final
from weakref import WeakValueDictionary

from pinfut.future import FutureBase
from pinfut.rpc.backlog import Backlog
from pinfut.rpc.capabilities import Capabilities
from pinfut.rpc.codec import CodecError
from pinfut.rpc.errors import (
    MessageTooLarge,
    PeerDied,
    ProtocolError,
    RpcError,
    SessionClosed,
    SessionDead,
    UnknownObject,
)
from pinfut.rpc.interface import Interface, Method
from pinfut.rpc.introduce import Provided, Route
from pinfut.rpc.kernel import prices
from pinfut.rpc.kernel.advance import Advance
from pinfut.rpc.kernel.bank import Bank
from pinfut.rpc.kernel.channel import End
from pinfut.rpc.kernel.destroy import destroy
from pinfut.rpc.kernel.lane import Lane
from pinfut.rpc.local import call_later
from pinfut.rpc.promise import (
    DROPPED,
    EMBARGOED,
    IMPORTED,
    OWN,
    PROMISED,
    UNSENT,
    Promise,
    Target,
    Unsent,
    again,
)
from pinfut.rpc.protocol import frames
from pinfut.rpc.protocol.frames import CALL_HEAD, CAP, RETURN_HEAD, Cap
from pinfut.rpc.protocol.peer import Peer
from pinfut.rpc.proxy import cannot_send, proxy
from pinfut.rpc.returns import Returns, unreadable
from pinfut.rpc.server import Server
from pinfut.slots import CANCELLING, DETACHED, READY, WAITING, Slot
from pinfut.sync import OneshotSender, oneshot

if TYPE_CHECKING:
    from pinfut.executor.contract import Runner
    from pinfut.rpc.charging import Kept
    from pinfut.rpc.events import Subscription


_CALL = CALL_HEAD.size
_RETURN = RETURN_HEAD.size
_PLAIN = frames.PLAIN

unpack_plain_return = frames.PLAIN_RETURN.unpack_from


@final
class Session:
    """One side of a session over `end`. `root`: what this side serves, if anything."""

    __slots__ = (
        "backlog",
        "capabilities",
        "executor",
        "lane",
        "peer",
        "returns",
        "subscriptions",
        "watched",
        "_dead",
        "_into",
        "_kept",
        "_left",
        "_on_released",
        "_outbox",
        "_released",
        "_server",
        "cells",
        "end",
        "error",
        "flowing",
        "name",
        "nestings",
        "on_bootstrap",
        "on_call",
        "on_cancel",
        "on_handled",
        "on_introduce",
        "provided",
        "guests",
        "credit",
        "routes",
        "via",
        "_provided",
        "_idle",
        "_on_guest",
        "places",
        "questions",
        "round_trips",
        "touched",
        "writer",
    )

    def __init__(
        self,
        executor: Runner,
        end: End,
        root: Interface | None,
        on_released: Callable[[End], None],
        on_guest: Callable[[Session], None],
        via: Session | None = None,
    ) -> None:
        self.name = end.name
        self.end = end
        # Set once the session has ended: what its calls raise from then on.
        self.error: RpcError | None = None
        # On the serving side, by place: what the client subscribes to; each is kept for it.
        self.subscriptions: dict[int, Subscription] = {}
        # How many banks for nested calls were made.
        self.nestings = 0
        # Bytes of the other side's messages that may be looked at besides the quantum of the
        # next look; below 0 while a message longer than that is paid off (`turns`).
        self.credit = 0
        # How often this side was woken by answers.
        self.round_trips = 0
        self.executor = executor
        self._on_released = on_released
        self._on_guest = on_guest
        # The session that this one was introduced over, and which pays for what this side
        # of it holds; it ends with that one.
        self.via = via
        # By handle: the sessions that were introduced over this one, and have not ended.
        self.guests: dict[int, Session] = {}
        # By the end of the other session: the ways that this client has paid for.
        self.routes: dict[End, Route] = {}
        # What is kept for the other side, each paid as an object of the session that it was
        # provided over, and there as long as it is held there.
        self.provided: WeakValueDictionary[int, Provided] | None = None
        self._provided = 0
        # The serving side charges what it holds to the client; a client pays for itself.
        payer = end.purse if end.serving else via.end.purse if via is not None else None
        self.peer = Peer(end.channel.slots, payer)
        self.questions = self.peer.questions
        self.capabilities = Capabilities(self, self.peer, executor)
        self._server = Server(self, self.peer, self.capabilities, executor, root)
        self.on_call = self._server.on_call
        self.on_cancel = self._server.on_cancel
        self.on_bootstrap = self._server.on_bootstrap
        self.on_handled = self._server.on_handled
        self.on_introduce = self._server.on_introduce
        self.peer.host = self
        # The lane of this side's calls; on the serving side None until it makes one.
        self.lane: Lane | None = None
        # The lane of the other side's calls; on the client's side None until it makes one.
        self._into: Lane | None = end.into()
        # By slot: where the answer will be.
        self.places: list[int] = [0] * end.channel.slots
        self.returns = Returns(self)
        # Invariant: frames that found no room in the ring, oldest first, each with its
        # charge; while there are any, every other frame goes behind them.
        self._outbox: deque[tuple[bytes, int]] = deque()
        self.backlog = Backlog(self)
        # What was dropped since the last flush; see `leave`.
        self._left: deque[Any] = deque()
        # Whether a flush is coming.
        self.touched = False
        self.watched = bool(executor.instruments)
        # Invariant: the lane is there, the session is open, and nothing waits to be sent.
        self.flowing = False
        if not end.serving:
            self.open_lane()
        self._dead = False
        # What a service keeps for the client; made when it first does.
        self._kept: Kept | None = None
        # Whether all handlers have ended after the session has.
        self._idle = False
        self._released: tuple[OneshotSender[None], FutureBase[None]] = oneshot()

    # ---- calling ----

    def bootstrap(self, interface: Any) -> Any:
        """A proxy of the other side's root object, which has to be of `interface`."""
        lane = self.open_lane()
        target = Target(self, interface, PROMISED)
        place = lane.cells.reserve(256)
        slot = self.questions.acquire()
        target.id = slot.x
        self.places[slot.index] = place
        self.returns.settles[slot.x] = target
        self.send(
            self.peer.call(
                slot.x,
                frames.PIPELINE,
                0,
                interface._pinfut_id,
                256,
                place,
                (),
                b"",
                frames.BOOTSTRAP,
            )
        )
        return proxy(target)

    def call(
        self,
        holder: Any,
        target: Target,
        method: Method,
        args: tuple[Any, ...],
        kind: int = frames.CALL,
        /,
    ) -> Any:
        """Send a call on `target`, whose proxy is `holder`; what it gives, at once. `kind`: of
        its frame.

        Raises TypeError for arguments that cannot be sent, MessageTooLarge,
        ForeignCapability, OutOfPages when what the call holds cannot be paid, and
        SessionClosed. On any error nothing was sent.
        """
        if self.error is not None:
            raise self.closed_error()
        flags = 0
        # What has to stay until the answer is there: a promise that is dropped is cancelled.
        parent: Any = None
        if target.state != IMPORTED:
            if target.state == OWN:
                return getattr(target.own, method.name)(*args)
            if target.state == EMBARGOED:
                return call_later(self.executor, holder, method, args)
            target.require_usable()
            flags = frames.ON_ANSWER
            parent = holder
        lane = self.lane or self.open_lane()
        caps: tuple[Cap, ...] = ()
        things: list[Any] = []
        arguments = method.arguments
        try:
            if arguments.has_caps:
                payload, things, caps = self.capabilities.encode(arguments, args)
                parent = holder, args
            else:
                payload = arguments.encode(args)
        except CodecError as error:
            raise cannot_send(method, error) from error
        room = method.fixed_room
        try:
            if room is None:
                room = method.room(args)
            if _CALL + CAP.size * len(caps) + len(payload) > lane.writer.largest:
                raise MessageTooLarge(
                    f"{method!r} with {len(payload)} bytes of arguments is above what this "
                    f"session's ring carries, {lane.writer.largest} bytes a message; send it "
                    "in parts, or connect with a larger ring="
                )
            place = lane.cells.reserve(room)
            try:
                if self.questions.full and not self.backlog.calls:
                    self.returns.detach(self.questions.taken())
                if self.backlog.calls or self.questions.full:
                    return self.backlog.wait(
                        holder, target, method, args, room, place, things, caps, payload, kind
                    )
                return self._send_call(
                    target, method, flags, room, place, caps, payload, parent, kind
                )
            except BaseException:
                lane.cells.release(place)
                raise
        except BaseException:
            self.capabilities.take_back(caps)
            raise

    def _send_call(
        self,
        target: Target,
        method: Method,
        flags: int,
        room: int,
        place: int,
        caps: tuple[Cap, ...],
        payload: bytes,
        parent: Any,
        kind: int,
    ) -> Any:
        returns = method.returns
        if returns is not None:
            flags |= frames.PIPELINE
        slot = self.questions.acquire()
        x = slot.x
        try:
            frame = self.peer.call(
                x, flags, method.number, target.id, room, place, caps, payload, kind
            )
            self.write(frame, prices.UNWRITTEN + len(frame))
        except BaseException:
            self.questions.release(slot)
            raise
        self.places[slot.index] = place
        if flags & frames.ON_ANSWER:
            self.returns.ride(x, target)
        self.returns.remember(x, method, caps)
        self.watch(x, "sent")
        if returns is None:
            return Promise(self, slot, method, parent)
        settles = self.returns.settles[x] = Target(self, returns, PROMISED, x)
        settles.parent = parent
        return proxy(settles)

    def open_lane(self) -> Lane:
        """The lane of this side's calls, bought if it has to be. Raises OutOfPages."""
        if self.lane is None:
            self.lane = self.end.out()
            self.writer = self.lane.writer
            self.cells = self.lane.cells
            self.flow()
        return self.lane

    def flow(self) -> None:
        """Whether plain calls may take the short way: not behind others, nor unwatched."""
        self.flowing = not (self.backlog.calls or self._outbox or self.watched or self.error)

    def watch(self, x: int, state: str) -> None:
        if self.watched:
            self.executor.instruments.slot(self.name, x, state)

    def advance(self, bank: Bank, pages: int, why: str = "what a server made for it") -> Advance:
        """Buy pages from a bank of this side for the client of the session, to be refunded by
        it when asked (`Advance.refund`). Raises OutOfPages, and ValueError on the client's side."""
        if not self.end.serving:
            raise ValueError(f"session {self.name} is paid by this side; buy from its bank")
        return Advance(self.end.channel, bank, pages, why)

    # ---- introductions ----

    def guest(self, handle: int) -> Session:
        """The session that the client introduced this side to, under `handle` in this process.

        Raises UnknownObject for any other handle, and OutOfPages.
        """
        guest = self.guests.get(handle)
        if guest is None:
            end = self.end.process.caps.get(handle)
            if not isinstance(end, End) or end.via is not self.end or end.closed:
                raise UnknownObject(f"{handle:#x} is no way that this session was introduced to")
            self.end.purse.take(_price_of_guest(end), "a session that was introduced")
            guest = Session(self.executor, end, None, self._on_released, self._on_guest, via=self)
            self.guests[handle] = guest
            self._on_guest(guest)
        return guest

    def keep(self, provided: Provided) -> int:
        """Keep something for the other side to accept; the number of it."""
        if self.provided is None:
            self.provided = WeakValueDictionary()
        self._provided += 1
        self.provided[self._provided] = provided
        return self._provided

    # ---- sending ----

    def send(self, frame: bytes, /) -> None:
        """Send a frame behind all others. For the few that the protocol itself sends: they
        are as many as slots and imports, and paid for with these."""
        self.write(frame, 0)

    def write(self, frame: bytes, charge: int) -> None:
        lane = self.lane or self.open_lane()
        try:
            written = not self._outbox and lane.writer.write(frame)
        except ProtocolError as error:
            # Whoever is in the midst of a call is told first. What it is told holds its frames,
            # so the session ends with another.
            self.executor.call_soon(self.close, again(error))
            raise
        if not written:
            if charge:
                self.end.purse.take(charge, "a message that waits for room in the ring")
            self._outbox.append((frame, charge))
            self.flowing = False
        if not self.touched:
            self.touch()

    def answer(self, place: int, x: int, frame: bytes, /) -> None:
        """Write a Return where the caller wants it (`Host`)."""
        into = self._into or self._open_into()
        length = len(frame)
        try:
            buffer, start, room = into.cells.small[place]
        except IndexError:
            room = 0
        if length <= room:
            buffer[start : start + length] = frame
        else:
            try:
                into.cells.write(place, frame)
            except ProtocolError as error:
                self.close(error)
                return
        post = into.completions.post
        post(x)
        if not self.touched:
            self.touch()

    def _open_into(self) -> Lane:
        self._into = into = cast(Lane, self.end.into())
        return into

    def touch(self) -> None:
        """Have `flush` run when this turn ends."""
        if not self.touched:
            self.touched = True
            self.executor.call_soon(self.flush)

    def flush(self) -> None:
        """Act on what was dropped, and make visible at once what was written: one
        transition into the kernel, however many calls and answers there are."""
        self.touched = False
        if self.error is not None:
            return
        try:
            while self._left:
                self._act_on(self._left.popleft())
            if self._publish():
                self.end.signal()
        except ProtocolError as error:
            self.close(error)

    def _publish(self) -> bool:
        news = False
        lane = self.lane
        if lane is not None and (lane.writer.unpublished or self._outbox):
            while self._outbox and lane.writer.write(self._outbox[0][0]):
                self.end.purse.give(self._outbox.popleft()[1])
            self.flow()
            if self.executor.instruments:
                self.executor.instruments.flush(self.name, lane.writer.unpublished)
            lane.writer.publish()
            news = True
        into = self.end.into()
        if into is not None:
            news |= into.completions.publish()
            news |= into.reader.release()
        return news

    # ---- giving up ----

    def leave(self, dropped: Any, /) -> None:
        """A promise or target is held by nobody. Only noted here: the caller may be the
        garbage collector, in the midst of anything."""
        if self.error is None:
            self._left.append(dropped)
            if not self.touched:
                self.touch()

    def _act_on(self, dropped: Any) -> None:
        if type(dropped) is Slot:
            self._give_up(dropped)
        elif type(dropped) is Unsent:
            self._give_up_unsent(dropped)
        else:
            self._give_up_target(dropped)

    def _give_up(self, slot: Slot[Any]) -> None:
        self.returns.settles.pop(slot.x, None)
        if slot.state == READY or (slot.state == DETACHED and type(slot.value) is int):
            self.returns.open(slot, release=True)
        elif slot.state == WAITING:
            self.questions.cancel(slot.x)
            self.peer.cancel(slot.x)
            self.watch(slot.x, "cancelled")

    def _give_up_unsent(self, unsent: Unsent) -> None:
        if unsent.task is not None:
            unsent.task.cancel()
        elif unsent.slot is not None:
            self._give_up(unsent.slot)
        elif unsent.place >= 0 and unsent.error is None:
            self.open_lane().cells.release(unsent.place)
            self.capabilities.take_back(unsent.caps)
            unsent.give_up()
            self.end.purse.give(unsent.charge)
            unsent.charge = 0  # the backlog passes over it

    def _give_up_target(self, target: Target) -> None:
        state, target.state = target.state, DROPPED
        target.parent = None
        if state == IMPORTED:
            self.peer.drop_import(target.id)
        elif state == PROMISED:
            slot = self.questions.peek(target.id)
            if slot is not None:
                self._give_up(slot)
        elif state == UNSENT and target.unsent is not None:
            target.unsent.settles = None
            self._give_up_unsent(target.unsent)

    # ---- answers ----

    def take(self, slot: Slot[Any], method: Method) -> Any:
        """The value of a returned call; its slot is free afterwards. Raises what the call
        ended with."""
        plan = method.calling
        if plan is not None and self.flowing:
            place = self.places[slot.index]
            cells = self.cells
            try:
                # The numbers are copied once and then checked; so is the payload.
                buffer, start, room = cells.small[place]
                length, word, x = unpack_plain_return(buffer, start)
            except IndexError:
                word = x = length = room = 0  # a large answer
            if word == _PLAIN and x == slot.x and _RETURN <= length <= room:
                payload = buffer[start + _RETURN : start + length].tobytes()
                cells.free_small.append(place)
                self.questions.release(slot)
                decode = plan[1]
                try:
                    return decode(payload)
                except CodecError as error:
                    raise unreadable(method, error) from error
        return self.returns.take(slot, method)

    def take_detached(self, slot: Slot[Any], method: Method) -> Any:
        """As `take`, of a call whose slot has gone to another."""
        return self.returns.take_detached(slot, method)

    # ---- being told ----

    def drain(self, budget: int, quantum: int) -> bool:
        """Look at what the other side has written, at most `budget` calls of it and as many
        bytes as its credit allows, which is `quantum` more with each look. True when more is
        left."""
        if self.error is not None:
            return False
        end = self.end
        if end.closed:
            died = end.peer_died
            side = "client" if end.serving else "server"
            if end.channel.doomed:
                self.close(SessionDead(f"the bank that paid for session {self.name} was destroyed"))
                return False
            self.close(
                PeerDied(f"the {side} of session {self.name} died")
                if died
                else SessionClosed(f"the {side} closed session {self.name}")
            )
            return False
        try:
            lane = self.lane
            if lane is not None:
                xs = lane.completions.take()
                if xs:
                    self.round_trips += 1
                    self.returns.complete(xs)
                if self._outbox:
                    self.touch()
            into = end.into()
            if into is None or not into.reader.look():
                return False
            self.touch()
            receive = self.peer.receive
            outside = self.executor.begin_inline()
            try:
                reader = into.reader
                begin = reader.head
                credit = self.credit + quantum
                for frame in reader.read(budget, credit):
                    receive(frame)
                    if self.error is not None:
                        return False
            finally:
                self.executor.end_inline(outside)
            credit -= reader.head - begin
            if reader.more:
                self.credit = credit
                return True
            self.credit = credit if credit < 0 else 0
            return False
        except ProtocolError as error:
            self.close(error)
            return False

    # ---- the end ----

    def close(self, error: RpcError) -> None:
        """End the session: every call of this side gets `error`, every handler of it is
        cancelled, and when they have ended everything is refunded. Idempotent."""
        if self.error is not None:
            return
        self.error = error
        self.flowing = False
        for slot in self.questions.taken():
            if slot.state == WAITING:
                self.questions.complete(slot.x, 0)
            elif slot.state == CANCELLING:
                self.questions.release(slot)
        self.returns.close(error)
        events = self.end.channel.events
        if events is not None and not self.end.serving:
            events.end(error)
        purse = self.end.purse
        self.backlog.close(error)
        for _, charge in self._outbox:
            purse.give(charge)
        self._outbox.clear()
        self._left.clear()
        for guest in list(self.guests.values()):
            guest.close(SessionClosed(f"session {self.name}, which introduced this one, has ended"))
        self._server.close()

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self.error is not None

    def closed_error(self) -> BaseException:
        """What a call on a session that has ended raises."""
        return again(self.error)

    def trim(self) -> None:
        """Give memory for large answers that is between two uses back to the bank."""
        if self.lane is not None and self.error is None:
            self.cells.trim()

    def released(self) -> None:
        """The last handler has ended. When what is kept and the guests have too: refund what is
        left, and let go of the channel."""
        kept = self._kept
        if kept is not None and not kept.close(None if self._dead else self.released):
            return  # a turn holds something; with its end this is called again
        self.subscriptions.clear()
        self._idle = True
        if self.guests and not self._dead:
            return
        if not self._dead:
            self.peer.close()
            self.end.close()
        self._on_released(self.end)
        self._released[0].send(None)
        via = self.via
        if via is not None and via.guests.pop(self.end.handle, None) is not None and not via._dead:
            via.end.purse.give(_price_of_guest(self.end))
            if via._idle:
                via.released()

    def kept(self) -> Kept:
        """What is kept for the client of this session (`pinfut.rpc.charging`)."""
        if self._kept is None:
            from pinfut.rpc.charging import Kept

            self._kept = Kept(self.end.purse)
            self._kept.alive = self.error is None
        return self._kept

    async def wait_released(self) -> None:
        """Wait until this side, once closed, has let go of everything."""
        await self._released[1]

    async def wait_closed(self) -> None:
        """Wait until everything has been given back to the bank that paid."""
        channel = self.end.channel
        await channel.wait_freed()
        while channel.below:
            below = channel.below[-1]
            if isinstance(below, Bank):
                await destroy(below)  # a server that died has left it
            else:
                await below.wait_freed()
            channel.ended(below)

    def die(self) -> None:
        """The process of this side has died: the kernel has taken everything already."""
        self._dead = True
        if self._kept is not None:
            self._kept.close(None)
        self.backlog.die(PeerDied("this process died"))
        self._outbox.clear()
        self._server.die()
        # They are of this process too: closed, they would refund what was taken already.
        for guest in list(self.guests.values()):
            guest.die()
        self.close(PeerDied(f"this side of session {self.name} died"))


def _price_of_guest(end: End) -> int:
    """What this side of a route costs the session that it was introduced over. The serving
    side's tables are paid with the route; the calling side is a server too, and not the payer."""
    if end.serving:
        return prices.GUEST
    return prices.GUEST + prices.SESSION + end.channel.slots * prices.SLOT
