"""Processes that die in the midst of calls: the other side is told, everything is returned."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from pinfut.executor import CancelledError, sleep, spawn, timeout
from pinfut.rpc import PeerDied, SessionClosed, UnknownService, Vat, connect, serve
from pinfut.rpc.contract import SessionSpec
from tests.rpc.services import Desk, DeskServer, ThingServer
from tests.rpc.world import World, quiet, run


async def outcome(awaitable: Any) -> str:
    try:
        await awaitable
    except SessionClosed as error:
        return type(error).__name__
    return "value"


def every_kind_of_call(desk: Desk) -> list[Any]:
    """Calls in every state: running, pipelined, with promised arguments, without a slot."""
    return [
        desk.nap(100),
        desk.make("a", 100),
        desk.make("b", 100).name(),
        desk.desk("c", 100).desk("d").make("e").name(),
        desk.name_of(desk.make("f", 100)),
        desk.name_of(ThingServer("own")),
        desk.nap(100),
        desk.nap(100),
        desk.make("g"),
        desk.make("h").name(),
    ]


@pytest.mark.parametrize("slots", [1, 4, 8, 64])
def test_when_the_server_dies_every_open_call_ends_with_peer_died(slots: int) -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        server = await serve(world.kernel, "service", DeskServer()).__aenter__()
        async with connect(world.kernel, "service", Desk, bank, slots=slots) as desk:
            thing = desk.make("t")
            if slots > 1:
                await thing
            calls = [spawn(outcome(call)) for call in every_kind_of_call(desk)]
            await quiet()
            server.kill()
            server.kill()  # idempotent
            with timeout(1):
                ends = [await call for call in calls]
            assert set(ends) <= {"PeerDied", "value"}
            assert ends.count("PeerDied") >= 7
            with pytest.raises(PeerDied, match="server of session"):
                desk.do(1)
            with pytest.raises(PeerDied):
                await thing.name()
        assert bank.pages_used == 0
        with pytest.raises(UnknownService):
            async with connect(world.kernel, "service", Desk, bank):
                raise AssertionError("connected")

    run(main)


@pytest.mark.parametrize("slots", [1, 4, 8, 64])
def test_when_the_client_dies_its_handlers_are_cancelled_and_its_bank_is_whole(slots: int) -> None:
    """Bank rule 28: the caller's death kills its reply capability; a late reply has no effect."""

    async def main(world: World) -> None:
        bank = world.bank()
        server = DeskServer()
        async with world.served("service", server) as vat:
            dying = Vat(world.kernel, "dying")
            client = connect(world.kernel, "service", Desk, bank, slots=slots, vat=dying)
            desk = await client.__aenter__()
            await desk.keep(ThingServer("lent"))
            calls = [spawn(outcome(call)) for call in every_kind_of_call(desk)]
            await quiet()
            assert len(vat.sessions) == 1
            dying.kill()
            with timeout(1):
                ends = [await call for call in calls]
            assert set(ends) <= {"PeerDied", "value"}
            await quiet()
            assert vat.sessions == []
            assert bank.pages_used == bank.caps_used == 0
            with pytest.raises(SessionClosed):
                server.keeping[0].name()
            server.keeping.clear()

    run(main)


def test_a_client_that_dies_before_it_was_accepted_leaves_nothing() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        async with world.served("service", DeskServer()) as vat:
            for n in range(5):
                dying = Vat(world.kernel, f"dying {n}")
                dying.connect("service", bank, SessionSpec(8, 16_384, 1024))
                dying.kill()
            await quiet()
            assert vat.sessions == []
            assert bank.pages_used == bank.caps_used == 0

    run(main)


def test_a_server_that_dies_before_it_accepted_fails_the_connection() -> None:
    async def main(world: World) -> None:
        bank = world.bank()

        async def attempt() -> None:
            async with connect(world.kernel, "service", Desk, bank):
                raise AssertionError("connected")

        server = await serve(world.kernel, "service", DeskServer()).__aenter__()
        task = spawn(attempt())
        await sleep(0)
        server.kill()
        with pytest.raises((SessionClosed, UnknownService)):
            await task
        assert bank.pages_used == 0

    run(main)


@pytest.mark.parametrize("wait", [False, True])
def test_a_handler_may_kill_its_own_process(wait: bool) -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        vats: list[Vat] = []

        async def do(n: int) -> int:
            if wait:
                await sleep(0.1)
            vats[0].kill()
            return n

        server = serve(world.kernel, "service", DeskServer(do=do))
        vats.append(await server.__aenter__())
        async with connect(world.kernel, "service", Desk, bank) as desk:
            with pytest.raises(PeerDied):
                await desk.do(1)
        assert bank.pages_used == 0
        await server.__aexit__(None, None, None)

    run(main)


def test_one_client_that_dies_does_not_touch_another() -> None:
    async def main(world: World) -> None:
        async with (
            world.served("service", DeskServer()),
            connect(world.kernel, "service", Desk, world.bank("living")) as desk,
        ):
            slow = desk.nap(1)
            thing = await desk.make("t")
            dying = Vat(world.kernel, "dying")
            client = connect(world.kernel, "service", Desk, world.bank("dying"), vat=dying)
            other = await client.__aenter__()
            lost = [other.nap(100) for _ in range(5)]
            await quiet()
            dying.kill()
            del lost
            assert await slow == 1
            assert await thing.name() == "t"

    run(main)


def test_a_handler_that_cleans_up_after_its_clients_death_holds_the_charge_until_then() -> None:
    async def main(world: World) -> None:
        bank = world.bank()

        async def do(n: int) -> int:
            try:
                await sleep(100)
            finally:
                await sleep(2)
            return n

        async with world.served("service", DeskServer(do=do)):
            dying = Vat(world.kernel, "dying")
            client = connect(world.kernel, "service", Desk, bank, vat=dying)
            call = (await client.__aenter__()).do(1)
            await quiet()
            dying.kill()
            await sleep(1)
            assert bank.pages_used > 0, "the server still works in the client's memory"
            await sleep(2)
            assert bank.pages_used == 0
            del call

    run(main)


def test_a_client_that_has_left_is_free_when_the_server_dies_in_its_clean_up() -> None:
    async def main(world: World) -> None:
        bank = world.bank()

        async def do(n: int) -> int:
            try:
                await sleep(100)
            finally:
                await sleep(100)
            return n

        server = await serve(world.kernel, "service", DeskServer(do=do)).__aenter__()

        async def visit() -> None:
            async with connect(world.kernel, "service", Desk, bank) as desk:
                desk_call = desk.do(1)
                await sleep(0.1)
            del desk_call

        visitor = spawn(visit())
        await sleep(1)
        assert not visitor.done, "it waits until its handlers have ended"
        server.kill()
        with timeout(1):
            await visitor
        assert bank.pages_used == 0

    run(main)


def test_a_crash_in_the_loop_of_a_vat_is_raised_for_whoever_closes_it() -> None:
    """The last resort: an error that no rule foresees takes one process down, and is seen."""

    class Explosive(DeskServer):
        _pinfut_charge = property(lambda self: 1 // 0)

    async def main(world: World) -> None:
        bank = world.bank()

        async def visit() -> None:
            async with (
                serve(world.kernel, "service", Explosive()),
                connect(world.kernel, "service", Desk, bank),
            ):
                raise AssertionError("connected")

        with pytest.raises((Exception, CancelledError)) as caught:
            await visit()
        assert not isinstance(caught.value, TimeoutError)
        gc.collect()
        assert bank.pages_used == 0
        (told,) = world.logged
        assert "the dispatcher of <Process 'service'> failed" in told
        world.logged.clear()

    run(main)
