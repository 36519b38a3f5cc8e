"""Backlog: the calls of one side that found no slot, each paid for while it waits."""

from __future__ import annotations

from collections import deque
from typing import Any, cast, final

from pinfut.executor.task import INTERNAL
from pinfut.rpc import prices
from pinfut.rpc.errors import RpcError
from pinfut.rpc.objects.capabilities import Capabilities, Side
from pinfut.rpc.objects.local import settle, spawn_later
from pinfut.rpc.objects.method import Method
from pinfut.rpc.objects.promise import EMBARGOED, PROMISED, UNSENT, Promise, Target, Unsent
from pinfut.rpc.objects.proxy import proxy
from pinfut.rpc.session.returns import Returns
from pinfut.rpc.session.sending import Sending
from pinfut.rpc.wire.frames import Cap
from pinfut.rpc.wire.peer import Peer
from pinfut.rpc.wire.questions import Question


@final
class Backlog:
    """Sends what waits in the order in which it was called, as slots become free."""

    __slots__ = ("_capabilities", "_peer", "_returns", "_sending", "_side", "calls")

    def __init__(
        self, side: Side, sending: Sending, returns: Returns, peer: Peer, capabilities: Capabilities
    ) -> None:
        self._side = side
        self._sending = sending
        self._returns = returns
        self._peer = peer
        self._capabilities = capabilities
        returns.on_free = self.send
        returns.on_own = self.call_own
        # Invariant: calls that found no slot, oldest first, each charged; while there are
        # any, the sending is held.
        self.calls: deque[Unsent] = cast("deque[Unsent]", ())  # until there are any

    def wait(
        self,
        holder: Any,
        target: Target,
        method: Method,
        args: tuple[Any, ...],
        room: int,
        place: int,
        things: list[tuple[Any, Any]],
        caps: tuple[Cap, ...],
        payload: bytes,
        kind: int,
    ) -> Any:
        """Keep a call until a slot is free. It is paid for like everything that waits."""
        returns, capabilities = self._returns, self._capabilities

        def build(question: Question | None) -> bytes:
            assert question is not None
            # By then the target may have been sent, or have come.
            target.require_usable()
            now = capabilities.describe_again(things, caps) if caps else caps
            return returns.frame_of(question, target, method, room, place, now, payload, kind)

        charge = prices.UNSENT + len(payload) + prices.QUEUED_CAP * len(caps)
        self._sending.account.take(charge, "a call that waits for a slot")
        settles: Target | None = None
        if method.returns is not None:
            settles = Target(self._side, method.returns, UNSENT)
            settles.parent = holder, args
        unsent = Unsent(build, (holder, target, method, args), caps, place, charge, settles)
        if not self.calls:
            self.calls = deque()
        self.calls.append(unsent)
        self._sending.held = True
        self._sending.flowing = False
        if settles is None:
            return Promise(self._side, unsent, method, (holder, args))
        settles.unsent = unsent
        return proxy(settles)

    def send(self) -> None:
        """Send calls that waited for a slot, in the order in which they were made."""
        sending, questions = self._sending, self._peer.questions
        while self.calls and (self.calls[0].place < 0 or not questions.full or sending.room.grow()):
            unsent = self.calls.popleft()
            sending.account.give(unsent.charge)
            if unsent.place < 0:
                if frame := unsent.build(None):
                    sending.send(frame)
                continue
            question = questions.acquire()
            try:
                frame = unsent.build(question)
                sending.write(frame, prices.UNWRITTEN + len(frame), question.sent_caps)
            except Exception as error:  # of what it is for, too: what that ended with
                questions.release(question)
                caps = question.sent_caps or unsent.caps
                self._returns.forget(question)
                sending.open().release(unsent.place)
                self._capabilities.take_back(caps)
                unsent.fail(error)
                continue
            question.place = unsent.place
            if sending.watched:
                _, target, method, args = unsent.call
                sending.watch_sent(question.x, target, method, method.room(args))
            question.waker = unsent.waker
            unsent.slot = question
            settles = unsent.settles
            if settles is not None:
                self._returns.promise(question, settles)
                settles.state = PROMISED
                settles.id = question.x
                settles.unsent = None
        sending.held = bool(self.calls)
        sending.flow()

    def follow(self, frame: bytes) -> None:
        """Send a frame of the protocol itself behind all calls that were made. Of a client that
        cannot pay for it while it waits, the session ends."""
        sending = self._sending
        if not sending.held:
            sending.send(frame)
            return
        charge = sending.charge(frame)
        nobody: Any = None
        try:
            sending.account.take(charge, "a frame that waits behind calls")
        except RpcError as error:
            sending.fail(error)
            return
        call = nobody, nobody, nobody, ()
        self.calls.append(Unsent(lambda _: frame, call, (), -1, charge, None))

    def call_own(self, own: Target) -> None:
        """A promise turns out to be an object of this side. What waits for it needs no slot: it is
        called before those are told who wait for the promise, and would overtake it; and so is
        what waits for the outcome of such a call."""
        sending, calls = self._sending, self.calls
        self.calls = deque()
        for unsent in calls:
            target = unsent.call[1]
            if unsent.place >= 0 and (target is own or target.state == EMBARGOED):
                sending.account.give(unsent.charge)
                self._call_own(unsent)
            else:
                self.calls.append(unsent)
        sending.held = bool(self.calls)
        sending.flow()

    def _call_own(self, unsent: Unsent) -> None:
        executor, settles = self._sending.executor, unsent.settles
        self._drop(unsent)
        holder, _, method, args = unsent.call
        task = spawn_later(executor, holder, method, args)
        if settles is not None:
            settles.state = EMBARGOED
            executor.spawn(settle(settles, task), owner=INTERNAL)
        unsent.here(task)

    def _drop(self, unsent: Unsent) -> None:
        """Let go of what a call holds that is not sent."""
        self._sending.open().release(unsent.place)
        self._capabilities.take_back(unsent.caps)

    def give_up(self, unsent: Unsent) -> None:
        """Nobody wants a call any more that waits; it is passed over when its turn comes."""
        if unsent.place >= 0 and unsent.error is None:
            self._drop(unsent)
            unsent.give_up()
            self._sending.account.give(unsent.charge)
            unsent.charge = 0

    def close(self, error: RpcError, *, refund: bool) -> None:
        """The session has ended: fail what waits. `refund`: and give back what it was charged;
        else the kernel has taken that."""
        for unsent in self.calls:
            if refund:
                self._sending.account.give(unsent.charge)
            if unsent.place >= 0:
                unsent.fail(error)
        self.calls = deque()
