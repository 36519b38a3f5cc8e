"""Calls out: the caller's half of a session: calls are sent, and answers taken in place."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any, final

from pinfut import laws
from pinfut.core import accelerate
from pinfut.executor.contract import Runner
from pinfut.rpc import prices
from pinfut.rpc.contract import Endpoint
from pinfut.rpc.errors import BankError, ForeignCapability, MessageTooLarge, RpcError
from pinfut.rpc.objects.capabilities import Capabilities
from pinfut.rpc.objects.codec import CodecError
from pinfut.rpc.objects.local import call_later
from pinfut.rpc.objects.method import Method
from pinfut.rpc.objects.promise import (
    DROPPED,
    EMBARGOED,
    IMPORTED,
    OWN,
    PROMISED,
    RESOLVED,
    Promise,
    Target,
    Unsent,
    again,
)
from pinfut.rpc.objects.proxy import RECORD, cannot_send, proxy
from pinfut.rpc.session.backlog import Backlog
from pinfut.rpc.session.resolving import Resolving
from pinfut.rpc.session.returns import Returns, unreadable
from pinfut.rpc.session.sending import Outbox, Sending
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.frames import CALL_HEAD, EXPECTED, Cap
from pinfut.rpc.wire.peer import Peer
from pinfut.rpc.wire.questions import Question
from pinfut.slots import CANCELLING, DETACHED, READY, WAITING
from pinfut.stack import require_stack

_CALL = CALL_HEAD.size
_PLAIN = frames.PLAIN


@final
class CallsOut(Sending):
    """The calls of one side. `owner`: the session; `via`: this half of the session over which it
    was introduced."""

    __slots__ = ("backlog", "capabilities", "owner", "peer", "resolving", "returns", "via")

    def __init__(
        self,
        end: Endpoint,
        executor: Runner,
        peer: Peer,
        on_fail: Callable[[RpcError], None],
        owner: object,
        via: CallsOut | None,
        outbox: Outbox,
    ) -> None:
        owing = end.serving or via is not None
        super().__init__(end, executor, on_fail, outbox, owing, peer.questions)
        self.owner = owner
        self.via = via
        self.peer = peer
        self.capabilities = Capabilities(self, peer, executor)
        self.returns = Returns(self, peer, self.capabilities)
        self.backlog = Backlog(self, self, self.returns, peer, self.capabilities)
        self.resolving = Resolving(self, peer, self.capabilities, self.backlog)

    # ---- calling ----

    def bootstrap(self, interface: Any) -> Any:
        submissions = self.open()
        target = Target(self, interface, PROMISED)
        place = submissions.reserve(256)
        if self.questions.full:
            self.room.grow()
        question = self.questions.acquire()
        target.id = x = question.x
        question.place = place
        self.returns.promise(question, target)
        wanted, kind = interface._pinfut_id, frames.BOOTSTRAP
        self.send(self.peer.call(x, frames.PIPELINE, 0, wanted, 256, place, (), b"", kind))
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
        SessionClosed. On any error nothing was sent."""
        if self.error is not None:
            raise again(self.error)
        if laws.recording:
            require_stack(2 * RECORD)
        promised = False
        # What has to stay until the answer is there: a promise that is dropped is cancelled.
        parent: Any = None
        if target.state != IMPORTED:
            if kind != frames.CALL and target.state in (OWN, EMBARGOED):
                raise ForeignCapability(
                    f"{holder!r} turned out to be this process's own: hand it out as it is"
                )
            if target.state == OWN and not target.line:
                return getattr(target.own, method.name)(*args)
            if target.state in (OWN, EMBARGOED):
                return call_later(self.executor, holder, method, args)
            target.require_usable()
            promised = True
            parent = holder
        submissions = self.open()
        caps: tuple[Cap, ...] = ()
        things: list[tuple[Any, Any]] = []
        arguments = method.arguments
        try:
            if arguments.has_caps:
                payload, things = arguments.encode_caps(args)
                caps = self.capabilities.describe_all(things)
                parent = holder, args
            else:
                payload = arguments.encode(args)
        except CodecError as error:
            raise cannot_send(method, error) from error
        room = method.fixed_room
        try:
            if room is None:
                room = method.room(args)
            head = _CALL + EXPECTED.size if promised else _CALL
            size = head + len(payload)
            if size > submissions.largest:
                if size > self.end.largest:
                    raise MessageTooLarge(
                        f"{method!r} with {len(payload)} bytes of arguments is above what this "
                        f"session carries, {self.end.largest} bytes a message; send it in parts, "
                        "or connect with a larger ring=, up to the server's max_message="
                    )
                self.room.widen(size)
            place = submissions.reserve(room)
            try:
                if self.questions.full and not (self.held or self.room.grow()):
                    self.returns.detach(self.questions.taken())
                if self.held or self.questions.full:
                    return self.backlog.wait(
                        holder, target, method, args, room, place, things, caps, payload, kind
                    )
                return self._send_call(target, method, room, place, caps, payload, parent, kind)
            except BaseException:
                submissions.release(place)
                raise
        except BaseException as error:
            self.capabilities.take_back(caps)
            if isinstance(error, BankError):
                self.returns.find_cycles()
            raise

    def _send_call(
        self,
        target: Target,
        method: Method,
        room: int,
        place: int,
        caps: tuple[Cap, ...],
        payload: bytes,
        parent: Any,
        kind: int,
    ) -> Any:
        returns = self.returns
        question = self.questions.acquire()
        try:
            frame = returns.frame_of(question, target, method, room, place, caps, payload, kind)
            self.write(frame, prices.UNWRITTEN + len(frame), caps)
        except BaseException:
            returns.forget(question)
            self.questions.release(question)
            raise
        question.place = place
        if self.watched:
            self.watch_sent(question.x, target, method, room)
        if method.returns is None:
            return Promise(self, question, method, parent)
        settles = Target(self, method.returns, PROMISED, question.x)
        returns.promise(question, settles)
        settles.parent = parent
        return proxy(settles)

    def echo(self, x: int, flags: int, /) -> None:
        frame = self.peer.disembargo(x, flags | frames.LOOPBACK)
        if flags & frames.EXPORT:
            self.resolving.echo(x, frame)
        # Behind calls that wait for a slot it is not needed: the Returns say it then.
        elif self.opened and not self.held:
            self.send(frame)

    def lift(self, x: int, flags: int, /) -> None:
        if flags & frames.EXPORT:
            self.resolving.lift([self.peer.imports.proxy_of(x)])
        else:
            self.returns.lift(x)

    def resolve(self, x: int, target: int, /) -> None:
        self.resolving.resolve(x, target)

    # ---- answers ----

    def take(self, question: Question, method: Method, /) -> Any:
        plan = method.calling
        if plan is None or not self.flowing:
            return self.returns.take(question, method)
        payload = self.submissions.take_plain(question.place, question.x, _PLAIN)
        if payload is None:
            return self.returns.take(question, method)
        self.questions.release(question)
        if self._owing:
            return self.returns.value(method, (), payload)
        try:
            return plan[1](payload)
        except CodecError as error:
            raise unreadable(method, error) from error

    def take_detached(self, question: Question, method: Method, /) -> Any:
        return self.returns.take_detached(question, method)

    def completed(self) -> bool:
        """Have the answers that have come taken note of; whether there were any. Raises
        ProtocolError."""
        if not self.opened:
            return False
        xs = self.submissions.completed()
        if xs:
            room = self.room
            used = len(self.questions) if room.spacious else 0
            self.returns.complete(xs)
            if used and not (self._frames or self.held or self.error) and room.look(used, len(xs)):
                self.touch()
        if self._frames:
            self.touch()  # there may be room now
        return bool(xs)

    def trim(self) -> None:
        if self.opened and self.error is None:
            self.submissions.trim()
            if not (self._frames or self.held) and self.room.shrink():
                self.touch()

    # ---- giving up ----

    def leave(self, dropped: Any, /) -> None:
        """A promise or target is held by nobody. Only noted here: the collector may be the one
        who calls, between any two steps of anything."""
        if self.error is None:
            self.dropped.append(dropped)
            if not self.touched:
                executor = self.executor
                if executor.thread == get_ident():
                    self.touch()
                elif executor.poller is not None:
                    executor.poller.hand_over(self.touch)

    def release(self, target: Target, /) -> None:
        require_stack(2 * RECORD)
        if self.error is None:
            self._give_up_target(target)
        target.let_go()

    def _settle_drops(self) -> None:
        while self.dropped:
            before, self.dropped = self.dropped, []
            for dropped in before:
                if type(dropped) is Question:
                    self._give_up(dropped)
                elif type(dropped) is Unsent:
                    self._give_up_unsent(dropped)
                else:
                    self._give_up_target(dropped)

    def _give_up(self, question: Question) -> None:
        self.returns.disown(question)
        state = question.state
        if state == READY or (state == DETACHED and question.value is None):
            self.returns.open(question, release=True)
        elif state == WAITING:
            self.questions.cancel(question.x)
            self.peer.cancel(question.x)
            self.watch(question.x, "cancelled")

    def _give_up_unsent(self, unsent: Unsent) -> None:
        if unsent.task is not None:
            unsent.task.cancel()
        elif unsent.slot is not None:
            self._give_up(unsent.slot)
        else:
            self.backlog.give_up(unsent)

    def _give_up_target(self, target: Target) -> None:
        state, target.state = target.state, DROPPED
        target.parent = None
        if state == IMPORTED or target.id <= RESOLVED:
            self.peer.drop_import(target.id if state == IMPORTED else RESOLVED - target.id)
        elif state == PROMISED:
            question = self.questions.peek(target.id)
            if question is not None:
                self._give_up(question)
        elif target.unsent is not None:
            target.unsent.settles = None
            self._give_up_unsent(target.unsent)

    # ---- the end ----

    def close(self, error: RpcError, *, refund: bool) -> None:
        """The session has ended: every call gets `error`. `refund`: give back what waits; else
        the kernel has taken it."""
        self.error = error
        self.flowing = False
        self.returns.close(error)
        self.resolving.lift(self.peer.imports.proxies())
        for question in self.questions.taken():
            if question.state == WAITING:
                self.questions.complete(question.x, None)
            elif question.state == CANCELLING:
                self.questions.release(question)
        self.backlog.close(error, refund=refund)
        self.end_sending(error, refund=refund)
        self.dropped.clear()


accelerate(globals())
