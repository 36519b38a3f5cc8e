"""E-order: what one holder sends to one object arrives in the order in which it was sent."""

from __future__ import annotations

from typing import Protocol

import pytest

from pinfut import join
from pinfut.rpc import Interface, method, session_of
from tests.bounded import until
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


class Pad(Interface, Protocol):
    @method
    async def tell(self, tag: int, padding: bytes) -> int: ...


class PadServer(Pad):
    def __init__(self) -> None:
        self.told: list[int] = []

    @method
    async def tell(self, tag: int, padding: bytes) -> int:
        self.told.append(tag)
        return len(padding)


@pytest.mark.parametrize("slots", [4, 128])
def test_large_and_small_messages_keep_their_order_in_a_small_ring(slots: int) -> None:
    async def main(world: World) -> None:
        server = PadServer()
        async with world.session(Pad, server, slots=slots, ring=4096) as pad:
            lengths = [(n * 97 % 1900) * (n % 3 > 0) for n in range(100)]
            answers = [pad.tell(n, b"x" * length) for n, length in enumerate(lengths)]
            assert await join(*answers) == tuple(lengths)
            assert server.told == list(range(100))

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


@pytest.mark.parametrize(
    ("slots", "count"), [(3, 5), (8, 5), (256, 5), (256, 150), (512, 400), (512, 500)]
)
def test_a_promise_that_resolves_to_an_own_object_keeps_the_order_of_calls(
    slots: int, count: int
) -> None:
    """Trap T25: no later call overtakes an earlier one on a shorter way (the embargo)."""

    async def main(world: World) -> None:
        bank = world.bank(pages=3000)
        async with world.session(Desk, DeskServer(), bank=bank, slots=slots) as desk:
            own = ThingServer("own")
            promise = desk.back(own)
            early = [promise.tell(n) for n in range(count)]
            session = session_of(desk)
            before = session.round_trips
            await until(lambda: session.round_trips != before, "the promise has resolved")
            # Not all of the early ones need have come back by now.
            late = [promise.tell(n) for n in range(count, count + 5)]
            await join(*early, *late)
            assert own.told == list(range(count + 5))

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
