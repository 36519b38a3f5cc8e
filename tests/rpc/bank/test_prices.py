"""Prices against what the interpreter really takes for each kind, as tracemalloc sees it.

A price below the truth would let a client hold more than it pays for. Sizes are the
difference that many of a kind make, divided; for what stands in dictionaries at the number
of entries at which they have just grown, which is the worst.
"""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import tracemalloc
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from pinfut import PENDING, Context, FutureBase, Poll, checked
from pinfut.executor import VirtualClock, current_executor, run, sleep
from pinfut.rpc import connect, prices, serve, session_of
from pinfut.rpc.bank.account import PAGE, SessionAccount
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.share import Share
from pinfut.rpc.contract import ServiceSpec, SessionSpec
from pinfut.rpc.errors import RemoteError
from pinfut.rpc.kernel.sim.endpoint import EventRecords
from pinfut.rpc.kernel.sim.kernel import SimKernel
from pinfut.rpc.lab.hostile import measure
from pinfut.rpc.lab.hostile.measure import traced
from pinfut.rpc.memory.event_buffer import EventBuffer
from pinfut.rpc.memory.lane import RingRequests, RingSubmissions
from pinfut.rpc.memory.lane_pages import LanePages
from pinfut.rpc.memory.side_table import FIRST, SideTable
from pinfut.rpc.objects.capabilities import Capabilities
from pinfut.rpc.objects.codec import Codec
from pinfut.rpc.objects.interface import Interface
from pinfut.rpc.objects.local import LocalCaller
from pinfut.rpc.objects.promise import IMPORTED, PROMISED, Promise, Target
from pinfut.rpc.objects.proxy import proxy
from pinfut.rpc.session.kept import Kept
from pinfut.rpc.session.purse import PARKED
from pinfut.rpc.session.resolving import Resolving
from pinfut.rpc.session.subscriptions import EventSource
from pinfut.rpc.vat import Vat
from pinfut.rpc.wire.answers import PromisedCapability
from pinfut.rpc.wire.exports import Bushel
from pinfut.rpc.wire.frames import EXPECTED, RECEIVER_ANSWER, SENDER, Cap
from pinfut.rpc.wire.imports import Imports
from pinfut.rpc.wire.peer import Peer
from tests.bounded import until
from tests.covered import covered
from tests.rpc.wire.fakes import Host, Plain, Thing, call

ID = Thing._pinfut_id


class Never(FutureBase[None]):
    """Many may wait for one: what they take is theirs alone."""

    def poll(self, cx: Context, /) -> Poll[None]:
        self.waker = cx.waker
        return PENDING


SPEC = SessionSpec(slots=1, ring=4096)

FAR = 1 << 40
"""Where ids begin here: a session that has run for long has ids that are Python ints of the
larger sort."""

GROWN = (*measure.GROWN, 10923)


@pytest.fixture(autouse=True)
def without_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """A future as it is outside of checked mode."""
    monkeypatch.setattr(checked, "keeping", False)


def report(name: str, case: str, truth: float) -> None:
    """What one of a kind really takes, for the list at the end of the run."""
    price = getattr(prices, name)
    covered(f"price of {name}, {case}", price=price, truth=max(0, math.ceil(truth)))


def check(name: str, case: str, truth: float) -> None:
    """The price of a kind covers what it takes; the tightness goes into the report."""
    price = getattr(prices, name)
    report(name, case, truth)
    assert truth <= price, f"{name} is {price}, and one takes {truth:.1f} bytes"


def account() -> SessionAccount:
    return SessionAccount(Share(Bank("bank", 1 << 20, 1 << 20)))


def calls_to(host: Host, on_call: Callable[[Any, Any, bytes], None]) -> None:
    """Have the calls of a host handled by this from now on."""
    host.on_call = on_call  # type: ignore[method-assign]
    host.peer.attach(host, host)


def server_tables(slots: int, state: str) -> Callable[[], object]:
    """What a serving side keeps for its slots: questions, answers, their places."""

    def make() -> object:
        host = Host(slots=slots, pages=1 << 20, caps=1 << 20)
        questions = host.peer.questions
        questions.release(questions.acquire())  # a first one makes all
        number = host.peer.exports.grant(Plain(), Thing)
        host.peer.exports.release(number, 1)
        number = host.peer.exports.grant(Plain(), Thing)  # with a generation: a larger int
        host.calls = []

        def on_call(answer: Any, called: Any, payload: bytes) -> None:
            if state == "used once":
                host.peer.give(answer, b"")
            elif state == "failed":
                # As long as it can be: of another service, whose names are not ours.
                host.peer.refuse(answer, RemoteError("K\u20ac" * 3000, "\u20ac" * 3000))

        calls_to(host, on_call)
        host.peer.complete = lambda place, x, frame: None
        base = FAR - FAR % slots
        for i in range(slots):
            x, place = base + i, (1 << 20) + i
            host.receive(
                call(x, number, room=1 << 20, place=place, method=300, pipeline=state == "failed")
            )
        return host

    return make


