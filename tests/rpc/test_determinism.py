"""One seed, one history; and being watched or checked changes no result."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pinfut import join, try_join
from pinfut.executor import Instrument, Recorder, sleep, spawn, timeout
from pinfut.rpc import Promise, RpcError, Vat, connect, method
from tests.rpc.services import Desk, DeskServer, ThingServer
from tests.rpc.world import World, quiet, run


async def program(world: World, seed: int) -> tuple[list[Any], str]:
    """A bit of everything with three clients; its results and the kernel's digest."""
    draw = random.Random(seed)
    results: list[Any] = []

    async def do(n: int) -> int:
        await sleep(draw.choice([0.0, 0.001, 0.01]))
        if n % 11 == 0:
            raise ValueError(str(n))
        return n

    async with world.served("service", DeskServer(do=do)):
        clients = [
            connect(world.kernel, "service", Desk, world.bank(str(n)), slots=2 + n)
            for n in range(3)
        ]
        desks = [await client.__aenter__() for client in clients]
        for n in range(60):
            desk = draw.choice(desks)
            try:
                with timeout(draw.choice([0.005, 1])):
                    kind = draw.randrange(5)
                    if kind == 0:
                        results.append(await desk.do(n))
                    elif kind == 1:
                        results.append(await desk.desk("d", 0.001).make(str(n)).name())
                    elif kind == 2:
                        results.append(await desk.name_of(ThingServer(str(n))))
                    elif kind == 3:
                        results.append(len(await desk.data(draw.randrange(20_000))))
                    else:
                        results.append(await try_join(*[each.do(n + 1) for each in desks]))
            except (RpcError, TimeoutError) as error:
                results.append(f"{type(error).__name__}: {error}")
        for client in clients:
            await client.__aexit__(None, None, None)
        dying = Vat(world.kernel, "dying")
        left = connect(world.kernel, "service", Desk, world.bank("dying"), vat=dying)
        call = (await left.__aenter__()).nap(1)
        await quiet()
        dying.kill()
        del call
        await quiet()
    return results, world.kernel.digest()


def history(seed: int, kernel_seed: int = 0, **how: Any) -> tuple[list[Any], str]:
    return run(lambda world: program(world, seed), seed=kernel_seed, record=True, **how)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_results_and_the_same_digest(seed: int) -> None:
    first = history(seed, seed)
    assert history(seed, seed) == first
    results = [str(result) for result in first[0]]
    assert any("ValueError" in result for result in results)
    assert any("TimeoutError" in result for result in results)


def test_another_seed_of_the_kernel_gives_another_digest_and_the_same_values() -> None:
    results, digest = history(0, 0)
    digests = {digest}
    for kernel_seed in range(1, 4):
        others, other = history(0, kernel_seed)
        digests.add(other)
        assert len(others) == len(results)
    assert len(digests) == 4


def test_the_seed_draws_the_order_in_which_processes_run() -> None:
    def order(seed: int) -> tuple[str, ...]:
        arrived: list[str] = []

        class Noting(DeskServer):
            @method
            async def do(self, n: int) -> int:
                arrived.append(self.title)
                return n

        async def main(world: World) -> None:
            async with (
                world.served("a", Noting("a")),
                world.served("b", Noting("b")),
                connect(world.kernel, "a", Desk, world.bank("to a")) as a,
                connect(world.kernel, "b", Desk, world.bank("to b")) as b,
            ):
                await join(a.do(1), b.do(1))

        run(main, seed=seed)
        return tuple(arrived)

    orders = [order(seed) for seed in range(20)]
    assert set(orders) == {("a", "b"), ("b", "a")}
    assert [order(seed) for seed in range(20)] == orders


class Silent(Instrument):
    """Listens and does nothing."""


@pytest.mark.parametrize("seed", range(3))
def test_watching_and_checking_change_neither_results_nor_history(seed: int) -> None:
    plain = history(seed, seed, checked=False)
    recorder = Recorder()
    assert history(seed, seed, checked=True) == plain
    assert history(seed, seed, checked=False, instruments=[recorder]) == plain
    assert history(seed, seed, checked=True, instruments=[Recorder(limit=10), Silent()]) == plain
    assert recorder.counts["bank"] > 0
    assert recorder.counts["flush"] > 0
    assert recorder.counts["spawn"] > 0


def test_a_recorder_sees_the_charges_of_a_bank_and_they_sum_to_nothing() -> None:
    recorder = Recorder(limit=1_000_000)
    history(1, 1, instruments=[recorder])
    sums: dict[str, int] = {}
    for event in recorder.events:
        if event["k"] == "bank":
            sums[event["n"]] = sums.get(event["n"], 0) + event["dp"]
    assert len(sums) >= 4
    assert set(sums.values()) == {0}


def test_a_digest_needs_a_kernel_that_records() -> None:
    async def main(world: World) -> None:
        with pytest.raises(ValueError, match="record=True"):
            world.kernel.digest()

    run(main)


def test_a_recorder_sees_each_slot_from_the_call_to_the_taking() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            assert await desk.do(1) == 1
            dropped = spawn(take(desk.nap(1)))
            await quiet()
            dropped.cancel()
            await quiet()

    async def take(nap: Promise[float]) -> float:
        return await nap

    recorder = Recorder()
    run(main, instruments=[recorder])
    slots = [(event["x"], event["s"]) for event in recorder.events if event["k"] == "slot"]
    assert [state for x, state in slots if x == 1] == ["sent", "returned", "taken"]
    assert [state for x, state in slots if x == 2] == ["sent", "cancelled", "returned", "taken"]
