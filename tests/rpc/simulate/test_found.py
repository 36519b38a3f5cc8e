"""What the simulator found, each as a history of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pinfut.executor import spawn
from pinfut.rpc import (
    GarbageFrame,
    PeerDied,
    SessionClosed,
    SimKernel,
    Vat,
    introduce,
    session_of,
)
from pinfut.rpc.contract import ServiceSpec, SessionSpec
from tests.rpc import hostile
from tests.rpc.services import Desk, DeskServer
from tests.rpc.test_charging import MiddleServer
from tests.rpc.world import World, quiet, run


def serving(world: World, name: str, root: Desk) -> Vat:
    vat = Vat(world.kernel, name)
    vat.listen(name, root)
    return vat


@asynccontextmanager
async def client_of(world: World, *names: str) -> AsyncIterator[list[Desk]]:
    """One client with a session to each service, over a bank of its own."""
    vat = Vat(world.kernel, "client")
    banks = [world.bank(f"for {name}") for name in names]
    spec = SessionSpec(slots=8, ring=16_384, cell=1024)
    sessions = [vat.connect(name, bank, spec) for name, bank in zip(names, banks, strict=True)]
    yield [await session.bootstrap(Desk) for session in sessions]
    for session in sessions:
        session.close(SessionClosed("the test is over"))
    for session, bank in zip(sessions, banks, strict=True):
        await session.wait_closed()
        # Everything has been given back: this raises where anything is still bought.
        bank.close()
    await vat.close()


def test_two_servers_that_were_introduced_die_in_one_turn_and_refund_nothing_twice() -> None:
    async def main(world: World) -> None:
        servers = [serving(world, name, DeskServer(name)) for name in ("a", "b")]
        async with client_of(world, "a", "b") as (a, b):
            thing = await a.make("thing")
            assert await b.keep(await introduce(thing, b)) == 1
            servers[1].kill()
            servers[0].kill()
            await quiet()

    run(main)


def test_what_a_dead_server_had_below_the_bank_of_a_session_ends_with_the_session() -> None:
    async def main(world: World) -> None:
        back = serving(world, "back", DeskServer())
        middle = serving(world, "middle", MiddleServer(world, 60))
        async with client_of(world, "middle") as (desk,):
            call = spawn(_fails(desk))
            await quiet()
            bank = world.banks[0]
            assert bank.children, "no nested call is under way"
            middle.kill()
            assert await call
        await back.close()

    run(main)


def test_what_was_introduced_over_a_session_ends_in_the_order_in_which_it_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = SimKernel()
    bank = kernel.bank("client", pages=400)
    client = kernel.process("client")
    for name in ("a", "b"):
        kernel.listen(kernel.process(name), name, ServiceSpec())
    spec = SessionSpec(slots=4, ring=4096, cell=1024)
    to, at = (kernel.connect(client, name, bank, spec) for name in ("a", "b"))
    routes = [to.introduce(at, 20, 4, 4096) for _ in range(9)]
    told: list[int] = []
    monkeypatch.setattr(kernel, "_notify", lambda process, handle: told.append(handle))
    server = kernel.peer_of(at)
    assert server is not None
    kernel.close(server)
    assert told[:9] == [route.far for route in routes]


@pytest.mark.parametrize("slots", [1, 8])
def test_a_ring_that_the_other_side_has_spoilt_ends_the_session_and_all_its_calls(
    slots: int,
) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=slots) as desk:
            session = session_of(desk)
            lane = hostile.own_lane(session)
            calls = [desk.nap(1000.0) for _ in range(slots - 1)]
            await quiet()

            async def spoil() -> None:
                for _ in range(4):  # until the writer looks how far the reader is
                    hostile.overwrite(lane, hostile.tail_of(lane) + 8, hostile.word(1 << 40))
                    await desk.length(bytes(session.out.submissions.largest - 200))

            with pytest.raises(GarbageFrame, match="reader of a ring"):
                await spoil()
            await quiet()
            assert session.closed
            for call in calls:
                with pytest.raises(GarbageFrame):
                    await call
            with pytest.raises(GarbageFrame):
                await desk.nap(0.0)

    run(main)


async def _fails(desk: Desk) -> bool:
    try:
        await desk.data(5000, 10.0)
    except PeerDied:
        return True
    return False
