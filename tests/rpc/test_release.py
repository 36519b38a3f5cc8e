"""Letting go of capabilities, at a block's end, at once, or in cycles; and being told of it."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from weakref import ref

import pytest

from pinfut.executor import current_executor, sleep
from pinfut.laws import TakenTwice
from pinfut.rpc import (
    BankError,
    CallCancelled,
    Interface,
    NestedShortage,
    OutOfCaps,
    OutOfPages,
    Session,
    Vat,
    connect,
    current_session,
    method,
    on_gone,
    prices,
    serve,
)
from tests.bounded import rounds
from tests.covered import covered, require
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, only, quiet, run


@contextmanager
def no_collector() -> Iterator[None]:
    """The collector does not run by itself meanwhile."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def held(vat: Vat) -> int:
    """How many objects the one client of a server holds, its root included."""
    return len(only(vat).peer.exports)


def caps_of(session: Session) -> int:
    """Capabilities that the serving side of a session has charged."""
    account: Any = session.end.account
    taken: int = account.caps - account.free_caps
    return taken


@pytest.mark.parametrize("how", ["with", "async with", "release", "release, promised"])
def test_a_proxy_that_was_let_go_of_holds_nothing_though_something_names_it(how: str) -> None:
    async def main(world: World) -> None:
        async with (
            world.served("desk", DeskServer()) as vat,
            connect(world.kernel, "desk", Desk, world.bank()) as desk,
        ):
            taken = caps_of(only(vat))
            if how == "with":
                with desk.make("t") as thing:
                    assert await thing.name() == "t"
            elif how == "async with":
                async with desk.make("t", 1.0) as thing:
                    assert held(vat) == 2
                    assert await thing.name() == "t"
            else:
                thing = desk.make("t")
                if how == "release":
                    await thing
                    assert held(vat) == 2
                thing.release()
            await quiet()
            assert held(vat) == 1
            assert caps_of(only(vat)) == taken
            with pytest.raises(TakenTwice, match="this Thing was released"):
                await thing.name()
            with pytest.raises(TakenTwice):
                await thing
            with pytest.raises(TakenTwice):
                await desk.name_of(thing)
            thing.release()
            with thing:
                pass
            del thing
            await quiet()
            assert held(vat) == 1

    run(main)


def test_to_release_a_promise_cancels_its_call_and_wakes_who_waits() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            thing = desk.make("t", 1000.0)
            name = thing.name()

            async def wait() -> str:
                try:
                    await thing
                except TakenTwice:
                    return "told"
                return "waited in vain"

            waits = current_executor().spawn(wait())
            await sleep(1)
            thing.release()
            assert await waits == "told"
            with pytest.raises(CallCancelled):
                await name

    run(main)


def test_an_object_that_comes_again_after_its_release_is_there_again() -> None:
    async def main(world: World) -> None:
        async with (
            world.served("desk", DeskServer()) as vat,
            connect(world.kernel, "desk", Desk, world.bank()) as desk,
        ):
            own = await desk.make("kept")
            await desk.keep(own)
            promised = await desk.kept(0)  # a proxy of its own for the same object
            own.release()
            assert await promised.name() == "kept"
            again = await desk.kept(0)
            promised.release()
            assert await again.name() == "kept"
            again.release()
            (shared,) = await desk.things(1)
            shared.release()
            await quiet()
            assert held(vat) == 1

    run(main)


class Shelf(Interface, Protocol):
    @method
    async def one(self) -> Thing: ...
    @method
    async def each(self) -> list[Thing]: ...


class ShelfServer(Shelf):
    def __init__(self) -> None:
        self.thing = ThingServer("kept")

    @method
    async def one(self) -> Thing:
        return self.thing

    @method
    async def each(self) -> list[Thing]:
        return [self.thing]


def test_a_proxy_that_was_released_does_not_come_again_while_another_is_held() -> None:
    async def main(world: World) -> None:
        async with (
            world.served("shelf", ShelfServer()) as vat,
            connect(world.kernel, "shelf", Shelf, world.bank()) as shelf,
        ):
            (first,) = await shelf.each()
            other = await shelf.one()
            (again,) = await shelf.each()
            assert again is first
            first.release()
            (again,) = await shelf.each()
            assert await again.name() == await other.name() == "kept"
            again.release()
            other.release()
            await quiet()
            assert held(vat) == 1

    run(main)


def test_objects_of_this_process_are_left_as_they_are() -> None:
    async def main(world: World) -> None:
        own: Thing = ThingServer("own")
        with own as same:
            assert same is own
        async with own as same:
            assert await same.name() == "own"
        own.release()
        assert await own.name() == "own"
        local = DeskServer().make("local")
        async with local as thing:
            assert await thing.name() == "local"
        with pytest.raises(TakenTwice):
            await local.name()
        async with world.session(Desk, DeskServer()) as desk:
            for promise in (local, released := DeskServer().make("never", 1.0)):
                released.release()
                with pytest.raises(TakenTwice):
                    await desk.name_of(promise)

    run(main)


