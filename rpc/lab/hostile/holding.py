"""Clients that have the server hold memory for them: answers, calls, objects, promises."""

from __future__ import annotations

from typing import Final

from pinfut.executor import sleep
from pinfut.rpc.lab.hostile.raw import call, short
from pinfut.rpc.lab.hostile.shop import CLEAN_UP, COUNT, HOLD, MAKE, NEVER, STUBBORN
from pinfut.rpc.lab.hostile.stage import Scenario, Stage
from pinfut.rpc.wire.frames import CANCEL, FINISH, ON_ANSWER, PIPELINE

SLOTS: Final = 64


async def never_reads(stage: Stage) -> None:
    """Calls, and never looks at an answer: what is written to it lies in memory that it bought,
    and the server holds nothing."""
    raw = await stage.session(SLOTS)
    raw.lane.submissions.reserve(256)
    for n in range(40):
        raw.send(*(call(SLOTS * (n + 1) + i, 0, COUNT, i, place=i % 4) for i in range(SLOTS)))
        await stage.sample()


async def never_finishes(stage: Stage) -> None:
    """Opens every call that it can, with much in each, and ends none."""
    raw = await stage.session(SLOTS, ring=1 << 18)
    for n in range(8):
        calls = range(SLOTS + 8 * n, SLOTS + 8 * (n + 1))
        raw.send(*(call(x, 0, HOLD, bytes(8192), place=x % 4) for x in calls))
        await stage.sample()
    await sleep(1e-3)


async def cancel_storm(stage: Stage) -> None:
    """Opens calls and cancels each at once, while their handlers go on: what they hold is
    charged until the last has ended, so there are never more than slots."""
    raw = await stage.session(SLOTS)
    x = SLOTS
    for _ in range(6):
        raw.send(*(call(x + i, 0, STUBBORN, place=i % 4) for i in range(SLOTS)))
        await stage.sample()
        raw.send(*(short(CANCEL, x + i) for i in range(SLOTS)))
        await stage.sample()
        if stage.shop.cleaning != SLOTS:
            raise AssertionError("the work does not go on: this scenario shows nothing")
        if raw.charged.used < SLOTS * 1024:
            raise AssertionError("the charge went before the work did")
        await sleep(CLEAN_UP)
        await stage.sample()
        x += SLOTS


async def never_releases(stage: Stage) -> None:
    """Has objects made and lets go of none."""
    raw = await stage.session(SLOTS)
    for n in range(20):
        x = SLOTS * (n + 1)
        raw.send(*(call(x + i, 0, MAKE, place=i % 4) for i in range(SLOTS)))
        await stage.sample()
        raw.replies()
        raw.send(*(short(FINISH, x + i) for i in range(SLOTS)))
    await stage.sample()


async def never_resolves(stage: Stage) -> None:
    """Pipelines on a promise that nobody keeps: each waiting call is charged with its message."""
    raw = await stage.session(1032, ring=1 << 18)
    raw.send(call(1032, 0, NEVER, flags=PIPELINE))
    for n in range(16):
        calls = range(1033 + 64 * n, 1033 + 64 * (n + 1))
        raw.send(*(call(x, 1032, 0, payload=bytes(3000), flags=ON_ANSWER) for x in calls))
        await stage.sample()


HOLDING: Final = (
    Scenario(
        "never reads answers",
        never_reads,
        "asyncio streams with drain() and a task per request grew by 1 GiB in 2 s",
        "measured; 10.5 KB per request",
    ),
    Scenario(
        "opens calls and never finishes",
        never_finishes,
        "grpc.aio held 588 MiB for 12,000 open calls of 32 KiB; pycapnp 1 GiB in 4.5 s",
        "measured; 51 KB and 20 KB per call",
    ),
    Scenario(
        "cancel storm while the work goes on",
        cancel_storm,
        "grpc.aio with 100 concurrent calls at most grew by 796 MiB; HTTP/2 servers the same way",
        "measured, 21 KB per call; CVE-2023-44487, CVE-2025-8671",
    ),
    Scenario(
        "capabilities never released",
        never_releases,
        "RPyC grew by 183 MiB in 60 s",
        "measured; 1.5 KB per object",
    ),
    Scenario(
        "pipelining on a promise that never resolves",
        never_resolves,
        "pycapnp grew by 1 GiB in 13 s",
        "measured; 8.4 KB per call",
    ),
)
