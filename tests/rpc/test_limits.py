"""What a server bears, beside what its clients pay: sizes of sessions and messages, and grace."""

from __future__ import annotations

from asyncio import CancelledError
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from sys import getsizeof
from typing import Any, Protocol

import pytest

from pinfut import pending
from pinfut.executor import current_executor, sleep, spawn, yield_now
from pinfut.rpc import (
    Bank,
    Interface,
    MessageTooLarge,
    OutOfPages,
    SafetyExceeded,
    Session,
    SessionClosed,
    Vat,
    connect,
    current_session,
    destroy,
    introduce,
    method,
    nested,
    serve,
    session_of,
)
from pinfut.rpc import names as names_of
from pinfut.rpc.contract import MESSAGE, SessionSpec
from pinfut.rpc.memory.ring import BEGIN
from pinfut.rpc.session.fairness import CHUNK
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.frames import longest_call
from tests.covered import covered, require
from tests.rpc import hostile
from tests.rpc.services import Desk, DeskServer
from tests.rpc.world import World, far_of, only, quiet, run


@pytest.mark.parametrize(
    "limit",
    [
        {"max_message": 255},
        {"max_message": 1e6},
        {"max_sessions": 0},
        {"max_slots": -1},
        {"max_slots": True},
        {"grace": 0},
        {"grace": float("nan")},
        {"backlog": 0},
        {"backlog": 5},
    ],
    ids=str,
)
def test_a_limit_that_makes_no_sense_is_refused(limit: Any) -> None:
    async def main(world: World) -> None:
        with pytest.raises(ValueError, match=next(iter(limit))):
            serve(world.kernel, "desk", DeskServer(), **limit)

    run(main)


def test_a_message_above_the_servers_limit_is_refused_where_it_is_made_and_nothing_else() -> None:
    async def main(world: World) -> None:
        async with (
            serve(world.kernel, "desk", DeskServer(), max_message=2048) as vat,
            connect(world.kernel, "desk", Desk, world.bank(), ring=1 << 16) as desk,
        ):
            session = session_of(desk)
            assert session.end.largest == 2048
            assert await desk.length(bytes(2000)) == 2000
            with pytest.raises(MessageTooLarge, match="max_message="):
                desk.length(bytes(2049))
            assert await desk.length(bytes(10)) == 10
            assert only(vat).error is None

    run(main)


def test_a_client_that_sends_it_all_the_same_has_broken_the_protocol() -> None:
    async def main(world: World) -> None:
        async with (
            serve(world.kernel, "desk", DeskServer(), max_message=2048),
            connect(world.kernel, "desk", Desk, world.bank("bad"), ring=1 << 16) as bad,
            connect(world.kernel, "desk", Desk, world.bank("victim")) as victim,
        ):
            session_of(bad).out.submissions.largest = 1 << 15
            call = bad.length(bytes(2049))
            with pytest.raises(SessionClosed):
                await call
            assert await victim.length(b"x") == 1

    run(main)


def test_sessions_wait_in_places_that_the_listener_bought_and_beyond_them_are_refused() -> None:
    """Row 84: one that is refused costs nobody a page; who was let in has given its place up."""

    async def main(world: World) -> None:
        listener, client = world.bank("listener"), world.bank("client", pages=2000)
        counts: Counter[str] = Counter()
        offer = serve(world.kernel, "desk", DeskServer(), backlog=3, payer=listener)
        async with offer as server, connecting(world, client) as connect_one:
            assert listener.pages_used == 1
            sessions = []
            for _ in range(2):
                held = client.pages_used
                sessions += [connect_one() for _ in range(3)]
                counts["waited"] += 3
                assert client.pages_used > held
                used = client.balance, listener.balance
                for _ in range(100):
                    with pytest.raises(SafetyExceeded, match="places for 3"):
                        connect_one()
                    counts["refused"] += 1
                assert (client.balance, listener.balance) == used
                await quiet()  # the server lets them in
            assert len(server.sessions) == len(sessions) == 6
            require(covered("a bought backlog", **counts), "waited", "refused")
            # Without its memory there are no places.
            await destroy(listener)
            with pytest.raises(SafetyExceeded, match="places for 0"):
                connect_one()
        assert listener.pages_used == 0
        poor = world.bank("poor", pages=0)
        with pytest.raises(OutOfPages, match="a backlog"):
            async with serve(world.kernel, "desk", DeskServer(), backlog=3, payer=poor):
                raise AssertionError("served")
        world.banks.remove(listener)
        async with serve(world.kernel, "desk", DeskServer()):
            pass  # the name was not taken

    run(main)


