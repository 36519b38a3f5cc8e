"""E-order: what one holder sends to one object arrives in the order in which it was sent."""

from __future__ import annotations

import pytest

from pinfut import join
from pinfut.executor import sleep
from pinfut.rpc import session_of
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, run


@pytest.mark.parametrize("slots", [1, 2, 3, 8, 256])
def test_calls_on_an_object_arrive_in_order_whatever_the_number_of_slots(slots: int) -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        bank = world.bank(pages=2000)
        async with world.session(Desk, server, bank=bank, slots=slots) as desk:
            calls = [desk.tell(n, 0.1 * (n % 3)) for n in range(100)]
            await join(*calls)
            assert server.told == list(range(100))

    run(main)


def test_calls_arrive_in_order_when_the_ring_is_full() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        bank = world.bank(pages=2000)
        async with world.session(Desk, server, bank=bank, slots=256, ring=1024) as desk:
            calls = [desk.tell(n) for n in range(200)]
            await join(*calls)
            assert server.told == list(range(200))

    run(main)


def test_large_and_small_messages_keep_their_order_in_a_small_ring() -> None:
    async def main(world: World) -> None:
        order: list[int] = []

        async def do(n: int) -> int:
            order.append(n)
            return n

        async with world.session(Desk, DeskServer(do=do), slots=64, ring=4096) as desk:
            answers = []
            for n in range(20):
                answers.append(desk.length(b"x" * (n * 97 % 1900)))
                answers.append(desk.do(n))
            values = await join(*answers)
            assert values[1::2] == tuple(range(20))
            assert values[::2] == tuple(n * 97 % 1900 for n in range(20))
            assert order == list(range(20))

    run(main)


@pytest.mark.parametrize("slots", [1, 2, 8, 64])
def test_calls_on_a_promise_and_on_the_object_that_comes_keep_their_order(slots: int) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=slots) as desk:
            thing = desk.make("t", 0.1)
            early = [thing.tell(n) for n in range(10)]
            await thing
            late = [thing.tell(n) for n in range(10, 20)]
            assert (await join(*early, *late))[-1] == list(range(20))

    run(main)


@pytest.mark.parametrize("slots", [3, 8, 64])
def test_a_promise_that_resolves_to_an_own_object_keeps_the_order_of_calls(slots: int) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=slots) as desk:
            own = ThingServer("own")
            promise = desk.back(own)
            early = [promise.tell(n) for n in range(5)]
            while session_of(desk).round_trips < 2:  # until the promise has resolved
                await sleep(1e-7)
            late = [promise.tell(n) for n in range(5, 10)]
            await join(*early, *late)
            assert own.told == list(range(10))

    run(main)


def test_a_call_with_a_promised_argument_is_not_overtaken() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        async with world.session(Desk, server) as desk:
            first = desk.tell_with(1, desk.make("slow", 0.5))
            second = desk.tell(2)
            await join(first, second)
            assert server.told == [1, 2]

    run(main)


def test_calls_of_the_server_on_an_object_of_the_client_arrive_in_order() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        async with world.session(Desk, server, slots=4) as desk:
            own = ThingServer("own")
            await desk.keep(own)
            there: Thing = server.keeping[0]
            calls = [there.tell(n, 0.1 * (n % 2)) for n in range(30)]
            await join(*calls)
            assert own.told == list(range(30))
            del there
            await desk.forget()

    run(main)


def test_a_cancelled_call_leaves_the_order_of_the_others() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        async with world.session(Desk, server, slots=2) as desk:
            calls = [desk.tell(n, 0.1) for n in range(10)]
            del calls[1]  # under way
            del calls[6]  # waits for a slot: number 7
            await join(*calls)
            assert server.told == [0, *([1] if 1 in server.told else []), 2, 3, 4, 5, 6, 8, 9]

    run(main)
