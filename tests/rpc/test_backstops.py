"""What no collector has to do: cycles across processes end with the session or the bank that pays,
and a refund waits for nobody to let go."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pinfut.executor import current_task, sleep, timeout
from pinfut.rpc import PAGE, RemoteError, SessionClosed, connect, destroy, method
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.session.charging import charge, keep
from pinfut.rpc.vat import Vat
from tests.covered import covered, require
from tests.rpc.services import Desk, DeskServer, ThingServer
from tests.rpc.world import World, only, quiet, run


class Own(ThingServer):
    """An object of the client's that holds one of the server's."""

    def __init__(self, held: Desk) -> None:
        super().__init__("own")
        self.held = held


class Making(DeskServer):
    """Makes desks that the test can watch."""

    def __init__(self) -> None:
        super().__init__()
        self.made_desks: list[weakref.ref[DeskServer]] = []

    @method
    async def desk(self, name: str, seconds: float = 0.0) -> Desk:
        made = DeskServer(name)
        self.made_desks.append(weakref.ref(made))
        return made


async def in_a_circle(desk: Desk) -> weakref.ref[Own]:
    """The client's object holds the server's, which holds the client's; nobody else has them."""
    own = Own(await desk.desk("inner"))
    assert await own.held.keep(own) == 1
    return weakref.ref(own)


@pytest.mark.parametrize("end", ["close", "client dies", "server dies", "destroy"])
def test_a_cycle_across_processes_ends_with_what_pays_for_it(end: str) -> None:
    """Trap T27: each side holds what the other handed out, for good; there is no collector across
    processes. Both are paid by the client, and the end of its session or bank is theirs."""

    async def main(world: World) -> None:
        bank = world.kernel.bank("client", pages=400)
        server = Making()
        vat = Vat(world.kernel, "service")
        vat.listen("service", server)
        client = Vat(world.kernel, "client")
        session = client.connect("service", bank, SessionSpec(8, 16_384, 1024))
        desk = await session.bootstrap(Desk)
        await quiet()
        before = only(vat).end.account.used
        owns = [await in_a_circle(desk) for _ in range(3)]
        await quiet()
        gc.collect()
        held = only(vat).end.account.used - before
        assert all(own() is not None for own in owns)
        assert all(made() is not None for made in server.made_desks)
        assert held > 0, "a circle that nobody pays for"
        with timeout(1):
            if end == "close":
                session.close(SessionClosed("a test"))
                await session.wait_closed()
            elif end == "client dies":
                client.kill()
                await destroy(bank)
            elif end == "server dies":
                vat.kill()
                await quiet()
                await session.wait_closed()
            else:
                await destroy(bank)
            await quiet()
        assert bank.pages_used == bank.caps_used == 0
        del desk, session
        gc.collect()  # what lies in one process is its own collector's
        watched: list[weakref.ref[Any]] = [*owns, *server.made_desks]
        assert [one() for one in watched] == [None] * len(watched)
        covered("cycles across processes", ended=len(owns), paid=held)
        if bank.alive:
            bank.close()
        await client.close()
        await vat.close()

    run(main)
    require(covered("cycles across processes"), "ended", "paid")


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Circle:
    """Refers to itself, and to something else."""

    def __init__(self, thing: Any) -> None:
        self.me = self
        self.thing = thing


def test_a_refund_waits_for_no_collector_and_for_nobody_to_let_go() -> None:
    """Trap T33: what was charged comes back when the work is over, whoever holds the task, the
    ref or what was kept, and whatever stands in circles."""
    leaked: list[Any] = []

    class Leaking(DeskServer):
        @method
        async def nap(self, seconds: float) -> float:
            leaked.append(Circle(current_task()))
            await sleep(seconds)
            return seconds

        @method
        async def fail(self, message: str, seconds: float = 0.0) -> Desk:
            try:
                raise ValueError(message)
            except ValueError as error:
                leaked.append(Circle(error))  # with the frame of this handler
                raise

    async def main(world: World) -> None:
        bank = world.bank()
        async with world.served("service", Leaking()) as vat:
            async with connect(world.kernel, "service", Desk, bank) as desk:
                await desk.nap(0.0)
                await quiet()
                session = only(vat)
                account = session.end.account
                used = account.used
                with no_collector():
                    # Handlers, of which somebody keeps the tasks and the frames.
                    calls = [desk.nap(1.0) for _ in range(20)]
                    await sleep(0.5)
                    assert account.used > used
                    for call in calls:
                        await call
                    assert await fails(desk)
                    await quiet()
                    assert account.used == used, "a handler that has ended is still charged"
                    # What is kept for the client, dropped and held all the same.
                    with charge(session):
                        refs = [keep(Circle(None), 2 * PAGE) for _ in range(5)]
                    for ref in refs:
                        leaked.append(Circle((ref, ref.get())))
                        ref.drop()
                    assert account.used == used, "what is kept no longer is still charged"
                    with charge(session):
                        refs = [keep(Circle(None), 2 * PAGE) for _ in range(5)]
                    leaked.extend(Circle((ref, ref.get())) for ref in refs)
                    # And a promise that the client keeps, of a call that never ends.
                    leaked.append(Circle(desk.nap(1e6)))
                    await quiet()
            with no_collector():
                await quiet()
                assert bank.pages_used == bank.caps_used == 0
        covered("refunds without a collector", leaked=len(leaked))
        leaked.clear()
        gc.collect()

    run(main)


async def fails(desk: Desk) -> bool:
    """In a frame of its own, which is over with what it holds."""
    try:
        await desk.fail("no such", 0.0)
    except RemoteError:
        return True
    return False
