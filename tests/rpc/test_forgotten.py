"""A call whose promise a statement throws away is told of, and is cancelled."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable

import pytest

from pinfut import executor
from pinfut.executor import VirtualClock, sleep
from tests.rpc.services import Desk, DeskServer
from tests.rpc.world import World


def everyday(main: Callable[[World], Awaitable[None]]) -> None:
    async def within() -> None:
        await main(World(0, record=False, arrival=None))

    executor.run(within(), clock=VirtualClock(), checked=False)


def test_a_call_that_is_thrown_away_is_told_of() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            desk.nap(10)
            await sleep(1)

    with pytest.warns(RuntimeWarning) as told:
        everyday(main)
    (warning,) = told
    assert warning.filename == __file__
    assert str(warning.message).startswith(
        "desk.nap(10) was never awaited, so the call was sent and cancelled at once"
    )


def test_a_call_in_this_process_that_is_thrown_away_is_told_of() -> None:
    async def main(world: World) -> None:
        desk = DeskServer()
        desk.nap(10)
        await sleep(1)

    with pytest.warns(RuntimeWarning, match=r"^desk\.nap\(10\) was never awaited, so the call was"):
        everyday(main)


def test_a_promise_that_is_kept_dropped_or_awaited_is_not_told_of() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            kept = desk.nap(1)
            late = desk.nap(10)
            await kept
            late.drop()
            forgotten = desk.nap(10)
            del forgotten
            await desk.desk("a").desk("b").name_of(desk.make("t"))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        everyday(main)