def test_an_own_object_that_came_back_is_let_go_of_too() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            own = ThingServer("own")
            back = desk.back(own)
            assert await back is own
            local = DeskServer().make("local")
            held: list[Any] = [ref(own), ref(await local)]
            del own
            assert None not in [one() for one in held]
            back.release()
            local.release()
            await quiet()
            gc.collect()
            assert [one() for one in held] == [None, None]

    run(main)


class Box:
    """Something that leads back to itself."""

    def __init__(self, thing: object) -> None:
        self.thing = thing
        self.me = self


async def make_until_refused(desk: Any, keep: Callable[[Thing], object]) -> int:
    """Have objects made until the bank is short; how many."""
    made = 0
    while True:
        try:
            thing = await desk.make("t")
        except OutOfCaps:
            return made
        keep(thing)
        made += 1


def test_proxies_in_cycles_are_found_when_the_bank_is_short() -> None:
    async def main(world: World) -> None:
        async with (
            world.served("desk", DeskServer()) as vat,
            connect(world.kernel, "desk", Desk, world.bank(caps=40)) as desk,
        ):
            with no_collector():
                made = await make_until_refused(desk, Box)
                await quiet()
                require(covered("cycles found", made=made), "made")
                assert held(vat) == 1
                assert await make_until_refused(desk, Box) == made

    run(main)


def test_searches_that_find_nothing_become_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), bank=world.bank(caps=40)) as desk:
            searched: list[int] = []
            monkeypatch.setattr(gc, "collect", lambda: searched.append(1))
            things: list[Thing] = []
            assert await make_until_refused(desk, things.append) > 8
            assert len(searched) == 1
            assert await make_until_refused(desk, things.append) == 0
            assert len(searched) == 1, "nothing came meanwhile"
            for _ in range(100):
                things.pop().release()
                await quiet()
                assert await make_until_refused(desk, things.append) == 1
            monkeypatch.undo()
            assert 4 <= len(searched) <= 8, "each has to wait for twice as many as the last"

    run(main)


