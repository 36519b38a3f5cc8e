"""Sessions of one bank from one process to one server share their export table (row 42)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from pinfut.rpc import (
    GarbageFrame,
    Interface,
    PeerDied,
    SessionClosed,
    UnknownObject,
    connect,
    method,
    on_gone,
    prices,
    session_of,
)
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.contract import RECEIVER, Cap
from pinfut.rpc.objects.promise import IMPORTED, Target
from pinfut.rpc.objects.proxy import proxy, target_of
from pinfut.rpc.session.session import Session
from pinfut.rpc.vat import Vat
from pinfut.rpc.wire.exports import Bushel
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, quiet, run

EACH = prices.EXPORT + prices.OBJECT


def number_of(capability: Interface) -> int:
    target = target_of(capability)
    assert target is not None
    return target.id


def invented(session: Session, interface: type[Any], number: int) -> Any:
    """What calls an object that the session was perhaps not given."""
    return proxy(Target(session.out, interface, IMPORTED, number))


@dataclass
class Two:
    """Two sessions of one client with one server, and what the server has of them."""

    world: World
    vat: Vat
    server: Vat
    bank: Bank
    desks: list[Desk]

    @property
    def sessions(self) -> list[Session]:
        return [session_of(desk) for desk in self.desks]

    @property
    def bushels(self) -> list[Bushel]:
        return [session.peer.exports for session in self.server.sessions]

    def used(self) -> int:
        """Bytes that the server charges to the sessions that are open."""
        return sum(session.end.account.used - prices.SESSION for session in self.server.sessions)

    async def both(self, name: str) -> list[Thing]:
        """One object of the server's, over each session."""
        desk = self.desks[0]
        n = await desk.keep(await desk.make(name)) - 1
        return [await one.kept(n) for one in self.desks]


@asynccontextmanager
async def two(world: World, pages: int = 400) -> AsyncIterator[Two]:
    bank = world.bank(pages=pages)
    vat = Vat(world.kernel, "client")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(vat.close)
        server = await stack.enter_async_context(world.served("desk", DeskServer()))
        desks = [
            await stack.enter_async_context(connect(world.kernel, "desk", Desk, bank, vat=vat))
            for _ in range(2)
        ]
        yield Two(world, vat, server, bank, desks)
        desks.clear()


def test_an_object_has_one_number_in_both_sessions_and_is_charged_once() -> None:
    async def main(world: World) -> None:
        async with two(world) as s:
            one, other = s.bushels
            assert one.table is other.table, "asked twice, it is the same"
            assert (one.bank, other.bank) == ("client", "client")
            with pytest.raises(AttributeError):
                other.bank = "somebody else's"  # type: ignore[misc]
            assert number_of(s.desks[0]) == number_of(s.desks[1]), "the root"
            used = s.used()
            assert used == EACH + prices.REFERENCE
            n = await s.desks[0].keep(await s.desks[0].make("a")) - 1
            await quiet()
            first = await s.desks[0].kept(n)
            assert s.used() == used + EACH
            second = await s.desks[1].kept(n)
            assert number_of(first) == number_of(second)
            assert number_of(await s.desks[1].kept(n)) == number_of(second)
            assert s.used() == used + EACH + prices.REFERENCE
            alone = await s.desks[1].make("b")
            assert number_of(alone) not in (number_of(first), number_of(s.desks[0]))
            assert [await first.name(), await second.name(), await alone.name()] == ["a", "a", "b"]
            alone.release()
            first.release()
            await quiet()
            assert await second.name() == "a", "a release takes nothing from the other session"
            second.release()
            await quiet()
            assert s.used() == used
            first = await s.desks[0].kept(n)
            assert number_of(first) != number_of(second), "between the two nobody had it"

    run(main)


@pytest.mark.parametrize("other", ["another bank", "another process", "a bank of its own"])
def test_who_is_not_the_same_client_and_bank_has_a_table_of_its_own(other: str) -> None:
    async def main(world: World) -> None:
        async with two(world) as s:
            bank = world.bank("other") if other == "another bank" else s.bank
            vat = None if other == "another process" else s.vat
            quota = 100 if other == "a bank of its own" else None
            async with connect(world.kernel, "desk", Desk, bank, vat=vat, quota=quota):
                first, second, third = s.bushels
                assert first.table is second.table is not third.table
            async with (
                world.served("else", DeskServer()) as server,
                connect(world.kernel, "else", Desk, s.bank, vat=s.vat),
            ):
                (fourth,) = (session.peer.exports for session in server.sessions)
                assert fourth.table is not first.table, "another server"

    run(main)


def test_what_one_session_has_the_other_can_neither_call_nor_pass_on_nor_release() -> None:
    async def main(world: World) -> None:
        async with two(world) as s:
            mine = await s.desks[0].make("mine")
            number = number_of(mine)
            hostile = s.sessions[1]
            with pytest.raises(UnknownObject):
                hostile.end.hand_over([Cap(RECEIVER, number, 0)])
            with pytest.raises(UnknownObject, match="no object"):
                await invented(hostile, Thing, number).name()
            hostile.peer._send_release(number, 1)
            hostile.out.touch()
            await quiet()
            assert isinstance(hostile.error, (GarbageFrame, SessionClosed))
            assert len(s.server.sessions) == 1
            assert await mine.name() == "mine"

    run(main)


class Reader(Interface, Protocol):
    @method
    async def read(self) -> int: ...


