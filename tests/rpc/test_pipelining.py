"""Calls on what has not come yet: one round trip for a chain, order, errors, own objects."""

from __future__ import annotations

import gc
import weakref
from typing import Any, Protocol, cast

import pytest

from pinfut import join
from pinfut.executor import sleep, spawn, timeout
from pinfut.rpc import (
    Interface,
    InterfaceMismatch,
    Promise,
    PromiseLoop,
    RemoteError,
    SessionClosed,
    connect,
    method,
    serve,
    session_of,
)
from pinfut.rpc.session.returns import Returns
from pinfut.rpc.wire.questions import Question
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, quiet, run


def chain(desk: Desk, length: int) -> Desk:
    """`length` calls, each on the promise of the one before."""
    for n in range(length):
        desk = desk.desk(str(n))
    return desk


async def wait(promise: Promise[float]) -> float:
    return await promise


@pytest.mark.parametrize("length", [1, 2, 5, 30])
def test_a_chain_of_calls_costs_one_round_trip(length: int) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            before = session_of(desk).round_trips
            name = await chain(desk, length - 1).make("end").name()
            assert name == "".join(f"{n}/" for n in range(length - 1)) + "end"
            assert session_of(desk).round_trips - before == 1

    run(main)


@pytest.mark.parametrize("length", [1, 2, 5, 30])
def test_without_pipelining_each_call_costs_a_round_trip(length: int) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            before = session_of(desk).round_trips
            here = desk
            for n in range(length):
                here = await here.desk(str(n))
            assert session_of(desk).round_trips - before == length

    run(main)


def test_many_chains_at_once_cost_one_round_trip_together() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=64) as desk:
            before = session_of(desk).round_trips
            names = await join(*[desk.desk(str(n)).make("x").name() for n in range(10)])
            assert names == tuple(f"{n}/x" for n in range(10))
            assert session_of(desk).round_trips - before == 1

    run(main)


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_a_chain_longer_than_the_slots_completes(slots: int) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=slots) as desk:
            end = await chain(desk, 20).make("end").name()
            assert end == "".join(f"{n}/" for n in range(20)) + "end"
            assert await desk.do(1) == 1

    run(main)


def test_a_chain_through_slow_handlers_waits_at_the_server() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            name = await desk.desk("a", 0.5).desk("b", 0.5).make("c", 0.5).name()
            assert name == "a/b/c"
            assert session_of(desk).round_trips <= 5  # bootstrap, and one for each wake

    run(main)


def test_a_promise_passed_as_an_argument_is_sent_at_once() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            before = session_of(desk).round_trips
            assert not await desk.same(desk.make("a"), desk.desk("b").make("c"))
            assert session_of(desk).round_trips - before == 1
            thing = desk.make("d")
            assert await desk.same(thing, thing)
            assert await desk.names_of([desk.make("b"), desk.desk("c").make("d")]) == ["b", "c/d"]

    run(main)


def test_a_slow_promise_passed_as_an_argument_arrives_as_the_object() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            assert await desk.name_of(desk.make("a", 0.5)) == "a"
            assert await desk.names_of([desk.make("b", 0.5), desk.make("c", 0.1)]) == ["b", "c"]
            thing = desk.make("d", 0.5)
            assert await desk.same(thing, thing)
            assert await desk.back(thing).name() == "d"

    run(main)


def test_a_promise_passed_by_a_call_that_waits_for_a_slot_arrives_as_the_object() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=2) as desk:
            thing = desk.make("a", 0.1)
            busy = spawn(wait(desk.nap(0.2)))
            named = desk.name_of(thing)  # no slot; `thing` has come when there is one
            assert await named == "a"
            assert await busy == 0.2

    run(main)


def test_a_promise_of_a_call_that_waits_for_a_slot_can_be_passed_as_an_argument() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=1) as desk:
            busy = spawn(wait(desk.nap(0.2)))
            thing = desk.make("a")
            assert await desk.name_of(thing) == "a"
            assert await busy == 0.2

    run(main)


def test_the_error_of_an_early_link_reaches_the_end_of_the_chain() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        async with world.session(Desk, server) as desk:
            with pytest.raises(RemoteError, match="ValueError: no such") as caught:
                await desk.fail("no such").desk("b").make("c").name()
            assert (caught.value.kind, caught.value.detail) == ("ValueError", "no such")
            with pytest.raises(RemoteError, match="late"):
                await desk.fail("late", 0.5).desk("b").make("c")
            with pytest.raises(RemoteError, match="argument"):
                await desk.same(desk.make("a"), desk.fail("argument", 0.5).make("x"))
            with pytest.raises(RemoteError, match="argument"):
                await desk.name_of(desk.fail("argument").make("x"))
            assert await desk.make("fine").name() == "fine"

    run(main)


