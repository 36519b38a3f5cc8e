"""Several processes on one machine: services that use services, sharing, and fairness."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pinfut import join, try_join
from pinfut.executor import (
    CancelledError,
    Executor,
    VirtualClock,
    current_executor,
    scope,
    shield,
    sleep,
    spawn,
    timeout,
    yield_now,
)
from pinfut.rpc import (
    NestedShortage,
    OutOfPages,
    PeerDied,
    Promise,
    SessionClosed,
    SimKernel,
    Vat,
    connect,
    method,
    serve,
    session_of,
)
from pinfut.rpc.memory.ring import RingWriter
from tests.bounded import rounds
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, quiet, run


class Front(DeskServer):
    """A server that is a client of another one, on a bank of its own."""

    behind: Desk

    @method
    async def do(self, n: int) -> int:
        return 1 + await self.behind.do(n)

    @method
    async def make(self, name: str, seconds: float = 0.0) -> Thing:
        return Forward(await self.behind.make(name, seconds))

    @method
    async def desk(self, name: str, seconds: float = 0.0) -> Desk:
        front = Front(name)
        front.behind = await self.behind.desk(name, seconds)
        return front


class Forward(ThingServer):
    """An own object that stands for one of another session."""

    def __init__(self, thing: Thing) -> None:
        super().__init__("forward")
        self.behind = thing

    @method
    async def name(self) -> str:
        return await self.behind.name()


def test_a_server_may_be_a_client_of_another_with_a_bank_of_its_own() -> None:
    async def main(world: World) -> None:
        front = Front()
        own = world.bank("front")
        async with (
            world.served("back", DeskServer()),
            world.served("front", front) as vat,
            connect(world.kernel, "back", Desk, own, vat=vat) as behind,
        ):
            front.behind = behind
            async with connect(world.kernel, "front", Desk, world.bank()) as desk:
                assert await desk.do(1) == 2
                assert await desk.make("t", 0.1).name() == "t"
                assert await desk.desk("a").desk("b", 0.1).make("c").name() == "a/b/c"
                assert await join(*[desk.do(n) for n in range(100)]) == tuple(range(1, 101))
                assert len(vat.sessions) == 2
            await quiet()
            assert len(vat.sessions) == 1

    run(main)


def test_what_a_nested_call_lacks_is_told_to_the_first_caller_and_both_go_on() -> None:
    """A nested call's OutOfPages reaches the first caller as what it is: another payer's; bank
    rule 42, the half about Returns: they never wait for credit (trap T30)."""

    async def main(world: World) -> None:
        front = Front()
        own = world.bank("front")
        async with (
            world.served("back", DeskServer()),
            world.served("front", front) as vat,
            connect(world.kernel, "back", Desk, own, vat=vat) as behind,
        ):
            front.behind = behind
            async with connect(world.kernel, "front", Desk, world.bank()) as desk:
                await desk.do(1)
                rest = own.balance.pages
                own.refill(-rest)
                with pytest.raises(NestedShortage, match="'front'") as lack:
                    await try_join(*[desk.do(n) for n in range(50)])
                assert (lack.value.bank, lack.value.kind) == ("front", OutOfPages)
                assert lack.value.short > 0
                # Its own shortage is of another class, and names its own bank.
                with pytest.raises(OutOfPages, match="'client'") as own_lack:
                    await desk.data(400 * 4096)
                assert own_lack.value.bank == "client"
                assert not isinstance(own_lack.value, NestedShortage)
                assert not own_lack.value.begun
                await quiet()
                own.refill(rest)
                assert await join(*[desk.do(n) for n in range(50)]) == tuple(range(1, 51))

    run(main)


def test_when_the_server_behind_dies_the_one_in_front_tells_and_lives() -> None:
    async def main(world: World) -> None:
        front = Front()
        back = await serve(world.kernel, "back", DeskServer()).__aenter__()
        async with (
            world.served("front", front) as vat,
            connect(world.kernel, "back", Desk, world.bank("f"), vat=vat) as behind,
        ):
            front.behind = behind
            async with connect(world.kernel, "front", Desk, world.bank()) as desk:
                assert await desk.do(1) == 2
                slow = desk.make("t", 100)
                await quiet()
                back.kill()
                with pytest.raises(Exception, match="died"):
                    await slow
                with pytest.raises(Exception, match="died"):
                    await desk.do(1)
                assert await desk.nap(0.1) == 0.1
                assert session_of(desk).error is None

    run(main)


def test_a_cancel_travels_through_the_server_in_front() -> None:
    async def main(world: World) -> None:
        ended: list[int] = []

        async def do(n: int) -> int:
            try:
                await sleep(100)
            finally:
                ended.append(n)
            return n

        front = Front()
        async with (
            world.served("back", DeskServer(do=do)),
            world.served("front", front) as vat,
            connect(world.kernel, "back", Desk, world.bank("f"), vat=vat) as behind,
        ):
            front.behind = behind
            async with connect(world.kernel, "front", Desk, world.bank()) as desk:
                with pytest.raises(TimeoutError), timeout(0.1):
                    await desk.do(5)
                await quiet()
                assert ended == [5]

    run(main)


def test_one_process_may_have_many_sessions_and_ends_them_one_by_one() -> None:
    async def main(world: World) -> None:
        vat = Vat(world.kernel, "many")
        banks = [world.bank(str(n)) for n in range(5)]
        async with world.served("service", DeskServer()) as server:
            for count in range(1, 6):
                clients = [
                    connect(world.kernel, "service", Desk, bank, vat=vat) for bank in banks[:count]
                ]
                desks = [await client.__aenter__() for client in clients]
                assert len(vat.sessions) == len(server.sessions) == count
                assert await join(*[desk.do(n) for n, desk in enumerate(desks)]) == tuple(
                    range(count)
                )
                for left, client in enumerate(clients):
                    assert len(vat.sessions) == count - left
                    await client.__aexit__(None, None, None)
                await quiet()
                assert vat.sessions == server.sessions == []
            await vat.close()

    run(main)


def test_two_services_call_each_other() -> None:
    async def main(world: World) -> None:
        left, right = Front(), Front()
        async with (
            world.served("left", left) as one,
            world.served("right", right) as other,
            connect(world.kernel, "right", Desk, world.bank("l"), vat=one) as to_right,
            connect(world.kernel, "left", Desk, world.bank("r"), vat=other) as to_left,
        ):
            left.behind = to_right
            right.behind = DeskServer()
            assert await to_left.do(1) == 3
            left.behind, right.behind = DeskServer(), to_left
            assert await to_right.do(1) == 3

    run(main)


def test_a_vat_may_serve_several_services_and_be_its_own_client() -> None:
    """Bank rule 27: one wait covers notifications and messages."""

    async def main(world: World) -> None:
        async with world.served("one", DeskServer("1")) as vat:
            vat.listen("two", DeskServer("2"))
            with pytest.raises(ValueError, match="served already"):
                vat.listen("two", DeskServer("3"))
            async with (
                connect(world.kernel, "one", Desk, world.bank("a"), vat=vat) as one,
                connect(world.kernel, "two", Desk, world.bank("b"), vat=vat) as two,
            ):
                assert await one.make("x").name() == "1x"
                assert await two.make("x").name() == "2x"

    run(main)


def test_closing_a_vat_ends_its_sessions_in_both_directions() -> None:
    async def main(world: World) -> None:
        async with world.served("back", DeskServer()):
            vat = Vat(world.kernel, "middle")
            vat.listen("front", DeskServer())
            out = connect(world.kernel, "back", Desk, world.bank("out"), vat=vat)
            behind = await out.__aenter__()
            into = connect(world.kernel, "front", Desk, world.bank("into"))
            desk = await into.__aenter__()
            calls: list[Promise[Any]] = [behind.nap(100), desk.nap(100)]
            await quiet()
            await vat.close()
            await quiet()
            for call in calls:
                with pytest.raises(SessionClosed):
                    await call
            await out.__aexit__(None, None, None)
            await into.__aexit__(None, None, None)
            vat.kill()

    run(main)


def test_two_kernels_know_nothing_of_each_other() -> None:
    async def main(world: World) -> None:
        other = SimKernel(1)
        async with world.session(Desk, DeskServer("here")) as here:
            async with serve(other, "service", DeskServer("there")):
                bank = other.bank("client", pages=100)
                async with connect(other, "service", Desk, bank) as there:
                    assert await here.make("x").name() == "herex"
                    assert await there.make("x").name() == "therex"
            assert bank.pages_used == 0

    run(main)


# ---- fairness ----


async def turns(promise: Promise[int]) -> int:
    """How many turns of the executor an answer takes."""
    count = 0

    async def wait() -> None:
        await promise

    task = spawn(wait())
    for _ in rounds("the answer is here"):
        if task.done:
            break
        count += 1
        await yield_now()
    await task
    return count


def test_a_flood_of_one_client_does_not_keep_another_from_its_answer() -> None:
    """Trap T35: one client's batch does not starve the others."""

    served: list[int] = []

    async def do(n: int) -> int:
        served.append(n)
        return n

    async def main(world: World) -> None:
        flood_bank = world.bank("flood", pages=20_000)
        async with (
            world.served("service", DeskServer(do=do)),
            connect(
                world.kernel, "service", Desk, flood_bank, slots=4096, ring=1 << 20
            ) as flooding,
            connect(world.kernel, "service", Desk, world.bank("calm")) as calm,
        ):
            alone = await turns(calm.do(1))
            flood = [flooding.do(n) for n in range(4000)]
            beside = await turns(calm.do(20_000))
            assert beside <= alone + 3
            assert served.index(20_000) < 1000, "the flood had to wait"
            assert await join(*flood) == tuple(range(4000))

    run(main)


