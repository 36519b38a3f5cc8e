"""Sessions whose slots and rings follow what they use."""

from __future__ import annotations

from typing import get_args

import pytest

from pinfut import join
from pinfut.rpc import connect, session_of
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.errors import GarbageFrame, OutOfPages
from pinfut.rpc.kernel.sim.arrival import Arrival
from pinfut.rpc.memory.lane import Completions
from pinfut.rpc.memory.ring import LAST
from tests.covered import covered, require
from tests.rpc.hostile import Raw, call, tail_of, word
from tests.rpc.services import Desk, DeskServer, ThingServer
from tests.rpc.world import World, only, quiet, run

NAME = "sessions that grow"
DO, NAP = 0, 7


def spend(bank: Bank) -> int:
    """Leave nothing; how much that was."""
    rest = bank.balance.pages
    bank.refill(pages=-rest)
    return rest


def test_what_a_session_costs_is_what_it_uses_whatever_it_asked_for() -> None:
    async def main(world: World) -> None:
        costs = []
        async with world.served("desk", DeskServer()):
            for slots in (10, 64, 10_000):
                bank = world.bank(f"of {slots}")
                async with connect(world.kernel, "desk", Desk, bank, slots=slots) as desk:
                    opened = bank.pages_used
                    assert await join(*[desk.do(n) for n in range(10)]) == tuple(range(10))
                    costs.append((opened, bank.pages_used))
        small, *others = costs
        assert others == [others[0]] * 2
        # Of 10 slots not even 16 are bought.
        assert all(0 <= one - other <= 2 for one, other in zip(others[0], small, strict=True))

    run(main)


@pytest.mark.parametrize("arrival", get_args(Arrival))
def test_it_grows_and_shrinks_under_calls_that_end_in_any_order(arrival: Arrival) -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=2000)
        async with world.session(Desk, DeskServer(), bank=bank, slots=300) as desk:
            out = session_of(desk).out
            await desk.do(0)
            begun = bank.pages_used
            for rounds in range(3):
                long = desk.nap(40.0)  # stays open, while others come and go
                calls = [desk.data(n, (7 * n % 11) / 10) for n in range(250)]
                assert await join(*calls) == tuple(bytes([n % 251]) * n for n in range(250))
                assert out.submissions.slots >= 250
                most = bank.pages_used
                for n in range(1500):
                    assert await desk.do(n) == n
                assert out.submissions.slots < 64
                assert bank.pages_used < begun + (most - begun) // 4
                assert await long == 40.0
                covered(NAME, rounds=1, again=rounds)
            session_of(desk).trim()
            await desk.do(0)
            await quiet()
            assert out.submissions.slots == 16
            assert bank.pages_used <= begun + 4

    run(main, arrival=arrival)
    require(covered(NAME), "rounds", "again")


def test_what_has_grown_does_not_shrink_while_it_is_used_now_and_then() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), bank=world.bank(pages=2000)) as desk:
            out = session_of(desk).out
            sizes = []
            for _ in range(20):
                await join(*[desk.do(n) for n in range(40)])
                for n in range(20):
                    await desk.do(n)
                sizes.append((out.submissions.slots, out.submissions.capacity))
            assert set(sizes) == {sizes[0]}
            assert sizes[0][0] == 64

    run(main)


def test_calls_wait_for_slots_that_the_bank_cannot_pay_and_all_are_answered() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        async with world.session(Desk, DeskServer(), bank=bank, slots=200) as desk:
            out = session_of(desk).out
            await join(*[desk.do(n) for n in range(100)])
            session_of(desk).trim()
            await desk.do(0)
            await quiet()
            bank.refill(pages=16 - bank.balance.pages)
            calls = [desk.do(n) for n in range(40)]
            assert len(out.backlog.calls) > 0
            rest = spend(bank)
            assert await join(*calls) == tuple(range(40))
            assert out.submissions.slots == 32
            bank.refill(pages=rest + 300)
            assert await join(*[desk.do(n) for n in range(100)]) == tuple(range(100))

    run(main)


