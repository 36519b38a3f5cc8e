"""Giving calls up: by timeout, by cancel of the task, by dropping the promise."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from pinfut import join, race, select, try_join
from pinfut.executor import CancelledError, current_executor, sleep, spawn, timeout
from pinfut.rpc import PAGE, Interface, Promise, connect, method, session_of
from tests.covered import covered
from tests.rpc import hostile
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, only, quiet, run


class Log:
    """A handler that tells when it starts, is cancelled, and ends."""

    def __init__(self, cleaning: float = 0.0, stubborn: bool = False) -> None:
        self.events: list[str] = []
        self._cleaning = cleaning
        self._stubborn = stubborn

    async def __call__(self, n: int) -> int:
        self.events.append(f"start {n}")
        try:
            await sleep(50)
        except CancelledError:
            self.events.append(f"cancel {n}")
            if self._cleaning:
                await sleep(self._cleaning)
                self.events.append(f"clean {n}")
            if not self._stubborn:
                raise
        self.events.append(f"end {n}")
        return n


async def wait(promise: Promise[float]) -> float:
    return await promise


async def by_timeout(desk: Desk) -> None:
    with pytest.raises(TimeoutError), timeout(0.1):
        await desk.do(1)


async def by_task_cancel(desk: Desk) -> None:
    async def call() -> int:
        return await desk.do(1)

    task = spawn(call())
    await sleep(0.1)
    task.cancel()
    with pytest.raises(CancelledError):
        await task


async def by_dropping_it_unawaited(desk: Desk) -> None:
    promise = desk.do(1)
    await sleep(0.1)
    del promise


async def by_losing_a_race(desk: Desk) -> None:
    assert await race(desk.do(1), sleep(0.1)) is None


async def by_an_error_beside_it(desk: Desk) -> None:
    async def fail() -> int:
        await sleep(0.1)
        raise KeyError("beside")

    with pytest.raises(KeyError):
        await try_join(desk.do(1), fail())


async def by_dropping_a_pending_select(desk: Desk) -> None:
    promise: Promise[int] = desk.do(1)
    won = await select(promise, sleep(0.1))
    assert won.winner == 1
    promise.drop()
    promise.drop()  # idempotent


WAYS: list[Callable[[Desk], Awaitable[None]]] = [
    by_timeout,
    by_task_cancel,
    by_dropping_it_unawaited,
    by_losing_a_race,
    by_an_error_beside_it,
    by_dropping_a_pending_select,
]
each_way = pytest.mark.parametrize("give_up", WAYS, ids=lambda way: way.__name__)


@each_way
def test_what_is_one_way_takes_no_slot_and_no_id(
    give_up: Callable[[Desk], Awaitable[None]],
) -> None:
    """Row 70: a Cancel, a Finish and a Release are told and not asked. Slots come free in the
    order in which they were taken here, so the ids of calls follow one another."""

    async def main(world: World) -> None:
        log = Log()
        async with world.session(Desk, DeskServer(do=log), slots=4) as desk:
            questions = session_of(desk).peer.questions
            told = 0

            async def calls(count: int) -> None:
                """All that was told so far has taken nothing from the next calls."""
                for _ in range(count):
                    await quiet()
                    assert len(questions) == 0
                    x = questions._last + 1
                    assert await desk.length(b"") == 0
                    assert questions._last == x

            await calls(5)
            for n in range(6):
                x = questions._last
                await give_up(desk)
                await quiet()
                told += 1
                assert log.events[-1] == "cancel 1"
                assert questions._last == x + 1, "a Cancel has used an id up"
                thing = await desk.make(str(n))  # which has its Finish
                del thing
                await quiet()
                told += 2
                assert questions._last == x + 2, "a Finish or a Release has"
                await calls(1)
            covered("one way", told=told)

    run(main)


@each_way
def test_a_call_that_is_given_up_cancels_its_handler(
    give_up: Callable[[Desk], Awaitable[None]],
) -> None:
    async def main(world: World) -> None:
        log = Log()
        async with world.session(Desk, DeskServer(do=log), slots=2) as desk:
            await give_up(desk)
            await quiet()
            assert log.events == ["start 1", "cancel 1"]
            # The slots are free again.
            with timeout(1):
                assert await join(*[desk.nap(0.1) for _ in range(4)]) == (0.1,) * 4

    run(main)


@each_way
def test_the_slot_of_a_cancelled_call_is_taken_until_the_handler_acknowledges(
    give_up: Callable[[Desk], Awaitable[None]],
) -> None:
    """Bank rule 39: a cancel has its own completion, and the slot is free after the target's."""

    async def main(world: World) -> None:
        log = Log(cleaning=2)
        async with world.session(Desk, DeskServer(do=log), slots=1) as desk:
            clock = current_executor()
            await give_up(desk)
            before = clock.now()
            assert await desk.nap(0) == 0  # waits for the only slot
            assert clock.now() - before == pytest.approx(2, abs=0.01)
            assert log.events == ["start 1", "cancel 1", "clean 1"]

    run(main)