class Writer(Reader, Protocol):
    @method
    async def write(self, value: int) -> None: ...


class Store(Interface, Protocol):
    @method
    async def open(self) -> Writer: ...
    @method
    async def look(self) -> Reader: ...


class Cell(Writer):
    def __init__(self) -> None:
        self.value = 0

    @method
    async def read(self) -> int:
        return self.value

    @method
    async def write(self, value: int) -> None:
        self.value = value


class StoreServer(Store):
    def __init__(self) -> None:
        self.cell = Cell()

    @method
    async def open(self) -> Writer:
        return self.cell

    @method
    async def look(self) -> Reader:
        return self.cell


def test_what_may_only_be_read_over_one_session_can_be_no_more_through_the_other() -> None:
    """Rows 55 and 56: who is given the one session has nothing of what went over the other."""

    async def main(world: World) -> None:
        vat, bank = Vat(world.kernel, "client"), world.bank()
        async with (
            world.served("store", StoreServer()),
            connect(world.kernel, "store", Store, bank, vat=vat) as whole,
            connect(world.kernel, "store", Store, bank, vat=vat) as less,
        ):
            writer, reader = await whole.open(), await less.look()
            assert number_of(writer) != number_of(reader), "a facet has its own number"
            await writer.write(7)
            assert await reader.read() == 7
            with pytest.raises(UnknownObject):
                await invented(session_of(less), Writer, number_of(writer)).write(8)
            assert await reader.read() == 7
        await vat.close()

    run(main)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("how", ["the client closes it", "the server does", "it is broken"])
def test_the_end_of_one_session_leaves_the_other_all_that_it_has(which: int, how: str) -> None:
    """With a bank that has nothing left, so that the charge that goes over can buy nothing."""

    async def main(world: World) -> None:
        async with two(world) as s:
            things = [await s.both(str(n)) for n in range(40)]
            loose = [await s.desks[which].make("x") for _ in range(40)]
            await quiet()
            pages, caps = s.bank.balance
            s.bank.buy(pages, caps)
            ending, stays = s.sessions[which], s.server.sessions[1 - which]
            if how == "the client closes it":
                ending.close(SessionClosed("enough"))
            elif how == "the server does":
                s.server.sessions[which].close(SessionClosed("enough"))
            else:
                ending.peer._send_release(12345, 1)
                ending.out.touch()
            await quiet()
            assert s.server.sessions == [stays]
            assert stays.end.account.used == prices.SESSION + stays.peer.exports.charged
            assert stays.peer.exports.charged >= 41 * EACH
            assert len(stays.peer.exports.table.entries) == 41, "what was loose is gone"
            for n, pair in enumerate(things):
                assert await pair[1 - which].name() == str(n)
            s.bank.sell(pages, caps)
            loose.clear()
            more = await s.desks[1 - which].make("after")
            assert await more.name() == "after"
            for pair in things:
                pair[1 - which].release()
            more.release()
            await quiet()
            left = stays.end.account.used - prices.SESSION
            assert EACH <= left <= EACH + prices.REFERENCE, "the root"

    run(main)


def test_when_a_process_dies_all_of_both_sessions_goes() -> None:
    async def main(world: World) -> None:
        for who in ("client", "server"):
            async with world.served(who, DeskServer()) as server:
                vat, bank = Vat(world.kernel, "client"), world.bank(who + "'s")
                async with AsyncExitStack() as stack:
                    sessions = [vat.connect(who, bank) for _ in range(2)]
                    desks = [await one.bootstrap(Desk) for one in sessions]
                    things = [await desk.make("x") for desk in desks for _ in range(20)]
                    (vat if who == "client" else server).kill()
                    await quiet()
                    for thing in things if who == "server" else ():
                        with pytest.raises(PeerDied):
                            await thing.name()
                    stack.push_async_callback(vat.close)
                    if who == "client":
                        assert server.sessions == []
                        assert not server._tables
            await quiet()

    run(main)


def test_a_watch_is_for_the_hold_of_one_session() -> None:
    class Watching(DeskServer):
        def __init__(self) -> None:
            super().__init__()
            self.thing = ThingServer("watched")
            self.gone: list[Any] = []

        @method
        async def make(self, name: str, seconds: float = 0.0) -> Thing:
            self.gone.append(on_gone(self.thing))
            return self.thing

    async def main(world: World) -> None:
        vat, bank, root = Vat(world.kernel, "client"), world.bank(), Watching()
        async with (
            world.served("desk", root),
            connect(world.kernel, "desk", Desk, bank, vat=vat) as one,
            connect(world.kernel, "desk", Desk, bank, vat=vat) as other,
        ):
            first, second = await one.make(""), await other.make("")
            assert number_of(first) == number_of(second)
            first.release()
            await quiet()
            assert [gone._over for gone in root.gone] == [True, False]
            second.release()
            await quiet()
            assert [gone._over for gone in root.gone] == [True, True]
        await vat.close()

    run(main)


def test_the_table_of_a_client_goes_with_its_last_session() -> None:
    async def main(world: World) -> None:
        async with world.served("desk", DeskServer()) as server:
            vat, bank = Vat(world.kernel, "client"), world.bank()
            for _ in range(3):
                async with connect(world.kernel, "desk", Desk, bank, vat=vat):
                    async with connect(world.kernel, "desk", Desk, bank, vat=vat):
                        assert len(server._tables) == 1
                    assert len(server._tables) == 1
                await quiet()
                assert not server._tables
            await vat.close()

    run(main)
