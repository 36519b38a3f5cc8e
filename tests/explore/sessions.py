"""Two sessions over one channel: calls, cancels, replies and closing in every order.

The sessions, protocol, slots, rings, cells, banks and notifications are the real ones. In
the place of the executor stands one that runs nothing by itself: when a turn ends, when a
vat looks, when a handler goes on and how it ends are operations like all others.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, cast

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context
from pinfut.rpc import RpcError, Session, SimKernel
from pinfut.rpc import prices
from pinfut.rpc.errors import CallCancelled, PeerDied, ProtocolError, SessionClosed
from pinfut.rpc.objects.promise import IMPORTED, Unsent
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.session.fairness import QUANTUM
from pinfut.rpc.wire.answers import FREE, QUEUED, RUNNING, Answer
from pinfut.slots import CANCELLING, DETACHED, READY, WAITING, Slot
from pinfut.testing import CountingWaker
from tests.explore.lanes import head, in_ring, replies, unpublished, unread
from tests.explore.states import REST, Operation
from tests.explore.still import Still, Work, Worker

CLIENT, SERVER = 0, 1
NAMES = "client", "server"


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
        port = kernel.listen(processes[SERVER], "work")
        near = kernel.connect(
            processes[CLIENT], "work", self.bank, slots=slots, ring=1024, cell=1024
        )
        (far,) = port.waiting
        port.waiting.clear()
        self.channel = near.channel
        self.released: Counter[str] = Counter()
        roots = None, Worker()
        self.sessions = [
            Session(still, end, root, self._release, self._enter)  # type: ignore[arg-type]
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
        self.begin = self.channel.account.used
        for kind in script if turns else ():
            self._call("call", kind)

    def _turn(self, side: int) -> None:
        session = self.sessions[side]
        if self.processes[side].notification.ready:
            self._look(side)
        if session.touched:
            session.out.flush()

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
            flush = self.sessions[side].touched and not self.sessions[side].closed
            look = self.processes[side].notification.ready or self.more[side]
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
                while self.processes[side].notification.ready or self.more[side]:
                    self._look(side)
                while session.touched and not session.closed:
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
            value = call.future.poll(Context(call.waker))
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
            if type(slot) is Slot and slot.state == READY:
                self.happened.add("dropped when it was there")
            elif isinstance(slot, Unsent) and slot.slot is None:
                self.happened.add("dropped before it was sent")
            call.future.drop()
        call.future = call.proxy = None
        assert client.closed or client.touched or not client._left

    def _look(self, side: int) -> None:
        """As a vat does, with one call at a time."""
        process = self.processes[side]
        process.notification.take()
        self.kernel._signalled.pop(process, None)
        session = self.sessions[side]
        before = [slot.x for slot in session.peer.questions.taken() if slot.state == CANCELLING]
        self.more[side] = session.service(1, QUANTUM)
        for x in before:
            if session.peer.questions.peek(x) is None and not session.closed:
                self.happened.add("a late reply")

    # ---- what has to hold ----

    def check(self) -> None:
        client = self.sessions[CLIENT]
        for session, process in zip(self.sessions, self.processes, strict=True):
            assert not isinstance(session.error, ProtocolError), repr(session.error)
            told = process in self.kernel._signalled
            assert told or not process.notification.ready, "signalled, and nobody is woken"
            table = session.peer.questions
            free = [slot.index for slot in table.free]
            taken = [slot.index for slot in table.taken()]
            assert sorted(free + taken) == list(range(table.capacity)), "slots are lost or double"
        if self.channel.freed:
            assert self.bank.balance == self.whole, "the bank has not got everything back"
        if not self.channel.freed and not client.closed:
            self._check_places()
        if not any(session.closed for session in self.sessions):
            self._check_money()
        self._check_wakes()

    def _check_places(self) -> None:
        client = self.sessions[CLIENT]
        cells = client.cells
        used = [client.places[slot.index] for slot in client.peer.questions.taken()]
        used += [one.place for one in client.out.backlog.calls if one.place >= 0]
        # Answers whose slot has gone to another, with their holders or on their way out.
        held = [_slot_of(call.future) for call in self.calls if call is not None]
        for slot in (*held, *map(_sent, client._left)):
            if isinstance(slot, Slot) and slot.state == DETACHED:
                used.append(cast(int, slot.value))
        both = sorted(used + cells.free_small)
        assert both == list(range(len(cells.small))), "a place is lost, or of two calls"

    def _check_money(self) -> None:
        peer = self.sessions[SERVER].peer
        held = prices.SESSION + self.channel.slots * prices.SLOT
        held += peer.exports.charged + peer.imports.charged
        held += sum(one.charged for one in peer.answers if one.state == RUNNING)
        held += sum(one.queued_charge for one in peer.answers if one.state == QUEUED)
        for session in self.sessions:
            held += sum(charge for _, charge in session.out._frames)
            held += sum(one.charge for one in session.out.backlog.calls)
        assert held == self.channel.account.used, (
            f"{held} bytes are held, and {self.channel.account.used} are charged"
        )
        live = [one.x for one in peer.answers if one.state != FREE]
        assert len(set(live)) == len(live)
        working = sorted(handler.owner.x for handler in self.still[SERVER].handlers)
        assert working == sorted(one.x for one in peer.answers if one.task is not None)

    def _check_wakes(self) -> None:
        for side, session in enumerate(self.sessions):
            if self.over[side] or session.closed:
                continue
            come = any(True for _ in unread(session)) or replies(session)
            ready = self.processes[side].notification.ready or self.more[side]
            assert ready or not come, f"the {NAMES[side]} sleeps, and there is something to read"
            untold = bool(session.out.dropped) or bool(session.out._frames and not in_ring(session))
            assert session.touched or not untold, "something to send, and no flush"
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
        return (
            tuple(self._form_of(call) for call in self.calls),
            tuple(
                (one.owner.x * (not server.closed), bool(one.cancels))
                for one in self.still[SERVER].handlers
            ),
            tuple(
                process.notification.ready and not session.end.released
                for session, process in zip(self.sessions, self.processes, strict=True)
            ),
            tuple(
                # Of one that has ended nothing else matters.
                (type(session.error).__name__, session.end.released, self.over[side])
                if session.closed
                else (
                    session.touched,
                    self.more[side],
                    session.end.closed,
                    tuple((slot.index, slot.x, slot.state) for slot in session.peer.questions.taken()),
                    tuple(slot.index for slot in session.peer.questions.free),
                    tuple(unread(session)),
                    tuple(replies(session)),
                    tuple(self._left_of(one) for one in session.out.dropped),
                    tuple(head(frame) for frame, _ in session.out._frames),
                    tuple(one.place >= 0 for one in session.out.backlog.calls),
                    tuple(sorted(session.returns.settles)),
                    tuple(sorted(session.returns.rides)),
                    unpublished(session),
                )
                for side, session in enumerate(self.sessions)
            ),
            ()
            if server.closed
            else tuple(
                (one.x, one.state, one.flags, tuple(line(one)))
                for one in server.peer.answers
                if one.state != FREE
            ),
            len(server.peer.exports),
            0 if client.closed else len(client.peer.imports),
            self.channel.freed,
            0 if self.channel.freed else self.channel.account.used,
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
        if type(dropped) is Slot:
            return dropped.x, dropped.state
        if type(dropped) is Unsent:
            slot = dropped.slot
            return "unsent", None if slot is None else (slot.x, slot.state), dropped.place >= 0
        return "target", dropped.state, dropped.id

    def kinds(self) -> Iterable[str]:
        client, server = self.sessions
        yield from self.happened
        if self.channel.freed:
            yield "freed"
        open_calls = any(call is not None for call in self.calls)
        made = len(self.calls) == len(self.script)
        moves = {what for what, _ in self.operations()}
        if not moves & {"take", "flush", "look", "turn", "end", "drop", "call"}:
            if self.channel.freed:
                yield REST
            elif not self.ends and made and not open_calls:
                assert self.channel.account.used == self.begin, "something is held at rest"
                assert not client.peer.questions.taken()
                yield REST
        if client.out.backlog.calls:
            yield "a call waits for a slot"
        if any(slot.state == CANCELLING for slot in client.peer.questions.taken()):
            yield "cancelling"
        if any(one.waiting for one in server.peer.answers):
            yield "a call waits for another"
        crossing = set(replies(client))
        if any(what == "CANCEL" and x in crossing for what, x in unread(server)):
            yield "a cancel crosses its reply"


def line(answer: Answer) -> Iterator[int]:
    """The ids of the calls that wait for one, first to last."""
    waiting = answer.waiting
    while waiting is not None:
        yield waiting.x
        waiting = waiting.next


def _slot_of(future: object) -> Any:
    """The slot of a call; the call itself while it has none."""
    return _sent(getattr(future, "_slot", None))


def _sent(held: Any) -> Any:
    """The slot of what is held of a call, if it has one."""
    return held.slot if isinstance(held, Unsent) and held.slot is not None else held