@each_way
def test_a_reply_that_comes_after_its_cancel_is_discarded(
    give_up: Callable[[Desk], Awaitable[None]],
) -> None:
    """Bank rule 33: a late reply is no error and nobody's value."""

    async def main(world: World) -> None:
        log = Log(cleaning=1, stubborn=True)
        async with world.session(Desk, DeskServer(do=log), slots=1) as desk:
            await give_up(desk)
            assert await desk.nap(0) == 0
            assert log.events == ["start 1", "cancel 1", "clean 1", "end 1"]
            with pytest.raises(TimeoutError), timeout(0.1):
                await desk.do(2)
            assert await desk.nap(0) == 0

    run(main)


def test_a_call_dropped_before_it_was_sent_costs_nothing() -> None:
    async def main(world: World) -> None:
        log = Log()
        async with world.session(Desk, DeskServer(do=log), slots=4) as desk:
            (bank,) = world.banks
            used = []
            for _ in range(5):
                for _ in range(100):
                    desk.do(1)
                await quiet()
                used.append(bank.pages_used)
                assert await desk.nap(0) == 0
            assert len(set(used)) == 1, "the memory of the first hundred serves the others"

    run(main)


def test_a_call_dropped_while_it_waits_for_a_slot_is_never_sent() -> None:
    async def main(world: World) -> None:
        started: list[int] = []

        async def do(n: int) -> int:
            started.append(n)
            return n

        async with world.session(Desk, DeskServer(do=do), slots=1) as desk:
            busy = spawn(wait(desk.nap(1)))
            first, second, third = desk.do(1), desk.do(2), desk.do(3)
            things = [desk.make("x"), desk.make("y")]
            await sleep(0.1)
            del second
            things.pop(0)
            assert await join(first, third) == (1, 3)
            assert await things[0].name() == "y"
            assert await busy == 1
            assert started == [1, 3]

    run(main)


def test_a_call_cancelled_while_it_waits_for_a_slot_releases_its_arguments() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=1) as desk:
            busy = spawn(wait(desk.nap(1)))
            own = ThingServer("own")
            gone = weakref.ref(own)
            with pytest.raises(TimeoutError), timeout(0.1):
                await desk.name_of(own)
            del own
            await quiet()
            gc.collect()
            assert gone() is None
            assert await busy == 1

    run(main)


class Maker(Interface, Protocol):
    @method
    async def make(self, seconds: float) -> Thing: ...
    @method
    async def several(self, seconds: float) -> list[Thing]: ...
    @method
    async def nap(self, seconds: float) -> float: ...


class MakerServer(Maker):
    """Makes things after a while, also when it was told to stop."""

    def __init__(self) -> None:
        self.made: list[weakref.ref[ThingServer]] = []

    def _one(self) -> ThingServer:
        thing = ThingServer(str(len(self.made)))
        self.made.append(weakref.ref(thing))
        return thing

    async def _wait(self, seconds: float) -> None:
        end = current_executor().now() + seconds
        while current_executor().now() < end:
            try:
                await sleep(end - current_executor().now())
            except CancelledError:
                continue

    @method
    async def make(self, seconds: float) -> Thing:
        await self._wait(seconds)
        return self._one()

    @method
    async def several(self, seconds: float) -> list[Thing]:
        await self._wait(seconds)
        return [self._one() for _ in range(3)]

    @method
    async def nap(self, seconds: float) -> float:
        await sleep(seconds)
        return seconds


def test_the_capabilities_of_a_late_reply_are_released() -> None:
    """Bank rule 33: a reply after its deadline is handled, and its capabilities released (T34)."""

    async def main(world: World) -> None:
        maker = MakerServer()
        async with world.session(Maker, maker, slots=3) as remote:
            with pytest.raises(TimeoutError), timeout(0.1):
                await remote.several(1)
            promise = remote.make(1)
            called = promise.name()
            await sleep(0.1)
            del promise, called
            gc.collect()
            await sleep(2)
            gc.collect()
            assert len(maker.made) == 4, "the handlers ended after their cancels"
            assert [ref() for ref in maker.made] == [None] * 4
            assert await join(*[remote.nap(0.1) for _ in range(3)]) == (0.1,) * 3

    run(main)


def test_capabilities_of_an_answer_that_nobody_takes_are_released() -> None:
    async def main(world: World) -> None:
        maker = MakerServer()
        async with world.session(Maker, maker) as remote:
            things = remote.several(0)
            thing = remote.make(0)
            await quiet()
            assert len(maker.made) == 4
            del things, thing
            await quiet()
            gc.collect()
            assert [ref() for ref in maker.made] == [None] * 4

    run(main)


