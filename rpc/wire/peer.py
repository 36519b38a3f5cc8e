"""Peer: the state machine of one side of a session, without any I/O.

Bytes go in through `receive`, bytes come out through its host; in between stand four
tables: questions and imports for what this side asks and holds, answers and exports for
what it is asked and hands out. Every number from the other side is checked before it is
used; what no honest peer sends raises ProtocolError, and the session ends with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import error as struct_error
from typing import Any, Protocol, final

import msgspec

from pinfut.core import accelerate
from pinfut.payers import off_call
from pinfut.rpc import prices
from pinfut.rpc.contract import CALLS, Account, Cap
from pinfut.rpc.errors import (
    AnswerTooLarge,
    CallCancelled,
    GarbageFrame,
    InterfaceMismatch,
    ProtocolError,
    RpcError,
    SessionClosed,
    SlotInUse,
    UnknownObject,
    UnknownReply,
    after_begin,
    from_wire,
    to_wire,
)
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.answers import (
    FREE,
    QUEUED,
    RETURNED,
    RUNNING,
    Answer,
    PromisedCapability,
    Queue,
)
from pinfut.rpc.wire.exports import Bushel, Facet
from pinfut.rpc.wire.frames import CALL_HEAD, EXPECTED, RETURN_HEAD, SHORT
from pinfut.rpc.wire.imports import Imports
from pinfut.rpc.wire.questions import Questions

_KEPT = 96  # Bytes of an error's message that later calls on the failed one get to see
ALL = 1 << 62
"""As many bytes as a session takes."""

MIN_ROOM = 256
"""No call may reserve less for its answer, so that an error always fits."""

_QUESTIONS = frozenset((frames.CALL, frames.BOOTSTRAP, frames.PROVIDE, frames.ACCEPT, frames.TAKE))

_CALL = CALL_HEAD.size
_RETURN = RETURN_HEAD.size

pack_call = CALL_HEAD.pack
unpack_plain_call = frames.PLAIN_CALL.unpack_from
pack_plain_return = frames.PLAIN_RETURN.pack
_PLAIN = frames.PLAIN
pack_return = RETURN_HEAD.pack
unpack_return = RETURN_HEAD.unpack_from

_CLOSED = to_wire(SessionClosed("the session was closed"))
_DATA = to_wire(UnknownObject("the call that should have given an object gave data"))

_encode = msgspec.msgpack.Encoder().encode
_decode_error = msgspec.msgpack.Decoder(tuple[int, str, str]).decode


class Line(Protocol):
    """What a peer asks of that which moves its bytes."""

    touched: bool
    """Whether what was written will be made visible when this turn ends."""

    def send(self, frame: bytes, /) -> None:
        """Send a frame behind all others."""

    def touch(self) -> None:
        """Make it so."""

    def echo(self, x: int, flags: int, /) -> None:
        """Send a Disembargo back behind all calls that were made, or for an answer not at all.
        Raises GarbageFrame for an export that nothing was said of."""

    def lift(self, x: int, flags: int, /) -> None:
        """All that was called on the answer to question `x`, or on import `x`, has arrived."""

    def resolve(self, x: int, target: int, /) -> None:
        """Import `x` is this side's export `target`. Raises GarbageFrame."""

    def fail(self, error: RpcError, /) -> None:
        """The other side broke the protocol: the session ends."""


class Beside(Protocol):
    """The capabilities that go beside the bytes; as those of `contract.Endpoint`."""

    def hand_over(self, caps: Sequence[Cap], place: int = CALLS, /) -> None: ...

    def take_over(self, count: int, place: int = CALLS, /) -> tuple[Cap, ...]: ...


class Callee(Protocol):
    """What a peer asks of that which runs its calls."""

    def on_call(self, answer: Answer, called: Facet, payload: bytes, /) -> None:
        """Run a call on a facet; `payload` holds its arguments. Ends in `Peer.give`, `give_caps`
        or `refuse`, now or later."""

    def most(self, called: Facet | None, interface: int, method: int, /) -> int:
        """Bytes that the arguments of a call may have: of a facet, or else of the interface of that
        id; `ALL` where that is not said, or there is no such thing to be called."""

    def on_bootstrap(self, answer: Answer, interface: int, /) -> None:
        """Give the root object, if it is of the interface of that id."""

    def on_introduce(self, answer: Answer, called: Facet | None, payload: bytes, /) -> None:
        """Handle Provide (of a facet), Accept or Take. Ends as `on_call` does."""

    def on_cancel(self, answer: Answer, /) -> None:
        """The caller wants no answer any more to a call that is running."""

    def on_handled(self, answer: Answer, task: Any, /) -> None:
        """The handler's task has ended."""


