"""What a message costs its server is bounded, paid for and counted before it is done."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec
import pytest

from pinfut import checked, pending
from pinfut.rpc import (
    BadArguments,
    Bank,
    Interface,
    NestedShortage,
    OutOfPages,
    Session,
    Vat,
    connect,
    method,
    prices,
    serve,
    session_of,
)
from pinfut.rpc.bank.bank import PAGE
from pinfut.rpc.lab.hostile.raw import Lane
from pinfut.rpc.objects.expansion import expansion
from pinfut.rpc.objects.weight import DEEPEST, MOST
from pinfut.rpc.session.calls_in import UNPAID
from pinfut.rpc.session.fairness import ADVANCE, BUDGET, QUANTUM, THING
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.frames import PIPELINE, RECEIVER_ANSWER, SENDER, Cap
from pinfut.sync import Notify
from tests.bounded import rounds
from tests.covered import covered
from tests.rpc.hostile import Raw, call
from tests.rpc.world import World, only, quiet, run

seen: list[int] = []


@dataclass
class Counted:
    n: int

    def __post_init__(self) -> None:
        seen.append(self.n)


class Pair(NamedTuple):
    data: bytes


class Item(Interface, Protocol):
    @method
    async def poke(self) -> int: ...


class Work(Interface, Protocol):
    @method
    async def count(self, things: list[Counted]) -> int: ...
    @method
    async def lists(self, lists: list[list[None]]) -> int: ...
    @method
    async def data(self, data: bytes) -> int: ...
    @method
    async def pair(self, pair: Pair) -> int: ...
    @method
    async def ext(self, ext: msgspec.msgpack.Ext) -> int: ...
    @method
    async def view(self, view: memoryview) -> int: ...
    @method
    async def fail(self) -> Item: ...
    @method
    async def items(self, items: list[Item]) -> int: ...
    @method
    async def ping(self) -> int: ...
    @method
    async def any(self, value: Any) -> int: ...


COUNT, LISTS, DATA, _PAIR, _EXT, _VIEW, FAIL, ITEMS, PING = range(9)


class WorkServer(Work):
    """Keeps what it is given until its call is dropped, where it says so."""

    def __init__(self, held: bool = False) -> None:
        self.held = held
        self.order: list[str] = []

    async def _hold(self, thing: object) -> int:
        if self.held:
            await pending()
        return 1

    @method
    async def count(self, things: list[Counted]) -> int:
        return len(things)

    @method
    async def lists(self, lists: list[list[None]]) -> int:
        self.order.append("lists")
        return await self._hold(lists)

    @method
    async def data(self, data: bytes) -> int:
        self.order.append("data")
        return await self._hold(data)

    @method
    async def pair(self, pair: Pair) -> int:
        return await self._hold(pair)

    @method
    async def ext(self, ext: msgspec.msgpack.Ext) -> int:
        return await self._hold(ext)

    @method
    async def view(self, view: memoryview) -> int:
        return await self._hold(view)

    @method
    async def fail(self) -> Item:
        raise ValueError("there is none")

    @method
    async def items(self, items: list[Item]) -> int:
        return await self._hold(items)

    @method
    async def ping(self) -> int:
        return 1

    @method
    async def any(self, value: Any) -> int:
        self.order.append("any")
        return 1


def empty_lists(count: int) -> bytes:
    """The arguments of `lists`: so many empty lists, each a byte."""
    return b"\x91\xdd" + count.to_bytes(4, "big") + b"\x90" * count


def bytes_of(count: int) -> bytes:
    return b"\x91\xc6" + count.to_bytes(4, "big") + bytes(count)


def test_what_a_message_may_become_is_paid_before_anybody_looks_at_it() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=200)
        async with (
            serve(world.kernel, "work", WorkServer()),
            connect(world.kernel, "work", Work, bank, ring=1 << 16) as work,
        ):
            seen.clear()
            things = [Counted(n) for n in range(1000)]
            seen.clear()
            with pytest.raises(OutOfPages) as refused:
                await work.count(things)
            assert seen == []
            assert not refused.value.begun
            assert await work.count(things[:10]) == 10
            seen.clear()
            # It says what it lacks, and what was charged in advance is back afterwards.
            bank.refill(pages=refused.value.short)
            used = bank.pages_used
            assert await work.count(things) == 1000
            assert len(seen) == 1000
            assert bank.pages_used <= used + 1

    run(main)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pair", Pair(bytes(100_000))),
        ("ext", msgspec.msgpack.Ext(1, bytes(100_000))),
        ("view", memoryview(bytes(100_000))),
        ("data", bytes(100_000)),
        ("lists", [[]] * 2 * MOST),
    ],
)
def test_whatever_arguments_hold_is_charged_while_their_handler_has_them(
    name: str, value: Any
) -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=2000)
        async with (
            serve(world.kernel, "work", WorkServer(held=True)) as vat,
            connect(world.kernel, "work", Work, bank, ring=1 << 18) as work,
        ):
            before = only(vat).end.account.used
            held = getattr(work, name)(value)
            await quiet()
            charged = only(vat).end.account.used - before
            assert charged >= (64 * 2 * MOST if name == "lists" else 100_000)
            held.drop()
            await quiet()
            assert only(vat).end.account.used == before

    run(main)


@pytest.mark.parametrize("ring", [1 << 14, 1 << 18, 1 << 21])
@pytest.mark.parametrize("number", [LISTS, DATA])
def test_a_server_takes_no_more_for_a_message_than_its_client_could_pay(
    number: int, ring: int
) -> None:
    """And what it does for one that nobody can pay does not depend on what is in it."""

    async def main(world: World) -> None:
        bank = world.bank("hostile", pages=60 + 2 * ring // PAGE)
        async with serve(world.kernel, "work", WorkServer()) as vat:
            raw = Raw(world.kernel, "work", bank, 8, ring)
            await raw.bootstrap(Work)
            size = min(raw.lane.submissions.largest, 1 << 20) - 64
            payload = empty_lists(size - 8) if number == LISTS else bytes_of(size - 8)
            frame = call(8, 0, number, payload=payload)
            gc.collect()
            tracemalloc.start()
            try:
                raw.send(frame)
                before = tracemalloc.get_traced_memory()[0]
                tracemalloc.reset_peak()
                await quiet()
                peak = tracemalloc.get_traced_memory()[1] - before
            finally:
                tracemalloc.stop()
            assert raw.replies() == [8]
            assert peak <= 3 * len(frame) + bank.page_limit * PAGE
            if number == LISTS and size > UNPAID:
                assert peak <= 3 * len(frame) + UNPAID + 16_384
                assert isinstance(raw.error(), OutOfPages)
                assert only(vat).things == 0
            raw.leave()
            await quiet()

    run(main, checked=False)


def test_what_is_many_things_takes_of_the_share_that_its_session_has() -> None:
    """Of two clients with messages of one length, each has the same share of the work."""

    async def main(world: World) -> None:
        server = WorkServer()
        async with serve(world.kernel, "work", server) as vat:
            raws = [
                Raw(world.kernel, "work", world.bank(name, pages=2000), 256, 1 << 19)
                for name in ("dense", "plain")
            ]
            for raw in raws:
                await raw.bootstrap(Work)
            dense, plain = raws
            count = QUANTUM // 16 - 64
            lists, data = empty_lists(count), bytes_of(count)
            dense.send(*(call(256 + n, 0, LISTS, payload=lists) for n in range(24)))
            plain.send(*(call(256 + n, 0, DATA, payload=data) for n in range(250)))
            await quiet()
            assert server.order.count("lists") == 24
            assert server.order.count("data") == 250
            last = len(server.order) - server.order[::-1].index("data")
            beside = server.order[:last].count("lists")
            things, advance = count + 2, expansion(tuple[list[list[None]]])[0] * len(lists)
            cost = len(lists) + THING * things + advance // ADVANCE
            assert cost > QUANTUM, "a message of the dense one is several looks"
            assert abs(beside - 250 * len(data) / cost) < 2
            assert max(session.things for session in vat.sessions) == 24 * things
            covered("shares of work", dense=beside, plain=250)
            for raw in raws:
                raw.leave()
            await quiet()

    run(main)


def test_no_more_than_so_many_things_of_a_message_are_weighed() -> None:
    async def main(world: World) -> None:
        async with (
            serve(world.kernel, "work", WorkServer()) as vat,
            connect(world.kernel, "work", Work, world.bank(pages=9000), ring=1 << 18) as work,
        ):
            session = only(vat)
            assert await work.lists([[]] * (MOST - 2)) == 1
            assert session.things == MOST
            assert await work.lists([[]] * (MOST - 1)) == 1
            # What was looked at, and an eighth of what the message could be: its bytes.
            assert session.things == MOST + 2 + (len(empty_lists(MOST - 1)) >> 3)
            # What is in things that are no containers counts as well.
            things = [Counted(1000 + n) for n in range(MOST - 100)]
            before = session.things
            assert await work.count(things) == len(things)
            assert session.things - before > 1.5 * len(things)

    run(main)


def test_arguments_that_lie_too_deep_in_each_other_are_refused_before_a_handler_has_them() -> None:
    async def main(world: World) -> None:
        server = WorkServer()
        async with world.session(Work, server, bank=world.bank(pages=9000)) as work:
            value: Any = []
            for depth in range(2, DEEPEST):
                value = {"deeper": value} if depth % 2 else [value, 1]
            # Beside the value the arguments themselves are a level, and so is what lies inside.
            assert await work.any(value) == 1
            for deeper in ([value], [[value]]):
                with pytest.raises(BadArguments, match="deep"):
                    await work.any(deeper)
            assert server.order == ["any"]
            assert await work.ping() == 1

    run(main)


def test_what_stands_for_an_object_of_an_earlier_call_is_paid_while_a_handler_has_it() -> None:
    count = 500

    async def main(world: World) -> tuple[int, int]:
        bank = world.bank("hostile", pages=6000)
        async with serve(world.kernel, "work", WorkServer(held=True)):
            raw = Raw(world.kernel, "work", bank, 64, 1 << 18)
            await raw.bootstrap(Work)
            raw.send(call(64, 0, FAIL, flags=PIPELINE))
            await quiet()
            caps = (Cap(RECEIVER_ANSWER, 64, Item._pinfut_id),) * count
            for x in range(65, 73):
                raw.send(call(x, 0, ITEMS, list(range(count)), caps=caps))
            await quiet()
            gc.collect()
            tracemalloc.start()
            try:
                charged = raw.charged.used
                for x in range(73, 97):
                    raw.send(call(x, 0, ITEMS, list(range(count)), caps=caps))
                    await quiet()
                gc.collect()
                traced = tracemalloc.get_traced_memory()[0]
                charged = raw.charged.used - charged
            finally:
                tracemalloc.stop()
            assert charged >= 24 * count * prices.STAND_IN
            raw.leave()
            await quiet()
            return traced, charged

    keeping, checked.keeping = checked.keeping, False
    try:
        traced, charged = run(main, checked=False)
    finally:
        checked.keeping = keeping
    assert 24 * count * 100 < traced <= charged


def nobodys(count: int) -> tuple[Cap, ...]:
    """So many objects that nobody asked for: each is released."""
    return tuple(Cap(SENDER, n, Item._pinfut_id) for n in range(count))


async def one_more(world: World, vat: Vat, bank: Bank) -> tuple[Raw, Session]:
    """A client beside others, and the server's side of its session, which has something to send
    by."""
    others = vat.sessions
    raw = Raw(world.kernel, "work", bank, 64, 1 << 14)
    await raw.bootstrap(Work)
    (session,) = (one for one in vat.sessions if one not in others)
    session.out.open()
    return raw, session


def test_what_a_server_owes_is_paid_by_the_client_that_reads_nothing_until_it_cannot() -> None:
    """Then its calls are refused, with what is in them still its own; when it reads, they are not,
    and all that waited comes."""

    async def main(world: World) -> None:
        bank = world.bank("hostile", pages=160)
        async with (
            serve(world.kernel, "work", WorkServer()) as vat,
            connect(world.kernel, "work", Work, world.bank("victim")) as victim,
        ):
            raw, session = await one_more(world, vat, bank)
            rest = session.end.account.used

            async def ping(x: int) -> int:
                raw.send(call(x, 0, PING, caps=nobodys(10)))
                await quiet()
                assert raw.replies() == [x]
                flags: int = raw.lane.submissions.read(0)[5]
                return flags

            x = waiting = taken = refused = 0
            for x in rounds("calls are refused", 500):
                # What waits grows until there is no page left for anything, on either side.
                if await ping(64 + x) & frames.RETURN_ARGS:
                    refused += 1
                    if refused == 5:
                        break
                else:
                    taken += 1
                    refused = 0
                waiting = session.out.waiting
                assert session.end.account.used - rest >= waiting * prices.UNWRITTEN
            assert waiting > 1000
            assert bank.pages_used > 140
            for n in range(1, 20):
                assert await ping(64 + x + n) & frames.RETURN_ARGS
                assert isinstance(raw.error(), OutOfPages)
            assert session.out.waiting == waiting
            assert await victim.ping() == 1
            lane = Lane(raw.end, calls=False)
            released = 0
            for _ in rounds("everything has come"):
                came = lane.requests.receive(1000)
                if not came:
                    break
                released += len(came)
                lane.requests.publish()
                lane.signal()
                await quiet()
            assert released == 10 * taken
            assert session.out.waiting == 0
            assert session.end.account.used == rest
            assert not await ping(64 + x + 20) & frames.ERROR
            raw.leave()
            await quiet()

    run(main)


def test_a_server_that_owes_what_nobody_can_pay_ends_the_session_and_no_other() -> None:
    async def main(world: World) -> None:
        bank = world.bank("hostile", pages=80)
        async with (
            serve(world.kernel, "work", WorkServer()) as vat,
            connect(world.kernel, "work", Work, world.bank("victim")) as victim,
        ):
            raw, session = await one_more(world, vat, bank)
            x = 0
            for x in rounds("it ends", 20_000):
                session.peer.cancel(x)
                if x % 64 == 0:
                    await quiet()
                    if raw.closed:
                        break
            assert x > 500
            assert isinstance(session.error, OutOfPages)
            assert await victim.ping() == 1
            raw.leave()
            await quiet()
            assert bank.pages_used == 0

    run(main)


def test_one_look_at_a_session_is_bounded_by_what_its_messages_become() -> None:
    """Many short messages, each of which is as many things as it has bytes."""

    async def main(world: World) -> None:
        bank = world.bank("dense", pages=2000)
        async with serve(world.kernel, "work", WorkServer()) as vat:
            raw = Raw(world.kernel, "work", bank, 64, 1 << 16)
            await raw.bootstrap(Work)
            session = only(vat)
            payload = empty_lists(480)
            cost = THING * 482 + expansion(tuple[list[list[None]]])[0] * len(payload) // ADVANCE
            for n in range(32):
                assert raw.lane.submissions.submit(call(64 + n, 0, LISTS, payload=payload))
            raw.lane.submissions.publish()
            looks = 0
            before = session.things
            for _ in rounds("all were looked at", 100):
                more = session.service(BUDGET, QUANTUM)
                spent = cost * (session.things - before) // 482
                assert spent <= QUANTUM + cost
                before = session.things
                looks += 1
                if not more:
                    break
            assert session.things == 32 * 482
            assert looks >= cost * 32 // QUANTUM
            await quiet()
            raw.leave()
            await quiet()

    run(main)


class Guest(Interface, Protocol):
    @method
    async def few(self, count: int) -> list[list[None]]: ...
    @method(answer=1 << 16)
    async def lists(self, count: int) -> list[list[None]]: ...
    @method(answer=1 << 16)
    async def counted(self, count: int) -> list[Counted]: ...
    @method(answer=1 << 16)
    async def items(self, count: int) -> tuple[list[list[None]], Item]: ...


class GuestServer(Guest):
    @method
    async def few(self, count: int) -> list[list[None]]:
        return [[] for _ in range(count)]

    @method(answer=1 << 16)
    async def lists(self, count: int) -> list[list[None]]:
        return [[] for _ in range(count)]

    @method(answer=1 << 16)
    async def counted(self, count: int) -> list[Counted]:
        return [Counted(n) for n in range(count)]

    @method(answer=1 << 16)
    async def items(self, count: int) -> tuple[list[list[None]], Item]:
        return [[] for _ in range(count)], self.item

    def __init__(self) -> None:
        self.item = ItemServer()


class ItemServer(Item):
    @method
    async def poke(self) -> int:
        return 1


class Asking(Interface, Protocol):
    @method
    async def ask(self, guest: Guest, what: str, count: int) -> int: ...


class AskingServer(Asking):
    """Asks its client, and keeps what it answers until it is told to go on."""

    def __init__(self) -> None:
        self.answered = 0
        self.go_on = Notify()
        # How often it asks for the same.
        self.times = 1

    @method
    async def ask(self, guest: Guest, what: str, count: int) -> int:
        answer: Any = None
        for _ in range(self.times):
            answer = await getattr(guest, what)(count)
            self.answered += 1
        await self.go_on.notified()
        return len(answer)


def test_what_an_answer_to_the_server_becomes_is_paid_by_its_client_while_a_handler_has_it() -> (
    None
):
    server = AskingServer()

    async def main(world: World) -> None:
        async with (
            serve(world.kernel, "asking", server) as vat,
            connect(world.kernel, "asking", Asking, world.bank(pages=4000)) as asking,
        ):
            account = only(vat).end.account
            guest = GuestServer()
            for what in ("few", "lists", "items"):
                for count in (1, 700 if what == "few" else 20_000):
                    call = asking.ask(guest, what, count)
                    await quiet()
                    held = account.used
                    server.go_on.notify_one()
                    assert await call == (2 if what == "items" else count)
                    await quiet()
                    # Of a short answer the handler's frame is all; of the other each list is.
                    least = 56 * count if count > 1 else 0
                    assert least < held - account.used < least * 1.5 + 2 * prices.HANDLER
            assert server.answered == 6
            # A handler that asks again and again has one of the answers at a time.
            server.times = 50
            call = asking.ask(guest, "few", 700)
            await quiet()
            held = account.used
            server.go_on.notify_one()
            assert await call == 700
            await quiet()
            assert 56 * 700 < held - account.used < 2 * 56 * 700
            assert server.answered == 56
            assert only(vat)._calls_in._answered == {}

    run(main)


@pytest.mark.parametrize("what", ["counted", "items"])
def test_an_answer_that_a_client_cannot_pay_for_is_not_decoded_by_its_server(what: str) -> None:
    server = AskingServer()

    async def main(world: World) -> None:
        bank = world.bank(pages=80)
        async with (
            serve(world.kernel, "asking", server),
            connect(world.kernel, "asking", Asking, bank) as asking,
        ):
            guest = GuestServer()
            with pytest.raises(NestedShortage):
                await asking.ask(guest, what, 4000)
            await quiet()
            # The client itself has made and checked its answer, and nobody else looked at it.
            assert seen.count(1) == (2 if what == "counted" else 0)
            assert server.answered == 0
            # What came with it is let go of.
            held = [one[0] for one in session_of(asking).peer.exports.things.values()]
            assert guest.item not in held
            call = asking.ask(guest, what, 10)
            await quiet()
            server.go_on.notify_one()
            assert await call == (10 if what == "counted" else 2)

    seen.clear()
    run(main)