def lane_of(slots: int, cell: int = 1024) -> LanePages:
    """The pages of a lane that has all of its slots from the beginning."""
    return LanePages(Bank("bank", 1 << 20, 0), SessionSpec(slots, 64, cell, least=(slots, 64)))


def places_answered(slots: int, cell: int, times: int = 1) -> Callable[[], object]:
    """What a serving side keeps of the places that it answers to, so many for each slot."""
    lane = lane_of(slots, cell)
    out = RingSubmissions(lambda: lane, cell, 1 << 20)
    places = [out.reserve(cell) for _ in range(slots * times)]

    def make() -> object:
        into = RingRequests(lambda: lane, cell)
        for place in places:
            into.complete(place, 0, b"")
            into.completions.posted.clear()
        return into

    return make


def for_each(make: Callable[[int], Callable[[], object]]) -> float:
    """What each more of a kind takes, when there are many."""
    return (traced(make(2560)) - traced(make(512))) / 2048


@pytest.mark.parametrize("state", ["used once", "running", "failed"])
def test_a_slot_of_the_serving_side(state: str) -> None:
    tables = for_each(lambda slots: server_tables(slots, state))
    places = max(
        for_each(partial(places_answered, cell=cell)) for cell in (64, 256, 1024, 2048, 4096)
    )
    check("SLOT", state, tables + places)


def test_places_beyond_the_slots_take_nothing_at_the_serving_side() -> None:
    """A client buys pages for answers as it likes, and names what it likes of them."""
    for cell in (64, 1024, 4096):
        once, often = (traced(places_answered(64, cell, times)) for times in (1, 8))
        assert often <= once + 512


def test_a_slot_with_both_its_sides_in_one_process_is_reported() -> None:
    def both(slots: int) -> Callable[[], object]:
        def make() -> object:
            caller = Peer(slots)
            taken = [caller.questions.acquire() for _ in range(slots)]
            lane = lane_of(slots)
            out = RingSubmissions(lambda: lane, 1024, 1 << 20)
            into = RingRequests(lambda: lane, 1024)
            places = [out.reserve(1024) for _ in range(slots)]
            for place in places:
                into.complete(place, 0, b"")
            into.completions.posted.clear()
            return server_tables(slots, "used once")(), caller, taken, lane, out, into, places

        return make

    report("SLOT", "both sides in one process", for_each(both) - 1024 - 8)


def exports(count: int) -> Callable[[], object]:
    things = [Plain() for _ in range(count)]

    def make() -> object:
        bushel = Bushel(account())
        # Each was released once, so that ids have generations, as they do after a while.
        for number in [bushel.grant(thing, Thing) for thing in things]:
            bushel.release(number, 1)
        numbers = [bushel.grant(thing, Thing) for thing in things]
        numbers.clear()
        return bushel

    return make


def test_an_entry_of_a_bushel() -> None:
    check(
        "EXPORT", "the table has just grown", max(traced(exports(count)) / count for count in GROWN)
    )


def test_an_import_with_its_proxy() -> None:
    class Session_:
        name = "session"

        def leave(self, dropped: object, /) -> None:
            pass

    session: Any = Session_()

    def make(count: int) -> object:
        imports = Imports(account())
        proxies = []
        for i in range(count):
            number = FAR + i
            imports.receive(number)
            proxies.append(proxy(Target(session, Thing, IMPORTED)))
            proxies[-1]._pinfut_target.id = number
            imports.stand_for(number, proxies[-1])
        return imports, proxies

    check("IMPORT", "with its proxy", max(traced(partial(make, n)) / n - 8 for n in GROWN))


def test_a_promise_that_is_handed_out() -> None:
    """All of it, with its entry in the bushel, which is paid beside it."""

    def make(count: int) -> object:
        host = Host(pages=1 << 20, caps=1 << 20)
        nobody: Any = None
        side: Any = SimpleNamespace(error=None)
        resolving = Resolving(side, host.peer, SimpleNamespace(), nobody)  # type: ignore[arg-type]
        promises = []
        for _ in range(count):
            promises.append(proxy(Target(LocalCaller(nobody), Thing, PROMISED)))
            number = host.peer.exports.grant(promises[-1], Thing)
            resolving.hand_out(promises[-1], number)
        assert len(resolving.handed) == count
        return host, promises, resolving

    truth = max(traced(partial(make, n)) / n for n in GROWN)
    check("PASSED", "with all that waits for it", truth - prices.EXPORT)


