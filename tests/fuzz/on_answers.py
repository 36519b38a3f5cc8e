"""Answers: what a server writes into the memory of a client."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pinfut.poll import PENDING, TaskContext
from pinfut.rpc import PAGE, RpcError, Session, SimKernel
from pinfut.rpc.contract import ServiceSpec, SessionSpec
from pinfut.rpc.errors import ProtocolError, SessionClosed
from pinfut.rpc.memory.lane import LARGE
from pinfut.rpc.memory.lane_pages import LanePages
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.session.fairness import QUANTUM
from pinfut.rpc.session.sending import Outbox
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.frames import RETURN_HEAD, Cap
from pinfut.testing import CountingWaker
from tests.explore.still import Still
from tests.fuzz.harness import NAMED, fitting, parted, pieces
from tests.rpc.hostile import CELL
from tests.rpc.services import Desk, ThingServer

CELL_OF, SAY, SAY_ANY, LOOK, POLL, DROP, PLACE, FLUSH = range(8)


def fuzz_answers(data: bytes, counts: Counter[str]) -> None:
    """A client with seven open calls whose server writes what it likes."""
    kernel = SimKernel()
    bank = kernel.bank("client", pages=400)
    whole = bank.balance
    server, client = kernel.process("server"), kernel.process("client")
    port = kernel.listen(server, "desk", ServiceSpec())
    near = kernel.connect(client, "desk", bank, SessionSpec(slots=8, ring=4096, cell=CELL))
    (far,) = port.accept()
    still: Any = Still()
    session = Session(still, near, None, lambda end: None, lambda guest: None, Outbox(still))
    root = session.bootstrap(Desk)
    channel = kernel.channel_of(near)
    assert channel is not None
    (pages,) = channel.lanes
    requests: Any = far.requests()
    completions = requests.completions

    def say(x: int) -> None:
        if len(completions.posted) < completions.capacity:
            completions.post(x)

    place = session.peer.questions.find(0).place
    far.hand_over([Cap(frames.SENDER, 0, Desk._pinfut_id)], place)
    head = RETURN_HEAD.pack(RETURN_HEAD.size, frames.RETURN, 0, 1, 0)
    requests.complete(place, 0, head)
    completions.publish()
    session.out.flush()
    session.service(16, QUANTUM)
    assert session.error is None
    mine = ThingServer("mine")
    opened: list[Any] = [
        root.do(1),
        root.small(2),
        root.tell(3),
        root.make("4"),
        root.things(2),
        root.back(mine),
        root.tell_with(5, mine),
    ]
    # Promises are polled; of proxies, whether they have come.
    waits = [one.__await__().send(None) if target_of(one) else one for one in opened]
    session.out.flush()
    # By slot: where the answer will be.
    places = [one.place for one in session.peer.questions.taken()]
    assert len(places) == len(waits)
    kept: list[Any] = []
    for operation, argument, given in pieces(data):
        n = argument % 64 % len(waits)
        match operation % 8:
            case 0:  # CELL_OF: the answer of a call, as far as its place goes
                memory = _place(pages, places[n])
                part = fitting(argument, given[: len(memory)])
                if argument & NAMED and len(part) >= RETURN_HEAD.size:
                    part[4] = frames.RETURN
                    part[8:16] = (n + 1).to_bytes(8, "little")
                message = parted(bytes(part))
                if message.caps:
                    try:
                        far.hand_over(message.caps, places[n])
                        counts["handed over"] += 1
                    except RpcError:
                        counts["not handed over"] += 1
                memory[: len(message)] = message
            case 1:  # SAY
                say(n + 1)
                completions.publish()
            case 2:  # SAY_ANY
                say(int.from_bytes(given[:8], "little"))
                completions.publish()
            case 3:  # LOOK
                session.service(16, QUANTUM)
            case 4:  # POLL
                if waits[n] is not None:
                    _poll(waits, n, kept, counts)
            case 5:  # DROP
                if waits[n] is not None:
                    waits[n].drop()
                    waits[n] = opened[n] = None
                    counts["dropped"] += 1
            case 6:  # PLACE: the completions themselves
                words, _ = pages.lane()
                at = argument % 9 * 8
                words[at : at + len(given[:8])] = given[:8]
            case _:  # FLUSH
                session.out.flush()
        if session.error is not None:
            assert isinstance(session.error, ProtocolError), repr(session.error)
            counts["refused"] += 1
            break
        table = session.peer.questions
        assert len(table.taken()) + len(table.free) == table.capacity
        assert len(session.peer.imports) <= 1 + len(data) // 17
    kept.clear()
    session.close(SessionClosed("the input is over"))
    for n, wait in enumerate(waits):
        if wait is not None:
            _poll(waits, n, kept, counts)
            assert waits[n] is None, "a call of a session that has ended still waits"
    far.close()
    assert kernel.channel_of(near) is None
    assert bank.balance == whole, "the bank has not got everything back"


def _place(pages: LanePages, place: int) -> memoryview:
    """The memory of a place."""
    if place >= LARGE:
        region = pages.region(place - LARGE)
        return memoryview(bytearray(8)) if region is None else region  # that one has been taken
    page, start = pages.page(place * CELL // PAGE), place * CELL % PAGE
    assert page is not None
    return page[start : start + CELL]


def _poll(waits: list[Any], n: int, kept: list[Any], counts: Counter[str]) -> None:
    try:
        value = waits[n].poll(TaskContext(CountingWaker()))
    except RpcError as error:
        counts["garbage" if isinstance(error, ProtocolError) else "error"] += 1
    else:
        if value is PENDING:
            return
        kept.append(value)
        counts["answered"] += 1
    waits[n] = None
