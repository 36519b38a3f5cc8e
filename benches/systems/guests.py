"""pinfut as a guest in a loop of others: what a task in there takes, and a way there and back."""

from benches.probe import Probe
from pinfut.executor import from_host, guest, yield_now


async def switches(probe: Probe) -> None:
    """A yield of the only task that is ready."""

    async def spin() -> None:
        for ops in probe.timed():
            for _ in range(ops):
                await yield_now()

    async with guest(checked=False):
        await from_host(spin())


async def hops(probe: Probe) -> None:
    """From a task of the host's: spawn a trivial coroutine of pinfut's, and await it."""

    async def trivial() -> None:
        pass

    async with guest(checked=False):
        for ops in probe.timed():
            for _ in range(ops):
                await from_host(trivial())