@pytest.mark.parametrize("where", ["held", "with calls", "with answers"])
def test_an_entry_of_the_side_table(where: str) -> None:
    def make(count: int) -> object:
        table = SideTable(Bank("bank", 1 << 20, 0))
        for n in range(count):
            if where == "held":
                table.hand_over(False, [Cap(SENDER, FAR + n, ID)])
                table.take_over(True, 1)
            elif where == "with calls":
                table.hand_over(False, [Cap(RECEIVER_ANSWER, FAR + n, ID)])
            else:
                table.hand_over(True, [Cap(SENDER, 7, ID)], (1 << 31) + n)
        assert table.used == count + (where == "with answers")
        return table

    check("CAP_ENTRY", where, max(traced(partial(make, n)) / n for n in GROWN))


def test_every_proxy_of_an_import_is_paid_for() -> None:
    """The same object can come a thousand times in one message, and each time a proxy is
    made; one charge for all of them would be none."""
    paid = account()
    imports = Imports(paid)
    for _ in range(1000):
        imports.receive(7)
    smallest = traced(lambda: [Target(None, Thing, IMPORTED) for _ in range(1000)])  # type: ignore[arg-type]
    assert paid.used >= smallest


@pytest.mark.parametrize("shape", ["a chain", "all on one"])
@pytest.mark.parametrize("caps", [0, 1, 8])
def test_a_call_that_waits_for_another(shape: str, caps: int) -> None:
    size = 9 + 16  # a payload whose block is rounded up by much
    count = 2731

    def waiting() -> int:
        host = Host(slots=count + 1, pages=1 << 20, caps=1 << 20)
        base = FAR - FAR % (count + 1)
        number = host.peer.exports.grant(Plain(), Thing)
        host.receive(call(base, number, pipeline=True))
        for answer in host.peer.answers[1:]:  # as after a first use of each slot
            answer.x, answer.target, answer.room, answer.place = (FAR // 2 + i for i in range(4))

        def make() -> object:
            for i in range(1, count + 1):
                on = base + i - 1 if shape == "a chain" else base
                things = tuple(Cap(SENDER, FAR + j, ID) for j in range(caps))
                host.receive(
                    call(base + i, on, bytes(size), on_answer=True, pipeline=True, caps=things)
                )
            return None

        before = host.held[0]
        used = traced(make)
        charged = host.held[0] - before
        assert charged == count * (prices.QUEUED + EXPECTED.size + size + caps * prices.QUEUED_CAP)
        return used

    used = waiting() / count
    truth = used - size - caps * prices.QUEUED_CAP
    check("QUEUED", f"{shape}, {caps} capabilities", truth)


def test_an_argument_that_is_still_to_come() -> None:
    host = Host(slots=64, pages=1 << 20)
    number = host.peer.exports.grant(Plain(), Thing)

    def on_call(answer: Any, called: Any, payload: bytes) -> None:
        answer.caps = ()  # the handler has its arguments, within its frame's bound

    calls_to(host, on_call)
    host.receive(call(0, number, pipeline=True))
    late = tuple(Cap(RECEIVER_ANSWER, 0, ID) for _ in range(100))
    before = host.held[0]

    def make() -> object:
        for x in range(1, 11):
            host.receive(call(x, number, caps=late))
        return None

    used = traced(make)
    assert used <= host.held[0] - before + 10 * prices.SLOT


@pytest.mark.parametrize("state", ["given", "failed", "still to come"])
def test_what_stands_in_for_an_argument_of_an_earlier_call(state: str) -> None:
    def made(count: int, capabilities: Capabilities) -> int:
        def make() -> object:
            stand_ins = []
            for _ in range(count):
                late = PromisedCapability()
                if state != "still to come":
                    if state == "given":
                        late.settle((things, (), Thing), None)
                    else:
                        late.settle(None, (1, "K" * 48, "x" * 96))
                payload = capabilities.decode(codec, encoded, (late,))
                stand_ins.append((late, payload))
            return stand_ins

        return traced(make)

    async def main() -> float:
        capabilities = Capabilities(None, None, current_executor())  # type: ignore[arg-type]
        return (made(2560, capabilities) - made(512, capabilities)) / 2048

    things, codec, encoded = Plain(), Codec(tuple[Thing], Interface), b"\x91\x00"
    check("STAND_IN", state, run(main(), checked=False))


def counted(kernel: SimKernel) -> int:
    """Bytes of pages that are a count of accounts and no memory."""
    funds = [channel.funds for channel in kernel.channels.values()]
    return PAGE * sum(one.near.pages + one.far.pages for one in funds)


def test_a_session_with_both_its_ends() -> None:
    count = 64

    async def main() -> float:
        kernel = SimKernel()
        bank = kernel.bank("bank", pages=1 << 19, caps=1 << 19)
        vat, client = Vat(kernel, "server"), kernel.process("client")
        vat.listen("it", Plain())
        ends: list[Any] = []

        async def open_some() -> None:
            # Raw ends on the client's side: only the server makes a session of each.
            for _ in range(count):
                ends.append(kernel.connect(client, "it", bank, SPEC))
                ends[-1].submissions()
            await until(lambda: len(vat.sessions) >= len(ends), "all sessions are accepted")

        await open_some()  # what is made once
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0] - bank.pages_used * PAGE
            accounts = counted(kernel)
            await open_some()
            gc.collect()
            after = tracemalloc.get_traced_memory()[0] - bank.pages_used * PAGE
        finally:
            tracemalloc.stop()
        # Of the pages, those of an account are a count and no memory.
        accounts = counted(kernel) - accounts
        used = (after - before + accounts) / count
        for end in ends:
            end.close()
        await vat.close()
        return float(used)

    # Nobody has called it: its one slot is a question, and no answer yet.
    slot = for_each(lambda slots: partial(Peer, slots))
    entries = FIRST * prices.CAP_ENTRY
    check("SESSION", "accepted, idle", run(main(), clock=VirtualClock()) - slot + entries)


