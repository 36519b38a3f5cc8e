"""pinfut with unboxed coroutines: one frame for a whole chain of calls.

The chains are written out, for an unboxed function may not call itself: each level is a function
of its own, as those of a program are.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from benches.probe import Probe, Suite
from benches.systems.on_pinfut import echoes, run
from benches.systems.pinfut_rpc import Echo
from pinfut import executor
from pinfut.future import FutureBase
from pinfut.rpc import method
from pinfut.sync import OneshotSender, oneshot
from pinfut.unboxed import unboxed

Chain = Callable[[], Coroutine[Any, Any, int]]
Echoing = Callable[[bytes], Coroutine[Any, Any, bytes]]


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


class EchoServer(Echo):
    @method
    @unboxed
    async def echo(self, data: bytes) -> bytes:
        return data


@unboxed
async def innermost(data: bytes) -> bytes:
    return data


def passing_on(below: Echoing) -> Echoing:
    @unboxed
    async def level(data: bytes) -> bytes:
        return await below(data)

    return level


nine_deep: Echoing = innermost
for _ in range(8):
    nine_deep = passing_on(nine_deep)


class DeepEchoServer(Echo):
    """Its handler calls ten coroutines deep, itself among them."""

    @method
    @unboxed
    async def echo(self, data: bytes) -> bytes:
        return await nine_deep(data)


SUITE = Suite(
    run,
    {
        "chain-10": chains,
        "depth-1": partial(depths, depth=1),
        "depth-10": partial(depths, depth=10),
        "depth-50": partial(depths, depth=50),
        "depth-100": partial(depths, depth=100),
        "echo-64": partial(echoes, in_flight=64, server=EchoServer),
        "echo-64-deep": partial(echoes, in_flight=64, server=DeepEchoServer),
    },
)