def test_a_broken_promise_raises_at_each_await_and_at_each_later_call() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            broken = desk.fail("gone")
            for _ in range(3):
                with pytest.raises(RemoteError, match="gone"):
                    await broken
                with pytest.raises(RemoteError, match="gone"):
                    await broken.make("x").name()
            with pytest.raises(RemoteError, match="gone"):
                await desk.name_of(broken.make("x"))
            assert await desk.do(1) == 1

    run(main)


def test_a_promise_that_resolves_to_an_own_object_gives_the_object_itself() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            own = ThingServer("own")
            promise = desk.back(own)
            assert await promise is own
            assert await promise.name() == "own"
            assert await desk.back(own).name() == "own"
            assert await desk.name_of(desk.back(own)) == "own"
            assert await desk.back(desk.back(desk.back(own))) is own

    run(main)


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_promises_of_own_objects_that_were_called_do_not_use_the_slots_up(slots: int) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=slots) as desk:
            own = [ThingServer(str(n)) for n in range(8)]
            promises = []
            for n, thing in enumerate(own):
                promises.append(desk.back(thing))
                assert await promises[-1].name() == str(n)
            assert await desk.do(1) == 1

    run(main)


class Asker(Interface, Protocol):
    @method
    async def pass_on(self, desk: Desk) -> Thing: ...
    @method
    async def pass_on_in_list(self, desk: Desk) -> list[Thing]: ...
    @method
    async def from_here(self, seconds: float) -> Thing: ...
    @method
    async def from_here_in_list(self, seconds: float) -> list[Thing]: ...


class AskerServer(Asker):
    @method
    async def pass_on(self, desk: Desk) -> Thing:
        return desk.make("promised", 0.5)  # not awaited: a promise is a Thing to the types

    @method
    async def pass_on_in_list(self, desk: Desk) -> list[Thing]:
        return [desk.make("promised", 0.5)]

    @method
    async def from_here(self, seconds: float) -> Thing:
        return DeskServer().make("here", seconds)

    @method
    async def from_here_in_list(self, seconds: float) -> list[Thing]:
        return [DeskServer().make("here", seconds), DeskServer().make("too", seconds)]


def test_a_handler_may_return_a_promise_of_the_clients_object() -> None:
    async def main(world: World) -> None:
        async with world.session(Asker, AskerServer()) as asker:
            own = DeskServer()
            assert await (await asker.pass_on(own)).name() == "promised"
            assert await asker.pass_on(own).name() == "promised"
            (thing,) = await asker.pass_on_in_list(own)
            assert await thing.name() == "promised"

    run(main)


@pytest.mark.parametrize("seconds", [0, 0.5])
def test_a_handler_may_return_a_promise_of_an_object_of_its_own_process(seconds: float) -> None:
    async def main(world: World) -> None:
        async with world.session(Asker, AskerServer()) as asker:
            assert await asker.from_here(seconds).name() == "here"
            things = await asker.from_here_in_list(seconds)
            assert [await thing.name() for thing in things] == ["here", "too"]

    run(main)


@pytest.mark.parametrize("seconds", [0, 0.5])
def test_a_promise_of_an_own_object_may_be_passed_as_an_argument(seconds: float) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            own = DeskServer().make("own", seconds)
            assert await desk.name_of(own) == "own"

    run(main)


@pytest.mark.parametrize("end", ["close", "server dies"])
def test_a_promise_of_an_own_object_with_calls_under_way_ends_with_its_session(end: str) -> None:
    async def main(world: World) -> None:
        own = ThingServer("own")
        outcomes: list[str] = []

        async def note(awaitable: Any) -> None:
            try:
                await awaitable
                outcomes.append("value")
            except SessionClosed:
                outcomes.append("session closed")

        server = await serve(world.kernel, "service", DeskServer()).__aenter__()
        async with connect(world.kernel, "service", Desk, world.bank()) as desk:
            promise = desk.back(own)
            early = promise.tell(1, 100)  # by way of the server, to `own`, which takes long
            await quiet()
            late = promise.tell(2)
            waiting = [spawn(note(each)) for each in (promise, early, late)]
            await quiet()
            if end == "server dies":
                server.kill()
        with timeout(1):
            for each in waiting:
                await each
        # What is known to be an own object may be given; what hangs is wrong.
        assert len(outcomes) == 3
        assert "session closed" in outcomes
        server.kill()

    run(main)


@pytest.mark.parametrize("slots", [1, 2])
def test_answers_that_nobody_has_taken_yet_do_not_hold_the_slots(slots: int) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=slots) as desk:
            numbers = [desk.do(n) for n in range(5)]
            assert await desk.do(9) == 9
            assert await join(*numbers) == (0, 1, 2, 3, 4)

    run(main)


