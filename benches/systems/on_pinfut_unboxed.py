"""pinfut with unboxed coroutines: one frame for a whole chain of calls.

The chains are written out, for an unboxed function may not call itself: each level is a function
of its own, as those of a program are.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from benches.probe import Probe, Suite
from benches.systems.on_pinfut import run
from pinfut import executor
from pinfut.future import FutureBase
from pinfut.sync import OneshotSender, oneshot
from pinfut.unboxed import unboxed

Chain = Callable[[], Coroutine[Any, Any, int]]


def deeper(inner: Chain, levels: int) -> Chain:
    """A chain of so many levels, with `inner` at its bottom."""
    for _ in range(levels - 1):
        inner = around(inner)
    return inner


def around(below: Chain) -> Chain:
    @unboxed
    async def level() -> int:
        return await below() + 1

    return level


async def chains(probe: Probe) -> None:
    @unboxed
    async def bottom() -> int:
        await executor.yield_now()
        return 1

    chain = deeper(bottom, 10)
    await chain()  # compiles it
    for ops in probe.timed():
        for _ in range(ops):
            assert await chain() == 10


async def depths(probe: Probe, depth: int) -> None:
    senders: list[OneshotSender[None]] = []

    def hang() -> FutureBase[None]:
        sender: OneshotSender[None]
        receiver: FutureBase[None]
        sender, receiver = oneshot()
        senders.append(sender)
        return receiver

    @unboxed
    async def waits() -> int:
        while True:
            await hang()

    async with executor.scope() as scope:
        scope.spawn(deeper(waits, depth)())
        await executor.yield_now()
        for ops in probe.timed():
            for _ in range(ops):
                senders.pop().send(None)
                await executor.yield_now()
        scope.cancel()


SUITE = Suite(
    run,
    {
        "chain-10": chains,
        "depth-1": partial(depths, depth=1),
        "depth-10": partial(depths, depth=10),
        "depth-50": partial(depths, depth=50),
        "depth-100": partial(depths, depth=100),
    },
)
