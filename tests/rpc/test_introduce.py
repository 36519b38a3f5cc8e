"""A capability of one server, handed to another by the client that pays for both legs."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import pytest

from pinfut import join
from pinfut.executor import CancelledError, sleep, spawn, yield_now
from pinfut.rpc import (
    Bank,
    ForeignCapability,
    InterfaceMismatch,
    NestedShortage,
    OutOfCaps,
    OutOfPages,
    RpcError,
    Session,
    SimKernel,
    UnknownObject,
    Vat,
    connect,
    introduce,
    method,
    prices,
    serve,
    session_of,
)
from pinfut.rpc.session.introduce import Introducing, ask, giving
from pinfut.rpc.wire import frames
from tests.covered import covered, require
from tests.rpc.services import Desk, DeskServer, Thing
from tests.rpc.world import World, far_of, only, quiet, run


class Scene(NamedTuple):
    """A client with a session at each of two servers, a bank for each, and the servers."""

    a: Desk
    b: Desk
    bank_a: Bank
    bank_b: Bank
    client: Vat
    server_a: Vat
    server_b: Vat

    def accounts(self, desk: Desk) -> tuple[Any, Any]:
        """What each side of the session with one of the servers has charged."""
        session = session_of(desk)
        kernel = cast(SimKernel, self.client.kernel)
        return session.end.account, far_of(session, kernel).account

    def held(self) -> list[int]:
        """What both banks pay for, without what their accounts have in stock."""
        held: list[int] = []
        for desk, bank in ((self.a, self.bank_a), (self.b, self.bank_b)):
            near, far = self.accounts(desk)
            held += [
                bank.pages_used - near.pages - far.pages,
                near.used + far.used,
                bank.caps_used - near.free_caps - far.free_caps,
            ]
        return held


@asynccontextmanager
async def scene(
    world: World, at: DeskServer | None = None, to: DeskServer | None = None, **sizes: Any
) -> AsyncIterator[Scene]:
    client = Vat(world.kernel, "client")
    bank_a, bank_b = world.bank("for-a"), world.bank("for-b")
    async with (
        serve(world.kernel, "a", at or DeskServer("a/")) as server_a,
        serve(world.kernel, "b", to or DeskServer("b/")) as server_b,
    ):
        try:
            async with (
                connect(world.kernel, "a", Desk, bank_a, vat=client, **sizes) as a,
                connect(world.kernel, "b", Desk, bank_b, vat=client, **sizes) as b,
            ):
                yield Scene(a, b, bank_a, bank_b, client, server_a, server_b)
        finally:
            await client.close()


def guest_of(vat: Vat) -> Session:
    """The one session of a vat that a client introduced."""
    (guest,) = [session for session in vat.sessions if session.via is not None]
    return guest


def test_what_was_introduced_is_called_directly_and_the_client_sees_nothing_of_it() -> None:
    async def main(world: World) -> None:
        async with scene(world) as s:
            thing = await s.a.make("t")
            at_b = await introduce(thing, s.b)
            assert await s.b.name_of(at_b) == "a/t"
            trips = session_of(s.a).round_trips
            direct = guest_of(s.server_b).round_trips
            for _ in range(5):
                assert await s.b.name_of(at_b) == "a/t"
            assert session_of(s.a).round_trips == trips
            assert guest_of(s.server_b).round_trips >= direct + 5
            # And the client may call it on its way through B.
            assert await at_b.name() == "a/t"

    run(main)


def test_each_leg_is_paid_by_the_bank_of_its_session_and_all_comes_back() -> None:
    async def main(world: World) -> None:
        async with scene(world) as s:
            thing = await s.a.make("t")
            await quiet()
            _, guest_account = s.accounts(s.b)
            before = s.held()
            used = guest_account.used
            at_b = await introduce(thing, s.b)
            # The route's pages are the first bank's, what B holds of the object the second's.
            assert s.held()[0] > before[0]
            assert guest_account.used > used + prices.SESSION
            assert len(guest_of(s.server_a).peer.exports) == 1
            assert len(guest_of(s.server_b).peer.imports) == 1
            assert guest_of(s.server_b).peer.imports.charged
            del at_b
            await quiet()
            assert len(guest_of(s.server_a).peer.exports) == 0
            assert len(guest_of(s.server_b).peer.imports) == 0

    run(main)


def test_two_servers_have_one_route_however_much_is_introduced_to_them() -> None:
    """One bushel for each receiver and bank: made when it is first needed, then found."""

    async def main(world: World) -> None:
        async with scene(world) as s:
            things = await s.a.things(5)
            at_b = await join(*[introduce(thing, s.b) for thing in things])
            assert world.kernel.transitions["introduce"] == 1
            assert await s.b.names_of(list(at_b)) == ["0", "1", "2", "3", "4"]
            back = await s.b.make("b")
            # The other direction is another way, which the other bank pays for.
            at_a = await introduce(back, s.a)
            assert world.kernel.transitions["introduce"] == 2
            assert await s.a.name_of(at_a) == "b/b"

    run(main)


def test_an_own_capability_that_comes_back_over_a_route_is_the_own_object() -> None:
    """Bank rule 29: a cap to my own object unwraps to my own identity for it, by way of
    whomever it went."""
    seen: list[Thing] = []

    class Keeper(DeskServer):
        @method
        async def name_of(self, thing: Thing) -> str:
            seen.append(thing)
            return "seen"

    class Passer(DeskServer):
        desks: list[Desk]

        @method
        async def keep(self, thing: Thing) -> int:
            self.keeping.append(thing)
            return 1

        @method
        async def do(self, n: int) -> int:
            # B holds A's thing and A's desk, both directly.
            desk: Any = self.desks[0]
            await desk.name_of(self.keeping[0])
            return n

        @method
        async def back(self, thing: Thing) -> Thing:
            seen.append(thing)
            return thing

    class Own(Passer):
        @method
        async def desk(self, name: str, seconds: float = 0.0) -> Desk:
            return self

    async def main(world: World) -> None:
        own = Own("b/")
        async with scene(world, Keeper("a/"), own) as s:
            thing = await s.a.make("t")
            await s.a.keep(thing)
            thing_at_b = await introduce(thing, s.b)
            desk_at_b = await introduce(s.a, s.b)
            bushel = only_client(s.server_b).peer.exports
            direct = [t for t, *_ in bushel.things.values() if session_at(t) is not None]
            own.desks = [d for d in direct if type(d).__name__ == "DeskProxy"]
            await s.b.keep(thing_at_b)
            assert own.keeping[0] in direct  # B's own proxy, and no proxy of a proxy
            await s.b.do(1)
            assert type(seen[0]).__name__ == "ThingServer"
            # And B's own, come back from the client twice, is the same each time.
            await join(s.b.back(thing_at_b), s.b.back(thing_at_b))
            assert seen[1] is seen[2] is own.keeping[0]
            own.desks.clear()
            own.keeping.clear()
            seen.clear()
            del direct, desk_at_b

    run(main)


def only_client(vat: Vat) -> Session:
    (session,) = [one for one in vat.sessions if one.via is None]
    return session


def session_at(thing: Any) -> Any:
    target = getattr(thing, "_pinfut_target", None)
    return None if target is None else target.caller.owner


def test_no_direct_call_overtakes_what_the_client_sent_before_it_introduced() -> None:
    """Trap T25: the order of what was sent first holds over the shorter way."""

    class Teller(DeskServer):
        @method(answer=8192)
        async def tell_with(self, tag: int, thing: Thing) -> list[int]:
            return await thing.tell(tag)

    async def main(world: World) -> None:
        async with scene(world, None, Teller("b/"), slots=4) as s:
            thing = s.a.make("t", 0.1)  # a promise, too
            sent = [thing.tell(n) for n in range(12)]
            at_b = await introduce(thing, s.b)
            assert await s.b.tell_with(100, at_b) == [*range(12), 100]
            assert (await join(*sent))[-1] == list(range(12))

    run(main)


@pytest.mark.parametrize("leg", ["a", "b"])
@pytest.mark.parametrize("kind", ["pages", "caps"])
def test_whatever_a_leg_lacks_nothing_of_the_introduction_stays(leg: str, kind: str) -> None:
    """Bank rule 34: it moves whole or not at all. Either bank may run dry at any point: the
    introduction succeeds, or both banks pay for exactly what they paid before."""
    done = refused = 0
    seen: list[tuple[type, bool]] = []

    async def main(world: World) -> None:
        nonlocal done, refused
        async with scene(world) as s:
            thing = await s.a.make("t")
            # What belongs to no introduction is bought before.
            await join(s.a.do(1), s.b.do(1))
            await quiet()
            bank = s.bank_a if leg == "a" else s.bank_b
            _, account = s.accounts(s.a if leg == "a" else s.b)
            # What the session has bought already is used up.
            free, free_caps = account.free, account.free_caps
            account.take(free)
            for _ in range(free_caps):
                account.take_cap()
            before = s.held()
            try:
                for left in range(24):
                    rest = getattr(bank.balance, kind)
                    bank.refill(**{kind: left - rest})
                    try:
                        at_b = await introduce(thing, s.b)
                    except (OutOfPages, OutOfCaps) as error:
                        refused += 1
                        seen.append((type(error), bank.name in str(error)))
                        await quiet()
                        assert s.held() == before
                        assert not [
                            v for v in (*s.server_a.sessions, *s.server_b.sessions) if v.via
                        ]
                    else:
                        done += 1
                        del at_b
                        bank.refill(**{kind: rest - left})
                        assert await s.a.do(1) == 1
                        break
                    bank.refill(**{kind: rest - left})
            finally:
                account.give(free)
                for _ in range(free_caps):
                    account.give_cap()

    run(main)
    counts = covered(f"introductions with an empty {leg} leg, {kind}", done=done, refused=refused)
    require(counts, "done", "refused")
    assert set(seen) == {(OutOfPages if kind == "pages" else OutOfCaps, True)}


@pytest.mark.parametrize("who", ["a", "b", "client", "cancel"])
def test_whoever_ends_in_the_midst_of_an_introduction_both_banks_are_whole(who: str) -> None:
    """At every step of it: the client dies, either server dies, or it is cancelled."""
    ended = {"done": 0, "failed": 0}

    given_up = 0

    def at(steps: int) -> None:
        async def main(world: World) -> None:
            nonlocal given_up
            client = Vat(world.kernel, "client")
            bank_a, bank_b = world.bank("for-a"), world.bank("for-b")
            a = await serve(world.kernel, "a", DeskServer("a/")).__aenter__()
            b = await serve(world.kernel, "b", DeskServer("b/")).__aenter__()
            session_a = connect(world.kernel, "a", Desk, bank_a, vat=client)
            session_b = connect(world.kernel, "b", Desk, bank_b, vat=client)
            desk_a = await session_a.__aenter__()
            desk_b = await session_b.__aenter__()
            thing = await desk_a.make("t")

            async def attempt() -> str:
                at_b = await introduce(thing, desk_b)
                return await desk_b.name_of(at_b)

            await quiet()
            accounts = [session_of(desk).end.account for desk in (desk_a, desk_b)]
            before = [account.used for account in accounts]
            task = spawn(attempt())
            for _ in range(steps):
                await yield_now()
            if who == "cancel":
                task.cancel()
            else:
                {"a": a, "b": b, "client": client}[who].kill()
            try:
                assert await task == "a/t"
                ended["done"] += 1
            except (RpcError, CancelledError):
                ended["failed"] += 1
            await quiet()
            if who == "cancel" and not any(v.via for v in (*a.sessions, *b.sessions)):
                given_up += 1
                assert [account.used for account in accounts] == before
            # Each of the three ends as it can.
            for leaving in (session_b, session_a):
                await leaving.__aexit__(None, None, None)
            for vat in (a, b, client):
                await vat.close()

        run(main)

    # Where messages are late it takes more of them.
    for steps in (*range(40), 80, 160, 320, 640, 1280):
        at(steps)
    counts = covered(f"introductions when {who} ends", **ended)
    require(counts, "failed", "done")
    assert given_up or who != "cancel"


def test_the_session_that_pays_takes_the_way_with_it_and_the_other_goes_on() -> None:
    async def main(world: World) -> None:
        client = Vat(world.kernel, "client")
        keeper = DeskServer("b/")
        async with (
            serve(world.kernel, "a", DeskServer("a/")) as server_a,
            serve(world.kernel, "b", keeper) as server_b,
            connect(world.kernel, "b", Desk, world.bank("for-b"), vat=client) as b,
        ):
            async with connect(world.kernel, "a", Desk, world.bank("for-a"), vat=client) as a:
                at_b = await introduce(await a.make("t"), b)
                await b.keep(at_b)
            # Its bank was whole when the block ended; B's proxy is of no use from now on.
            assert server_a.sessions == []
            assert len(server_b.sessions) == 1
            with pytest.raises(RpcError, match=r"ended|closed"):
                await keeper.keeping[0].name()
            with pytest.raises(RpcError, match=r"ended|closed"):
                await b.name_of(at_b)
            assert await b.do(3) == 3
            keeper.keeping.clear()
        await client.close()

    run(main)


def test_a_server_spends_on_a_route_no_more_than_its_ceiling() -> None:
    """Trap T37: the server in the middle has a reduced bank, and the client the rest."""

    class Greedy(DeskServer):
        promises: list[Any]

        @method
        async def tell_with(self, tag: int, thing: Thing) -> list[int]:
            self.promises = []
            for n in range(tag):
                self.promises.append(thing.tell(n, 1000.0))
            return []

    async def main(world: World) -> None:
        greedy = Greedy("b/")
        async with scene(world, None, greedy) as s:
            before = s.bank_a.pages_used
            at_b = await introduce(await s.a.make("t"), s.b, pages=20)
            with pytest.raises(NestedShortage, match="'for-b"):
                await s.b.tell_with(200, at_b)
            assert s.bank_a.pages_used - before <= 20 + 2
            assert await s.a.do(1) == 1
            del greedy.promises

    run(main)


def test_a_route_of_another_client_is_of_no_use() -> None:
    """A number that the kernel gave to somebody else names nothing here."""

    async def main(world: World) -> None:
        async with scene(world) as s:
            thing = await s.a.make("t")
            at_b = await introduce(thing, s.b)
            (route,) = [way.route for way in session_of(s.a).ways.values()]
            async with connect(world.kernel, "a", Desk, world.bank("thief")) as stolen:
                thief = session_of(stolen)
                other = await stolen.make("x")
                target: Any = other._pinfut_target  # type: ignore[attr-defined]
                provide: Any = Introducing.provide
                for handle in (route.far, route.near, 0, 99, -1, 1 << 40):
                    with pytest.raises(RpcError):
                        await thief.out.call(other, target, provide, (handle,), frames.PROVIDE)
                    with pytest.raises(RpcError):
                        await ask(thief.out, frames.TAKE, _take(), handle, 1, Thing._pinfut_id)
                with pytest.raises(UnknownObject, match="nothing is provided"):
                    await ask(thief.out, frames.ACCEPT, _accept(), 1)
            # What is accepted once is not given again, and who is introduced says as what.
            for number in (1, 2):
                with pytest.raises(UnknownObject, match="nothing is provided"):
                    await ask(
                        session_of(s.b).out,
                        frames.TAKE,
                        _take(),
                        route.near,
                        number,
                        Thing._pinfut_id,
                    )
            with pytest.raises(InterfaceMismatch, match="no interface"):
                await ask(session_of(s.b).out, frames.TAKE, _take(), route.near, 1, 12345)
            assert await s.b.name_of(at_b) == "a/t"

    run(main)


def _take() -> Any:

    return giving(Introducing.take, Thing)


def _accept() -> Any:

    return giving(Introducing.accept, Thing)


def test_only_who_pays_for_both_sessions_introduces() -> None:
    async def main(world: World) -> None:
        async with scene(world) as s:
            thing = await s.a.make("t")
            with pytest.raises(ForeignCapability, match="introduce"):
                s.b.name_of(thing)
            async with connect(world.kernel, "b", Desk, world.bank("else")) as elsewhere:
                with pytest.raises(ForeignCapability, match="one vat="):
                    await introduce(thing, elsewhere)
            with pytest.raises(ForeignCapability, match="in this process"):
                await introduce(thing, DeskServer())
            own = DeskServer()
            assert await introduce(own, s.b) is own
            assert await introduce(thing, s.a) is thing
            # What A has from elsewhere it cannot provide.
            through = await introduce(thing, s.b)
            with pytest.raises(ForeignCapability, match="served elsewhere"):
                await introduce(through, s.a)

    run(main)


def test_clone_drop_and_compare_are_no_kernel_transitions() -> None:
    """Row 51: passing an object on, letting go of it, for the last time too, and comparing take
    part in what is sent anyhow."""

    async def main(world: World) -> None:
        async with scene(world) as s:
            thing = await s.a.make("t")
            await s.a.same(thing, thing)  # buys what such a call needs
            await quiet()
            before = sum(world.kernel.transitions.values())
            handed = world.kernel.transitions["hand over"]
            again = thing
            assert again is thing
            assert thing == again
            others: tuple[object, ...] = s.a, s.b
            assert thing not in others
            assert hash(thing) == hash(again)
            del again
            assert sum(world.kernel.transitions.values()) == before
            await s.a.same(thing, thing)
            cost = sum(world.kernel.transitions.values()) - before
            # What is passed on is handed over by the kernel; nothing else of this enters it.
            assert world.kernel.transitions["hand over"] - handed == 1
            cost -= 1
            await s.a.do(1)
            assert sum(world.kernel.transitions.values()) - before == 2 * cost + 1
            # The last reference of each of these is dropped: nothing happens at once, and what
            # is told of them goes with the next call.
            things = [thing, *[await s.a.make(str(n)) for n in range(5)]]
            del thing
            exports = len(only(s.server_a).peer.exports)
            await quiet()
            signals = world.kernel.transitions["signal"]
            before = sum(world.kernel.transitions.values())
            dropped = 0
            while things:
                things.pop()
                dropped += 1
                assert sum(world.kernel.transitions.values()) == before
            await s.a.do(1)
            assert world.kernel.transitions["signal"] - signals == cost
            assert len(only(s.server_a).peer.exports) == exports - dropped
            covered("clone, drop and compare", dropped_for_the_last_time=dropped)
            await sleep(0.1)

    run(main)


def test_an_introduction_that_failed_leaves_nothing_to_the_garbage_collector() -> None:
    """An error keeps what its frames hold; so nothing may keep an error but who handles it."""

    async def main(world: World) -> None:
        async with scene(world) as s:
            at_b = await introduce(await s.a.make("t"), s.b)
            gc.collect()
            gc.disable()
            try:
                with pytest.raises(ForeignCapability, match="served elsewhere"):
                    await introduce(at_b, s.a)
                exports = only_client(s.server_b).peer.exports
                await quiet()
                assert len(exports) == 2
                del at_b
                await quiet()
                assert len(exports) == 1
            finally:
                gc.enable()

    run(main)


def test_what_is_provided_is_accepted_once_however_long_the_provision_is_kept() -> None:
    async def main(world: World) -> None:
        async with scene(world) as s:
            at_b = await introduce(await s.a.make("first"), s.b)
            (route,) = [way.route for way in session_of(s.a).ways.values()]
            thing: Any = await s.a.make("t")
            provide: Any = Introducing.provide
            number, provision = await session_of(s.a).out.call(
                thing, thing._pinfut_target, provide, (route.far,), frames.PROVIDE
            )
            take = (route.near, number, Thing._pinfut_id)
            taken = await ask(session_of(s.b).out, frames.TAKE, _take(), *take)
            assert await s.b.name_of(taken) == "a/t"
            with pytest.raises(UnknownObject, match="nothing is provided"):
                await ask(session_of(s.b).out, frames.TAKE, _take(), *take)
            del provision, at_b

    run(main)


def test_what_came_over_one_clients_way_is_not_handed_to_another_client() -> None:
    """Who did not pay for the way gets nothing that leads over it."""

    async def main(world: World) -> None:
        async with scene(world) as s:
            await s.b.keep(await introduce(await s.a.make("t"), s.b))
            assert await (await s.b.kept(0)).name() == "a/t"
            async with connect(world.kernel, "b", Desk, world.bank("other")) as other:
                with pytest.raises(ForeignCapability):
                    await other.kept(0)
            await s.b.forget()

    run(main)


def test_a_way_that_nobody_took_ends_with_the_sessions() -> None:
    async def main(world: World) -> None:
        async with scene(world) as s:
            at, to = session_of(s.a).end, session_of(s.b).end
            for _ in range(3):
                at.introduce(to, 32, 4, 1024)
            assert len(s.server_a.sessions) == len(s.server_b.sessions) == 1

    run(main)


def test_a_session_waits_for_the_handlers_of_the_ways_that_came_over_it() -> None:
    """A handler that cleans up holds its charge until it ends, on a way as on a session."""
    ended: list[str] = []

    class Cleaning(DeskServer):
        @method
        async def nap(self, seconds: float) -> float:
            try:
                await sleep(seconds)
            finally:
                await sleep(10)
                ended.append("a")
            return seconds

    class Napping(DeskServer):
        @method
        async def do(self, n: int) -> int:
            bushel = only_client(vats[0]).peer.exports
            (desk,) = [t for t, *_ in bushel.things.values() if type(t).__name__ == "DeskProxy"]
            await desk.nap(1000.0)
            return n

    vats: list[Vat] = []

    async def main(world: World) -> None:
        async with scene(world, Cleaning("a/"), Napping("b/")) as s:
            vats.append(s.server_b)
            at_b = await introduce(s.a, s.b)
            busy = s.b.do(1)
            await sleep(1)
            del at_b
        assert ended == ["a"]
        with pytest.raises(RpcError):
            await busy

    run(main)
