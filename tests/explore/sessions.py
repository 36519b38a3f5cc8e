"""Two sessions over one channel: calls, cancels, replies and closing in every order.

The sessions, protocol, slots, rings, cells, banks and notifications are the real ones. In
the place of the executor stands one that runs nothing by itself: when a turn ends, when a
vat looks, when a handler goes on and how it ends are operations like all others.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from math import inf
from typing import Any

from pinfut.future import FutureBase
from pinfut.poll import PENDING, TaskContext
from pinfut.rpc import PAGE, RpcError, Session, SimKernel, prices
from pinfut.rpc.contract import ServiceSpec, SessionSpec
from pinfut.rpc.errors import CallCancelled, PeerDied, ProtocolError, SessionClosed
from pinfut.rpc.objects.promise import IMPORTED, Unsent
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.session.fairness import QUANTUM
from pinfut.rpc.session.sending import Outbox
from pinfut.rpc.wire.answers import FREE, QUEUED, RUNNING, Answer
from pinfut.rpc.wire.questions import Question
from pinfut.slots import CANCELLING, DETACHED, READY, WAITING
from pinfut.testing import CountingWaker
from tests.explore.lanes import Lane, head, in_ring, lane_of, replies, unpublished, unread
from tests.explore.states import REST, Operation
from tests.explore.still import Still, Work, Worker

CLIENT, SERVER = 0, 1
NAMES = "client", "server"
CELL = 1024


class Call:
    """A call as whoever made it sees it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.waker = CountingWaker()
        # What is polled; None once it has given something, or was dropped.
        self.future: FutureBase[Any] | None = None
        self.proxy: Any = None