def test_a_bank_for_a_nested_call() -> None:
    def make(count: int) -> Callable[[], object]:
        kernel = SimKernel()
        bank = kernel.bank("bank", pages=1 << 19, caps=1 << 19)
        port = kernel.listen(kernel.process("server"), "it", ServiceSpec())
        near = kernel.connect(kernel.process("client"), "it", bank, SPEC)
        (far,) = port.accept()
        return lambda: [near, *(far.nested(10, 10) for _ in range(count))]

    truth = max(traced(make(count)) / count for count in measure.GROWN)
    check("NESTED", "with its handle", truth - prices.BANK - prices.HANDLE)


def test_a_small_handler_and_a_small_object() -> None:
    async def handler(thing: object, n: int) -> int:
        await asyncio.sleep(0)
        return n

    def suspended() -> object:
        coros = [handler(None, i) for i in range(1000)]
        for coro in coros:
            coro.send(None)
        return coros

    async def measure_task() -> float:
        executor = current_executor()

        async def waits() -> None:
            await sleep(1000)

        def make() -> object:
            return [executor.spawn(waits()) for _ in range(1000)]

        used = traced(make) / 1000
        for task in list(executor.tasks)[1:]:
            task.cancel()
        return used

    task = run(measure_task(), clock=VirtualClock())
    check("HANDLER", "a task and a frame", task + traced(suspended) / 1000)
    check("OBJECT", "one attribute", traced(lambda: [Plain(str(i)) for i in range(1000)]) / 1000)


@pytest.mark.parametrize("count", GROWN)
def test_a_task_of_a_handler_without_its_coroutine(count: int) -> None:
    async def handler(never: Never) -> None:
        await never

    async def measure() -> float:
        executor = current_executor()
        context = copy_context()
        context.run(ContextVar[int]("a session").set, 1)
        # As `Server` does it: the first step inside, then a task.
        outside = executor.begin_inline()

        def make() -> object:
            for _ in range(count):
                coro = handler(never)
                own = context.copy()
                executor.first = coro, own, None, None  # type: ignore[assignment]
                leaf = own.run(coro.send, None)
                executor.adopt(leaf)
            return None

        used = traced(make) / count
        executor.end_inline(outside)
        for task in list(executor.tasks)[1:]:
            task.cancel()
        return used

    never = Never()
    coro = handler(never)
    size = sys.getsizeof(coro)
    coro.close()
    check("TASK", f"one of {count:,}", run(measure(), clock=VirtualClock(), checked=False) - size)


@pytest.mark.parametrize("count", GROWN)
def test_the_places_of_a_handler_that_waits_in_the_tables_of_the_executor(count: int) -> None:
    async def measure() -> float:
        async def waits() -> None:
            await sleep(1000)

        executor: Any = current_executor()
        tasks = [executor.spawn(waits()) for _ in range(count)]
        await sleep(0)
        tables = executor.tasks, executor.timers.heap
        assert min(map(len, tables)) >= count
        for task in tasks:
            task.cancel()
        return sum(map(sys.getsizeof, tables)) / count

    assert run(measure(), clock=VirtualClock()) <= PARKED


