"""Calls the other way: the server calls objects of its client, who pays for that too."""

from __future__ import annotations

from typing import Protocol

import pytest

from pinfut import join
from pinfut.executor import sleep, spawn, timeout
from pinfut.rpc import (
    Interface,
    OutOfPages,
    Promise,
    RemoteError,
    SessionClosed,
    connect,
    method,
    prices,
    session_of,
)
from pinfut.rpc.session.calls_out import CallsOut
from tests.bounded import rounds
from tests.covered import covered, require
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, only, quiet, run


class Ping(Interface, Protocol):
    @method
    async def ping(self, n: int, back: Ping) -> int: ...


class PingServer(Ping):
    """Hands the ball back until `n` is used up."""

    @method
    async def ping(self, n: int, back: Ping) -> int:
        return 0 if n == 0 else 1 + await back.ping(n - 1, self)


def test_the_lane_for_calls_back_is_bought_when_it_is_first_needed() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            await desk.make("a").name()
            (bank,) = world.banks
            before = bank.pages_used
            assert await desk.name_of(ThingServer("own")) == "own"
            assert bank.pages_used > before

    run(main)


def test_a_server_calls_back_on_objects_with_more_calls_than_slots() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        async with world.session(Desk, server, slots=2) as desk:
            await desk.keep(ThingServer("own"))
            there = server.keeping[0]
            assert await join(*[there.name() for _ in range(20)]) == ("own",) * 20
            del there
            await desk.forget()

    run(main)


class Sour(Thing):
    """Fails at every call."""

    @method
    async def name(self) -> str:
        raise KeyError("sour")

    @method
    async def tell(self, tag: int, seconds: float = 0.0) -> list[int]:
        raise RuntimeError("sour")


def test_an_error_of_the_clients_object_travels_through_the_server_as_it_came() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            with pytest.raises(RemoteError) as caught:
                await desk.name_of(Sour())
            assert caught.value.kind == "KeyError"
            assert await desk.name_of(ThingServer("y")) == "y"

    run(main)


def test_a_client_and_a_server_call_each_other_in_a_long_row() -> None:
    async def main(world: World) -> None:
        async with world.session(Ping, PingServer()) as ping:
            assert await ping.ping(20, PingServer()) == 20

    run(main)


class Ball(Interface, Protocol):
    @method
    async def bounce(self, n: int, data: bytes) -> int: ...
    @method
    async def join(self, ball: Ball) -> int: ...


class BallServer(Ball):
    """Calls the other side for each call of it, with as much as it was given."""

    def __init__(self) -> None:
        self.others: list[Ball] = []

    @method
    async def join(self, ball: Ball) -> int:
        self.others.append(ball)
        return len(self.others)

    @method
    async def bounce(self, n: int, data: bytes) -> int:
        return 0 if n == 0 else 1 + await self.others[0].bounce(n - 1, data)