@final
class Peer:
    """One side of a session with `slots` calls in each direction, at most. `account` pays on the
    serving side for what that side holds; `exports`: what it hands out, if not just that."""

    __slots__ = (
        *("_account", "_callee", "_calling", "_line", "_newest", "_resuming", "_size", "answers"),
        *("beside", "complete", "exports", "imports", "on_resumed", "questions", "resumed"),
        "slots",
    )

    def __init__(
        self, slots: int, account: Account | None = None, exports: Bushel | None = None
    ) -> None:
        self._account = account
        self.slots = slots
        self.questions = Questions(slots)
        # Made when the other side calls for the first time: as many as it may use.
        self.answers: list[Answer] = []
        self._size = slots
        # Of the answers that are not there, the id that came last.
        self._newest = -1
        self.exports = Bushel(account) if exports is None else exports
        self.imports = Imports(account)
        # Calls whose target has come and which have not begun; each was charged when it began to
        # wait. While there are any, no frame may be received: it would overtake them.
        self.resumed = Queue()
        # Has `resume` called, as often as that is right at once; by default for all of them.
        self.on_resumed: Callable[[], object] | None = None
        self._resuming = False
        # Writes a Return where the caller wants it (`contract.Requests`); has to be set before
        # the first frame is received.
        self.complete: Callable[[int, int, bytes], None]
        self.beside: Beside  # as well, with the first that carries capabilities

    def attach(self, line: Line, callee: Callee) -> None:
        """Who moves the bytes and who runs the calls; before anything else."""
        self._line = line
        self._callee = callee
        # For the path of every call, at one look.
        self._calling = callee.on_call, self.exports.things

    # ---- the caller's side ----

    def call(
        self,
        x: int,
        flags: int,
        method: int,
        target: int,
        room: int,
        place: int,
        caps: tuple[Cap, ...],
        payload: bytes,
        kind: int = frames.CALL,
        expected: int = 0,
    ) -> bytes:
        """The frame of a question whose slot has been taken; `caps` go beside it. `expected`: the
        id of the interface that it expects of its target, when that is another answer."""
        if flags & frames.ON_ANSWER and kind != frames.BOOTSTRAP:
            payload = EXPECTED.pack(expected) + payload
        size = CALL_HEAD.size + len(payload)
        return pack_call(size, kind, flags, method, x, target, room, place, len(caps)) + payload

    def open_return(self, x: int, frame: bytes) -> tuple[int, int, bytes]:
        """A Return for question `x` as (flags, how many capabilities, payload). Raises GarbageFrame
        for anything else."""
        try:
            length, kind, flags, count, number = unpack_return(frame)
        except struct_error:
            raise GarbageFrame(f"a Return of {len(frame)} bytes is cut short") from None
        if length != len(frame) or kind != frames.RETURN or number != x:
            raise GarbageFrame(f"in place of the Return of {x} stands kind {kind} for {number}")
        return flags, count, frame[RETURN_HEAD.size :]

    def open_error(self, payload: bytes) -> RpcError:
        """The error in a Return. Raises GarbageFrame."""
        try:
            return from_wire(*_decode_error(payload))
        except (msgspec.MsgspecError, ValueError) as error:
            raise GarbageFrame(f"an error that cannot be read: {error}") from None

    def finish(self, x: int, *, release: bool) -> None:
        """The Return of `x` has been taken (`release`: without its capabilities)."""
        flags = frames.RELEASE_CAPS if release else 0
        self._line.send(SHORT.pack(SHORT.size, frames.FINISH, flags, 0, x))

    def cancel(self, x: int) -> None:
        """No answer to `x` is wanted any more. The Return still comes."""
        self._line.send(SHORT.pack(SHORT.size, frames.CANCEL, 0, 0, x))

    def disembargo(self, x: int, flags: int = 0) -> bytes:
        """The frame that follows the calls on the answer to `x` to where they go, or back."""
        return SHORT.pack(SHORT.size, frames.DISEMBARGO, flags, 0, x)

    def resolve(self, x: int, target: int) -> bytes:
        """The frame that says that export `x` is the other side's export `target`."""
        frame = frames.RESOLVE_FRAME
        return frame.pack(frame.size, frames.RESOLVE, 0, 0, x, target)

    def drop_import(self, number: int) -> None:
        """A proxy for an import is gone."""
        count = self.imports.drop(number)
        if count:
            self._send_release(number, count)

    def decline(self, number: int) -> None:
        """A message handed an object over that nobody takes: nothing is held of it."""
        if self.imports.holds(number):
            self.imports.again(number)  # it is released with those that were taken
        else:
            self._send_release(number, 1)

    def _send_release(self, number: int, count: int) -> None:
        frame = frames.RELEASE_FRAME
        self._line.send(frame.pack(frame.size, frames.RELEASE, 0, 0, number, count))

    # ---- the callee's side ----

    def receive(self, frame: bytes) -> None:
        """Take one frame of the other side. Raises ProtocolError."""
        try:
            length, word, x, target, room, place, count = unpack_plain_call(frame)
        except struct_error:
            self._receive_short(frame)
            return
        if word & 0xFFFF != frames.CALL or count:
            self._receive_question(frame)
            return
        # What most calls are: for an object that is here, without capabilities.
        answers = self.answers or self._make_answers()
        try:
            answer = answers[x % self.slots]
        except IndexError:
            raise self._unbought(x) from None
        if answer.state or x <= answer.x or room < MIN_ROOM or length != len(frame):
            raise self._improper(answer, x, room)
        answer.x = x
        answer.flags = 0
        answer.room = room
        answer.place = place
        answer.method = word >> 16
        answer.state = RUNNING
        on_call, things = self._calling
        called = things.get(target)
        if called is None:
            self.refuse(answer, UnknownObject(f"no object {target:#x} is held here"))
        else:
            on_call(answer, called, frame[_CALL:])

    def most(self, begin: bytes) -> int:
        """Bytes that a frame may have which begins so (the whole of it, or 64 bytes)."""
        if begin[4] != frames.CALL or len(begin) < _CALL + EXPECTED.size:
            return ALL
        _, _, flags, method, _, target, *_ = CALL_HEAD.unpack_from(begin)
        called = self.exports.things.get(target)
        if flags & frames.ON_ANSWER:
            called, target = None, EXPECTED.unpack_from(begin, _CALL)[0]
        return frames.longest_call(self._callee.most(called, target, method))

    def _receive_question(self, frame: bytes) -> None:
        """A call that is for another's answer or has capabilities, or Bootstrap."""
        length, kind, flags, method, x, target, room, place, count = CALL_HEAD.unpack_from(frame)
        if kind not in _QUESTIONS:
            raise GarbageFrame(f"a frame of the unknown kind {kind}")
        if not self.answers:
            self._make_answers()
        answer = self._at(x)
        if answer is None:
            raise self._unbought(x)
        if answer.state or x <= answer.x or room < MIN_ROOM or length != len(frame):
            raise self._improper(answer, x, room)
        on_answer = flags & frames.ON_ANSWER and kind != frames.BOOTSTRAP
        if on_answer and length < _CALL + EXPECTED.size:
            raise GarbageFrame(f"call {x} does not say what it expects of its target")
        caps = self.beside.take_over(count) if count else ()
        answer.x = x
        answer.flags = flags
        answer.room = room
        answer.place = place
        answer.method = method
        if kind == frames.BOOTSTRAP:
            answer.flags |= frames.PIPELINE
            answer.state = RUNNING
            self._callee.on_bootstrap(answer, target)
            return
        answer.payload = frame[_CALL:]
        answer.target = target
        if kind != frames.CALL:
            answer.flags |= kind << 8
            answer.method = kind - frames.PROVIDE
        answer.state = QUEUED
        answer.caps = caps
        try:
            if caps:
                answer.caps = tuple(
                    self._late(cap.id, answer) if cap.kind == frames.RECEIVER_ANSWER else cap
                    for cap in caps
                )
        except RpcError as error:
            self.refuse(answer, error)
        else:
            self._deliver(answer)

    def _improper(self, answer: Answer, x: int, room: int) -> ProtocolError:
        """What is wrong with call `x`, which wants the place of `answer`."""
        if answer.state != FREE:
            return SlotInUse(f"call {x} takes the slot of {answer.x}, which is not over")
        if x <= answer.x:
            return SlotInUse(f"call {x} comes after {answer.x}; ids only go up")
        return GarbageFrame(f"call {x} has a wrong length, or reserves {room} bytes, too few")

    def _unbought(self, x: int) -> ProtocolError:
        return SlotInUse(f"call {x} takes slot {x % self.slots}, and {self._size} are paid for")

    def _at(self, x: int) -> Answer | None:
        """The answer in the slot of `x`; None when that is not there."""
        place = x % self.slots
        return self.answers[place] if place < len(self.answers) else None

    def _make_answers(self) -> list[Answer]:
        # What this side writes down is paid with the slots.
        missing = range(len(self.answers), self._size)
        self.answers += off_call(lambda: [Answer(self._callee, self._newest) for _ in missing])
        return self.answers

    def resize(self, size: int) -> None:
        """The other side uses so many slots from now on. Raises SlotInUse when a call is in one
        that goes."""
        gone = self.answers[size:]
        for answer in gone:
            if answer.state != FREE:
                raise SlotInUse(f"the slot of call {answer.x} is given up, which is not over")
            self._newest = max(self._newest, answer.x)
        del self.answers[size:]
        self._size = size
        if self.answers:
            self._make_answers()

    def _receive_short(self, frame: bytes) -> None:
        """A frame that is no question."""
        try:
            kind = frame[4]
            if kind == frames.RELEASE:
                length, _, _, _, number, count = frames.RELEASE_FRAME.unpack(frame)
            elif kind == frames.RESOLVE:
                length, _, _, _, x, number = frames.RESOLVE_FRAME.unpack(frame)
            else:
                length, _, flags, _, x = SHORT.unpack(frame)
        except (struct_error, IndexError):
            raise GarbageFrame(f"a frame of {len(frame)} bytes is of no known form") from None
        if length != len(frame):
            raise GarbageFrame(f"a frame of {len(frame)} bytes claims to have {length}")
        if kind == frames.RELEASE:
            self.release(number, count)
        elif kind == frames.FINISH:
            self._receive_finish(x, flags)
        elif kind == frames.CANCEL:
            self._receive_cancel(x)
        elif kind == frames.DISEMBARGO and flags & frames.LOOPBACK:
            self._line.lift(x, flags)
        elif kind == frames.DISEMBARGO:
            self._line.echo(x, flags)
        elif kind == frames.RESOLVE:
            self._line.resolve(x, number)
        else:
            raise GarbageFrame(f"a frame of the unknown kind {kind}")

    def give(self, answer: Answer, payload: bytes) -> None:
        """The call has its value, data without capabilities: send the Return, and let those
        go on that wait for it. What is too large for its room becomes AnswerTooLarge."""
        size = _RETURN + len(payload)
        if size <= answer.room and not answer.flags & frames.PIPELINE and answer.waiting is None:
            x = answer.x
            answer.state = FREE
            try:
                self.complete(answer.place, x, pack_plain_return(size, _PLAIN, x) + payload)
            except ProtocolError as error:
                self._line.fail(error)
                return
            line = self._line
            if not line.touched:
                line.touch()
        else:
            self.give_caps(answer, payload, (), None)

    def give_caps(
        self,
        answer: Answer,
        payload: bytes,
        caps: tuple[Cap, ...],
        result: Facet | None,
        kept: list[Any] | None = None,
    ) -> None:
        """As `give`, with capabilities. `result` is the facet that later calls may be made on,
        if there is one; `kept` are objects to hold until the caller has read the Return."""
        size = _RETURN + len(payload)
        if size > answer.room:
            error = AnswerTooLarge(
                f"the answer takes {size} bytes and {answer.room} were reserved; declare "
                f"@method(answer={size}) or more, or ask for less at a time"
            )
            self._refuse_caps(answer, caps, error)
            return
        try:
            if len(caps) > 1 and self._account is not None:
                charge = prices.GRANTED * (len(caps) - 1)
                self._account.take(charge, "what an answer names until it is finished")
                answer.charged = charge
            if caps:
                self.beside.hand_over(caps, answer.place)
        except RpcError as error:
            self._unqueue(answer)
            self._refuse_caps(answer, caps, after_begin(error))
            return
        answer.granted = [cap.id for cap in caps if cap.kind == frames.SENDER]
        answer.result = result
        answer.kept = kept
        for number in answer.granted:
            # The answer holds it until Finish, whatever the caller releases meanwhile.
            self.exports.hold(number)
        flags = 0 if caps or self._is_awaited(answer) else frames.NO_FINISH
        self._return(answer, flags, len(caps), payload)

    def _refuse_caps(self, answer: Answer, caps: tuple[Cap, ...], error: RpcError) -> None:
        """An answer cannot be given: nothing of it was handed out."""
        for cap in caps:
            if cap.kind == frames.SENDER:
                self.exports.release(cap.id, 1)
        self.refuse(answer, error)

    def refuse(self, answer: Answer, error: BaseException) -> None:
        """The call has failed. The error fits into what is reserved already."""
        self._refuse(answer, to_wire(error), issubclass(type(error), CallCancelled))

    def _refuse(self, answer: Answer, wire: tuple[int, str, str], cancelled: bool) -> None:
        code, kind, message = wire
        payload = _encode((code, kind, message))
        room = answer.room - RETURN_HEAD.size
        if len(payload) > room:
            kind = _cut(kind, 64)
            message = _cut(message, room - len(_encode((code, kind, ""))) - 8)
            payload = _encode((code, kind, message))
        # Kept for calls on this one, in the memory that its slot has paid for.
        answer.error = code, _cut(kind, _KEPT // 2), _cut(message, _KEPT)
        flags = frames.ERROR | (frames.CANCELLED if cancelled else 0)
        if answer.caps:
            flags |= frames.RETURN_ARGS
        if not self._is_awaited(answer):
            flags |= frames.NO_FINISH
        self._return(answer, flags, 0, payload)

    def _is_awaited(self, answer: Answer) -> bool:
        """Whether other calls are, or may be, for the result of this one."""
        return bool(answer.flags & frames.PIPELINE) or answer.waiting is not None

    def _return(self, answer: Answer, flags: int, caps: int, payload: bytes) -> None:
        size = _RETURN + len(payload)
        frame = pack_return(size, frames.RETURN, flags, caps, answer.x) + payload
        try:
            self.complete(answer.place, answer.x, frame)
        except ProtocolError as error:
            self._line.fail(error)
            return
        self._line.touch()
        if answer.late is not None:
            self._settle_late(answer, _outcome_error(answer))
        waiting = answer.waiting
        if waiting is None:
            if flags & frames.NO_FINISH:
                answer.clear()
            else:
                answer.settle()
            return
        answer.settle()
        # A chain of calls that end at once must not become a chain of Python frames, so
        # only the outermost of these hands the waiting calls on.
        resumed = self.resumed
        for call in answer.line():
            call.join(resumed)
        if resumed.waiting is not None and not self._resuming:
            if self.on_resumed is not None:
                self.on_resumed()
            while self.on_resumed is None and resumed.waiting is not None:
                self.resume()

    def resume(self) -> None:
        """Start the first of the calls whose target has come."""
        call = self.resumed.waiting
        assert call is not None
        self._resuming = True
        try:
            call.leave()
            self._unqueue(call)
            self._deliver(call)
        finally:
            self._resuming = False

    def _deliver(self, answer: Answer) -> None:
        """Start a call, or let it wait for the answer that it depends on."""
        try:
            kind = answer.flags >> 8
            target = self._target(answer) if kind <= frames.PROVIDE else None
            if type(target) is Answer:
                self._queue(answer, target)
                return
        except _Failed as failed:
            self._refuse(answer, failed.wire, False)
            return
        except RpcError as error:
            self.refuse(answer, error)
            return
        payload, answer.payload = answer.payload, b""
        if answer.flags & frames.ON_ANSWER:
            payload = payload[EXPECTED.size :]
        answer.state = RUNNING
        called: Any = target
        if kind:
            self._callee.on_introduce(answer, called, payload)
        else:
            self._callee.on_call(answer, called, payload)

    def _target(self, answer: Answer) -> Facet | Answer:
        """What is called, or the answer that will give it."""
        if not answer.flags & frames.ON_ANSWER:
            return self.exports.get(answer.target)
        other = self._answer_of(answer.target, answer)
        if other.state != RETURNED:
            return other
        facet = self._result_of(other)
        (expected,) = EXPECTED.unpack_from(answer.payload)
        if expected not in facet[2]._pinfut_ids:
            # Its numbers are those of another interface, and would name other methods here.
            raise InterfaceMismatch(
                f"the call is for an interface of the id {expected:016x}, and the answer "
                f"that it was made on gave a {facet[2].__name__} (id {facet[2]._pinfut_id:016x})"
            )
        return facet

    def _answer_of(self, x: int, asking: Answer) -> Answer:
        other = self._at(x)
        if other is None or other.x != x or other.state == FREE or other is asking:
            raise UnknownObject(f"no answer {x} is held here: it was finished, or never asked")
        return other

    def _result_of(self, answer: Answer) -> Facet:
        """The facet that a returned answer gave. Raises the error that it ended with."""
        if answer.error is not None:
            raise _Failed(answer.error)
        if answer.result is None:
            raise _Failed(_DATA)
        return answer.result

    def _late(self, x: int, asking: Answer) -> PromisedCapability:
        """What answer `x` gives or will give, for an argument that names it."""
        other = self._answer_of(x, asking)
        if other.state == RETURNED:
            late = PromisedCapability()
            late.settle(other.result, _outcome_error(other))
            return late
        if other.late is None:
            if self._account is not None:
                self._account.take(prices.IMPORT, "a capability that is still to come")
            other.late = PromisedCapability(other)
        return other.late

    def _settle_late(self, answer: Answer, error: tuple[int, str, str] | None) -> None:
        """Tell those who wait for the result, and refund what their waiting holds."""
        late, answer.late = answer.late, None
        if late is not None:
            if self._account is not None:
                self._account.give(prices.IMPORT)
            late.settle(None if error else answer.result, error)

    def _queue(self, answer: Answer, on: Answer) -> None:
        charge = prices.QUEUED + len(answer.payload) + prices.QUEUED_CAP * len(answer.caps)
        if self._account is not None:
            self._account.take(charge, "a call that waits for another's answer")
            answer.charged = charge
        answer.join(on)

    def _unqueue(self, answer: Answer) -> None:
        """Refund what a call held that waited, or what an answer named."""
        if answer.charged and self._account is not None:
            self._account.give(answer.charged)
        answer.charged = 0

    def _receive_finish(self, x: int, flags: int) -> None:
        answer = self._at(x)
        if answer is None or answer.x != x or answer.state != RETURNED:
            raise UnknownReply(f"Finish for {x}, which has no Return to finish")
        granted = answer.granted
        self._unqueue(answer)
        answer.clear()
        for number in granted or ():
            if flags & frames.RELEASE_CAPS:
                self.release(number, 1)
            self.exports.unhold(number)

    def release(self, number: int, count: int) -> None:
        """The other side says that `count` of the times are over that an object was handed out to
        it. Raises GarbageFrame."""
        try:
            self.exports.release(number, count)
        except UnknownObject as error:
            raise GarbageFrame(str(error)) from None

    def _receive_cancel(self, x: int) -> None:
        answer = self._at(x)
        if answer is None or answer.x != x:
            return  # it crossed the Return, and the slot has been used again since
        if answer.state == RUNNING:
            self._callee.on_cancel(answer)
        elif answer.state == QUEUED:
            answer.leave()
            self._unqueue(answer)
            self.refuse(answer, CallCancelled("cancelled by the caller before it began"))

    def open_answers(self) -> list[Answer]:
        """The calls that have no Return yet."""
        return [a for a in self.answers if a.state in (QUEUED, RUNNING)]

    def end(self) -> None:
        """No call starts any more."""
        for _ in self.resumed.line():
            pass

    def close(self) -> None:
        """Forget everything; refunds what is held for calls that wait and for objects."""
        self.end()
        for answer in self.answers:
            self._unqueue(answer)
            self._settle_late(answer, _CLOSED)
            answer.clear()
        self.imports.close()
        # Last: what is charged for the client's other sessions goes to one of them.
        self.exports.close()


def _outcome_error(answer: Answer) -> tuple[int, str, str] | None:
    """Why an answer gives no capability; None when it gives one."""
    if answer.error is None and answer.result is None:
        return _DATA
    return answer.error


class _Failed(Exception):
    """A pipelined call whose target failed: it gets the same error."""

    def __init__(self, wire: tuple[int, str, str]) -> None:
        super().__init__()
        self.wire = wire


def _cut(text: str, size: int) -> str:
    """`text` cut to at most `size` bytes of UTF-8."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= size:
        return text
    return raw[: max(0, size - 3)].decode("utf-8", "ignore") + "..."


accelerate(globals())