@asynccontextmanager
async def connecting(world: World, bank: Bank) -> AsyncIterator[Callable[[], Session]]:
    """What opens one more session, without waiting, until the block ends."""
    vat = Vat(world.kernel, "client")
    try:
        yield lambda: vat.connect("desk", bank, SessionSpec(slots=4))
    finally:
        await vat.close()


class Bounded(Interface, Protocol):
    """What its methods touch at most is known, and so is the longest message."""

    @method(touch=100)
    async def little(self, data: bytes) -> int: ...
    @method(touch=20_000)
    async def much(self, data: bytes) -> int: ...
    @method(touch=100)
    async def again(self) -> Bounded: ...


class BoundedServer(Bounded):
    def __init__(self) -> None:
        self.seen: list[int] = []

    @method
    async def little(self, data: bytes) -> int:
        self.seen.append(len(data))
        return len(data)

    @method
    async def much(self, data: bytes) -> int:
        return await self.little(data)

    @method
    async def again(self) -> Bounded:
        return self


class HalfBounded(Interface, Protocol):
    @method(touch=100)
    async def bounded(self) -> Bounded: ...
    @method(touch=100)
    async def desk(self) -> Desk: ...


class HalfBoundedServer(HalfBounded):
    @method
    async def bounded(self) -> Bounded:
        return BoundedServer()

    @method
    async def desk(self) -> Desk:
        return DeskServer()


def test_a_method_says_how_much_of_a_message_is_touched_and_more_is_not_sent() -> None:
    async def main(world: World) -> None:
        root = BoundedServer()
        async with (
            serve(world.kernel, "bounded", root) as vat,
            connect(world.kernel, "bounded", Bounded, world.bank(), ring=1 << 16) as bounded,
        ):
            assert session_of(bounded).end.largest == longest_call(20_000)
            assert await bounded.much(bytes(19_990)) == 19_990
            for call, size in ((bounded.little, 100), (bounded.again().much, 20_000)):
                with pytest.raises(MessageTooLarge, match=f"touch=.* {size} at most"):
                    call(bytes(size))
            assert await bounded.little(bytes(90)) == 90
            assert only(vat).error is None
        # Where one method does not say, nobody knows.
        async with (
            serve(world.kernel, "half", HalfBoundedServer()),
            connect(
                world.kernel, "half", HalfBounded, world.bank("b", pages=1200), ring=1 << 22
            ) as half,
        ):
            assert session_of(half).end.largest == MESSAGE

    run(main)
    with pytest.raises(ValueError, match="touch is a size"):
        method(touch=-1)


@pytest.mark.parametrize("pipelined", [False, True])
def test_what_is_longer_than_its_method_touches_is_refused_before_it_is_copied(
    pipelined: bool,
) -> None:
    """Row 16: what is set aside for copying is what is read at a time and what the method says,
    one message for each vat, whatever lies in the ring and however long that might be."""

    async def main(world: World) -> None:
        root, counts = BoundedServer(), Counter[str]()
        async with (
            serve(world.kernel, "bounded", root, max_message=1 << 20) as vat,
            connect(world.kernel, "bounded", Bounded, world.bank("victim")) as victim,
        ):
            for size in (200, CHUNK, 1 << 16, 1 << 18):
                async with connect(
                    world.kernel, "bounded", Bounded, world.bank(f"bad {size}"), ring=1 << 20
                ) as bad:
                    session = session_of(bad)
                    session.out.submissions.resize(16, 1 << 20)
                    await quiet()
                    reader: Any = far_of(session, world.kernel).requests()
                    copied = reader.copied
                    where: dict[str, Any] = {"target": bad._pinfut_target.id}  # type: ignore[attr-defined]
                    if pipelined:
                        its = Bounded._pinfut_id
                        where = {"target": 1, "flags": frames.ON_ANSWER, "expects": its}
                    hostile.send(
                        session, hostile.call(999, where.pop("target"), 0, bytes(size), **where)
                    )
                    await quiet()
                    assert session.closed
                    assert reader.copied - copied <= CHUNK + 2 * BEGIN
                    counts["refused"] += 1
                    counts["beyond what is read at a time"] += size > CHUNK
            assert root.seen == []
            assert await victim.little(b"x") == 1
            assert len(vat.sessions) == 1
        require(covered("longer than touched", **counts), *counts)

    run(main)


