"""Calls that come and go keep nothing: what a session holds is what its first calls made."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from pinfut import join
from pinfut.executor import yield_now
from tests.covered import covered
from tests.rpc.services import Desk, DeskServer
from tests.rpc.world import World, quiet, run


@pytest.mark.parametrize("at_once", [1, 8])
def test_calls_that_come_and_go_keep_not_a_byte(at_once: int) -> None:
    """Row 109: traced over both sides of a session in use, not for the first time."""

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=8) as desk:

            async def calls(rounds: int) -> int:
                done = 0
                for n in range(rounds):
                    done += sum(await join(*[desk.do(n) for _ in range(at_once)])) >= 0
                    done += len(await desk.small(8)) == 8
                await quiet()
                await yield_now()
                return done

            await calls(50)
            gc.collect()  # what other tests have left is not let go of in the middle
            tracemalloc.start()
            try:
                # Until each slot and each word is one that was made while tracing.
                await calls(50)
                gc.collect()
                before = tracemalloc.get_traced_memory()[0]
                done = await calls(400)
                gc.collect()
                kept = tracemalloc.get_traced_memory()[0] - before
            finally:
                tracemalloc.stop()
            covered("steady state", calls=done)
            assert kept < 2048, "a reference for each call would be more"

    run(main)