def test_a_timeout_in_the_turn_of_the_reply_loses_neither_charge_nor_capability() -> None:
    async def main(world: World) -> None:
        maker = MakerServer()
        async with world.session(Maker, maker, slots=4) as remote:
            for n in range(60):
                moment = 1 + (n - 30) * 1e-7
                try:
                    with timeout(moment):
                        await remote.several(1)
                except TimeoutError:
                    pass
            await sleep(2)
            gc.collect()
            assert len(maker.made) == 180
            assert [ref() for ref in maker.made] == [None] * 180
            assert await remote.nap(0.1) == 0.1

    run(main)


class Heavy(Interface, Protocol):
    @method(frame=10 * PAGE)
    async def work(self, n: int) -> int: ...
    @method
    async def nap(self, seconds: float) -> float: ...


class HeavyServer(Heavy):
    def __init__(self, do: Callable[[int], Awaitable[int]]) -> None:
        self.doing = do

    @method(frame=10 * PAGE)
    async def work(self, n: int) -> int:
        return await self.doing(n)

    @method
    async def nap(self, seconds: float) -> float:
        await sleep(seconds)
        return seconds


def test_the_charge_of_a_cancelled_call_stays_until_its_handler_has_ended() -> None:
    """Trap T4: refunded when the last object dies, not at the cancel."""

    async def main(world: World) -> None:
        log = Log(cleaning=2)
        async with world.session(Heavy, HeavyServer(log)) as heavy:
            (bank,) = world.banks
            await heavy.nap(0)
            before = bank.pages_used
            with pytest.raises(TimeoutError), timeout(0.1):
                await heavy.work(1)
            assert bank.pages_used >= before + 9
            await sleep(1)
            assert log.events == ["start 1", "cancel 1"]
            assert bank.pages_used >= before + 9, "the handler still holds its frame"
            await sleep(2)
            assert log.events[-1] == "clean 1"
            assert bank.pages_used <= before + 2

    run(main)


def test_a_handler_that_ignores_its_cancel_keeps_its_charge_until_it_ends() -> None:
    async def main(world: World) -> None:
        async def do(n: int) -> int:
            for _ in range(5):
                try:
                    await sleep(1)
                except CancelledError:
                    continue
            return n

        async with world.session(Heavy, HeavyServer(do)) as heavy:
            (bank,) = world.banks
            await heavy.nap(0)
            before = bank.pages_used
            calls = [heavy.work(n) for n in range(3)]
            await sleep(0.1)
            del calls
            await sleep(2)
            assert bank.pages_used >= before + 28
            await sleep(3)
            assert bank.pages_used <= before + 2

    run(main)


def test_a_client_that_leaves_waits_until_its_cancelled_handlers_have_ended() -> None:
    async def main(world: World) -> None:
        log = Log(cleaning=2)
        bank = world.bank()
        async with world.served("service", HeavyServer(log)):
            async with connect(world.kernel, "service", Heavy, bank) as heavy:
                open_call = heavy.work(1)
                await sleep(0.1)
            assert log.events == ["start 1", "cancel 1", "clean 1"]
            assert bank.pages_used == 0
            del open_call

    run(main)


def test_closing_the_session_does_not_cut_a_clean_up_off() -> None:
    async def main(world: World) -> None:
        log = Log(cleaning=2)
        async with (
            world.served("service", DeskServer(do=log)),
            connect(world.kernel, "service", Desk, world.bank()) as desk,
        ):
            with pytest.raises(TimeoutError), timeout(0.1):
                await desk.do(1)
            await quiet()
            assert log.events == ["start 1", "cancel 1"]
        assert log.events == ["start 1", "cancel 1", "clean 1"]

    run(main)


def test_a_second_cancel_frame_does_not_cut_a_clean_up_off() -> None:
    async def main(world: World) -> None:
        log = Log(cleaning=2)
        async with (
            world.served("service", DeskServer(do=log)) as vat,
            connect(world.kernel, "service", Desk, world.bank()) as desk,
        ):
            promise = desk.do(1)
            await quiet()
            x = only(vat).peer.open_answers()[0].x
            for _ in range(3):
                hostile.send(session_of(desk), hostile.short(hostile.CANCEL, x))
                await sleep(0.1)
            assert log.events == ["start 1", "cancel 1"]
            with pytest.raises(Exception, match="cancelled"):
                await promise
        assert log.events == ["start 1", "cancel 1", "clean 1"]

    run(main)


def test_many_cancels_at_once_leave_no_trace() -> None:
    async def main(world: World) -> None:
        log = Log()
        async with world.session(Desk, DeskServer(do=log), slots=4) as desk:
            for _ in range(10):
                calls = [desk.do(n) for n in range(12)]
                chains = [desk.desk("a", 50).make("b") for _ in range(4)]
                await quiet()
                calls.clear()
                chains.clear()
                gc.collect()
                await quiet()
            with timeout(1):
                assert await join(*[desk.nap(0.1) for _ in range(4)]) == (0.1,) * 4
            assert log.events.count("cancel 0") == log.events.count("start 0") > 0

    run(main)
