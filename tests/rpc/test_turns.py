"""Which session is looked at next, and for how long: shares, levels, and what idle ones cost."""

from __future__ import annotations

from collections import deque
from contextlib import AsyncExitStack
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut import join
from pinfut.executor import scope, sleep, spawn, timeout, yield_now
from pinfut.rpc import SimKernel, Vat, connect, introduce, method, serve, session_of
from pinfut.rpc.contract import ServiceSpec
from pinfut.rpc.memory.notification import Notification
from pinfut.rpc.memory.ring import RingReader, RingWriter, ring_bytes
from pinfut.rpc.session.fairness import BUDGET, QUANTUM, TURN, FairQueue, level_of
from pinfut.sync import Notify
from tests.bounded import until
from tests.covered import covered, require
from tests.rpc.services import Desk, DeskServer
from tests.rpc.world import World, only, quiet, run

PRIORITIES: tuple[Any, ...] = ("high", "normal", "low")


@given(
    st.lists(st.one_of(st.tuples(st.integers(0, 30), st.integers(0, 2)), st.just("pick"))),
)
def pick_turns(
    steps: list[Any],
) -> None:
    turns: FairQueue[int] = FairQueue()
    queues: tuple[deque[int], ...] = (deque(), deque(), deque())
    level: dict[int, int] = {}
    waited = [0, 0, 0]
    overtaken = again = low_before_high = 0
    for step in steps:
        if step != "pick":
            thing, where = step
            if thing in level:
                again += 1
            else:
                level[thing] = where
                queues[where].append(thing)
            turns.put(thing, where)
            assert len(turns) == len(level)
            continue
        if not level:
            with pytest.raises(IndexError):
                turns.pick()
            assert not turns
            continue
        thing = turns.pick()
        where = level.pop(thing)
        assert queues[where].popleft() == thing, "within a level the first comes first"
        for other in range(3):
            if other == where or not queues[other]:
                waited[other] = 0
                continue
            waited[other] += 1
            overtaken += other > where
            low_before_high += other < where
            assert waited[other] <= (2, 7, 7)[other]
    covered("turns", again=again, overtaken=overtaken, low_before_high=low_before_high)


def test_turns_pick_by_level_each_thing_once_and_no_level_waits_for_ever() -> None:
    """Against three plain queues; trap T35: the lowest level has one look of eight."""
    pick_turns()
    require(covered("turns"), "again", "overtaken", "low_before_high")


def test_with_all_levels_ready_each_has_its_part_of_the_looks() -> None:
    turns: FairQueue[tuple[int, int]] = FairQueue()
    for n in range(100):
        for level in range(3):
            turns.put((level, n), level)
    looks = [turns.pick()[0] for _ in range(64)]
    assert [looks.count(level) for level in range(3)] == [48, 8, 8]


def test_a_message_longer_than_the_credit_is_paid_off_though_nothing_follows_it() -> None:
    async def main(world: World) -> None:
        async with world.served("service", DeskServer()) as vat:
            bank = world.bank(pages=2000)
            async with connect(world.kernel, "service", Desk, bank, ring=1 << 18) as desk:
                await desk.length(bytes(100_000))
                debt = only(vat).credit
                assert -100_100 <= debt <= QUANTUM - 100_000
                looks = vat.serviced
                await desk.do(1)
                # One look for each quantum of the debt before the next message is read.
                assert vat.serviced - looks >= -debt // QUANTUM
                assert only(vat).credit == 0

    run(main)


def test_a_look_takes_its_credit_and_at_most_one_message_more() -> None:
    """The reader's share of deficit round robin, against arithmetic over the lengths."""
    follow_looks()
    require(covered("credit of a look"), "looks", "over", "bounded", "cases")


@given(
    st.lists(st.integers(8, 900), min_size=1, max_size=60),
    st.integers(1, 2000),
    st.integers(1, 64),
)
def follow_looks(sizes: list[int], quantum: int, budget: int) -> None:
    memory = memoryview(bytearray(ring_bytes(1 << 16)))
    writer, reader = RingWriter(memory), RingReader(memory)
    for size in sizes:
        assert writer.submit(size.to_bytes(4, "little") + bytes(size - 4))
    writer.publish()
    left = deque(sizes)
    credit = looks = over = bounded = 0
    while left:
        looks += 1
        credit += quantum
        begin = reader.consumed
        frames = reader.receive(budget, credit)
        expected: list[int] = []
        rest = credit
        while left and rest > 0 and len(expected) < budget:
            expected.append(left.popleft())
            rest -= expected[-1] + 7 & -8
        assert [len(frame) for frame in frames] == expected
        credit -= reader.consumed - begin
        assert credit == rest
        over += credit < 0
        bounded += len(expected) == budget and credit > 0 and len(left) > 0
    assert not reader.more
    covered("credit of a look", looks=looks, over=over, bounded=bounded, cases=1)