def test_a_session_of_more_slots_than_the_server_bears_is_refused_and_nothing_is_held() -> None:
    async def main(world: World) -> None:
        async with serve(world.kernel, "desk", DeskServer(), max_slots=8):
            bank = world.bank()
            with pytest.raises(SafetyExceeded, match="8 slots"):
                async with connect(world.kernel, "desk", Desk, bank, slots=9):
                    raise AssertionError("connected")
            assert bank.balance.pages == bank.page_limit
            async with connect(world.kernel, "desk", Desk, bank, slots=8) as desk:
                assert await desk.length(b"x") == 1

    run(main)


def test_sessions_are_counted_until_nothing_is_left_of_them() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=2000)

        async with serve(world.kernel, "desk", DeskServer(), max_sessions=2):
            for _ in range(3):
                async with (
                    connect(world.kernel, "desk", Desk, bank) as one,
                    connect(world.kernel, "desk", Desk, bank),
                ):
                    used = bank.balance
                    for _ in range(2):
                        with pytest.raises(SafetyExceeded, match="2 sessions"):
                            async with connect(world.kernel, "desk", Desk, bank):
                                raise AssertionError("connected")
                    assert bank.balance == used
                    assert await one.length(b"x") == 1

    run(main)


def test_the_limits_hold_for_sessions_that_are_introduced() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=2000)
        async with (
            serve(world.kernel, "a", DeskServer(), max_slots=8, max_message=2048),
            serve(world.kernel, "b", DeskServer()) as taker,
            serve(world.kernel, "client", DeskServer()) as vat,
            connect(world.kernel, "a", Desk, bank, slots=8, vat=vat) as a,
            connect(world.kernel, "b", Desk, bank, vat=vat) as b,
        ):
            thing = await a.make("t")
            with pytest.raises(SafetyExceeded, match="8 slots"):
                await introduce(thing, b, slots=9)
            at_b = await introduce(thing, b, slots=8, ring=1 << 16)
            way = [one for one in taker.sessions if not one.end.serving]
            assert [one.end.largest for one in way] == [2048]
            del at_b

    run(main)


def test_a_label_is_no_longer_than_a_name_however_often_it_is_made_of_others() -> None:
    async def main(world: World) -> None:
        bank = world.bank("n" * 111)
        names: list[str] = []

        async def deeper(n: int) -> int:
            session = current_session()
            names.append(session.name)
            if n:
                async with (
                    nested(pages=30 * n) as paying,
                    connect(world.kernel, "desk", Desk, paying, slots=8) as desk,
                ):
                    names.append(world.kernel.name_of(paying))
                    return await desk.do(n - 1)
            return n

        async with (
            serve(world.kernel, "desk", DeskServer(do=deeper)),
            connect(world.kernel, "desk", Desk, bank, slots=8) as desk,
        ):
            assert await desk.do(4) == 0
        assert len(set(names)) == len(names)
        assert all(getsizeof(name) <= names_of.MOST for name in names)

    run(main)


# ---- grace ----


class Work(Interface, Protocol):
    @method
    async def ignore(self) -> int: ...
    @method
    async def clean(self, seconds: float) -> int: ...
    @method
    async def spin(self) -> int: ...
    @method
    async def refuse(self) -> int: ...