class Sessions:
    """A client and a server. `script`: what the client calls, in this order: "wait", "make",
    or "on 0", a call on what call 0 gives. `ends`: "close" and "kill", if the sides do so.
    `turns`: all calls are made at the beginning, and a look and a flush are one turn."""

    def __init__(
        self, script: Sequence[str], slots: int, ends: Sequence[str] = (), turns: bool = False
    ) -> None:
        self.script, self.ends, self.turns = script, ends, turns
        self.kernel = kernel = SimKernel()
        self.bank = kernel.bank("client", pages=400)
        self.whole = self.bank.balance
        self.still = (Still(), Still())
        processes = kernel.process("client"), kernel.process("server")
        self.processes = processes
        port = kernel.listen(processes[SERVER], "work", ServiceSpec())
        near = kernel.connect(
            processes[CLIENT], "work", self.bank, SessionSpec(slots=slots, ring=1024, cell=CELL)
        )
        (far,) = port.accept()
        # Each process waits, as its vat does, from the first look on.
        self.wakers = CountingWaker(), CountingWaker()
        self.released: Counter[str] = Counter()
        roots = None, Worker()
        self.sessions = [
            Session(still, end, root, self._release, self._enter, Outbox(still), grace=inf)  # type: ignore[arg-type]
            for still, end, root in zip(self.still, (near, far), roots, strict=True)
        ]
        # Whether a look has left something for the next.
        self.more = [False, False]
        self.calls: list[Call | None] = []
        self.outcomes: Counter[str] = Counter()
        self.happened: set[str] = set()
        self.over = [False, False]
        self.root: Any = self.sessions[CLIENT].bootstrap(Work)
        for side in (CLIENT, SERVER, SERVER, CLIENT, CLIENT, SERVER):
            # A flush and a look of each, and the Finish.
            self._turn(side)
        target = target_of(self.root)
        assert target is not None
        assert target.state == IMPORTED
        self.begin = self.charged
        for kind in script if turns else ():
            self._call("call", kind)

    def _turn(self, side: int) -> None:
        session = self.sessions[side]
        self.kernel.deliver()
        if self.processes[side].ready:
            self._look(side)
        if session.out.touched:
            session.out.flush()

    @property
    def freed(self) -> bool:
        """Whether the session has given everything back."""
        return self.kernel.channel_of(self.sessions[CLIENT].end) is None

    @property
    def charged(self) -> tuple[int, ...]:
        """What each side has charged to the bank."""
        return tuple(session.end.account.used for session in self.sessions)

    def _lane(self, side: int) -> Lane | None:
        """The lane of the calls that a side makes."""
        return lane_of(self.kernel, self.sessions[side], self.sessions[not side])

    def _release(self, end: object) -> None:
        self.released[str(end)] += 1

    def _enter(self, guest: object) -> None:
        raise AssertionError("nobody is introduced here")

    # ---- what may happen ----

    def operations(self) -> Sequence[Operation]:
        found: list[Operation] = []
        client = self.sessions[CLIENT]
        made = len(self.calls)
        if made < len(self.script) and not client.closed and self.root is not None:
            kind = self.script[made]
            if kind in ("wait", "make") or self._proxy(int(kind[3:])) is not None:
                found.append(("call", kind))
            else:
                found.append(("pass over", kind))
        for n, call in enumerate(self.calls):
            if call is None:
                continue
            found.append(("drop", n))
            if call.future is not None and call.waker.wakes:
                found.append(("take", n))
        for side in (CLIENT, SERVER):
            if self.over[side] or self.sessions[side].end.released:
                continue
            flush = self.sessions[side].out.touched and not self.sessions[side].closed
            look = self.processes[side].ready or self.more[side]
            if self.turns and (flush or look):
                found.append(("turn", NAMES[side]))
            elif flush:
                found.append(("flush", NAMES[side]))
            if look and not self.turns:
                found.append(("look", NAMES[side]))
            if not self.sessions[side].closed:
                found += [(end, NAMES[side]) for end in self.ends]
        for handler in self.still[SERVER].handlers:
            x = handler.owner.x
            if handler.cancels:
                found.append(("stop", x))
            found.append(("end", x))
        return found

    def _proxy(self, n: int) -> Any:
        call = self.calls[n]
        return None if call is None else call.proxy

    def apply(self, operation: Operation, /) -> None:
        what, which = operation
        self.happened.clear()
        if what in ("call", "pass over"):
            self._call(what, which)
        elif what == "drop":
            self._drop(which)
        elif what == "take":
            self._take(which)
        elif what in ("stop", "end"):
            (handler,) = [one for one in self.still[SERVER].handlers if one.owner.x == which]
            self.still[SERVER].handlers.remove(handler)
            if handler.cancels and what == "end":
                self.happened.add("answered though cancelled")
            handler.end(which, CancelledError() if what == "stop" else None)
        else:
            side = NAMES.index(which)
            session = self.sessions[side]
            if what == "turn":
                while self.processes[side].ready or self.more[side]:
                    self._look(side)
                while session.out.touched and not session.closed:
                    session.out.flush()
            elif what == "flush":
                session.out.flush()
            elif what == "look":
                self._look(side)
            elif what == "close":
                if self.still[SERVER].handlers:
                    self.happened.add("closed while it works")
                session.close(SessionClosed(f"the {which} has had enough"))
            else:
                self.over[side] = True
                self.kernel.kill(self.processes[side])
                session.die()
                if side == SERVER:
                    for handler in self.still[SERVER].handlers:
                        handler.coro.close()
                    self.still[SERVER].handlers.clear()
        # What was signalled meanwhile wakes who waits.
        self.kernel.deliver()

    def _call(self, what: str, kind: str) -> None:
        if what == "pass over":
            self.calls.append(None)
            return
        call = Call(kind)
        n = len(self.calls)
        self.calls.append(call)
        on = self.root if kind in ("wait", "make") else self._proxy(int(kind[3:]))
        try:
            if kind == "make":
                call.proxy = on.make(n)
                call.future = call.proxy.__await__().send(None)
            else:
                call.future = on.wait(n)
        except RpcError as error:
            self._end(n, error)
            return
        self._poll(n, call)

    def _poll(self, n: int, call: Call) -> None:
        """Poll a call that nobody has polled yet, or that was woken."""
        assert call.future is not None
        call.waker.wakes = 0
        try:
            value = call.future.poll(TaskContext(call.waker))
        except RpcError as error:
            self._end(n, error)
        else:
            if value is not PENDING:
                self._end(n, None)

    def _take(self, n: int) -> None:
        call = self.calls[n]
        assert call is not None
        self._poll(n, call)
        assert call.future is None, "it was woken, and has nothing"

    def _end(self, n: int, error: RpcError | None) -> None:
        """A call has given a value or an error, once."""
        call = self.calls[n]
        assert call is not None
        call.future = None
        kind = "value" if error is None else type(error).__name__
        self.happened.add(kind)
        self.outcomes[kind] += 1
        if error is not None:
            assert type(error) in (CallCancelled, SessionClosed, PeerDied), repr(error)
            if type(error) is CallCancelled:
                # Nobody cancels a call that is still waited for, but one that it depends on.
                assert call.kind.startswith("on")
                assert self.calls[int(call.kind[3:])] is None
        if error is not None or call.proxy is None:
            self.calls[n] = None

    def _drop(self, n: int) -> None:
        call, self.calls[n] = self.calls[n], None
        assert call is not None
        client = self.sessions[CLIENT]
        if call.future is not None:
            slot = _slot_of(call.future)
            if type(slot) is Question and slot.state == READY:
                self.happened.add("dropped when it was there")
            elif isinstance(slot, Unsent) and slot.slot is None:
                self.happened.add("dropped before it was sent")
            call.future.drop()
        call.future = call.proxy = None
        assert client.closed or client.out.touched or not _dropped(client)

    def _look(self, side: int) -> None:
        """As a vat does, with one call at a time."""
        process = self.processes[side]
        process.take()
        self.wakers[side].wakes = 0
        assert process.park(self.wakers[side])
        session = self.sessions[side]
        before = [slot.x for slot in session.peer.questions.taken() if slot.state == CANCELLING]
        self.more[side] = session.service(1, QUANTUM)
        for x in before:
            if session.peer.questions.peek(x) is None and not session.closed:
                self.happened.add("a late reply")

    # ---- what has to hold ----

    def check(self) -> None:
        client = self.sessions[CLIENT]
        for session, process, waker in zip(self.sessions, self.processes, self.wakers, strict=True):
            assert not isinstance(session.error, ProtocolError), repr(session.error)
            assert waker.wakes == process.ready, "signalled, and nobody is woken"
            table = session.peer.questions
            free = [slot.index for slot in table.free]
            taken = [slot.index for slot in table.taken()]
            made = range(len(table._slots))
            assert sorted(free + taken) == list(made), "slots are lost or double"
        if self.freed:
            assert self.bank.balance == self.whole, "the bank has not got everything back"
        if not self.freed and not client.closed:
            self._check_places()
        if not any(session.closed for session in self.sessions):
            self._check_money()
        self._check_wakes()

    def _check_places(self) -> None:
        client, lane = self.sessions[CLIENT], self._lane(CLIENT)
        assert lane is not None
        used = [one.place for one in client.peer.questions.taken()]
        used += [one.place for one in client.out.backlog.calls if one.place >= 0]
        # Answers whose slot has gone to another, with their holders or on their way out.
        held = [_slot_of(call.future) for call in self.calls if call is not None]
        for slot in (*held, *map(_sent, _dropped(client))):
            if type(slot) is Question and slot.state == DETACHED and slot.value is None:
                used.append(slot.place)
        both = sorted([*used, *lane.submissions.places])
        # Behind the ring there are pages of small places, and nothing else.
        pages = lane.pages.memories[1:]
        assert all(len(page) == PAGE for page in pages), "no answer here is large"
        assert both == list(range(len(pages) * PAGE // CELL)), "a place is lost, or of two calls"

    def _check_money(self) -> None:
        peer = self.sessions[SERVER].peer
        held = [sum(charge for _, charge in session.out._frames) for session in self.sessions]
        for side, session in enumerate(self.sessions):
            held[side] += sum(one.charge for one in session.out.backlog.calls)
        held[SERVER] += prices.SESSION
        held[SERVER] += peer.exports.charged + peer.imports.charged
        held[SERVER] += sum(one.charged for one in peer.answers if one.state in (QUEUED, RUNNING))
        assert tuple(held) == self.charged, (
            f"{held} bytes are held, and {self.charged} are charged (client, server)"
        )
        live = [one.x for one in peer.answers if one.state != FREE]
        assert len(set(live)) == len(live)
        working = sorted(handler.owner.x for handler in self.still[SERVER].handlers)
        assert working == sorted(one.x for one in peer.answers if one.task is not None)

    def _check_wakes(self) -> None:
        for side, session in enumerate(self.sessions):
            if self.over[side] or session.closed:
                continue
            out, into = self._lane(side), self._lane(not side)
            come = unread(into) or replies(out)
            ready = self.processes[side].ready or self.more[side]
            assert ready or not come, f"the {NAMES[side]} sleeps, and there is something to read"
            untold = bool(_dropped(session)) or bool(session.out.waiting and not in_ring(out))
            assert session.out.touched or not untold, "something to send, and no flush"
        for n, call in enumerate(self.calls):
            if call is None or call.future is None or self.over[CLIENT]:
                continue
            slot = _slot_of(call.future)
            ready = slot is not None and slot.state not in (WAITING, -1)
            assert call.waker.wakes <= 1, "woken twice"
            assert call.waker.wakes or not ready, f"call {n} has an answer and sleeps"
        if not any(call is not None and call.future is not None for call in self.calls):
            return
        if self.over[CLIENT]:
            return
        moves = {what for what, _ in self.operations()}
        assert moves & {"take", "flush", "look", "turn", "end"}, (
            "a call waits, and nothing will happen"
        )

    def form(self) -> Hashable:
        client, server = self.sessions
        freed = self.freed
        return (
            tuple(self._form_of(call) for call in self.calls),
            tuple(
                (one.owner.x * (not server.closed), bool(one.cancels))
                for one in self.still[SERVER].handlers
            ),
            tuple(
                process.ready and not session.end.released
                for session, process in zip(self.sessions, self.processes, strict=True)
            ),
            tuple(self._form_of_side(side) for side in (CLIENT, SERVER)),
            ()
            if server.closed
            else tuple(
                (one.x, one.state, one.flags, tuple(line(one)))
                for one in server.peer.answers
                if one.state != FREE
            ),
            len(server.peer.exports),
            0 if client.closed else len(client.peer.imports),
            freed,
            () if freed else self.charged,
        )

    def _form_of_side(self, side: int) -> Hashable:
        session = self.sessions[side]
        if session.closed:
            # Of one that has ended nothing else matters.
            return type(session.error).__name__, session.end.released, self.over[side]
        out, into = self._lane(side), self._lane(not side)
        return (
            session.out.touched,
            self.more[side],
            type(session.end.ending).__name__,
            tuple(_form_of_question(one) for one in session.peer.questions.taken()),
            tuple(one.index for one in session.peer.questions.free),
            tuple(unread(into)),
            tuple(replies(out)),
            tuple(self._left_of(one) for one in _dropped(session)),
            tuple(head(frame) for frame, _ in session.out._frames),
            tuple(one.place >= 0 for one in session.out.backlog.calls),
            unpublished(out, into),
        )

    def _form_of(self, call: Call | None) -> Hashable:
        if call is None:
            return None
        slot = _slot_of(call.future)
        target = target_of(call.proxy)
        return (
            call.future is not None,
            call.waker.wakes,
            slot is not None and (slot.state, getattr(slot, "x", None)),
            type(getattr(call.future, "_slot", None)) is Unsent,
            target is not None and (target.state, target.id),
        )

    def _left_of(self, dropped: Any) -> Hashable:
        if type(dropped) is Question:
            return dropped.x, dropped.state
        if type(dropped) is Unsent:
            slot = dropped.slot
            return "unsent", None if slot is None else (slot.x, slot.state), dropped.place >= 0
        return "target", dropped.state, dropped.id

    def kinds(self) -> Iterable[str]:
        client, server = self.sessions
        yield from self.happened
        if self.freed:
            yield "freed"
        open_calls = any(call is not None for call in self.calls)
        made = len(self.calls) == len(self.script)
        moves = {what for what, _ in self.operations()}
        if not moves & {"take", "flush", "look", "turn", "end", "drop", "call"}:
            if self.freed:
                yield REST
            elif not self.ends and made and not open_calls:
                assert self.charged == self.begin, "something is held at rest"
                assert not client.peer.questions.taken()
                yield REST
        if client.out.backlog.calls:
            yield "a call waits for a slot"
        if any(slot.state == CANCELLING for slot in client.peer.questions.taken()):
            yield "cancelling"
        if any(one.waiting for one in server.peer.answers):
            yield "a call waits for another"
        lane = self._lane(CLIENT)
        crossing = set(replies(lane))
        if any(what == "CANCEL" and x in crossing for what, x in unread(lane)):
            yield "a cancel crosses its reply"


def line(answer: Answer) -> Iterator[int]:
    """The ids of the calls that wait for one, first to last."""
    waiting = answer.waiting
    while waiting is not None:
        yield waiting.x
        waiting = waiting.next


def _dropped(session: Session) -> Iterable[Any]:
    """What was dropped since the last flush."""
    return session.out.dropped


def _form_of_question(one: Question) -> Hashable:
    """A question in its slot, and what its answer will do."""
    return (
        (one.index, one.x, one.state),
        one.settles is not None,
        one.pipelined_on is not None,
        one.decode_eagerly is not None,
        len(one.sent_caps),
    )


def _slot_of(future: object) -> Any:
    """The slot of a call; the call itself while it has none."""
    return _sent(getattr(future, "_slot", None))


def _sent(held: Any) -> Any:
    """The slot of what is held of a call, if it has one."""
    return held.slot if isinstance(held, Unsent) and held.slot is not None else held