def test_many_clients_share_a_server_evenly() -> None:
    async def main(world: World) -> None:
        served: list[int] = []

        async def do(n: int) -> int:
            served.append(n)
            return n

        async def client(n: int) -> None:
            async with connect(
                world.kernel, "service", Desk, world.bank(str(n), pages=2000), slots=512
            ) as desk:
                await join(*[desk.do(n) for _ in range(300)])

        async with (
            world.served("service", DeskServer(do=do)),
            scope() as clients,
        ):
            for n in range(5):
                clients.spawn(client(n))
        assert sorted(served) == [n for n in range(5) for _ in range(300)]
        # When the first client is done, each of the others has had a fair part.
        first = min([i for i, n in enumerate(served) if served[: i + 1].count(n) == 300], default=0)
        shares = [served[: first + 1].count(n) for n in range(5)]
        assert min(shares) >= 150, shares

    run(main)


def test_an_idle_session_costs_a_server_nothing_per_turn() -> None:
    async def main(world: World) -> None:
        async with world.served("service", DeskServer()):
            idle = [
                connect(world.kernel, "service", Desk, world.bank(str(n)), slots=2)
                for n in range(50)
            ]
            for client in idle:
                await client.__aenter__()
            async with connect(world.kernel, "service", Desk, world.bank("busy")) as desk:
                before = sum(world.kernel.transitions.values())
                for n in range(20):
                    await desk.do(n)
                # One signal there and one back for each call, none for the idle ones.
                assert sum(world.kernel.transitions.values()) - before <= 20 * 2 + 4
            for client in idle:
                await client.__aexit__(None, None, None)

    run(main)


