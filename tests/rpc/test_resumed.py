"""Calls that waited for one answer: how they begin once it has come."""

from __future__ import annotations

from typing import Protocol

from pinfut import join
from pinfut.rpc import CallCancelled, Interface, connect, method, serve
from pinfut.rpc.objects.expansion import expansion
from pinfut.rpc.session.fairness import ADVANCE, BUDGET, QUANTUM, THING
from pinfut.rpc.wire.frames import CANCEL, FINISH, ON_ANSWER, PIPELINE
from pinfut.sync import Notify
from tests.bounded import rounds
from tests.rpc.hostile import Raw, call, short
from tests.rpc.test_work import empty_lists
from tests.rpc.world import World, only, quiet, run


class Late(Interface, Protocol):
    @method
    async def late(self) -> Late: ...
    @method
    async def lists(self, lists: list[list[None]]) -> int: ...


LATE, LISTS = range(2)
COUNT = 2 * BUDGET + BUDGET // 2
EMPTY = empty_lists(0)


class LateServer(Late):
    """Gives itself when it is told to; afterwards at once."""

    def __init__(self) -> None:
        self.ready = Notify()
        self.told = False
        self.begun: list[int] = []

    @method
    async def late(self) -> Late:
        if not self.told:
            await self.ready.notified()
            self.told = True
        return self

    @method
    async def lists(self, lists: list[list[None]]) -> int:
        self.begun.append(len(lists))
        return 0


async def waiting(world: World, payload: bytes) -> Raw:
    """A client that writes no frame of itself, with `COUNT` calls on an answer to come."""
    raw = Raw(world.kernel, "late", world.bank("raw", pages=4000), 512, 1 << 18)
    await raw.bootstrap(Late)
    raw.send(call(512, 0, LATE, flags=PIPELINE))
    for n in range(COUNT):
        behind = call(513 + n, 512, LISTS, flags=ON_ANSWER, payload=payload, expects=ID)
        raw.send(behind)
    await quiet()
    assert not raw.closed
    return raw


ID: int = Late._pinfut_id


def test_all_begin_though_nothing_else_comes() -> None:
    async def main(world: World) -> None:
        server = LateServer()
        async with serve(world.kernel, "late", server):
            raw = await waiting(world, EMPTY)
            server.ready.notify_one()
            await quiet()
            assert len(server.begun) == COUNT
            raw.leave()
            await quiet()

    run(main)


def test_those_that_begin_and_those_that_come_are_of_one_budget() -> None:
    async def main(world: World) -> None:
        server = LateServer()
        async with serve(world.kernel, "late", server) as vat:
            raw = await waiting(world, EMPTY)
            session = only(vat)
            session.peer.on_resumed = lambda: None  # every look is made here
            server.ready.notify_one()
            await quiet()
            assert server.begun == []
            for n in range(COUNT):
                assert raw.lane.offer(call(513 + COUNT + n, 0, LISTS, payload=empty_lists(1)))
            raw.lane.submissions.publish()
            looks: list[int] = []
            for _ in rounds("all have begun", 20):
                before = len(server.begun)
                more = session.service(BUDGET, QUANTUM)
                looks.append(len(server.begun) - before)
                if not more and len(server.begun) == 2 * COUNT:
                    break
            assert looks == [BUDGET] * 5
            assert server.begun == [0] * COUNT + [1] * COUNT, "none is overtaken"
            raw.leave()
            await quiet()

    run(main)


def test_those_that_begin_use_the_credit_of_their_session_up() -> None:
    async def main(world: World) -> None:
        server = LateServer()
        async with serve(world.kernel, "late", server) as vat:
            payload = empty_lists(480)
            cost = THING * 482 + expansion(tuple[list[list[None]]])[0] * len(payload) // ADVANCE
            raw = await waiting(world, payload)
            session = only(vat)
            session.peer.on_resumed = lambda: None
            server.ready.notify_one()
            await quiet()
            most = 0
            for _ in rounds("all have begun", 1000):
                before = len(server.begun)
                more = session.service(BUDGET, QUANTUM)
                most = max(most, len(server.begun) - before)
                if not more and len(server.begun) == COUNT:
                    break
            assert 1 <= most <= QUANTUM // cost + 1 < BUDGET
            raw.leave()
            await quiet()

    run(main)


def test_no_frame_overtakes_those_whose_turn_has_not_come() -> None:
    """The answer ends by a Cancel, and a Finish for it stands behind that in the same look."""

    async def main(world: World) -> None:
        async with serve(world.kernel, "late", LateServer()):
            raw = Raw(world.kernel, "late", world.bank("raw", pages=4000), 512, 1 << 18)
            await raw.bootstrap(Late)
            raw.send(call(512, 0, LATE, flags=PIPELINE))
            raw.send(call(513, 512, LATE, flags=ON_ANSWER | PIPELINE, expects=ID))
            places = [raw.lane.submissions.reserve(256) for _ in range(COUNT)]
            for n, place in enumerate(places):
                behind = call(
                    514 + n, 513, LISTS,
                    flags=ON_ANSWER, payload=EMPTY, expects=ID, place=place,
                )  # fmt: skip
                raw.send(behind)
            await quiet()
            raw.replies()
            raw.send(short(CANCEL, 513), short(FINISH, 513))
            await quiet()
            assert not raw.closed
            assert raw.replies() == [513 + n for n in range(COUNT + 1)]
            assert {type(raw.error(place)) for place in places} == {CallCancelled}
            raw.leave()
            await quiet()

    run(main)


def test_a_chain_of_any_length_that_ends_at_once_is_no_chain_of_frames() -> None:
    async def main(world: World) -> None:
        server = LateServer()
        async with (
            serve(world.kernel, "late", server),
            connect(world.kernel, "late", Late, world.bank(pages=8000), slots=2048) as late,
        ):
            chain = late.late()
            for _ in range(1500):
                chain = chain.late()
            last = chain.lists([])
            await quiet()
            server.ready.notify_one()
            assert await join(last) == (0,)

    run(main)