def test_the_other_side_cannot_ask_a_server_to_search(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asks(DeskServer):
        @method
        async def name_of(self, thing: Thing) -> str:
            try:
                return await thing.name()
            except BankError:
                return "short"

    class Short(ThingServer):
        @method
        async def name(self) -> str:
            raise OutOfPages("of its own")

    async def main(world: World) -> None:
        async with world.session(Desk, Asks()) as desk:
            searched: list[int] = []
            monkeypatch.setattr(gc, "collect", lambda: searched.append(1))
            assert await desk.name_of(Short("t")) == "short"
            monkeypatch.undo()
            assert searched == []

    run(main)


async def keep_until_refused(desk: Any) -> None:
    for _ in rounds("an import is refused", 200):
        try:
            await desk.keep(ThingServer("more"))
        except OutOfCaps:
            return
    raise AssertionError("imports cost nothing")


def test_an_import_costs_its_client_a_capability() -> None:
    async def main(world: World) -> None:
        async with (
            world.served("desk", DeskServer()) as vat,
            connect(world.kernel, "desk", Desk, bank := world.bank(caps=100)) as desk,
        ):
            before = caps_of(session := only(vat))
            own = [ThingServer(str(n)) for n in range(30)]
            for thing in own:
                await desk.keep(thing)
            assert caps_of(session) == before + 30
            await keep_until_refused(desk)
            assert bank.caps_used <= 100
            await desk.forget()
            await quiet()
            assert caps_of(session) == before

    run(main)


# ---- being told ----


async def until(gone: Awaitable[None]) -> None:
    await gone


class Seats(Interface, Protocol):
    @method
    async def sit(self) -> Thing: ...
    @method
    async def pair(self) -> tuple[Thing, Thing]: ...
    @method
    async def here(self, name: str) -> None: ...
    @method
    async def call_back(self, thing: Thing) -> None: ...


class SeatsServer(Seats):
    """Seats are leased, and presence is known."""

    def __init__(self) -> None:
        self.taken = 0
        self.present: list[str] = []
        self.callbacks: list[Thing] = []

    @method
    async def sit(self) -> Thing:
        seat = ThingServer("seat")
        current_executor().spawn(self._lease(on_gone(seat)))
        self.taken += 1
        return seat

    @method
    async def pair(self) -> tuple[Thing, Thing]:
        return await self.sit(), await self.sit()

    async def _lease(self, gone: Awaitable[None]) -> None:
        await gone
        self.taken -= 1

    @method
    async def here(self, name: str) -> None:
        self.present.append(name)
        gone = on_gone(current_session())

        async def leave() -> None:
            await gone
            self.present.remove(name)

        current_executor().spawn(leave())

    @method
    async def call_back(self, thing: Thing) -> None:
        self.callbacks.append(thing)
        gone = on_gone(thing)

        async def forget() -> None:
            await gone
            self.callbacks.remove(thing)

        current_executor().spawn(forget())


@pytest.mark.parametrize("how", ["released", "the session ends", "the client dies"])
def test_a_server_is_told_when_a_client_lets_go_of_a_lease_or_is_gone(how: str) -> None:
    async def main(world: World) -> None:
        server = SeatsServer()
        async with world.served("seats", server):
            client = Vat(world.kernel, "client")
            session = client.connect("seats", world.bank())
            seats: Any = await session.bootstrap(Seats)
            other = Vat(world.kernel, "other")
            stays: Any = await other.connect("seats", world.bank("other")).bootstrap(Seats)
            seat, kept = await seats.sit(), await stays.sit()
            await seats.here("a")
            await stays.here("b")
            await seats.call_back(ThingServer("back"))
            await quiet()
            assert (server.taken, server.present, len(server.callbacks)) == (2, ["a", "b"], 1)
            if how == "released":
                seat.release()
                await quiet()
                assert (server.taken, server.present) == (1, ["a", "b"])
                assert len(server.callbacks) == 1
                await client.close()
            elif how == "the session ends":
                await client.close()
            else:
                client.kill()
            await quiet()
            assert (server.taken, server.present, server.callbacks) == (1, ["b"], [])
            assert await kept.name() == "seat"
            await other.close()
            await quiet()
            assert (server.taken, server.present) == (0, [])

    run(main)


def test_a_wait_is_paid_by_its_client_until_it_is_over() -> None:
    async def main(world: World) -> None:
        server = SeatsServer()
        async with (
            world.served("seats", server) as vat,
            connect(world.kernel, "seats", Seats, world.bank(pages=80, caps=4000)) as seats,
        ):
            account = only(vat).end.account
            before = account.used
            seat = await seats.sit()
            await quiet()
            price = prices.EXPORT + prices.OBJECT + prices.HANDLER
            assert account.used == before + price
            seat.release()
            await quiet()
            assert account.used == before
            kept = []
            for _ in rounds("a wait is refused", 400):
                try:
                    kept.append(await seats.sit())
                except (NestedShortage, OutOfPages):
                    break
            assert server.taken == len(kept) > 8
            kept.clear()
            await quiet()
            assert (server.taken, account.used) == (0, before)
            # Of the client itself: as long as its session.
            await seats.here("a")
            assert account.used == before + prices.HANDLER
        await quiet()
        assert server.present == []

    run(main)


def test_a_lease_that_its_client_cannot_hold_is_over_at_once() -> None:
    async def main(world: World) -> None:
        server = SeatsServer()
        async with world.session(Seats, server, bank=world.bank(caps=20)) as seats:
            kept = []
            try:
                for _ in rounds("a seat is refused", 100):
                    kept.append(await seats.sit())
            except OutOfCaps:
                await quiet()
            assert server.taken == len(kept) > 8
            with pytest.raises(OutOfCaps):
                await seats.pair()
            await quiet()
            assert server.taken == len(kept)
            kept.pop().release()
            await quiet()
            with pytest.raises(OutOfCaps):
                await seats.pair()
            await quiet()
            assert server.taken == len(kept)

    run(main)


def test_who_waits_no_more_leaves_nothing_behind() -> None:
    async def main(world: World) -> None:
        seat = ThingServer("seat")
        made: list[Any] = []

        async def wait(n: int) -> int:
            made[:] = [on_gone(current_session()), on_gone(seat)]
            return n

        async with (
            world.served("desk", DeskServer(do=wait)) as vat,
            connect(world.kernel, "desk", Desk, world.bank()) as desk,
        ):
            session = only(vat)
            before = session.end.account.used
            await desk.do(1)
            waits = [current_executor().spawn(until(one)) for one in made]
            await quiet()
            assert session.end.account.used == before + 2 * prices.HANDLER
            for one in waits:
                one.cancel()
            await quiet()
            assert session.end.account.used == before
            assert not session.peer.exports._watched
            assert not session._watching
            assert not session.closed
        await on_gone(session)  # it has ended
        with pytest.raises(RuntimeError, match="no call is being served"):
            on_gone(ThingServer("own"))

    run(main)


def test_a_client_is_told_that_its_session_has_ended() -> None:
    async def main(world: World) -> None:
        client = Vat(world.kernel, "client")
        server = serve(world.kernel, "desk", DeskServer())
        vat = await server.__aenter__()
        desk: Any = await client.connect("desk", bank := world.bank()).bootstrap(Desk)
        used = bank.pages_used
        gone = current_executor().spawn(until(on_gone(desk)))
        await quiet()
        assert not gone.done
        assert bank.pages_used == used, "a client pays nothing for its own waits"
        vat.kill()
        await gone
        await client.close()

    run(main)
