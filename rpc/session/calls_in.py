"""Calls in: the callee's half of a session: handlers as tasks, paid by the client.

A handler's frame is charged to the client's account before it starts and refunded when its
task has ended, not when its call was cancelled: until then the work goes on and the
memory is held. A refusal needs no memory that is not reserved already."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Callable
from math import inf
from types import CoroutineType
from typing import Any, Final, Protocol, cast, final

from pinfut.closing import ENDS_THE_RUN, tell
from pinfut.core import accelerate
from pinfut.coroutine import native, task_context
from pinfut.executor.contract import JoinHandle, Runner, Timer
from pinfut.rpc import prices
from pinfut.rpc.errors import (
    BadAnswer,
    BadArguments,
    CallCancelled,
    GarbageFrame,
    PromiseLoop,
    ProtocolError,
    RpcError,
    UnknownMethod,
    UnknownService,
    after_begin,
    of_handler,
    words_of,
)
from pinfut.rpc.objects.capabilities import Capabilities
from pinfut.rpc.objects.codec import foreign, require_short
from pinfut.rpc.objects.expansion import shortest
from pinfut.rpc.objects.handlers import WAIT, held_by, tell_of
from pinfut.rpc.objects.interface import Interface, interface_at, interface_by_id
from pinfut.rpc.objects.method import Method
from pinfut.rpc.objects.promise import EMBARGOED, again
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.objects.weight import weigh
from pinfut.rpc.session.conversation import Conversation, Introduced, serving
from pinfut.rpc.session.fairness import ADVANCE, THING
from pinfut.rpc.session.introduce import Introducer, Introducing
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.answers import Answer, PromisedCapability, Queue, waits_for_itself
from pinfut.rpc.wire.exports import Facet
from pinfut.rpc.wire.frames import Cap
from pinfut.rpc.wire.peer import ALL, Peer

AGAIN: Final = 1.0
"""Seconds after which a session that holds more than is paid is looked at once more."""

_SEND: Final = CoroutineType.send

_log = logging.getLogger("pinfut.rpc")

SMALL: Final = 1024
"""Bytes that arguments may become without being weighed: so much is charged for them."""

UNPAID: Final = 8192
"""Bytes that arguments may become before they are charged: the server's own, for one message."""


class Whole(Conversation, Introduced, Protocol):
    """The session, as the calls that come in know it."""

    credit: int
    """Bytes of messages that may be looked at."""


