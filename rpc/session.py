"""Session: one side of a conversation: protocol, shared memory and tasks put together.

`Session` is the caller's half: it sends calls, and takes answers in place. Its callee's
half, which runs handlers and pays for them from the client's purse, is `Server` in
`pinfut.rpc.server`. Both halves exist on both sides, since a client may hand out objects
of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast, final

from pinfut.future import FutureBase
from pinfut.rpc.capabilities import Capabilities
from pinfut.rpc.codec import CodecError
from pinfut.rpc.errors import (
    BadAnswer,
    GarbageFrame,
    MessageTooLarge,
    PeerDied,
    ProtocolError,
    RpcError,
    SessionClosed,
    SessionDead,
    UnknownReply,
)
from pinfut.rpc.interface import Interface, Method
from pinfut.rpc.kernel import prices
from pinfut.rpc.kernel.channel import End
from pinfut.rpc.kernel.lane import Lane
from pinfut.rpc.local import call_later, later, settle
from pinfut.rpc.promise import (
    BROKEN,
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
from pinfut.rpc.server import Server
from pinfut.slots import CANCELLING, DETACHED, FREE, READY, WAITING, Slot
from pinfut.sync import OneshotSender, oneshot

if TYPE_CHECKING:
    from pinfut.executor.core import Executor
    from pinfut.rpc.charging import Kept


_CALL = CALL_HEAD.size
_RETURN = RETURN_HEAD.size
_PLAIN = frames.PLAIN

unpack_plain_return = frames.PLAIN_RETURN.unpack_from


@final
class Session:
    """One side of a session over `end`. `root`: what this side serves, if anything."""

    __slots__ = (
        "_backlog",
        "_capabilities",
        "_dead",
        "_early",
        "_executor",
        "_into",
        "_kept",
        "_lane",
        "_left",
        "_on_released",
        "_outbox",
        "_peer",
        "_released",
        "_rides",
        "_sent_caps",
        "_server",
        "_settles",
        "_watched",
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
        "places",
        "questions",
        "round_trips",
        "touched",
        "writer",
    )

    def __init__(
        self,
        executor: Executor,
        end: End,
        root: Interface | None,
        on_released: Callable[[End], None],
    ) -> None:
        self.name = end.name
        self.end = end
        # Set once the session has ended: what its calls raise from then on.
        self.error: RpcError | None = None
        # How many banks for nested calls were made.
        self.nestings = 0
        # How often this side was woken by answers.
        self.round_trips = 0
        self._executor = executor
        self._on_released = on_released
        # The serving side charges what it holds to the client; a client pays for itself.
        self._peer = Peer(end.channel.slots, end.purse if end.serving else None)
        self.questions = self._peer.questions
        self._capabilities = Capabilities(self, self._peer, executor)
        self._server = Server(self, self._peer, self._capabilities, executor, root)
        self.on_call = self._server.on_call
        self.on_cancel = self._server.on_cancel
        self.on_bootstrap = self._server.on_bootstrap
        self.on_handled = self._server.on_handled
        self._peer.host = self
        # The lane of this side's calls; on the serving side None until it makes one.
        self._lane: Lane | None = None
        # The lane of the other side's calls; on the client's side None until it makes one.
        self._into: Lane | None = end.into()
        # By slot: where the answer will be.
        self.places: list[int] = [0] * end.channel.slots
        # By question: the target that its answer will settle; at most one for each slot.
        self._settles: dict[int, Target] = {}
        # By question: the promise that it was called on; at most one for each slot.
        self._rides: dict[int, Target] = {}
        # By question: what was handed out in its arguments, until it is known that it was
        # taken; and how to read an answer with capabilities before somebody awaits it.
        self._sent_caps: dict[int, tuple[Cap, ...]] = {}
        self._early: dict[int, Method] = {}
        # Invariant: frames that found no room in the ring, oldest first, each with its
        # charge; while there are any, every other frame goes behind them.
        self._outbox: deque[tuple[bytes, int]] = deque()
        # Invariant: calls that found no slot, oldest first, each charged; while there are
        # any, every other call goes behind them.
        self._backlog: deque[Unsent] = deque()
        # What was dropped since the last flush; see `leave`.
        self._left: deque[Any] = deque()
        # Whether a flush is coming.
        self.touched = False
        self._watched = bool(executor.instruments)
        # Invariant: the lane is there, the session is open, and nothing waits to be sent.
        self.flowing = False
        if not end.serving:
            self.open_lane()
        self._dead = False
        # What a service keeps for the client; made when it first does.
        self._kept: Kept | None = None
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
        self._settles[slot.x] = target
        self.send(
            self._peer.call(
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

    def call(self, holder: Any, target: Target, method: Method, args: tuple[Any, ...], /) -> Any:
        """Send a call on `target`, whose proxy is `holder`; what it gives, at once.

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
                return call_later(self._executor, holder, method, args)
            target.require_usable()
            flags = frames.ON_ANSWER
            parent = holder
        lane = self._lane or self.open_lane()
        caps: tuple[Cap, ...] = ()
        things: list[Any] = []
        arguments = method.arguments
        try:
            if arguments.has_caps:
                payload, things, caps = self._capabilities.encode(arguments, args)
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
                if self.questions.full and not self._backlog:
                    self._detach(self.questions.taken())
                if self._backlog or self.questions.full:
                    return self._wait_for_slot(
                        holder, target, method, args, room, place, things, caps, payload
                    )
                return self._send_call(target, method, flags, room, place, caps, payload, parent)
            except BaseException:
                lane.cells.release(place)
                raise
        except BaseException:
            self._capabilities.take_back(caps)
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
    ) -> Any:
        returns = method.returns
        if returns is not None:
            flags |= frames.PIPELINE
        slot = self.questions.acquire()
        x = slot.x
        try:
            frame = self._peer.call(x, flags, method.number, target.id, room, place, caps, payload)
            self._write(frame, prices.QUEUED + len(frame))
        except BaseException:
            self.questions.release(slot)
            raise
        self.places[slot.index] = place
        if flags & frames.ON_ANSWER:
            self._ride(x, target)
        self._remember(x, method, caps)
        self._watch(x, "sent")
        if returns is None:
            return Promise(self, slot, method, parent)
        settles = self._settles[x] = Target(self, returns, PROMISED, x)
        settles.parent = parent
        return proxy(settles)

    def _remember(self, x: int, method: Method, caps: tuple[Cap, ...]) -> None:
        """What question `x` needs when its Return comes."""
        if caps:
            self._sent_caps[x] = caps
        if method.returns is None and method.result.has_caps:
            self._early[x] = method

    def _ride(self, x: int, target: Target) -> None:
        """Question `x` goes to what is promised."""
        target.under_way += 1
        self._rides[x] = target

    def _wait_for_slot(
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
    ) -> Any:
        """Keep a call until a slot is free. It is paid for like everything that waits."""

        def build(x: int) -> bytes:
            # By then the target may have been sent, or have come.
            target.require_usable()
            flags = frames.PIPELINE if method.returns is not None else 0
            if target.state == PROMISED:
                flags |= frames.ON_ANSWER
                self._ride(x, target)
            now = self._capabilities.describe_again(things, caps) if caps else caps
            self._remember(x, method, now)
            return self._peer.call(x, flags, method.number, target.id, room, place, now, payload)

        charge = prices.UNSENT + len(payload) + prices.QUEUED_CAP * len(caps)
        self.end.purse.take(charge, "a call that waits for a slot")
        settles: Target | None = None
        if method.returns is not None:
            settles = Target(self, method.returns, UNSENT)
            settles.parent = holder, args
        unsent = Unsent(build, (holder, target, method, args), caps, place, charge, settles)
        self._backlog.append(unsent)
        self.flowing = False
        if settles is None:
            return Promise(self, unsent, method, (holder, args))
        settles.unsent = unsent
        return proxy(settles)

    def _send_backlog(self) -> None:
        """Send calls that waited for a slot, in the order in which they were made."""
        while self._backlog and not self.questions.full:
            unsent = self._backlog.popleft()
            self.end.purse.give(unsent.charge)
            if unsent.place < 0:
                continue  # given up meanwhile
            if unsent.call[1].state in (OWN, EMBARGOED):
                self._call_own(unsent)
                continue
            slot = self.questions.acquire()
            try:
                frame = unsent.build(slot.x)
                self._write(frame, prices.QUEUED + len(frame))
            except RpcError as error:
                self.questions.release(slot)
                self.open_lane().cells.release(unsent.place)
                self._capabilities.take_back(unsent.caps)
                unsent.fail(error)
                continue
            self.places[slot.index] = unsent.place
            self._watch(slot.x, "sent")
            slot.waker = unsent.waker
            unsent.slot = slot
            settles = unsent.settles
            if settles is not None:
                self._settles[slot.x] = settles
                settles.state = PROMISED
                settles.id = slot.x
                settles.unsent = None
        self._flow()

    def _call_own(self, unsent: Unsent) -> None:
        """A call that waited is for what has turned out to be an object of this side."""
        self.open_lane().cells.release(unsent.place)
        self._capabilities.take_back(unsent.caps)
        holder, _, method, args = unsent.call
        task = self._executor.spawn(later(holder, method, args))
        if unsent.settles is not None:
            self._executor.spawn(settle(unsent.settles, task))
        unsent.here(task)

    def open_lane(self) -> Lane:
        """The lane of this side's calls, bought if it has to be. Raises OutOfPages."""
        if self._lane is None:
            self._lane = self.end.out()
            self.writer = self._lane.writer
            self.cells = self._lane.cells
            self._flow()
        return self._lane

    def _flow(self) -> None:
        """Whether plain calls may take the short way: not behind others, nor unwatched."""
        self.flowing = not (self._backlog or self._outbox or self._watched or self.error)

    def _watch(self, x: int, state: str) -> None:
        if self._watched:
            self._executor.instruments.slot(self.name, x, state)

    # ---- sending ----

    def send(self, frame: bytes, /) -> None:
        """Send a frame behind all others. For the few that the protocol itself sends: they
        are as many as slots and imports, and paid for with these."""
        self._write(frame, 0)

    def _write(self, frame: bytes, charge: int) -> None:
        lane = self._lane or self.open_lane()
        if self._outbox or not lane.writer.write(frame):
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
            self._executor.call_soon(self.flush)

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
        lane = self._lane
        if lane is not None and (lane.writer.unpublished or self._outbox):
            while self._outbox and lane.writer.write(self._outbox[0][0]):
                self.end.purse.give(self._outbox.popleft()[1])
            self._flow()
            if self._executor.instruments:
                self._executor.instruments.flush(self.name, lane.writer.unpublished)
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
        self._settles.pop(slot.x, None)
        if slot.state == READY or (slot.state == DETACHED and type(slot.value) is int):
            self._open(slot, release=True)
        elif slot.state == WAITING:
            self.questions.cancel(slot.x)
            self._peer.cancel(slot.x)
            self._watch(slot.x, "cancelled")

    def _give_up_unsent(self, unsent: Unsent) -> None:
        if unsent.task is not None:
            unsent.task.cancel()
        elif unsent.slot is not None:
            self._give_up(unsent.slot)
        elif unsent.place >= 0 and unsent.error is None:
            self.open_lane().cells.release(unsent.place)
            self._capabilities.take_back(unsent.caps)
            unsent.give_up()
            self.end.purse.give(unsent.charge)
            unsent.charge = 0  # the backlog passes over it

    def _give_up_target(self, target: Target) -> None:
        state, target.state = target.state, DROPPED
        target.parent = None
        if state == IMPORTED:
            self._peer.drop_import(target.id)
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
                    raise self._unreadable(method, error) from error
        return self._take(slot, method)

    def take_detached(self, slot: Slot[Any], method: Method) -> Any:
        """As `take`, of a call whose slot has gone to another."""
        if self.error is not None:
            raise self.closed_error()
        if type(slot.value) is int:
            return self._take(slot, method)
        early: Any = slot.value
        slot.value = None
        value, error = early
        if error is not None:
            raise error
        return value

    def _take(self, slot: Slot[Any], method: Method) -> Any:
        if self.error is not None:
            self.questions.release(slot)
            raise self.closed_error()
        return self._decode(method, *self._open(slot))

    def _decode(self, method: Method, flags: int, caps: tuple[Cap, ...], payload: bytes) -> Any:
        """The value of an answer. Raises what the call ended with."""
        if flags & frames.ERROR:
            try:
                error = self._peer.open_error(payload)
            except ProtocolError as garbage:
                self.close(garbage)
                raise
            raise error
        result = method.result
        try:
            if result.has_caps:
                return self._capabilities.decode(result, payload, caps)
            if caps:
                self._capabilities.discard(caps)
            return result.decode(payload)
        except CodecError as problem:
            raise self._unreadable(method, problem) from problem

    def _unreadable(self, method: Method, error: BaseException) -> BadAnswer:
        return BadAnswer(f"the answer of {method!r} cannot be read: {error}")

    def _open(
        self, slot: Slot[Any], *, release: bool = False, leave: bool = False
    ) -> tuple[int, tuple[Cap, ...], bytes]:
        """Read the Return in a slot, free the slot (`leave`: and leave it to its holder), and
        finish the question if need be."""
        x = slot.x
        detached = slot.state == DETACHED
        place = cast(int, slot.value) if detached else self.places[slot.index]
        try:
            opened = self._peer.open_return(x, self.cells.read(place))
        except ProtocolError as error:
            self.close(error)
            raise
        self.cells.release(place)
        self._watch(x, "taken")
        self._early.pop(x, None)
        caps = self._sent_caps.pop(x, None)
        if caps is not None and opened[0] & frames.RETURN_ARGS:
            self._capabilities.take_back(caps)
        if detached:
            slot.state = FREE
            return opened
        if leave:
            self.questions.detach(slot)
        else:
            self.questions.release(slot)
        if not opened[0] & frames.NO_FINISH:
            self._peer.finish(x, release=release)
        if self._backlog and not leave:
            self._send_backlog()
        return opened

    def _detach(self, slots: list[Slot[Any]]) -> None:
        """Calls wait for a slot, and these have answers that nobody has taken yet: leave
        the answers to their holders, and the slots to the calls."""
        for slot in slots:
            if slot.state != READY or slot.x in self._settles:
                continue
            x, place = slot.x, self.places[slot.index]
            flags, caps, payload = self._peer.open_return(x, self.cells.read(place))
            if flags & frames.NO_FINISH:
                slot.value = place
                self.questions.detach(slot)
            elif x in self._early:
                # The other side holds the slot until Finish, and what is named in the answer
                # only until then: it is read now.
                method = self._early[x]
                self._open(slot, release=False, leave=True)
                slot.value = self._read(method, flags, caps, payload)

    def _read(
        self, method: Method, flags: int, caps: tuple[Cap, ...], payload: bytes
    ) -> tuple[Any, BaseException | None]:
        """The value or the error of an answer."""
        try:
            return self._decode(method, flags, caps, payload), None
        except RpcError as error:
            return None, again(error)

    def _complete(self, xs: list[int]) -> None:
        """The other side has written these answers in place."""
        if self._watched:
            for x in xs:
                self._watch(x, "returned")
        for x in self.questions.mark_ready(xs):
            slot = self.questions.peek(x)
            if slot is None or slot.state != CANCELLING:
                raise UnknownReply(f"a reply to {x}, which is not in progress")
            # Late, but not ignored: its capabilities are released.
            self._open(slot, release=True)
        if self._settles or self._rides:
            for x in xs:
                target = self._settles.pop(x, None)
                if target is not None:
                    try:
                        self._settle(self.questions.find(x), target)
                    except ProtocolError as error:
                        target.fail(again(error))
                        raise
                target = self._rides.pop(x, None)
                if target is not None:
                    self._arrive(target)
        if self._backlog:
            self._detach([slot for x in xs if (slot := self.questions.peek(x)) is not None])
            self._send_backlog()

    def _arrive(self, target: Target) -> None:
        """A call on a promise has its Return, so it has arrived there long since."""
        target.under_way -= 1
        if target.state == EMBARGOED and not target.under_way:
            target.settle(OWN)

    def _settle(self, slot: Slot[Any], target: Target) -> None:
        """A promised capability has come: from now on calls go to the object itself."""
        lane = cast(Lane, self._lane)
        flags, caps, payload = self._peer.open_return(
            slot.x, lane.cells.read(self.places[slot.index])
        )
        if not flags & frames.ERROR and len(caps) != 1:
            raise GarbageFrame(f"the answer {slot.x} is one capability, not {len(caps)}")
        if flags & frames.ERROR:
            target.fail(self._peer.open_error(payload))
        else:
            try:
                self._capabilities.bind(target, caps[0])
            except ProtocolError:
                raise
            except RpcError as error:
                target.fail(again(error))
        self._open(slot, release=target.state == BROKEN)

    # ---- being told ----

    def drain(self, budget: int) -> bool:
        """Look at what the other side has written, at most `budget` calls of it. True when
        more is left."""
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
            lane = self._lane
            if lane is not None:
                xs = lane.completions.take()
                if xs:
                    self.round_trips += 1
                    self._complete(xs)
                if self._outbox:
                    self.touch()
            into = end.into()
            if into is None or not into.reader.look():
                return False
            self.touch()
            receive = self._peer.receive
            outside = self._executor.begin_inline()
            try:
                for frame in into.reader.read(budget):
                    receive(frame)
                    if self.closed:
                        return False
            finally:
                self._executor.end_inline(outside)
            return into.reader.more
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
        for target in self._settles.values():
            if target.state == PROMISED:
                target.fail(error)
        for target in self._rides.values():
            if target.state == EMBARGOED:
                target.settle(OWN)
        self._settles.clear()
        self._rides.clear()
        self._sent_caps.clear()
        self._early.clear()
        purse = self.end.purse
        for unsent in self._backlog:
            purse.give(unsent.charge)
            if unsent.place >= 0:
                unsent.fail(error)
        for _, charge in self._outbox:
            purse.give(charge)
        self._backlog.clear()
        self._outbox.clear()
        self._left.clear()
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
        if self._lane is not None and self.error is None:
            self.cells.trim()

    def released(self) -> None:
        """The last handler has ended: refund what is left, and let go of the channel."""
        kept = self._kept
        if kept is not None and not kept.close(None if self._dead else self.released):
            return  # a turn holds something; with its end this is called again
        if not self._dead:
            self._peer.close()
            self.end.close()
        self._on_released(self.end)
        self._released[0].send(None)

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
        await self.end.channel.wait_freed()

    def die(self) -> None:
        """The process of this side has died: the kernel has taken everything already."""
        self._dead = True
        if self._kept is not None:
            self._kept.close(None)
        for unsent in self._backlog:
            unsent.fail(PeerDied("this process died"))
        self._backlog.clear()
        self._outbox.clear()
        self._server.die()
        self.close(PeerDied(f"this side of session {self.name} died"))