@pytest.mark.parametrize("slots", [1, 2])
def test_answers_with_capabilities_that_nobody_has_taken_yet_do_not_hold_the_slots(
    slots: int,
) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=slots) as desk:
            lists = [desk.things(2) for _ in range(5)]
            with timeout(1):
                assert await desk.do(9) == 9
            for each in lists:
                assert [await thing.name() for thing in await each] == ["0", "1"]

    run(main)


def test_an_error_that_was_read_before_it_was_taken_keeps_nothing_alive() -> None:
    """An answer that named capabilities was opened early, so that its slot could be used again,
    and could not be read: its error stands in the slot. Taken, it is gone with whoever has it."""

    class Open:
        error = None
        questions = None

    returns = Returns(*cast(Any, (Open(), Open(), Open())))
    slot = Question(0)
    slot.value = None, InterfaceMismatch("another interface")
    gc.collect()
    gc.disable()
    try:
        try:
            returns.take_detached(slot, cast(Any, None))
        except InterfaceMismatch as error:
            kept = weakref.ref(error)
        assert slot.value is None
        assert kept() is None, "its traceback keeps the frame, and the frame the error"
    finally:
        gc.enable()


def test_calling_a_promise_of_data_is_refused_before_anything_is_sent() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            with pytest.raises(AttributeError):
                desk.do(1).name()  # type: ignore[attr-defined]
            assert await desk.do(1) == 1

    run(main)


def test_a_promise_may_be_awaited_after_it_was_used() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            thing = desk.make("a", 0.1)
            called = thing.name()
            assert await thing is thing
            assert await called == "a"
            assert await thing.name() == "a"

    run(main)


def test_the_promises_in_the_midst_of_a_chain_may_be_dropped() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            promise = desk.desk("a", 0.2)
            end = promise.make("b", 0.2)
            name = end.name()
            del promise, end
            gc.collect()
            assert await name == "a/b"

    run(main)


def test_a_timeout_of_a_chain_gives_every_link_up() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        async with world.session(Desk, server, slots=4) as desk:
            with pytest.raises(TimeoutError), timeout(0.1):
                await desk.desk("a", 50).desk("b", 50).make("c", 50).name()
            gc.collect()
            await quiet()
            # All slots are free again, long before the naps would have ended.
            with timeout(1):
                assert await join(*[desk.nap(0.1) for _ in range(4)]) == (0.1,) * 4

    run(main)


def test_arguments_of_a_call_that_never_ran_are_released() -> None:
    """Bank rule 34: what was sent along is always consumed, or given back."""

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            own = [ThingServer("failed"), ThingServer("cancelled"), ThingServer("unknown")]
            gone = [weakref.ref(thing) for thing in own]
            with pytest.raises(RemoteError):
                await desk.fail("x", 0.1).keep(own[0])
            promise = desk.desk("d", 0.5)
            queued = promise.keep(own[1])
            await sleep(0.1)
            del queued
            await promise
            with pytest.raises(RemoteError):
                await desk.same(desk.fail("y", 0.1).make("z"), own[2])
            own.clear()
            gc.collect()
            await quiet()
            gc.collect()
            assert [ref() for ref in gone] == [None] * 3

    run(main)


class Link(Interface, Protocol):
    @method
    async def next(self, n: int, seconds: float) -> Link: ...
    @method
    async def keep(self, link: Link) -> int: ...


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("through_a_call", [False, True])
def test_a_promise_that_would_wait_for_itself_is_refused(length: int, through_a_call: bool) -> None:
    """Trap T26: the handlers of a row of calls each give the promise of the next, and the last
    that of the first. The call that closes the loop fails, and all others with it."""

    class Ring(Link):
        def __init__(self) -> None:
            self.kept: list[Link] = []

        @method
        async def next(self, n: int, seconds: float) -> Link:
            await sleep(seconds)
            promise = self.kept[n]
            return promise.next(0, 0.0) if through_a_call else promise

        @method
        async def keep(self, link: Link) -> int:
            self.kept.append(link)
            return len(self.kept)

    async def main(world: World) -> None:
        server = Ring()
        async with world.session(Link, server) as root:
            ring = [root.next((n + 1) % length, 0.1 + n * 0.01) for n in range(length)]
            await join(*[root.keep(link) for link in ring])
            for link in ring:
                with pytest.raises(PromiseLoop, match="this very call"):
                    await link
            # A promise of one that ends is none, however long the way.
            assert await root.keep(root) == length + 1
            server.kept.clear()

    run(main)