def test_a_batch_of_calls_costs_one_transition() -> None:
    """Row 61: a batch is published with one signal."""

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            await desk.do(0)
            await quiet()
            before = world.kernel.transitions["signal"]
            await join(*[desk.do(n) for n in range(50)])
            assert world.kernel.transitions["signal"] - before <= 3

    run(main)


def test_what_waited_for_room_is_submitted_as_a_batch_and_each_is_refunded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row 61: a flush submits what waits in one batch, as far as it fits."""
    batches: list[tuple[int, int]] = []
    submit_all = RingWriter.submit_all

    def counted(self: RingWriter, frames: Iterable[bytes]) -> int:
        offered = list(frames)
        taken = submit_all(self, offered)
        batches.append((taken, len(offered)))
        return taken

    monkeypatch.setattr(RingWriter, "submit_all", counted)

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), ring=2048) as desk:
            out = session_of(desk).out
            free = out.account.used
            sizes = [100 * (n % 7 + 1) for n in range(40)]
            calls = [desk.length(bytes(size)) for size in sizes]
            waiting = out.waiting
            held = out.account.used
            assert waiting
            assert list(await join(*calls)) == sizes
            assert sum(taken for taken, _ in batches) == waiting
            assert sum(0 < taken < offered for taken, offered in batches), "none stopped"
            assert out.account.used == free < held

    run(main)


def test_a_session_dies_with_the_executor_that_it_was_opened_on() -> None:
    kernel = SimKernel()
    bank = kernel.bank("client", pages=100)
    kept: list[Desk] = []

    async def main() -> None:
        async with (
            serve(kernel, "service", DeskServer()),
            connect(kernel, "service", Desk, bank) as desk,
        ):
            kept.append(desk)

    Executor(clock=VirtualClock()).run(main())
    with pytest.raises(SessionClosed):
        kept[0].do(1)
    assert bank.pages_used == 0
    assert not issubclass(SessionClosed, PeerDied)


def test_a_block_that_is_cancelled_while_it_closes_leaves_no_vat_behind() -> None:
    """Its handler does not end at once, so that the close has to wait."""

    async def holds_on(n: int) -> int:
        try:
            await sleep(100)
        finally:
            with shield():
                await sleep(10)
        return n

    async def main() -> None:
        kernel = SimKernel()
        bank = kernel.bank("client", pages=100)
        executor = current_executor()
        before = set(executor.tasks)

        async def uses() -> None:
            async with (
                serve(kernel, "desk", DeskServer("", holds_on)),
                connect(kernel, "desk", Desk, bank) as desk,
            ):
                await timeout(1, desk.do(1))

        using = spawn(uses())
        await sleep(2)  # the call has timed out, and the close waits for its handler
        using.cancel()
        with pytest.raises(CancelledError):
            await using
        await sleep(20)
        assert not {task.name for task in executor.tasks if task not in before}
        assert bank.balance.pages == 100

    Executor(clock=VirtualClock()).run(main())


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_a_vat_that_has_ended_opens_and_offers_nothing(how: str) -> None:
    """A call of it would wait forever: nobody looks for the answer."""

    async def main(world: World) -> None:
        async with world.served("service", DeskServer()):
            vat = Vat(world.kernel, "client")
            if how == "killed":
                vat.kill()
            await vat.close()
            with pytest.raises(SessionClosed, match="client"):
                async with connect(world.kernel, "service", Desk, world.bank(), vat=vat):
                    raise AssertionError("connected")
            with pytest.raises(SessionClosed, match="client"):
                vat.listen("other", DeskServer())

    run(main)
