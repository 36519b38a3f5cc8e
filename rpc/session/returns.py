"""Returns: what one side's calls end with: answers read in place, promises settled."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, final

from pinfut.closing import set_traceback
from pinfut.executor.current import report_call
from pinfut.rpc.errors import (
    BadAnswer,
    BankError,
    GarbageFrame,
    ProtocolError,
    RpcError,
    UnknownReply,
    after_begin,
)
from pinfut.rpc.objects.capabilities import Capabilities
from pinfut.rpc.objects.codec import CodecError
from pinfut.rpc.objects.method import Method
from pinfut.rpc.objects.promise import BROKEN, EMBARGOED, OWN, PROMISED, Target, again
from pinfut.rpc.objects.weight import SHORT
from pinfut.rpc.session.sending import Sending
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.frames import Cap
from pinfut.rpc.wire.peer import Peer
from pinfut.rpc.wire.questions import Question
from pinfut.slots import CANCELLING, DETACHED, FREE, READY


def unreadable(method: Method, error: BaseException) -> BadAnswer:
    """The error for an answer that cannot be decoded."""
    return BadAnswer(f"the answer of {method!r} cannot be read: {error}")


def _nothing_waits() -> None:
    raise AssertionError("no call waits for a slot")


@final
class Returns:
    """How the answers of one side's questions are opened."""

    __slots__ = (
        *("_capabilities", "_embargoed", "_fresh", "_peer", "_questions", "_sending", "on_free"),
        *("on_own", "paid", "promised"),
    )

    def __init__(self, sending: Sending, peer: Peer, capabilities: Capabilities) -> None:
        self._sending = sending
        self._peer = peer
        self._questions = peer.questions
        self._capabilities = capabilities
        self._fresh = 1  # how many proxies have to come before the next search for cycles
        # Invariant: by question, those of its targets that are EMBARGOED and have calls under way:
        # at most as many as there are slots.
        self._embargoed: dict[int, Target] = {}
        # Decodes an answer that is not short and has it paid, where this side is a server.
        self.paid: Callable[..., Any] | None = None
        self.promised = 0  # how many questions settle a target or were made on a promise
        # Sends what waits for a slot, while the sending is held.
        self.on_free: Callable[[], None] = _nothing_waits
        # Calls what waits for a slot and is for an object of this side.
        self.on_own: Callable[[Target], None]

    # ---- what a question needs when its Return comes ----

    def frame_of(
        self,
        question: Question,
        target: Target,
        method: Method,
        room: int,
        place: int,
        caps: tuple[Cap, ...],
        payload: bytes,
        kind: int,
    ) -> bytes:
        """The frame of a call on `target`. What the question hands out, and how its answer has to
        be read, is noted; `forget` is the undo."""
        flags = frames.PIPELINE if method.returns is not None else 0
        if target.state == PROMISED:
            flags |= frames.ON_ANSWER
            target.under_way += 1
            question.pipelined_on = target
            self.promised += 1
        question.sent_caps = caps
        if method.returns is None and method.result.has_caps:
            question.decode_eagerly = method
        x, number, expected = question.x, method.number, target.interface._pinfut_id
        return self._peer.call(
            x, flags, number, target.id, room, place, caps, payload, kind, expected
        )

    def promise(self, question: Question, target: Target) -> None:
        """The answer will settle `target`."""
        question.settles = target
        self.promised += 1

    def disown(self, question: Question) -> None:
        """Nobody wants the target any more that the answer would settle."""
        if question.settles is not None:
            question.settles = None
            self.promised -= 1

    def forget(self, question: Question) -> None:
        """The question was not sent after all."""
        question.decode_eagerly = None
        question.sent_caps = ()
        self._arrive(question)

    def _arrive(self, question: Question) -> None:
        """A call on a promise has its Return, so it has arrived there long since."""
        target, question.pipelined_on = question.pipelined_on, None
        if target is not None:
            self._arrive_at(target)

    def _arrive_at(self, target: Target) -> None:
        self.promised -= 1
        target.under_way -= 1
        if not target.under_way and self._embargoed.get(target.id) is target:
            self.lift(target.id)

    def lift(self, x: int) -> None:
        """What was called on the answer to `x` has arrived, so nothing can overtake it."""
        target = self._embargoed.pop(x, None)
        if target is not None:
            target.settle(OWN)

    def close(self, error: RpcError) -> None:
        """The session has ended: nothing that was promised will come."""
        questions = self._questions.taken()
        settled = [(one.settles, one.pipelined_on) for one in questions]
        for one in questions:
            one.settles = one.pipelined_on = one.decode_eagerly = None
            one.sent_caps = ()
        self.promised = 0
        for target, _ in settled:
            if target is not None and target.state == PROMISED:
                target.fail(error)
        for x in list(self._embargoed):
            self.lift(x)

    # ---- answers that somebody takes ----

    def take(self, question: Question, method: Method) -> Any:
        """The value of a returned call; its slot is free afterwards. Raises what the call ended
        with."""
        error = self._sending.error
        if error is not None:
            if question.state != DETACHED:
                self._questions.release(question)
            raise again(error)
        return self._decode(method, *self.open(question))

    def take_detached(self, question: Question, method: Method) -> Any:
        """As `take`, of a call whose slot has gone to another."""
        error = self._sending.error
        if error is not None:
            raise again(error)
        if question.value is None:
            return self.take(question, method)
        early: Any = question.value
        question.value = None
        if early[1] is not None:
            try:
                raise early[1]
            finally:
                del early  # or its traceback would keep it
        return early[0]

    def _decode(self, method: Method, flags: int, caps: tuple[Cap, ...], payload: bytes) -> Any:
        """The value of an answer. Raises what the call ended with."""
        if flags & frames.ERROR:
            # Not from a name of this frame, which its traceback keeps: it would keep itself.
            raise self._error_in(payload)
        return self.value(method, caps, payload)

    def value(self, method: Method, caps: tuple[Cap, ...], payload: bytes) -> Any:
        """The value in an answer. Raises BadAnswer, and OutOfPages where this side is a server
        whose client cannot pay for it."""
        try:
            if self.paid is None or len(payload) <= SHORT:
                return self._decoded(method, caps, payload)
            return self.paid(method, payload, caps, self._decoded)
        except CodecError as problem:
            raise unreadable(method, problem) from problem
        except BankError as error:
            error.begun = True
            raise

    def _decoded(self, method: Method, caps: tuple[Cap, ...], payload: bytes) -> Any:
        if method.result.has_caps:
            return self._capabilities.decode(method.result, payload, caps)
        if caps:
            self._capabilities.discard(caps)
        return method.result.decode(payload)

    def open(
        self, question: Question, *, release: bool = False, leave: bool = False
    ) -> tuple[int, tuple[Cap, ...], bytes]:
        """Read the Return of a question, free its slot (`leave`: and leave it to its holder), and
        finish the question if need be. Raises ProtocolError, and the session has ended."""
        try:
            opened = self._look(question)
            return self._opened(question, opened, release, leave)
        except ProtocolError as error:
            self._sending.fail(error)
            raise

    def _look(self, question: Question) -> tuple[int, tuple[Cap, ...], bytes]:
        """Read the Return of a question, once: its capabilities are taken with it. Raises
        ProtocolError."""
        frame = self._sending.submissions.read(question.place)
        flags, count, payload = self._peer.open_return(question.x, frame)
        if not count:
            return flags, (), payload
        return flags, self._peer.beside.take_over(count, question.place), payload

    def _opened(
        self,
        question: Question,
        opened: tuple[int, tuple[Cap, ...], bytes],
        release: bool,
        leave: bool = False,
    ) -> tuple[int, tuple[Cap, ...], bytes]:
        """A Return was read: free its place and its slot."""
        sending = self._sending
        sending.submissions.release(question.place)
        x = question.x
        sending.watch(x, "taken")
        question.decode_eagerly = None
        caps, question.sent_caps = question.sent_caps, ()
        if caps and opened[0] & frames.RETURN_ARGS:
            for cap in caps:
                if cap.kind == frames.SENDER:
                    self._peer.release(cap.id, 1)
        if question.state == DETACHED:
            question.state = FREE
            return opened
        if leave:
            self._questions.detach(question)
        else:
            self._questions.release(question)
        if not opened[0] & frames.NO_FINISH:
            self._peer.finish(x, release=release)
        if sending.held and not leave:
            self.on_free()
        return opened

    def detach(self, questions: list[Question]) -> None:
        """Calls wait for a slot, and these have answers that nobody has taken yet: leave
        the answers to their holders, and the slots to the calls."""
        for question in questions:
            if question.state != READY or question.settles is not None:
                continue
            try:
                frame = self._sending.submissions.read(question.place)
                flags, _, _ = self._peer.open_return(question.x, frame)
            except ProtocolError as error:
                self._sending.fail(error)
                raise
            if flags & frames.NO_FINISH:
                self._questions.detach(question)
            elif question.decode_eagerly is not None:
                # The other side holds the slot until Finish, and what is named in the answer
                # only until then: it is read now.
                method = question.decode_eagerly
                question.value = self._read(method, *self.open(question, leave=True))

    def find_cycles(self) -> None:
        """The client's bank is short: have the collector find proxies that only cycles hold, whose
        objects are released when this turn ends. It looks at the whole heap, so each search that
        finds none doubles how many proxies have to come before the next; and none is made on the
        serving side, where the other side could ask for it."""
        imports = self._peer.imports
        if imports.account is None and imports.fresh >= self._fresh:
            imports.fresh = 0
            before = len(self._sending.dropped)
            gc.collect()
            self._fresh = 1 if len(self._sending.dropped) > before else 2 * self._fresh

    def _error_in(self, payload: bytes) -> RpcError:
        """The error that a call ended with. Raises ProtocolError for what is none."""
        try:
            error = self._peer.open_error(payload)
            if isinstance(error, BankError):
                self.find_cycles()
            return error
        except ProtocolError as garbage:
            self._sending.fail(garbage)
            raise

    def _read(
        self, method: Method, flags: int, caps: tuple[Cap, ...], payload: bytes
    ) -> tuple[Any, BaseException | None]:
        """The value or the error of an answer."""
        try:
            return self._decode(method, flags, caps, payload), None
        except RpcError as error:
            return None, again(error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # of a class in the answer; it is its caller's
            set_traceback(error, None)
            return None, error

    # ---- answers that come ----

    def complete(self, xs: list[int]) -> None:
        """The other side has written these answers in place. Raises ProtocolError."""
        sending, questions = self._sending, self._questions
        if sending.watched:
            for x in xs:
                sending.watch(x, "returned")
        try:
            rest = questions.mark_ready(xs)
        except BaseException as error:  # of a waker
            report_call(questions.mark_ready, error)
            rest = [x for x in xs if (one := questions.peek(x)) is None or one.state != READY]
        for x in rest:
            question = questions.peek(x)
            if question is None or question.state != CANCELLING:
                raise UnknownReply(f"a reply to {x}, which is not in progress")
            # Late, but not ignored: its capabilities are released.
            self._arrive(question)
            self.open(question, release=True)
        if self.promised:
            for x in xs:
                question = questions.peek(x)
                if question is not None:
                    self._arrived(question)
        if sending.held:
            self.detach([one for x in xs if (one := questions.peek(x)) is not None])
            self.on_free()

    def _arrived(self, question: Question) -> None:
        # Taken out first: once its answer is read, the question may be another call's.
        target, promise = question.settles, question.pipelined_on
        self.disown(question)
        question.pipelined_on = None
        try:
            if target is not None:
                self._settle(question, target)
        except ProtocolError as error:
            assert target is not None
            target.fail(again(error))
            raise
        finally:
            if promise is not None:
                self._arrive_at(promise)

    def _settle(self, question: Question, target: Target) -> None:
        """A promised capability has come: from now on calls go to the object itself."""
        opened = flags, caps, payload = self._look(question)
        if not flags & frames.ERROR and len(caps) != 1:
            raise GarbageFrame(f"the answer {question.x} is one capability, not {len(caps)}")
        if flags & frames.ERROR:
            target.fail(self._error_in(payload))
        else:
            if self._sending.held and caps[0].kind == frames.RECEIVER:
                self.on_own(target)
            try:
                self._capabilities.bind(target, caps[0])
            except ProtocolError:
                raise
            except RpcError as error:
                target.fail(again(after_begin(error)))
        if target.state == EMBARGOED:
            self._sending.send(self._peer.disembargo(question.x))
            self._embargoed[question.x] = target
        self._opened(question, opened, target.state == BROKEN)