def test_two_that_call_each_other_with_full_rings_both_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trap T36: in a circle of synchronous calls each would wait for the other to read. Here
    nobody waits for room: who has none reads on."""

    async def main(world: World) -> None:
        near, far = BallServer(), BallServer()
        async with world.served("ball", far) as vat:
            bank = world.bank(pages=3000)
            async with connect(world.kernel, "ball", Ball, bank, slots=64, ring=512) as ball:
                await ball.join(near)
                near.others.append(ball)
                sides = session_of(ball), only(vat)
                full = {"here": 0, "there": 0, "both": 0}
                flush = CallsOut.flush
                flushes = iter(rounds("both go on", 5000))

                def looked_at(out: CallsOut) -> None:
                    next(flushes)  # where they do not, they tell each other so forever
                    here, there = (bool(side.out.waiting) for side in sides)
                    full["here"] += here
                    full["there"] += there
                    full["both"] += here and there
                    flush(out)

                monkeypatch.setattr(CallsOut, "flush", looked_at)
                with timeout(10):
                    calls = [ball.bounce(3, bytes(150)) for _ in range(40)]
                    back = [far.others[0].bounce(2, bytes(150)) for _ in range(20)]
                    assert await join(*calls) == (3,) * 40
                    assert await join(*back) == (2,) * 20
                near.others.clear()
                far.others.clear()
                require(covered("rings that are full", **full), "here", "there", "both")

    run(main)


def test_a_client_that_cannot_pay_for_the_lane_back_gets_the_error_in_its_answer() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=400)
        async with (
            world.served("service", DeskServer()),
            connect(world.kernel, "service", Desk, bank) as desk,
        ):
            await desk.make("warm").name()
            await quiet()
            rest = bank.balance.pages
            bank.refill(-rest)
            with pytest.raises(OutOfPages):
                await desk.name_of(ThingServer("own"))
            assert await desk.do(1) == 1
            bank.refill(rest)
            assert await desk.name_of(ThingServer("own")) == "own"

    run(main)


def test_calls_of_the_server_end_when_the_session_does() -> None:
    async def main(world: World) -> None:
        server = DeskServer()

        async def call(thing: Thing) -> None:
            with pytest.raises(SessionClosed):
                await thing.tell(1, 100)

        async with world.served("service", server):
            async with connect(world.kernel, "service", Desk, world.bank()) as desk:
                await desk.keep(ThingServer("own"))
                waiting = spawn(call(server.keeping[0]))
                await quiet()
            with timeout(1):
                await waiting
            with pytest.raises(SessionClosed):
                server.keeping[0].name()
            server.keeping.clear()

    run(main)


def test_an_object_that_comes_again_is_the_proxy_that_is_there_and_is_paid_once() -> None:
    """However often a client hands one object over, the server holds one proxy of it."""

    async def main(world: World) -> None:
        server = DeskServer()
        async with (
            world.served("service", server) as vat,
            connect(world.kernel, "service", Desk, world.bank()) as desk,
        ):
            own = ThingServer("own")
            await desk.keep(own)
            peer = only(vat).peer
            assert peer.imports.charged == prices.IMPORT
            for _ in range(20):
                await desk.keep(own)
            assert peer.imports.charged == prices.IMPORT
            assert {id(one) for one in server.keeping} == {id(server.keeping[0])}
            assert await desk.same(own, own)
            exports = session_of(desk).peer.exports
            assert len(exports) == 1
            # A Release that crosses the next hand-over loses nothing (trap T24).
            server.keeping.clear()
            await desk.keep(own)
            assert await server.keeping[0].name() == "own"
            await desk.forget()
            await quiet()
            assert len(exports) == 0
            assert peer.imports.charged == 0

    run(main)


class Own(Interface, Protocol):
    @method
    async def name(self) -> str: ...
    @method
    async def later(self, seconds: float) -> Own: ...
    @method
    async def named(self, own: Own) -> str: ...


class OwnServer(Own):
    @method
    async def name(self) -> str:
        return "own"

    @method
    async def later(self, seconds: float) -> Own:
        await sleep(seconds)
        return OwnServer()

    @method
    async def named(self, own: Own) -> str:
        return f"with {await own.name()}"


class Asking(Interface, Protocol):
    @method
    async def ask(self, own: Own) -> list[str]: ...
    @method
    async def pass_on(self, own: Own) -> Own: ...
    @method(answer=256)
    async def both(self, own: Own) -> list[Own]: ...


class AskingServer(Asking):
    @method
    async def ask(self, own: Own) -> list[str]:
        early = own.later(0.5)
        name = early.name()  # waits at the client for what it is called on
        given = own.named(own.later(0.25))
        dropped = spawn(later_name(own))
        await quiet()
        dropped.cancel()
        return [await name, await given]

    @method
    async def pass_on(self, own: Own) -> Own:
        return own.later(1)  # not awaited: the call ends when it has come

    @method(answer=256)
    async def both(self, own: Own) -> list[Own]:
        return [OwnServer(), own.later(0.5)]


async def later_name(own: Own) -> str:
    return await own.later(0.5).name()


def test_calls_back_may_be_pipelined_and_name_what_is_still_to_come() -> None:
    """Nobody pays at the client for calls that wait there: the client does not pay itself."""

    async def main(world: World) -> None:
        async with world.session(Asking, AskingServer()) as asking:
            assert await asking.ask(OwnServer()) == ["own", "with own"]

    run(main)


def test_a_call_that_gives_a_promise_can_be_cancelled_before_that_has_come() -> None:
    async def main(world: World) -> None:
        async with world.session(Asking, AskingServer()) as asking:
            given = asking.pass_on(OwnServer())
            name = spawn(take(given.name()))
            await sleep(0.5)
            name.cancel()
            del given
            await quiet()
            # The session is as it was.
            assert await asking.ask(OwnServer()) == ["own", "with own"]
            assert await asking.pass_on(OwnServer()).name() == "own"

    run(main)


async def take(name: Promise[str]) -> str:
    return await name


def test_an_object_that_is_given_beside_a_promise_is_handed_out_once() -> None:
    """Though the answer is made again when the promise has come."""

    async def main(world: World) -> None:
        async with (
            world.served("asking", AskingServer()) as server,
            connect(world.kernel, "asking", Asking, world.bank()) as asking,
        ):
            await asking.ask(OwnServer())
            exports = only(server).peer.exports
            before = len(exports)
            things = await asking.both(OwnServer())
            assert [await one.name() for one in things] == ["own", "own"]
            assert len(exports) > before
            del things
            await quiet()
            assert len(exports) == before

    run(main)