def test_long_messages_do_not_get_a_session_more_than_its_share() -> None:
    """Of two that are ready all the time, the bytes that are handled stay together, however
    different the messages (trap T35)."""

    async def main(world: World) -> None:
        handled = {"long": 0, "short": 0}
        history: list[tuple[int, int]] = []

        async def client(name: str, size: int, count: int) -> None:
            bank = world.bank(name, pages=4000)
            async with connect(world.kernel, name, Desk, bank, slots=512, ring=1 << 20) as desk:
                calls = [desk.length(bytes(size)) for _ in range(count)]
                await join(*calls)

        class Sized(DeskServer):
            @method
            async def length(self, data: bytes) -> int:
                handled[self.title] += len(data) + 44
                history.append((handled["long"], handled["short"]))
                return len(data)

        server = Vat(world.kernel, "server")
        server.listen("long", Sized("long"))
        server.listen("short", Sized("short"))
        async with scope() as clients:
            clients.spawn(client("long", 60_000, 16))
            clients.spawn(client("short", 2_000, 500))
        await server.close()
        both = [
            (long, short)
            for long, short in history
            if 0 < long < handled["long"] and 0 < short < handled["short"]
        ]
        assert len(both) > 50
        begin = both[0][0] - both[0][1]
        # A message and a quantum apart, however long it goes on.
        worst = max(abs(long - short - begin) for long, short in both)
        assert worst <= 2 * (60_000 + 2 * QUANTUM), worst

    run(main)


def test_a_flood_of_low_priority_delays_a_high_one_by_at_most_one_turn() -> None:
    """Rows 26 and 65: 60 low sessions with a full ring each, and one high call."""

    async def main(world: World) -> None:
        order: list[str] = []

        async def do(n: int) -> int:
            order.append("high" if n < 0 else "low")
            return n

        async with world.served("service", DeskServer(do=do)) as vat:
            low = [
                connect(
                    world.kernel,
                    "service",
                    Desk,
                    world.bank(f"low{i}"),
                    slots=256,
                    priority="low",
                )
                for i in range(60)
            ]
            desks = [await one.__aenter__() for one in low]
            async with connect(
                world.kernel, "service", Desk, world.bank("high"), priority="high"
            ) as high:
                assert {one.end.level for one in vat.sessions} == {0, 2}
                flood = [desk.do(1) for desk in desks for _ in range(256)]
                await until(lambda: order, "a handler has started")
                begin = len(order)
                assert await high.do(-1) == -1
                at = order.index("high")
                # The turn that was under way when it was sent, of `TURN` looks, and the look of
                # eight that is for the lowest. Behind the others it would be 60 looks.
                assert at - begin <= (TURN + 1) * BUDGET < 60 * BUDGET
                assert order.count("low") < len(flood)
                await join(*flood)
            covered("a high call in a flood", low_before_it=at - begin, flood=len(flood))
            for one in low:
                await one.__aexit__(None, None, None)

    run(main)


def test_a_flood_of_high_priority_does_not_stop_a_low_one() -> None:
    async def main(world: World) -> None:
        done = {"high": 0}

        async def do(n: int) -> int:
            done["high"] += n
            return n

        async with (
            world.served("service", DeskServer(do=do)),
            connect(
                world.kernel,
                "service",
                Desk,
                world.bank("high", pages=2000),
                slots=512,
                priority="high",
            ) as high,
            connect(world.kernel, "service", Desk, world.bank("low"), priority="low") as low,
        ):
            calls = [high.do(1) for _ in range(2000)]
            assert await low.do(0) == 0
            assert done["high"] < 2000
            await join(*calls)

    run(main)


def test_a_priority_that_is_none_is_refused_before_anything_is_bought() -> None:
    async def main(world: World) -> None:
        wrong: Any = "urgent"
        async with world.served("service", DeskServer()):
            with pytest.raises(ValueError, match="'high', 'normal' or 'low'"):
                connect(world.kernel, "service", Desk, world.bank(), priority=wrong)
        assert [level_of(one) for one in PRIORITIES] == [0, 1, 2]

    run(main)