def test_a_message_for_which_no_ring_can_be_paid_fails_alone_and_was_not_sent() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        server = DeskServer()
        async with world.session(Desk, server, bank=bank) as desk:
            await desk.do(0)
            out = session_of(desk).out
            rest = spend(bank)
            with pytest.raises(OutOfPages):
                desk.length(bytes(5000))
            assert (len(out.questions), out.submissions.capacity) == (0, 2048)
            assert await desk.length(bytes(500)) == 500
            bank.refill(rest)
            assert await desk.length(bytes(5000)) == 5000
            assert out.submissions.capacity == 16_384

    run(main)


def test_calls_back_grow_as_well_at_the_clients_cost() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=2000)
        async with (
            world.served("desk", DeskServer()) as vat,
            connect(world.kernel, "desk", Desk, bank, slots=100) as desk,
        ):
            own = ThingServer("own")
            assert await desk.name_of(own) == "own"
            others = world.kernel.root.pages_used - bank.pages_used
            before = bank.pages_used
            names = await join(*[desk.name_of(own) for _ in range(60)])
            assert set(names) == {"own"}
            assert only(vat).out.submissions.slots >= 60
            assert bank.pages_used > before
            assert world.kernel.root.pages_used - bank.pages_used == others

    run(main)


@pytest.mark.parametrize("lie", ["a slot", "a ring", "gives up a call", "counts"])
def test_who_lies_about_its_size_ends_its_own_session_and_nothing_else(lie: str) -> None:
    async def main(world: World) -> None:
        async with world.served("desk", DeskServer()) as vat:
            good, bad = world.bank("good"), world.bank("bad")
            async with connect(world.kernel, "desk", Desk, good) as desk:
                raw = Raw(world.kernel, "desk", bad, 8, least=(2, 512))
                await raw.bootstrap(Desk)
                lane = raw.lane
                assert await desk.do(4) == 4
                used = good.pages_used
                assert len(vat.sessions) == 2
                tail = memoryview(lane.memory).cast("B")[tail_of(lane) :]
                if lie == "a slot":
                    raw.send(call(9, 0, DO, 1))
                    await quiet()
                    assert raw.replies() == [9]
                    raw.send(call(10, 0, DO, 1))  # x mod 8 is 2, and two are paid for
                elif lie == "a ring":
                    tail[:8] = word(lane.submissions.tail | LAST)
                    lane.signal()
                elif lie == "gives up a call":
                    lane.submissions.resize(8, 512)
                    raw.send(call(15, 0, NAP, 1000.0))  # slot 7; it naps
                    await quiet()
                    assert not raw.closed
                    lane.submissions.resize(2, 512)
                    raw.send(call(16, 0, DO, 1))
                else:
                    tail[:8] = word(lane.submissions.tail + 8 | LAST)
                    lane.signal()
                    await quiet()
                    tail[:8] = word(3 | LAST)
                    lane.signal()
                await quiet()
                assert raw.closed
                assert len(vat.sessions) == 1
                assert await desk.do(5) == 5
                assert good.pages_used == used
                raw.end.close()
                await quiet()
                assert bad.pages_used == 0

    run(main)


class Stays(Completions):  # type: ignore[misc]
    """Posts forever where it began."""

    __slots__ = ()

    def go_on(self, memory: memoryview, capacity: int) -> None: ...


@pytest.mark.parametrize("trims", [False, True])
def test_who_answers_and_leaves_no_memory_that_was_left_to_it_ends_its_session(trims: bool) -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=2000)

        async def use(desk: Desk, begun: int) -> None:
            for _ in range(20):
                await join(*[desk.nap(float(n)) for n in range(17)])
                assert bank.pages_used < begun + 20
                if trims:
                    session_of(desk).trim()
                else:
                    for n in range(80):
                        await desk.do(n)

        async with (
            world.served("desk", DeskServer()) as vat,
            connect(world.kernel, "desk", Desk, bank, slots=64) as desk,
        ):
            await desk.do(0)
            requests = only(vat).end.requests()
            assert requests is not None
            requests.completions.__class__ = Stays  # type: ignore[attr-defined]
            with pytest.raises((GarbageFrame, ExceptionGroup)):
                await use(desk, bank.pages_used)
            assert isinstance(session_of(desk).out.error, GarbageFrame)

    run(main)
