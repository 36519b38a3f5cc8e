"""One pair of buffers for each bushel of a client, or one for all of them: both are pinfut's.

A bushel is what a service hands out. With a session for each there is a pair of rings, a table and
a buffer of events for each; with one session there is one of each, and a bushel is an object that
the session's root gives.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple, Protocol

from pinfut import executor
from pinfut.combinators import try_join
from pinfut.rpc import EventBuffer, Interface, SimKernel, connect, method, serve

PAIRS: Final = ("a pair for each", "one pair")
BUSHELS_EACH: Final = (1, 4, 16)
_PAGES: Final = 4_000


class Bushel(Interface, Protocol):
    @method
    async def echo(self, data: bytes) -> bytes: ...


class Desk(Interface, Protocol):
    @method
    async def bushel(self) -> Bushel: ...


class _Echo(Bushel):
    @method
    async def echo(self, data: bytes) -> bytes:
        return data


class _Hall(Desk):
    @method
    async def bushel(self) -> Bushel:
        return _Echo()


class Opened(NamedTuple):
    """A client that has all of its bushels, and what it took to get there."""

    bushels: Sequence[Bushel]
    kernel: SimKernel
    pages: int


@asynccontextmanager
async def opened(design: str, count: int) -> AsyncIterator[Opened]:
    """`count` bushels, room for 64 calls and for 16 sources of events, however they are spread."""
    kernel = SimKernel()
    bank = kernel.bank("client", pages=_PAGES)
    each = count if design == PAIRS[0] else 1
    slots, places = max(1, 64 // each), max(1, 16 // each)
    async with AsyncExitStack() as stack:
        bushels: list[Bushel] = []
        if design == PAIRS[0]:
            for i in range(count):
                await stack.enter_async_context(serve(kernel, f"bushel {i}", _Echo()))
                events = stack.enter_context(EventBuffer(bank, places=places))
                bushels.append(
                    await stack.enter_async_context(
                        connect(kernel, f"bushel {i}", Bushel, bank, slots=slots, events=events)
                    )
                )
        else:
            await stack.enter_async_context(serve(kernel, "hall", _Hall()))
            events = stack.enter_context(EventBuffer(bank, places=places))
            desk = await stack.enter_async_context(
                connect(kernel, "hall", Desk, bank, slots=slots, events=events)
            )
            bushels += [await desk.bushel() for _ in range(count)]
        yield Opened(bushels, kernel, bank.pages_used)


async def call_each(it: Opened, rounds: int) -> None:
    """A call to each bushel, all at once; then the next."""
    for _ in range(rounds):
        await try_join(*(bushel.echo(b"sixteen of bytes") for bushel in it.bushels))


class PairFigures(NamedTuple):
    pages: int
    transitions: float
    """For each call."""


def weigh_pairs(design: str, count: int, rounds: int = 20) -> PairFigures:
    async def main() -> PairFigures:
        async with opened(design, count) as it:
            await call_each(it, 1)
            before = it.kernel.transitions.total()
            await call_each(it, rounds)
            done = it.kernel.transitions.total() - before
            return PairFigures(it.pages, done / (rounds * count))

    return executor.run(main())
