"""Rule 43: at every remaining depth of the stack an operation is done, or nothing has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from pinfut.executor import sleep
from pinfut.rpc import OutOfPages, Session, connect, session_of
from pinfut.rpc.bank.account import SessionAccount
from pinfut.rpc.memory.lane import RingSubmissions
from tests.covered import covered, require
from tests.refused import refusing
from tests.rpc.services import Desk, DeskServer, ThingServer
from tests.rpc.world import World, quiet, run
from tests.stack import ROOMS, with_room

Operation = Callable[[], object]
Prepare = Callable[[World, Any, Session], Coroutine[Any, Any, Operation]]

# ---- calls ----


async def plain(world: World, desk: Any, session: Session) -> Operation:
    return lambda: desk.do(1)


async def plain_behind_another(world: World, desk: Any, session: Session) -> Operation:
    desk.do(2).drop()
    return lambda: desk.do(1)


async def large(world: World, desk: Any, session: Session) -> Operation:
    return lambda: desk.data(9000)


async def naming_an_own_object(world: World, desk: Any, session: Session) -> Operation:
    thing = ThingServer("own")
    return lambda: desk.name_of(thing)


async def naming_two(world: World, desk: Any, session: Session) -> Operation:
    one, other = ThingServer("one"), ThingServer("other")
    return lambda: desk.same(one, other)


async def naming_a_promise(world: World, desk: Any, session: Session) -> Operation:
    thing = desk.make("t", 0.001)
    return lambda: desk.name_of(thing)


async def giving_an_object(world: World, desk: Any, session: Session) -> Operation:
    return lambda: desk.make("t")


async def on_a_promise(world: World, desk: Any, session: Session) -> Operation:
    thing = desk.make("t", 0.001)
    return lambda: thing.tell(1)


async def of_a_promise_s_promise(world: World, desk: Any, session: Session) -> Operation:
    other = desk.desk("d", 0.001)
    return lambda: other.make("t")


async def without_a_slot(world: World, desk: Any, session: Session) -> Operation:
    kept = [desk.nap(0.001) for _ in range(8)]
    return lambda: (desk.do(1), kept)


async def without_a_slot_naming(world: World, desk: Any, session: Session) -> Operation:
    kept = [desk.nap(0.001) for _ in range(8)]
    thing = ThingServer("own")
    return lambda: (desk.name_of(thing), kept)


async def without_a_slot_giving(world: World, desk: Any, session: Session) -> Operation:
    kept = [desk.nap(0.001) for _ in range(8)]
    return lambda: (desk.make("t"), kept)


async def without_room_in_the_ring(world: World, desk: Any, session: Session) -> Operation:
    kept = [desk.length(bytes(3000)) for _ in range(6)]
    return lambda: (desk.length(bytes(3000)), kept)


async def letting_go(world: World, desk: Any, session: Session) -> Operation:
    thing = await desk.make("t")
    return lambda: thing.release()


async def letting_go_of_a_promise(world: World, desk: Any, session: Session) -> Operation:
    thing = desk.make("t", 0.001)
    return lambda: thing.release()


CALLS = (
    plain,
    plain_behind_another,
    large,
    naming_an_own_object,
    naming_two,
    naming_a_promise,
    giving_an_object,
    on_a_promise,
    of_a_promise_s_promise,
    without_a_slot,
    without_a_slot_naming,
    without_a_slot_giving,
    without_room_in_the_ring,
    letting_go,
    letting_go_of_a_promise,
)


def books(session: Session) -> list[object]:
    """What a call of this session could have in use."""
    out = session.out
    peer, cells = out.peer, out.submissions
    assert isinstance(cells, RingSubmissions)
    assert isinstance(session.end.account, SessionAccount)
    slots: list[Any] = out.questions._slots
    return [
        (session.end.account.used, session.end.account.free_caps),
        [(one.state, one.settles, one.pipelined_on, one.sent_caps) for one in slots],
        (len(out.questions), len(peer.exports), len(peer.imports)),
        (len(cells._cells) - len(cells.places), len(cells._large)),
        (out.submissions.unpublished, len(out.backlog.calls)),
        (out.held, out.flowing, out.waiting, out.returns.promised),
    ]


def bought(session: Session, world: World) -> tuple[int, ...]:
    """What was bought for this session. What is bought and not in use stays for the next call."""
    channel = world.kernel.channel_of(session.end)
    assert channel is not None
    funds = channel.funds
    return funds.near.pages, funds.near.caps, funds.bank.pages_used, funds.bank.caps_used


@asynccontextmanager
async def at_a_desk(world: World) -> AsyncIterator[tuple[Any, Session]]:
    """A client that has made its first call."""
    async with (
        world.served("service", DeskServer()),
        connect(world.kernel, "service", Desk, world.bank(), slots=8, ring=16384) as desk,
    ):
        await desk.do(0)
        yield desk, session_of(desk)


@pytest.mark.parametrize("checked", [True, False], ids=["checked", "unchecked"])
@pytest.mark.parametrize("prepare", CALLS, ids=lambda one: one.__name__)
def test_a_call_at_any_remaining_depth_is_made_or_changes_nothing(
    prepare: Prepare, checked: bool
) -> None:
    counts = {"made": 0, "refused": 0}

    async def at(world: World, room: int) -> None:
        async with at_a_desk(world) as (desk, session):
            operation = await prepare(world, desk, session)
            before = books(session), bought(session, world)
            try:
                made = with_room(room, operation)
            except (RecursionError, TypeError):
                # TypeError: arguments that are nested too deeply to be encoded.
                assert (books(session), bought(session, world)) == before
                counts["refused"] += 1
            else:
                counts["made"] += 1
                await quiet()
                del made
            await sleep(0.01)
            assert [await desk.do(n) for n in range(10)] == list(range(10))

    for room in ROOMS:
        run(partial(at, room=room), checked=checked)
    require(covered("calls at every depth", **counts), "made", "refused")


@pytest.mark.parametrize("prepare", CALLS, ids=lambda one: one.__name__)
def test_a_call_of_which_a_charge_is_refused_changes_nothing(prepare: Prepare) -> None:
    """Each charge that it makes is refused in turn, until it makes no more."""

    async def at(world: World, nth: int) -> bool:
        async with at_a_desk(world) as (desk, session):
            operation = await prepare(world, desk, session)
            before = books(session)
            with refusing(nth) as charges:
                try:
                    made = operation()
                except OutOfPages:
                    assert books(session) == before, f"charge {nth} was refused"
                    made = None
            covered("charges of calls that were refused", charges=charges.refused)
            await quiet()
            del made
            await sleep(0.01)
            assert [await desk.do(n) for n in range(10)] == list(range(10))
            return charges.refused > 0

    refused = [run(partial(at, nth=nth)) for nth in range(12)]
    assert not refused[-1], "a call makes more charges than that"