@final
class CallsIn:
    """Runs the calls that the other side makes. `root`: what this side serves, if anything."""

    __slots__ = (
        *("_account", "_again", "_answered", "_capabilities", "_context", "_ended", "_executor"),
        *("_grace", "_longest", "_peer", "_purse", "_root", "_session", "_starting", "_timer"),
        *("_unpaid", "_watched", "refusal", "running", "things"),
    )

    def __init__(
        self,
        session: Whole,
        peer: Peer,
        capabilities: Capabilities,
        executor: Runner,
        root: Interface | None,
        grace: float,
    ) -> None:
        self._session = session
        self._peer = peer
        self._capabilities = capabilities
        self._executor = executor
        self._root = root
        self._account = session.end.account
        self._purse = session.purse
        # Bytes of arguments in which hashes of keys can be foreseen, at most.
        self._longest = shortest(session.end.message)
        # Every handler starts from the context in which the session was opened.
        self._context = task_context()
        self._context.run(serving.set, session)
        # Invariant: handlers that have started and not ended; each holds its charge.
        self.running = Queue()
        # Of these, the ones that hold more than could be charged, and are cancelled for it.
        self._unpaid: dict[Answer, RpcError] = {}
        # And the bytes charged for what one was answered.
        self._answered: dict[Answer, int] = {}
        # Seconds that a handler has from its cancel on, and what looks whether they are over:
        # one timer for all, there as long as a handler that was cancelled has not ended.
        self._grace = grace
        self._timer: Timer | None = None
        # Why no call begins, while what is held cannot be paid (`give_up`).
        self.refusal: RpcError | None = None
        # What looks once more by and by, whether what is held too much was garbage.
        self._again: Timer | None = None
        # Whether a handler is in its first step, which holds its charge, too.
        self._starting = False
        self._ended = False
        # Things in arguments that were weighed, in all. Eight that were only decoded count as one;
        # of these there are as many as there may be.
        self.things = 0
        self._watched = bool(executor.instruments)

    @property
    def name(self) -> str:
        """What its session is called."""
        return self._session.name

    @property
    def busy(self) -> bool:
        """Whether a handler has started and not ended."""
        return self._starting or self.running.waiting is not None

    def on_call(self, answer: Answer, called: Facet, payload: bytes, /) -> None:
        """Start the handler of a call, or refuse it."""
        executor = self._executor
        if executor.current is not None:
            outside = executor.begin_inline()
            try:
                self.on_call(answer, called, payload)
            finally:
                executor.end_inline(outside)
            return
        thing, methods, _ = called
        account = self._account
        try:
            method: Method = methods[answer.method]
            function, decode, frame, plain, encode, short = method.serving
            if len(payload) > short or decode is None or answer.caps:
                args, more = self._open(answer, method, payload)
                frame += more
            else:
                args = decode(payload)
            if self.refusal is not None:
                self._require_settled(answer)
            free = account.free
            if free >= frame:
                held = account.free = free - frame
            else:
                free = -1
                # What the client keeps for a call that was refused before.
                self._session.end.redeem(answer.x)
                account.take(frame, "the handler of a call")
                held = account.free
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._refuse(answer, called, error)
            return
        if self._watched:
            session = self._session
            name = session.name if session.end.serving else f"{session.name} back"
            executor.instruments.serve(name, answer.x, m=method.name, z=frame)
        coro = function(thing, *args)
        context = self._context.copy()
        try:
            if type(coro) is not CoroutineType:
                coro = native(coro)
            executor.first = (coro, context, answer, None)
            self._starting = True
            leaf = context.run(_SEND, coro, None)
        except StopIteration as stop:
            value = stop.value
            self._starting = False
            if executor.current is not None:
                executor.end_first(value, None)
            if account.free == held and free >= 0:
                account.free = free  # as it was: nothing else was charged meanwhile
            else:
                account.give(frame)
            if self._ended:
                self._end()
            elif type(value) is plain:
                try:
                    payload = encode(value)
                except KeyboardInterrupt:
                    raise
                except BaseException:
                    self._give(answer, method, value)  # which says why it cannot be sent
                else:
                    self._peer.give(answer, payload)
            else:
                self._give(answer, method, value)
        except BaseException as error:
            self._first_failed(error, answer, method, frame)
        else:
            self._first_waits(leaf, coro, answer, method, frame)

    def _first_failed(
        self, error: BaseException, answer: Answer, method: Method, frame: int
    ) -> None:
        """A handler has failed in its first step."""
        self._starting = False
        if self._executor.current is not None:
            self._executor.end_first(None, error)
        self._account.give(frame)
        if issubclass(type(error), ENDS_THE_RUN):
            raise error
        if self._ended:
            self._end()
        else:
            self._fail(answer, method, error)

    def _first_waits(
        self, leaf: Any, coro: CoroutineType[Any, Any, Any], answer: Answer, method: Method,
        frame: int,
    ) -> None:  # fmt: skip
        """A handler goes on behind its first step, as a task."""
        self._starting = False
        answer.served = method
        answer.task = self._executor.adopt(leaf)
        answer.join(self.running)
        if self._purse is None:
            # What the arguments take stays charged beside the frames.
            held = held_by(coro) + frame - method.frame
            if held + WAIT < frame and method.declared_frame is None:
                self._account.give(frame - held - WAIT)
                frame = held + WAIT
            answer.charged = frame
        else:
            answer.charged = self._purse.take_over(frame)
            held = 0
        if self._ended:
            self._cancel(answer)  # in its first step it could not be
        elif held > frame:
            self._charge_rest(answer, held)

    def most(self, called: Facet | None, interface: int, method: int, /) -> int:
        known = interface_by_id(interface) if called is None else None
        methods = called[1] if called is not None else known._pinfut_methods if known else ()
        touch = methods[method].touch if method < len(methods) else None
        return ALL if touch is None else touch

    def _end(self) -> None:
        """A first step is over in which the session ended."""
        if self.running.waiting is None:
            self._session.released()

    def _charge_rest(self, answer: Answer, held: int) -> None:
        """A handler holds more than was charged for it in advance: its caller pays the rest, or
        the call fails."""
        method = answer.served
        if not method.told:
            method.told = True
            tell_of(method, held - answer.charged + method.frame, method.frame)
        try:
            self._account.take(held - answer.charged, "the handler of a call")
        except RpcError as error:
            self._unpaid[answer] = error
            self._cancel(answer)
        else:
            answer.charged = held

    def _open(self, answer: Answer, method: Method, payload: bytes) -> tuple[Any, int]:
        """The arguments of a call, and the bytes that they take beside the handler's frame. What
        they may become is charged before anybody looks at them, and the rest refunded."""
        _, decode, _, _, _, short = method.serving
        if method.touch is not None and len(payload) > method.touch:
            raise GarbageFrame(f"{method!r} with {len(payload)} bytes of {method.touch} at most")
        bound = 0
        if len(payload) > short:
            if method.arguments.foreseen:
                require_short(payload, self._longest)
            expansion, bound = method.expansion
            bound += expansion * len(payload)
            if bound <= SMALL and decode is not None and not answer.caps:
                return decode(payload), bound
        promised = sum(type(cap) is PromisedCapability for cap in answer.caps) * prices.STAND_IN
        advance = bound + promised
        if advance <= UNPAID:
            advance = 0
        else:
            if self._account.free < advance:
                self._session.end.redeem(answer.x)
            self._account.take(advance, "arguments while they are decoded")
        self._session.credit -= bound // ADVANCE
        taken, things = None, 0
        try:
            args = self._open_arguments(answer, method, payload)
            if bound:
                taken, things = foreign(weigh, args)
        finally:
            self._account.give(advance)
            if bound and taken is None:
                things += len(payload) >> 3
            self.things += things
            self._session.credit -= THING * things
        return args, (bound if taken is None else min(taken, bound)) + promised

    def decode_answer(
        self,
        method: Method,
        payload: bytes,
        caps: tuple[Cap, ...],
        decode: Callable[[Method, tuple[Cap, ...], bytes], Any],
    ) -> Any:
        """The value of an answer to a call of this side, paid as arguments are: in advance for what
        it may become, and then for what it takes, until the handler ends that waited for it; of
        several, the largest, for what a handler keeps of them is its own."""
        each, bound = method.result_expansion
        bound += each * len(payload)
        advance = bound if bound > UNPAID else 0
        try:
            self._account.take(advance, "an answer while it is decoded")
        except RpcError:
            self._capabilities.discard(caps)
            raise
        try:
            value = decode(method, caps, payload)
        finally:
            self._account.give(advance)
        if self._purse is not None or bound <= SMALL:
            return value
        executor = self._executor
        answer = executor.tasks.get(executor.current)  # of a handler, it owns the task
        if isinstance(answer, Answer) and answer.waits_on is self.running:
            taken, things = foreign(weigh, value)
            self.things += things
            held = bound if taken is None else min(taken, bound)
            more = held - self._answered.get(answer, 0)
            if more > 0:
                self._account.take(more, "what a handler was answered")
                answer.charged += more
                self._answered[answer] = held
        return value

    def _open_arguments(self, answer: Answer, method: Method, payload: bytes) -> Any:
        if method.demands is not None:
            self._capabilities.require(method.demands, payload, answer.caps)
        # To release them this side needs a lane of its own. If that cannot be paid, the call is
        # refused while they are still the caller's to take back.
        given = sum(type(cap) is Cap and cap.kind == frames.SENDER for cap in answer.caps)
        if given:
            self._capabilities.open_for(given)
        caps, answer.caps = answer.caps, ()
        if method.arguments.has_caps:
            return self._capabilities.decode(method.arguments, payload, caps)
        self._capabilities.discard(caps)
        return method.arguments.decode(payload)

    def _refuse(self, answer: Answer, called: Facet, error: BaseException) -> None:
        """A call cannot be started: say why, or end the session if no honest side does so."""
        _, methods, interface = called
        kind = type(error)
        if issubclass(kind, ProtocolError):
            self._session.close(cast(ProtocolError, error))
        elif issubclass(kind, RpcError):
            self._peer.refuse(answer, error)
        elif answer.method >= len(methods):
            self._peer.refuse(
                answer,
                UnknownMethod(
                    f"{interface.__name__} has {len(methods)} methods, and the call is for number "
                    f"{answer.method}; both sides need the same interface"
                ),
            )
        else:
            # Whatever decoding raised, code of the argument's own class included.
            told = BadArguments(f"{methods[answer.method]!r}: {words_of(error)}")
            self._peer.refuse(answer, told)

    def on_handled(self, answer: Answer, task: JoinHandle[Any]) -> None:
        """A handler has ended: refund its frame, and send its value or its error."""
        purse = self._purse
        if purse is None:
            self._handled(answer, task)
        else:
            purse.apart -= answer.charged
            purse.payer.soft_call(self._handled, answer, task)
            self._session.settle(purse)

    def _handled(self, answer: Answer, task: JoinHandle[Any]) -> None:
        session = self._session
        self._account.give(answer.charged)
        answer.charged = 0
        answer.kept = answer.task = None
        answer.stops = 0.0
        answer.leave()
        if self._answered:
            self._answered.pop(answer, None)
        if self._timer is not None and self.running.waiting is None:
            self._executor.timers.cancel(self._timer)
            self._timer = None
        unpaid = self._unpaid.pop(answer, None)
        error = unpaid or task.error()
        if session.error is not None:
            if self.running.waiting is None:
                session.released()
        elif error is None:
            self._give(answer, answer.served, task.result())
        elif unpaid is not None:
            self._peer.refuse(answer, after_begin(unpaid))
        else:
            self._fail(answer, answer.served, error)

    def _fail(self, answer: Answer, method: Method, error: BaseException) -> None:
        kind = type(error)
        if issubclass(kind, CancelledError):
            error = CallCancelled(f"{method!r} was cancelled")
        elif issubclass(kind, MemoryError) and self._purse is not None and self._purse.refusal:
            error = after_begin(cast(RpcError, again(self._purse.refusal)))
        elif not issubclass(kind, RpcError):
            tell(_log.debug, error, "%r raised", method)
        elif (
            method not in Introducer._pinfut_tables[Introducing]
        ):  # these are nobody's but the session's
            error = of_handler(error)
        else:
            after_begin(error)
        self._peer.refuse(answer, error)

    def give_up(self, error: RpcError) -> None:
        """More is held than can be paid: the handler that began last is cancelled, and its call
        gets `error`. Where it is nobody's, it may be garbage that is not collected at once, for
        collections are kept apart in time."""
        if self._again is None:
            executor = self._executor
            self._again = executor.timers.add(executor.clock.now() + AGAIN, self._settle_again)
        self.refusal = error
        answer = self.running.last
        while answer is not None:
            if not answer.task.cancels:
                self._unpaid[answer] = error
                self._cancel(answer)
                return
            answer = answer.previous

    def _settle_again(self) -> None:
        if self._purse is not None and not self._ended:
            self._session.settle(self._purse)
        self._again = None  # not before: one look by itself for each shortage that is met

    def _require_settled(self, answer: Answer) -> None:
        """Raises what this side is short of, unless it is there now, or was kept for the call."""
        assert self._purse is not None
        self._session.end.redeem(answer.x)
        self._session.settle(self._purse)
        if self.refusal is not None:
            raise cast(RpcError, again(self.refusal))

    def on_cancel(self, answer: Answer, /) -> None:
        self._cancel(answer)

    def _cancel(self, answer: Answer) -> None:
        # Once: a handler that cleans up is not disturbed by what comes after.
        if answer.waits_on is not self.running or answer.stops:
            return
        answer.stops = self._grace
        if self._grace < inf:
            executor = self._executor
            answer.stops += executor.clock.now()
            if self._timer is None:
                self._timer = executor.timers.add(answer.stops, self._end_grace)
        answer.task.cancel()

    def _end_grace(self) -> None:
        """End the handlers that were asked to stop and have not, in all the time that they had."""
        executor = self._executor
        now = executor.clock.now()
        for answer in self.running.all():
            if not 0 < answer.stops <= now:
                continue
            task = answer.task
            _log.error(
                "%r was cancelled %g s ago and is ended where it stands, at %s",
                answer.served,
                self._grace,
                task.where(),
            )
            task.abandon()
            task.fail(CancelledError())
        # One look for all that have less than an eighth to go: each look passes all handlers.
        left = [answer.stops for answer in self.running.all() if answer.stops]
        self._timer = None
        if left:
            soon = max(min(left), now + self._grace / 8)
            self._timer = executor.timers.add(soon, self._end_grace)

    def close(self) -> None:
        """Cancel every handler; when the last has ended, the session is released."""
        self._ended = True
        if self._again is not None:
            self._executor.timers.cancel(self._again)
            self._again = None
        for answer in self.running.all():
            self._cancel(answer)
        if not self.busy:
            self._session.released()

    def die(self) -> None:
        """What the handlers held is gone with the process; nothing is left to refund."""
        for answer in self.running.all():
            answer.charged = 0

    def _give(self, answer: Answer, method: Method, value: Any) -> None:
        """Send what a handler returned, if it is of the type that it declares."""
        caps: tuple[Cap, ...] = ()
        things: list[tuple[Any, Any]] = []
        try:
            if method.returns is not None:
                if not isinstance(value, method.returns):
                    raise TypeError(f"it returned {value!r}, not a {method.returns.__name__}")
                if _is_promise(value):
                    self._give_later(answer, method, value, [])
                    return
                cap = self._capabilities.describe(value, method.returns)
                facet = self._capabilities.facet(value, method.returns, cap)
                self._peer.give_caps(answer, b"", (cap,), facet)
                return
            result = method.result
            if result.has_caps:
                payload, things = result.encode_caps(value)
                promises = [thing for thing, _ in things if _is_promise(thing)]
                if promises:
                    self._give_later(answer, method, value, promises)
                    return
                caps = self._capabilities.describe_all(things)
            else:
                payload = result.encode_checked(value)
        except RpcError as error:
            self._peer.refuse(answer, after_begin(error))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Encoding asks the value, which may be of a class of the handler's own.
            self._peer.refuse(answer, BadAnswer(f"{method!r}: {words_of(error)}"))
        else:
            if caps:
                self._peer.give_caps(answer, payload, caps, None, [one for one, _ in things])
            else:
                self._peer.give(answer, payload)

    def _give_later(self, answer: Answer, method: Method, value: Any, promises: list[Any]) -> None:
        """A handler returned a promise, or data with promises in it: the call ends when they
        have come."""
        waits_for = promises or [value]
        if waits_for_itself(answer, waits_for):
            self._peer.refuse(
                answer,
                PromiseLoop(f"{method!r} gives a promise that waits for this very call: end it"),
            )
            return
        frame = method.frame + prices.GRANTED * (len(waits_for) - 1)
        try:
            self._account.take(frame, "the handler of a call")
        except RpcError as error:
            self._peer.refuse(answer, after_begin(error))
            return
        answer.kept = waits_for
        answer.charged = frame
        if self._purse is not None:
            answer.charged = self._purse.take_over(frame)
        answer.served = method
        answer.task = self._executor.spawn(_settled(value, promises), owner=answer)
        answer.join(self.running)

    def on_introduce(self, answer: Answer, called: Facet | None, payload: bytes, /) -> None:
        """Do this side's part of an introduction: a handler as any other."""
        introducer = Introducer(self._session, called, self._executor)
        methods = Introducer._pinfut_tables[Introducing]
        self.on_call(answer, (introducer, methods, Introducing), payload)

    def on_bootstrap(self, answer: Answer, wanted: int, /) -> None:
        root = self._root
        try:
            if root is None:
                raise UnknownService("the other side serves nothing on this session")
            interface = interface_at(root, wanted)
            cap = self._capabilities.describe(root, interface)
        except RpcError as error:
            self._peer.refuse(answer, error)
        else:
            facet = self._capabilities.facet(root, interface, cap)
            self._peer.give_caps(answer, b"", (cap,), facet)


def _is_promise(thing: Any) -> bool:
    target = target_of(thing)
    return target is not None and target.state <= EMBARGOED


async def _settled(value: Any, promises: list[Any]) -> Any:
    """What a handler returned, when the promises in it have come."""
    if not promises:
        return await value
    for promise in promises:
        await promise
    return value


accelerate(globals())