def test_idle_sessions_are_never_looked_at() -> None:
    async def main(world: World) -> None:
        async with world.served("service", DeskServer()) as vat:
            idle = [
                connect(world.kernel, "service", Desk, world.bank(str(n)), slots=1, ring=64 * 4)
                for n in range(300)
            ]
            for client in idle:
                await client.__aenter__()
            async with connect(world.kernel, "service", Desk, world.bank("busy")) as desk:
                await desk.do(0)
                await quiet()
                before = vat.serviced
                for n in range(20):
                    await desk.do(n)
                assert vat.serviced - before <= 20 + 2
                assert len(vat.sessions) == 301
                assert session_of(desk).round_trips >= 20
                await sleep(0.1)
            for client in idle:
                await client.__aexit__(None, None, None)

    run(main)


def test_ten_thousand_idle_badges_cost_nothing_per_turn() -> None:
    """Row 26: what a turn touches is counted, and is the same with ten thousand more."""

    class Words(list[int]):
        touched = 0

        def __getitem__(self, index: Any) -> Any:
            Words.touched += 1
            return super().__getitem__(index)

        def __setitem__(self, index: Any, value: Any) -> None:
            Words.touched += 1
            super().__setitem__(index, value)

    def cost(idle: int) -> int:
        notification = Notification()
        for badge in range(idle):
            notification.signal(badge)
        notification.take()
        notification._words = Words(notification._words)
        turns: FairQueue[int] = FairQueue()
        Words.touched = 0
        for n in range(50):
            notification.signal(n % max(idle, 1))
            for badge in notification.take():
                turns.put(badge, 1)
            while turns:
                turns.pick()
        return Words.touched

    assert cost(10_000) == cost(64)


@pytest.mark.parametrize("given", PRIORITIES)
@pytest.mark.parametrize("asked", PRIORITIES)
def test_a_service_gives_no_higher_priority_than_it_wants_to(asked: Any, given: Any) -> None:
    """The client's own process goes by what it asked for; what it pays is the same."""

    async def main(world: World) -> None:
        bank = world.bank()
        async with (
            serve(world.kernel, "plain", DeskServer()) as plain,
            connect(world.kernel, "plain", Desk, bank, priority=asked) as desk,
        ):
            free = bank.pages_used, bank.caps_used
            assert only(plain).end.level == level_of(asked)
            assert await desk.do(1) == 1
        async with (
            serve(world.kernel, "capped", DeskServer(), priority=given) as capped,
            connect(world.kernel, "capped", Desk, bank, priority=asked) as desk,
        ):
            assert (bank.pages_used, bank.caps_used) == free
            assert session_of(desk).end.level == level_of(asked)
            assert only(capped).end.level == max(level_of(asked), level_of(given))
            assert await desk.do(1) == 1

    run(main)


def test_an_introduction_is_no_way_round_the_priority_of_a_service() -> None:
    async def main(world: World) -> None:
        async with (
            serve(world.kernel, "a", DeskServer("a/"), priority="low") as at,
            serve(world.kernel, "b", DeskServer("b/")) as to,
            AsyncExitStack() as sessions,
        ):
            vat = Vat(world.kernel, "client")
            sessions.push_async_callback(vat.close)
            a, b = [
                await sessions.enter_async_context(
                    connect(world.kernel, n, Desk, world.bank(n), priority="high", vat=vat)
                )
                for n in ("a", "b")
            ]
            thing = await introduce(await a.make("t"), b)
            await b.tell_with(1, thing)
            guests = [one.end for vat in (at, to) for one in vat.sessions if one.via is not None]
            assert [one.level for one in guests] == [2, 0]
            del thing

    run(main)


def test_what_asks_for_more_priority_than_is_given_waits_with_the_others() -> None:
    """A flood of sessions that all ask for `high`: a service that gives `low` to these looks at
    its own client before them."""

    async def main(world: World) -> None:
        order: list[str] = []

        async def do(n: int) -> int:
            order.append("own" if n < 0 else "flood")
            return n

        async with Owned(world.kernel, DeskServer(do=do)) as vat:
            flood = [
                connect(
                    world.kernel, "public", Desk, world.bank(f"f{i}"), slots=256, priority="high"
                )
                for i in range(40)
            ]
            desks = [await one.__aenter__() for one in flood]
            async with connect(world.kernel, "own", Desk, world.bank("own")) as own:
                assert {one.end.level for one in vat.sessions} == {1, 2}
                calls = [desk.do(1) for desk in desks for _ in range(256)]
                await until(lambda: order, "a handler has started")
                begin = len(order)
                assert await own.do(-1) == -1
                assert order.index("own") - begin <= (TURN + 1) * BUDGET
                await join(*calls)
            for one in flood:
                await one.__aexit__(None, None, None)

    run(main)