@pytest.mark.parametrize("count", GROWN[:2])
def test_a_subscription_to_events(count: int) -> None:
    async def measure() -> float:
        bank = Bank("client", 10_000, 100)
        buffer = EventBuffer(bank, places=count, size=8)
        records = EventRecords(buffer.shape, buffer.memory)
        source = EventSource()
        session: Any = type("Session", (), {})()
        session.name = "s"
        session.subscriptions = {}
        session.end = type("End", (), {"events": lambda end: records, "post_event": int})()
        kept = Kept(SessionAccount(Share(bank)))
        session.kept = lambda: kept
        keys = [buffer.open() for _ in range(count)]

        def make() -> object:
            for key in keys:
                made = source.subscribe(key, session)
                for number in range(2):
                    made.post(b"x", FAR + number)
            return None

        return traced(make) / count - prices.KEPT

    check("SUBSCRIPTION", f"one of {count:,}", run(measure(), clock=VirtualClock()))


@pytest.mark.parametrize("beside", [False, True], ids=["all released", "one stays"])
def test_what_is_released_leaves_nothing_behind_that_nobody_pays(beside: bool) -> None:
    """Tables grow with what a client holds. After its release nothing is charged any more,
    so they have to shrink again, or to be charged by their capacity. Something always
    stays: the root object, if nothing else."""
    things = [Plain() for _ in range(20_000)]
    bushel_account, import_account = account(), account()
    bushel, imports = Bushel(bushel_account), Imports(import_account)
    root = Plain()

    def come_and_go() -> None:
        if beside:
            bushel.grant(root, Thing)
        for number in [bushel.grant(thing, Thing) for thing in things]:
            bushel.release(number, 1)

    def receive_and_drop() -> None:
        if beside:
            imports.receive(5)
        for number in range(FAR, FAR + 20_000):
            imports.receive(number)
        for number in range(FAR, FAR + 20_000):
            imports.drop(number)

    left = traced(come_and_go), traced(receive_and_drop)
    covered(
        f"left behind, unpaid, {'one stays' if beside else 'all released'}",
        exports=max(0, left[0] - bushel_account.used),
        imports=max(0, left[1] - import_account.used),
    )
    assert left[0] <= bushel_account.used + prices.SESSION
    assert left[1] <= import_account.used + prices.SESSION


def beside_pages(pages: int, *, caller: bool) -> int:
    """What so many pages for small answers take beside themselves at the kernel; `caller`: and in
    the tables of who calls."""

    def make() -> object:
        lane = lane_of(1)
        if not caller:
            for _ in range(pages):
                lane.grow()
            return lane
        out = RingSubmissions(lambda: lane, 1024, 1 << 20)
        for _ in range(pages * PAGE // 1024):
            out.reserve(1024)
        return lane, out

    return traced(make) - (pages + 1) * PAGE


@pytest.mark.parametrize("kind", ["for a slot", "for room"])
def test_a_call_that_waits_to_be_sent(kind: str) -> None:
    """Beside the promise, which belongs to whoever called. Who waits for a slot has a place for
    its answer already, which is nobody's slot yet."""
    count = 1000
    name = "UNSENT" if kind == "for a slot" else "UNWRITTEN"

    async def main() -> float:
        kernel = SimKernel()
        bank = kernel.bank("bank", pages=1 << 19)
        slots = 1 if kind == "for a slot" else 2 * count
        async with (
            serve(kernel, "it", Plain()),
            connect(kernel, "it", Thing, bank, slots=slots, ring=4096, cell=1024) as thing,
        ):
            session = session_of(thing)
            used = session.end.account
            assert isinstance(used, SessionAccount)
            first = [thing.poke(i) for i in range(1 if slots == 1 else count // 2)]
            promises: list[Any] = [None] * count
            numbers = [(1 << 40) + i for i in range(count)]

            def make() -> None:
                for i in range(count):
                    promises[i] = thing.poke(numbers[i])

            cells = bank.pages_used - used.pages
            charged = used.used
            taken = traced(make)
            cells = bank.pages_used - used.pages - cells
            charged = used.used - charged
            # Each frame is charged by its length on top; what it waits for is the same.
            length = charged / count - getattr(prices, name)
            small = beside_pages(cells, caller=slots > 1)
            promise = len(promises) * (Promise.__basicsize__ + 16)
            promises.clear()
            for one in first:
                await one
            return float((taken - cells * PAGE - small - promise) / count - length)

    check(name, f"waits {kind}", run(main(), clock=VirtualClock()))