class WorkServer(Work):
    def __init__(self) -> None:
        self.ended: list[str] = []

    @method
    async def ignore(self) -> int:
        """Ignores its cancels, and is closed."""
        try:
            while True:
                try:
                    await sleep(1)
                except CancelledError:
                    pass
        finally:
            self.ended.append("ignore")

    @method
    async def clean(self, seconds: float) -> int:
        try:
            await pending()
        finally:
            await sleep(seconds)
            self.ended.append("clean")
        return 0

    @method
    async def spin(self) -> int:
        """Is ready all the time, and ignores its cancels."""
        try:
            while True:
                try:
                    await yield_now()
                    await sleep(1e-3)
                except CancelledError:
                    pass
        finally:
            self.ended.append("spin")

    @method
    async def refuse(self) -> int:
        """Goes on waiting when it is closed, a few times."""
        for _ in range(3):
            try:
                await pending()
            except BaseException:
                self.ended.append("refused")
        return 0


@pytest.mark.parametrize("what", ["ignore", "spin"])
@pytest.mark.parametrize("how", ["cancel", "close", "server"])
def test_a_handler_that_ignores_its_cancel_is_ended_when_its_grace_is_over(
    what: str, how: str
) -> None:
    """Its charge is back, its call has failed, and who waits for its end goes on."""
    server = WorkServer()

    async def main(world: World) -> None:
        clock = current_executor().clock
        bank = world.bank()
        serving = serve(world.kernel, "work", server, grace=5)
        vat = await serving.__aenter__()
        connecting = connect(world.kernel, "work", Work, bank)
        work = await connecting.__aenter__()
        rest = only(vat).end.account.used
        call = getattr(work, what)()
        await sleep(0.1)
        assert only(vat).end.account.used > rest
        begin = clock.now()
        if how == "cancel":
            session = only(vat)
            call.drop()
            await sleep(4.9)
            assert server.ended == []
            await sleep(1)
            assert server.ended == [what]
            assert session.end.account.used == rest
        ending = spawn(serving.__aexit__(None, None, None)) if how == "server" else None
        if how != "cancel":
            call.drop()
        await connecting.__aexit__(None, None, None)
        if ending is None:
            await serving.__aexit__(None, None, None)
        else:
            await ending
        assert server.ended == [what]
        assert clock.now() - begin <= 6.5
        # It is said which handler it was, and that is all that was logged.
        assert [one for one in world.logged if what not in one] == []
        assert len(world.logged) == 1
        world.logged.clear()

    run(main)


def test_a_handler_that_cleans_up_within_its_grace_is_left_alone() -> None:
    server = WorkServer()

    async def main(world: World) -> None:
        async with (
            serve(world.kernel, "work", server, grace=5),
            connect(world.kernel, "work", Work, world.bank()) as work,
        ):
            for _ in range(3):
                call = work.clean(4.9)
                await sleep(1)
                call.drop()
            await sleep(6)
            assert server.ended == ["clean"] * 3
            assert len(current_executor().timers) == 1  # what bounds the test

    run(main)


def test_each_handler_has_its_own_grace_and_none_is_ended_much_later() -> None:
    server = WorkServer()

    async def main(world: World) -> None:
        async with (
            serve(world.kernel, "work", server, grace=8),
            connect(world.kernel, "work", Work, world.bank()) as work,
        ):
            calls = [work.ignore() for _ in range(8)]
            await sleep(0.5)
            while calls:
                calls.pop().drop()
                await sleep(0.5)
            await sleep(3.9)  # 7.9 s after the first
            assert server.ended == []
            await sleep(1.2)
            assert 1 <= len(server.ended) < 8
            await sleep(4)
            assert server.ended == ["ignore"] * 8
        assert len(world.logged) == 8
        world.logged.clear()

    run(main)


def test_a_handler_that_refuses_to_be_closed_is_reported_by_name_and_its_call_is_over() -> None:
    server = WorkServer()

    async def main(world: World) -> None:
        bank = world.bank()
        async with (
            serve(world.kernel, "work", server, grace=5) as vat,
            connect(world.kernel, "work", Work, bank, slots=1) as work,
        ):
            rest = only(vat).end.account.used
            work.refuse().drop()
            await sleep(6)
            assert server.ended[:2] == ["refused", "refused"]
            assert only(vat).end.account.used == rest
            # Its slot may be used again.
            call = work.clean(0.1)
            await quiet()
            call.drop()
            await sleep(1)
            assert server.ended[-1] == "clean"
        reported = [one for one in world.logged if "refuse" in one]
        assert len(reported) == len(world.logged) == 2
        world.logged.clear()

    run(main)