class Owned:
    """One server with two services: one for everybody, and one for its owner."""

    def __init__(self, kernel: SimKernel, root: Desk) -> None:
        self._kernel, self._root = kernel, root

    async def __aenter__(self) -> Vat:
        self._vat = Vat(self._kernel, "server")
        self._vat.listen("public", self._root, ServiceSpec(level=level_of("low")))
        self._vat.listen("own", self._root)
        return self._vat

    async def __aexit__(self, *exc: object) -> None:
        await self._vat.close()


def test_a_priority_that_no_service_can_give_is_refused() -> None:
    async def main(world: World) -> None:
        wrong: Any = "urgent"
        with pytest.raises(ValueError, match="'high', 'normal' or 'low'"):
            serve(world.kernel, "service", DeskServer(), priority=wrong)

    run(main)


def test_one_wait_sees_a_new_session_a_message_and_an_answer() -> None:
    """Bank rule 27: one wait covers notifications and messages. A process that serves and calls
    is told of all three in one turn, and misses none (trap T9)."""

    async def main(world: World) -> None:
        async with world.served("behind", DeskServer()), AsyncExitStack() as sessions:
            vat = Vat(world.kernel, "middle")
            sessions.push_async_callback(vat.close)
            behind = await sessions.enter_async_context(
                connect(world.kernel, "behind", Desk, world.bank("behind"), vat=vat)
            )
            # Listened for after that: in the word the answer comes first, and the port behind it.
            vat.listen("middle", DeskServer())
            front = await sessions.enter_async_context(
                connect(world.kernel, "middle", Desk, world.bank("front"))
            )
            seen: list[int] = []
            take = Notification.take

            def counted(notification: Any) -> list[int]:
                badges = take(notification)
                if notification is vat.process:
                    seen.append(len(badges))
                return badges

            with pytest.MonkeyPatch.context() as patch, timeout(1):
                patch.setattr(Notification, "take", counted)
                answer = behind.do(1)
                await yield_now()  # the answer is on its way while the others begin
                new = connect(world.kernel, "middle", Desk, world.bank("new"))
                begin = spawn(sessions.enter_async_context(new))
                assert await join(answer, front.do(2), begin) is not None
            assert max(seen) >= 2, "never was more than one thing told at once"

    run(main)


def test_what_is_signalled_while_others_are_looked_at_is_not_lost() -> None:
    """Trap T8: taken and cleared first, then worked on. A handler that connects to its own
    process signals it in the midst of a look."""

    async def main(world: World) -> None:
        vat: Vat
        signalled: list[bool] = []

        async def do(n: int) -> int:
            async with connect(world.kernel, "inner", Desk, world.bank(f"own {n}"), vat=vat) as own:
                return await own.do(n)

        class Connects(DeskServer):
            @method
            async def do(self, n: int) -> int:
                signalled.append(len(vat._queue) > 0)
                return await do(n)

        async with world.served("outer", Connects()) as vat:
            vat.listen("inner", DeskServer())
            async with AsyncExitStack() as sessions:
                desks = [
                    await sessions.enter_async_context(
                        connect(world.kernel, "outer", Desk, world.bank(f"client {n}"))
                    )
                    for n in range(3)
                ]
                with timeout(1):
                    values = await join(*[desk.do(n) for n, desk in enumerate(desks)])
                assert values == (0, 1, 2)
            assert any(signalled), "no other session was ready meanwhile"

    run(main)


def test_messages_that_are_nearly_empty_count_too() -> None:
    """Trap T41: whatever the length of its messages, a session has `BUDGET` of them in a look."""

    async def main(world: World) -> None:
        order: list[int] = []

        async def do(n: int) -> int:
            order.append(n)
            return n

        async with world.served("service", DeskServer(do=do)), AsyncExitStack() as sessions:
            desks = [
                await sessions.enter_async_context(
                    connect(
                        world.kernel, "service", Desk, world.bank(f"c{n}", pages=2000), slots=512
                    )
                )
                for n in range(2)
            ]
            await join(*[desk.do(n) for n, desk in enumerate(desks) for _ in range(300)])
        rows = [len(list(row)) for _, row in groupby(order)]
        assert sum(rows) == 600
        # While both have more, no row is longer than a look.
        assert max(rows[:4]) <= BUDGET, rows

    run(main)


