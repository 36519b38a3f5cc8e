"""What the caller pays for a handler: exact for an unboxed one, bound and rest for a plain one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable
from itertools import pairwise
from typing import Any, Protocol

import pytest

from pinfut import catch, join, ready
from pinfut.executor import current_executor, current_task, sleep
from pinfut.rpc import Interface, OutOfPages, RemoteError, Vat, connect, method, prices, serve
from pinfut.rpc.objects.handlers import WAIT
from pinfut.rpc.objects.interface import resolve
from pinfut.unboxed import box, layout, unboxed
from tests.rpc.services import Desk, DeskServer
from tests.rpc.test_memory import spend
from tests.rpc.world import World, only, quiet, run


class Store(Interface, Protocol):
    @method
    async def read(self, n: int) -> int: ...


@unboxed
async def waits(n: int) -> int:
    await sleep(1)
    return n


@unboxed
async def looks_up(n: int) -> int:
    found = await waits(n + 1)
    return found + 1


class UnboxedStore(Store):
    @method
    @unboxed
    async def read(self, n: int) -> int:
        found = await looks_up(n)
        return found * 10


class BoxInside(Store):
    @method
    @unboxed
    async def read(self, n: int) -> int:
        return await box(deep(n, 12))


class Fails(Store):
    @method
    @unboxed
    async def read(self, n: int) -> int:
        await sleep(1)
        raise LookupError(n)


async def deep(n: int, levels: int) -> int:
    """A plain chain: each level has a frame of its own."""
    if levels:
        return await deep(n, levels - 1)
    await sleep(1)
    return n


class Generous(Store):
    """Declares enough."""

    @method(frame=20_000)
    async def read(self, n: int) -> int:
        return await deep(n, 12)


class Modest(Store):
    """Declares far too little, and takes long to clean up."""

    ended = 0

    @method(frame=100)
    async def read(self, n: int) -> int:
        try:
            return await deep(n, 60)
        finally:
            self.ended += 1


class ByAwaitable(Store):
    """Waits through an iterator of another kind."""

    @method(frame=100)
    async def read(self, n: int) -> int:
        return int(await Delegates(ready(n), sleep(1)))


class Delegates:
    def __init__(self, value: Awaitable[int], first: Awaitable[Any]) -> None:
        self.value = value
        self.first = first

    def __await__(self) -> Any:
        yield from self.first.__await__()
        found: int = yield from self.value.__await__()
        return found


async def charged_while_they_wait(world: World, server: Store, calls: int) -> int:
    """Bytes that each of so many calls at once is charged for its handler."""
    async with (
        serve(world.kernel, "store", server) as vat,
        connect(world.kernel, "store", Store, world.bank()) as store,
    ):
        await join(*[store.read(n) for n in range(calls)])
        account = only(vat).end.account
        before = account.used
        promises = [store.read(n) for n in range(calls)]
        await sleep(0.5)
        charged = account.used - before
        await join(*promises)
        await quiet()
        assert account.used == before, "everything is refunded"
    assert charged % calls == 0
    return charged // calls


def size_of(coro: Any) -> int:
    size = sys.getsizeof(coro)
    coro.close()
    return size


def stands(coro: Any) -> int:
    """Bytes of a task and of the chain of frames in which `coro` first waits."""
    leaf = coro.send(None)
    real, each = prices.TASK, coro
    while each is not None:
        real += sys.getsizeof(each)
        each = getattr(each, "cr_await", None) or getattr(each, "gi_yieldfrom", None)
        if not hasattr(each, "send"):
            break
    coro.close()
    del leaf
    return real


def test_an_unboxed_handler_is_charged_what_its_frame_takes_to_the_byte() -> None:
    function = UnboxedStore.read.function  # type: ignore[attr-defined]
    real = size_of(function(UnboxedStore(), 1))
    assert layout(function).called == real

    async def main(world: World) -> None:
        assert await charged_while_they_wait(world, UnboxedStore(), 20) == prices.TASK + real

    run(main)


def test_an_unboxed_handler_is_charged_less_than_a_bound_would_take() -> None:
    assert layout(UnboxedStore.read.function).called < prices.HANDLER - prices.TASK  # type: ignore[attr-defined]


@pytest.mark.parametrize("server", [UnboxedStore(), Generous()])
def test_a_handler_that_holds_what_was_charged_is_charged_nothing_more(
    server: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(world: World) -> None:
        charged = await charged_while_they_wait(world, server, 3)
        assert charged == type(server).read.frame  # type: ignore[attr-defined]

    with caplog.at_level(logging.WARNING, "pinfut.rpc"):
        run(main)
    assert caplog.records == []


@pytest.mark.parametrize("server", [Modest(), BoxInside(), ByAwaitable()])
def test_a_handler_that_holds_more_is_charged_that_from_when_it_first_waits(
    server: Store, caplog: pytest.LogCaptureFixture
) -> None:
    declared: Any = type(server).read
    resolve(type(server))
    for one in type(server)._pinfut_tables[Store]:
        one.told = False

    async def main(world: World) -> int:
        return await charged_while_they_wait(world, server, 4)

    with caplog.at_level(logging.WARNING, "pinfut.rpc"):
        charged = run(main)
    assert charged > declared.frame
    # What really stands there: the frames of the whole chain.
    real = stands(declared.function(server, 1))
    assert charged == real
    (told,) = [record.getMessage() for record in caplog.records]
    assert f"@method(frame={real})" in told, "once, however many calls"


def test_a_call_whose_rest_cannot_be_paid_fails_and_leaves_nothing() -> None:
    server = Modest()

    async def main(world: World) -> None:
        bank = world.bank()
        async with world.session(Store, server, bank=bank) as store:
            await store.read(0)
            before = bank.pages_used
            rest = spend(bank, leave=0)
            start = current_executor().now()
            for n in range(4):
                with pytest.raises(OutOfPages, match="the handler of a call"):
                    await store.read(n)
            assert current_executor().now() - start < 1, "each was stopped when it first waited"
            assert server.ended == 5, "and each cleaned up"
            bank.refill(rest)
            assert await store.read(7) == 7, "the session is as good as before"
            assert bank.pages_used <= before + 2

    run(main)


def test_an_unboxed_handler_that_cannot_be_paid_does_not_start() -> None:
    started: list[int] = []

    class Counts(Store):
        @method
        @unboxed
        async def read(self, n: int) -> int:
            started.append(n)
            await sleep(1)
            return n

    async def main(world: World) -> None:
        bank = world.bank()
        async with world.session(Store, Counts(), bank=bank, slots=64) as store:
            await join(*[store.read(0) for _ in range(30)])
            started.clear()
            rest = spend(bank)
            calls = [store.read(n) for n in range(30)]
            outcomes = await join(*[catch(call, OutOfPages, str) for call in calls])
            refused = [why for why in outcomes if isinstance(why, str)]
            assert refused
            assert all("the handler of a call" in why for why in refused)
            assert len(started) == 30 - len(refused)
            bank.refill(rest)
            assert await store.read(3) == 3

    run(main)


def test_every_end_of_an_unboxed_handler_refunds_it() -> None:
    async def main(world: World) -> None:
        async with serve(world.kernel, "store", Fails()) as vat:
            bank = world.bank()
            async with connect(world.kernel, "store", Store, bank) as store:
                with pytest.raises(Exception, match="LookupError"):
                    await store.read(1)
                account = only(vat).end.account
                before = account.used
                given_up = store.read(2)
                await sleep(0.5)
                assert account.used == before + Fails.read.frame  # type: ignore[attr-defined]
                given_up.drop()
                await quiet()
                assert account.used == before
                held = store.read(3)
                await sleep(0.5)
            del held
        await quiet()

    run(main)  # and every bank is back at its start


@pytest.mark.parametrize("data", [b"", bytes(3000)], ids=["", "what its arguments take stays"])
def test_a_handler_of_which_nothing_is_known_pays_what_it_holds_once_it_waits(data: bytes) -> None:
    class Keeper(Interface, Protocol):
        @method
        async def keep(self, data: bytes) -> int: ...

    class Plain(Keeper):
        @method
        async def keep(self, data: bytes) -> int:
            charged.append(vats[0].sessions[0].end.account.used)
            await sleep(1)
            return len(data)

    charged: list[int] = []
    vats: list[Vat] = []

    async def main(world: World) -> None:
        async with (
            serve(world.kernel, "keeper", Plain()) as vat,
            connect(world.kernel, "keeper", Keeper, world.bank(), slots=8) as keeper,
        ):
            vats.append(vat)
            await join(*[keeper.keep(data) for _ in range(4)])
            account = only(vat).end.account
            before = account.used
            charged.clear()
            promises = [keeper.keep(data) for _ in range(4)]
            await sleep(0.5)
            told = len(charged)
            waiting = WAIT + stands(Plain.keep.function(Plain(), data))  # type: ignore[attr-defined]
            assert waiting < prices.HANDLER
            taken = (account.used - before) / 4 - waiting
            assert taken == charged[0] - before - prices.HANDLER, "what the arguments take"
            assert (taken >= 3000) == bool(data)
            steps = [after - first for first, after in pairwise(charged[:told])]
            assert steps == [waiting + taken] * 3, "the bound is held for the first step alone"
            await join(*promises)
            await quiet()
            assert account.used == before, "and what is left is refunded"

    run(main)


@pytest.mark.parametrize("fails", [False, True])
def test_a_handler_that_asked_for_its_task_and_ends_at_once_leaves_no_task(fails: bool) -> None:
    async def do(n: int) -> int:
        assert current_task().name
        if fails:
            raise ValueError("at once")
        return n

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(do=do)) as desk:
            await desk.make("a").name()
            before = list(current_executor().tasks)
            if fails:
                with pytest.raises(RemoteError, match="at once"):
                    await desk.do(5)
            else:
                assert await desk.do(5) == 5
            await quiet()
            assert list(current_executor().tasks) == before

    run(main)
