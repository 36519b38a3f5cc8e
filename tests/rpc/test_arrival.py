"""When signals arrive: at once, when the turn ends, later; what they announce is published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from pinfut import join
from pinfut.executor import sleep
from pinfut.rpc import EventBuffer, SimKernel, connect, session_of
from pinfut.rpc.kernel.sim.arrival import WHENS, Arrival, EarlySignal, When
from pinfut.rpc.kernel.sim.endpoint import SimEndpoint
from pinfut.rpc.kernel.sim.process import SimProcess
from pinfut.rpc.memory.ring import RingWriter
from tests.covered import covered, require
from tests.rpc.services import Desk, DeskServer, ThingServer
from tests.rpc.test_determinism import program
from tests.rpc.test_events import Server, Watch
from tests.rpc.test_random_programs import play, seeded
from tests.rpc.world import World, quiet, run

ARRIVALS: tuple[Arrival, ...] = (*WHENS, "drawn")
NAME = "signals arrive"


async def talk(world: World) -> None:
    """Calls, answers and room in both directions of two sessions, and events."""
    server = Server()
    with EventBuffer(world.bank("buffer"), places=2) as events:
        async with (
            world.served("desk", DeskServer()),
            world.served("watch", server),
            connect(world.kernel, "desk", Desk, world.bank("a"), slots=2, ring=512) as desk,
            connect(world.kernel, "watch", Watch, world.bank("b"), events=events) as watch,
        ):
            # More than the slots and the ring take at once, and calls on what has not come.
            lengths = [desk.length(bytes(150)) for _ in range(12)]
            assert await join(*lengths) == (150,) * 12
            assert await desk.make("t").name() == "t"
            assert await desk.data(9000) == bytes([9000 % 251]) * 9000
            # The server calls back, so that its own lane is there.
            own = ThingServer("own")
            assert await join(*[desk.name_of(own) for _ in range(3)]) == ("own",) * 3
            await watch.watch(events.open())
            for n in range(5):
                assert server.source.post(b"%d" % n) == 1
                event = await events.next()
                assert event.state == b"%d" % n
                events.arm(event.key)
            # Given up while it is on its way, and while it runs.
            gone = desk.nap(5.0)
            await sleep(1)
            del gone
            desk.nap(5.0).drop()
            await quiet()
            assert await desk.do(1) == 1


@pytest.mark.parametrize("arrival", ARRIVALS)
def test_what_a_session_signals_is_published_whenever_the_signal_arrives(arrival: Arrival) -> None:
    """Row 60: publish, then signal. `World.check` raises what arrived too early."""
    for seed in range(4):

        async def main(world: World) -> None:
            await talk(world)
            count(world)

        run(main, seed=seed, arrival=arrival)
    require(covered(NAME), "announced", *(WHENS if arrival == "drawn" else [cast(str, arrival)]))


@pytest.mark.parametrize("arrival", ARRIVALS)
def test_random_programs_hold_whenever_signals_arrive(arrival: Arrival) -> None:
    for seed in range(4):

        async def main(world: World, seed: int = seed) -> None:
            await play(world, seeded(seed))
            count(world)

        run(main, seed=seed, arrival=arrival)
    require(covered(NAME), "announced")


def count(world: World) -> None:
    arrivals = world.kernel.arrivals
    assert arrivals is not None
    covered(NAME, **arrivals.counts)


@contextmanager
def signals_first(kernel: SimKernel, end: SimEndpoint) -> Iterator[None]:
    """This side tells the other of its next message before that is published."""
    writer, publish = end.submissions(), RingWriter.publish

    def early(self: RingWriter) -> bool:
        if self is writer and self.unpublished:
            kernel.signal(end)
        return publish(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RingWriter, "publish", early)
        yield


def near_of(desk: Any) -> SimEndpoint:
    """The client's endpoint."""
    end = session_of(desk).end
    assert isinstance(end, SimEndpoint)
    return end


@pytest.mark.parametrize("arrival", ["at once", "turn"])
def test_a_signal_before_its_message_is_an_error_that_names_session_and_ring(
    arrival: Arrival,
) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            end = near_of(desk)
            before = end.submissions().tail
            with signals_first(world.kernel, end):
                call = desk.do(1)
                after = end.submissions().tail
                assert await call == 1, "in this world nobody else sees it"
            arrivals = world.kernel.arrivals
            assert arrivals is not None
            error, arrivals.error = arrivals.error, None
            assert isinstance(error, EarlySignal)
            assert str(error) == (
                f"session {end.name}: a signal of the client arrived ({arrival}) and the ring of "
                f"its calls stands at {before}; it announces {after}: publish first"
            )
            assert after > before

    run(main, arrival=arrival)


def test_a_signal_that_is_late_finds_what_was_published_after_it() -> None:
    """So a kernel that is always late would not see who signals first."""

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            with signals_first(world.kernel, near_of(desk)):
                assert await desk.do(1) == 1

    run(main, arrival="later")


@pytest.mark.parametrize("when", WHENS)
def test_a_badge_is_there_when_it_arrives_and_not_before(when: When) -> None:
    async def main(world: World) -> None:
        arrivals = world.kernel.arrivals
        assert arrivals is not None
        process, woken = SimProcess("p"), []
        waker: Any = type("Waker", (), {"wake": lambda self: woken.append(True)})()
        for _ in range(20):
            process.take()
            assert process.park(waker)
            woken.clear()
            arrivals.send(process, 7)
            assert process.ready is (when != "later")
            assert bool(woken) is (when == "at once")
            await quiet()
            assert woken
            assert process.take() == [7]

    run(main, arrival=when)


@pytest.mark.parametrize("arrival", ARRIVALS)
def test_one_seed_is_one_history_whenever_signals_arrive(arrival: Arrival) -> None:
    def history(seed: int) -> tuple[list[Any], str]:
        return run(lambda world: program(world, 3), seed=seed, record=True, arrival=arrival)

    first = history(1)
    assert history(1) == first
    assert history(2)[1] != first[1]


def test_signals_at_the_end_of_their_turn_are_those_of_a_kernel_that_draws_nothing() -> None:
    plain = run(lambda world: program(world, 3), seed=5, record=True)
    assert run(lambda world: program(world, 3), seed=5, record=True, arrival="turn") == plain
    others = {
        run(lambda world: program(world, 3), seed=5, record=True, arrival=arrival)[1]
        for arrival in ARRIVALS
    }
    assert len(others) == len(ARRIVALS)


def test_what_was_announced_to_who_has_gone_is_forgotten() -> None:
    async def main(world: World) -> None:
        await talk(world)
        arrivals = world.kernel.arrivals
        assert arrivals is not None
        assert arrivals.counts["announced"]
        assert not arrivals._announced

    run(main, arrival="later")


def test_a_time_that_is_none_is_refused() -> None:
    wrong: Any = "soon"
    with pytest.raises(ValueError, match="at once, turn, later, drawn, not 'soon'"):
        SimKernel(arrival=wrong)