@pytest.mark.parametrize("sessions", [1, 3])
@pytest.mark.parametrize("above", ["high", "normal"])
def test_an_answer_does_not_wait_for_handlers_that_are_less_urgent(
    above: Any, sessions: int
) -> None:
    """From the moment when its handler has answered until its caller has run none begins."""

    async def main(world: World) -> None:
        burnt: list[int] = []
        before: list[int] = []

        async def do(n: int) -> int:
            if n < 0:
                burnt.append(n)
            else:
                before.append(len(burnt))
            return n

        async with AsyncExitStack() as stack:
            await stack.enter_async_context(world.served("service", DeskServer(do=do)))
            enter = stack.enter_async_context
            low = [
                await enter(
                    connect(world.kernel, "service", Desk, world.bank(f"l{i}"), priority="low")
                )
                for i in range(sessions)
            ]
            urgent = await enter(
                connect(world.kernel, "service", Desk, world.bank("urgent"), priority=above)
            )
            for n in range(24):
                burnt.clear()
                slow = [low[i % sessions].do(-1) for i in range(3)]
                for _ in range(n % 4):
                    await yield_now()
                assert await urgent.do(n) == n
                assert len(burnt) == before[-1]
                covered("an urgent answer", first=not burnt, behind=bool(burnt))
                await join(*slow)

    run(main)
    require(covered("an urgent answer"), "first")


def test_what_is_more_urgent_delays_the_rest_and_never_stops_it() -> None:
    """The callers of answers that have left go on first; whoever floods has no more of it."""

    async def main(world: World) -> None:
        order: list[str] = []

        async def do(n: int) -> int:
            order.append("low" if n < 0 else "high")
            return n

        async with (
            world.served("service", DeskServer(do=do)),
            connect(world.kernel, "service", Desk, world.bank("h"), priority="high") as high,
            connect(world.kernel, "service", Desk, world.bank("l"), priority="low") as low,
        ):

            async def flood() -> None:
                while "low" not in order:
                    await join(*(high.do(n) for n in range(8)))

            task = spawn(flood())
            for _ in range(10):
                await yield_now()
            assert await low.do(-1) == -1
            assert order.count("high") <= 64 * 8
            await task

    run(main)


class Waiting(DeskServer):
    """Gives a desk when it is told to."""

    def __init__(self, do: Any) -> None:
        super().__init__("", do)
        self.ready = Notify()

    @method
    async def desk(self, name: str, seconds: float = 0.0) -> Desk:
        await self.ready.notified()
        return DeskServer(name, self.doing)


@pytest.mark.parametrize("count", [40, 500, 3000])
def test_calls_that_waited_for_one_answer_have_looks_of_their_own_in_their_order(
    count: int,
) -> None:
    """When it comes they all may begin: others are served between them, and none overtakes."""

    async def main(world: World) -> None:
        order: list[int] = []

        async def do(n: int) -> int:
            order.append(n)
            return n

        server = Waiting(do)
        bank = world.bank("waits", pages=20_000)
        async with (
            world.served("service", server),
            connect(world.kernel, "service", Desk, bank, slots=count + 64) as desk,
            connect(world.kernel, "service", Desk, world.bank("other")) as other,
        ):
            later = desk.desk("later")
            waiting = [later.do(n) for n in range(count)]
            await quiet()
            assert order == []

            async def others() -> None:
                while count not in order:
                    await other.do(-1)

            task = spawn(others())
            server.ready.notify_one()
            if count == 500:  # nothing that comes makes the server look again
                assert await join(*waiting) == tuple(range(count))
            behind = (await later).do(count)
            if count != 500:
                assert await join(*waiting) == tuple(range(count))
            assert await behind == count
            await task
        begun = [n for n in order if n >= 0]
        assert begun == list(range(count + 1))
        rows = [len(list(row)) for own, row in groupby(order, key=lambda n: n >= 0) if own]
        assert max(rows) <= 4 * BUDGET, rows
        covered("calls behind an answer", rows=len(rows), calls=count)

    run(main)
