"""Calls on a promise that turns out to be the caller's own object: in order, and each once."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Protocol

import pytest

from pinfut.executor import current_executor, sleep
from pinfut.rpc import (
    PAGE,
    Interface,
    OutOfPages,
    SessionClosed,
    connect,
    current_session,
    method,
    prices,
    session_of,
)
from pinfut.rpc.objects.promise import EMBARGOED
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.wire.frames import LOOPBACK
from tests.covered import covered, require
from tests.kernels.copying import CopyKernel
from tests.rpc import hostile
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, only, quiet, run

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


class Slow(ThingServer):
    """Says when each call began; a call with a number of seconds takes these."""

    def __init__(self) -> None:
        super().__init__("own")
        self.began: list[tuple[int, float]] = []

    @method(answer=8192)
    async def tell(self, tag: int, seconds: float = 0.0) -> list[int]:
        self.began.append((tag, current_executor().now()))
        self.told.append(tag)
        await sleep(seconds)
        return list(self.told)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("vats", [2, 3])
def test_a_call_on_a_promise_that_turned_out_to_be_here_waits_for_no_call_to_end(
    kernel: str, vats: int
) -> None:
    """Row 62, T25: what was sent through the other side has arrived once a Disembargo has come
    back, long before it is answered; what is called then begins at once, and overtakes nothing."""

    class Middle(DeskServer):
        behind: Desk

        @method
        async def back(self, thing: Thing) -> Thing:
            await self.behind.do(1)
            return thing

    async def main(world: World) -> None:
        own, middle = Slow(), Middle()
        async with AsyncExitStack() as stack:
            middle.behind = DeskServer(do=_second)
            if vats == 3:
                middle.behind = await stack.enter_async_context(
                    world.session(Desk, DeskServer(do=_second), name="back", bank=world.bank("b"))
                )
            desk = await stack.enter_async_context(world.session(Desk, middle))
            promise = desk.back(own)
            early = [promise.tell(n, 100) for n in range(3)]
            await sleep(0.5)
            waits = promise.tell(3)
            assert await promise is own
            assert await own.tell(4) == list(range(5))
            assert [tag for tag, _ in own.began] == list(range(5))
            assert own.began[-1][1] < 2
            for call in [*early, waits]:
                await call
            covered("embargoes", lifted=1)

    run(main, kernel=KERNELS[kernel])
    require(covered("embargoes"), "lifted")


async def _second(n: int) -> int:
    await sleep(n)
    return n


@pytest.mark.parametrize("kernel", KERNELS)
def test_calls_that_wait_for_a_slot_of_the_other_side_are_not_overtaken(kernel: str) -> None:
    """Behind them no Disembargo comes back; their Returns say that they have arrived."""

    async def main(world: World) -> None:
        own, server = Slow(), DeskServer()

        async def busy(n: int) -> int:
            for call in [server.keeping[0].tell(tag, 5) for tag in range(n)]:
                await call
            return n

        server.doing = busy
        async with world.session(Desk, server, slots=4) as desk:
            await desk.keep(Slow())
            busy_until = desk.do(4)
            promise = desk.back(own)
            early = [promise.tell(n) for n in range(2)]
            await sleep(1)
            assert (own.began, target_of(promise).state) == ([], EMBARGOED)  # type: ignore[union-attr]
            late = promise.tell(2)
            for call in [busy_until, *early, late]:
                await call
            assert [tag for tag, _ in own.began] == [0, 1, 2]

    run(main, kernel=KERNELS[kernel])


def test_disembargos_that_nobody_asked_for_are_paid_by_who_sends_them() -> None:
    """T41: they lift nothing, and a client that reads none of what comes back is stopped by its
    bank, at what each that waits is charged."""

    async def main(world: World) -> None:
        bank = world.bank(pages=60)
        async with (
            world.served("service", DeskServer()) as vat,
            connect(world.kernel, "service", Desk, bank) as desk,
        ):
            # The server has a ring for calls back.
            assert await desk.name_of(ThingServer("own")) == "own"
            near, far = session_of(desk), only(vat)
            for x in (3, 1 << 50):
                near.out.lift(x, 0)
                near.out.send(near.peer.disembargo(x, LOOPBACK))
            # No turn ends meanwhile, so the client reads nothing of what comes back.
            lane, sent = hostile.own_lane(near), 5_000
            for x in range(sent):
                assert lane.submissions.submit(near.peer.disembargo(x))
                lane.submissions.publish()
                far.service(64, 1 << 16)
                far.end.publish()
            held = prices.UNWRITTEN * far.out.waiting
            assert 0 < held <= far.end.account.used <= 60 * PAGE
            covered("disembargos", sent=sent, waited=far.out.waiting)
            await quiet()
            assert isinstance(far.error, OutOfPages)

    run(main)
    require(covered("disembargos"), "sent", "waited")


class Teller(DeskServer):
    """Calls what it is given, five times one after the other."""

    @method(answer=8192)
    async def tell_with(self, tag: int, thing: Thing) -> list[int]:
        told: list[int] = []
        for n in range(5):
            told = await thing.tell(n)
        return told


@pytest.mark.parametrize("come", [False, True])
def test_what_is_handed_out_goes_the_shorter_way_as_soon_as_it_has_come(come: bool) -> None:
    """A promise of this process that gives an object of the other side's: handed out before it has
    come, a call that waits for it goes there and back, and those behind it do not; afterwards it is
    the object. In order either way."""

    class Own(DeskServer):
        @method
        async def back(self, thing: Thing) -> Thing:
            await sleep(1)
            return thing

    async def main(world: World) -> None:
        async with world.session(Desk, Teller()) as desk:
            promise = Own().back(await desk.make("theirs"))
            if come:
                await promise
            session = session_of(desk)
            before = session.round_trips
            assert await desk.tell_with(0, promise) == list(range(5))
            assert session.round_trips - before == (1 if come else 2)

    run(main)
