"""Calls on a promise that turns out to be the caller's own object: in order, and each once."""

from __future__ import annotations

from typing import Protocol

import pytest

from pinfut.executor import sleep
from pinfut.rpc import Interface, SessionClosed, connect, current_session, method
from tests.kernels.copying import CopyKernel
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, run

KERNELS = {"sim": None, "copying": CopyKernel}


class Hub(Interface, Protocol):
    """Gives back what it is given."""

    @method
    async def echo(self, desk: Desk) -> Desk: ...
    @method
    async def nap(self, seconds: float) -> float: ...
    @method
    async def name_of(self, thing: Thing) -> str: ...


class HubServer(Hub):
    @method
    async def echo(self, desk: Desk) -> Desk:
        return desk

    @method
    async def nap(self, seconds: float) -> float:
        await sleep(seconds)
        return seconds

    @method
    async def name_of(self, thing: Thing) -> str:
        return await thing.name()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("slots", [1, 2, 3])
def test_a_call_that_waits_for_a_slot_is_not_overtaken_at_an_own_object(
    kernel: str, slots: int
) -> None:
    async def main(world: World) -> None:
        own = ThingServer("own")
        async with world.session(Desk, DeskServer(), slots=slots) as desk:
            promise = desk.back(own)
            naps = [desk.nap(1) for _ in range(slots)]
            early = promise.tell(1)
            assert desk._pinfut_target.caller.backlog.calls, "nothing waits for a slot"  # type: ignore[attr-defined]
            assert await promise is own
            await own.tell(2)
            await early
            for nap in naps:
                await nap
        assert own.told == [1, 2]

    for seed in range(8):
        run(main, seed=seed, kernel=KERNELS[kernel])


@pytest.mark.parametrize("steps", range(1, 12))
def test_calls_on_a_promise_of_this_process_begin_in_their_order_whenever_it_comes(
    steps: int,
) -> None:
    things: list[ThingServer] = []

    class Slow(DeskServer):
        @method
        async def make(self, name: str, seconds: float = 0.0) -> Thing:
            for _ in range(5):
                await sleep(0)
            things.append(ThingServer(name))
            return things[-1]

    async def main(world: World) -> None:
        thing = Slow().make("x")
        first = thing.tell(1)
        for _ in range(steps):
            await sleep(0)
        given_up = thing.tell(9)
        given_up.drop()
        second = thing.tell(2)
        await first
        await second
        assert [tag for tag in things[0].told if tag != 9] == [1, 2]

    run(main)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("how", ["called", "passed"])
def test_what_waits_for_the_outcome_of_a_call_that_turned_out_to_be_here_gets_it(
    kernel: str, slots: int, how: str
) -> None:
    async def main(world: World) -> None:
        async with world.session(Hub, HubServer(), slots=slots) as hub:
            desk = hub.echo(DeskServer("own "))
            naps = [hub.nap(0.5) for _ in range(slots - 1)]
            thing = desk.make("thing", 2)
            name = thing.name() if how == "called" else hub.name_of(thing)
            assert await name == "own thing"
            for nap in naps:
                await nap

    run(main, kernel=KERNELS[kernel])


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_waiting_call_with_an_argument_that_failed_here_fails_alone(kernel: str) -> None:
    async def main(world: World) -> None:
        async with world.session(Hub, HubServer(), slots=1) as hub:
            desk = hub.echo(DeskServer("own "))
            nap = hub.nap(0.5)
            broken = desk.fail("no")
            echo = hub.echo(broken)
            assert await nap == 0.5
            with pytest.raises(ValueError, match="no"):
                await echo
            assert await hub.nap(0) == 0

    run(main, kernel=KERNELS[kernel])


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_call_that_waits_for_another_begins_after_a_handler_has_closed_the_session(
    kernel: str,
) -> None:
    ran: list[int] = []

    class Closing(ThingServer):
        @method(answer=8192)
        async def tell(self, tag: int, seconds: float = 0.0) -> list[int]:
            ran.append(tag)
            if tag == 1:
                current_session().close(SessionClosed("enough"))
            await sleep(1)
            return []

    class Server(DeskServer):
        @method
        async def make(self, name: str, seconds: float = 0.0) -> Thing:
            await sleep(seconds)
            return Closing(name)

    async def main(world: World) -> None:
        async with (
            world.served("service", Server()),
            connect(world.kernel, "service", Desk, world.bank()) as desk,
        ):
            thing = desk.make("x", 1)
            for call in [thing.tell(tag) for tag in range(4)]:
                with pytest.raises(SessionClosed):
                    await call
        assert ran == [0, 1]

    run(main, kernel=KERNELS[kernel])
