"""Recorded histories for the tests of what is made of them."""

from __future__ import annotations

import random

from pinfut import FutureBase
from pinfut.executor import Executor, Recorder, VirtualClock, scope, sleep
from pinfut.executor.schedule import Seeded
from pinfut.sync import OneshotSender, oneshot
from tests.executor.test_two_loops import large, outcome


def random_history(seed: int, limit: int) -> Recorder:
    """The last `limit` events of a large random program."""
    recorder = Recorder(limit)
    executor = Executor(
        clock=VirtualClock(),
        checked=False,
        instruments=[recorder],
        schedule=Seeded(seed) if seed % 2 else None,
    )
    outcome(executor, [*large(random.Random(seed)), ("sleep", 20)])
    return recorder


async def ping() -> None:
    """Main waits for a value from `sender`, which sleeps first; `idler` never gets one."""
    ends: tuple[OneshotSender[int], FutureBase[int]] = oneshot()
    tx, rx = ends

    async def sends() -> None:
        await sleep(1)
        tx.send(1)
        await sleep(0.5)

    async def idles() -> None:
        await sleep(100)

    async with scope() as s:
        s.spawn(sends(), name="sender")
        idler = s.spawn(idles(), name="idler")
        await rx
        await sleep(1)
        idler.cancel()


def recorded_ping(limit: int = 10_000) -> Recorder:
    recorder = Recorder(limit)
    Executor(clock=VirtualClock(), checked=False, instruments=[recorder]).run(ping())
    return recorder
