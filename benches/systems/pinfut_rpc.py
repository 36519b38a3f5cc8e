"""pinfut's side of the echo benches: a server and a client over the simulated kernel."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from pinfut import pending
from pinfut.rpc import Interface, SimKernel, Vat, connect, method, serve

PAGES_PER_SLOT = 4


class Echo(Interface, Protocol):
    @method
    async def echo(self, data: bytes) -> bytes: ...


class EchoServer(Echo):
    @method
    async def echo(self, data: bytes) -> bytes:
        return data


async def around(data: bytes, levels: int) -> bytes:
    return await around(data, levels - 1) if levels else data


class DeepEchoServer(Echo):
    """Its handler calls ten coroutines deep, itself among them."""

    @method(frame=4096)
    async def echo(self, data: bytes) -> bytes:
        return await around(data, 8)


class Holder(Interface, Protocol):
    @method
    async def hold(self, data: bytes) -> int: ...


class HolderServer(Holder):
    """Its calls are never answered."""

    def __init__(self) -> None:
        self.held = 0

    @method
    async def hold(self, data: bytes) -> int:
        self.held += 1
        await pending()
        return len(data)


@asynccontextmanager
async def connected(slots: int, server: Echo) -> AsyncIterator[Echo]:
    """The echo server and a client of it, both in this executor."""
    kernel = SimKernel()
    async with serve(kernel, "echo", server):
        bank = kernel.bank("client", pages=max(4096, PAGES_PER_SLOT * slots))
        async with connect(kernel, "echo", Echo, bank, slots=slots) as echo:
            yield echo


@asynccontextmanager
async def crowded(idle: int, server: Echo) -> AsyncIterator[Echo]:
    """A client of the echo server, with so many idle sessions between the same two processes."""
    kernel = SimKernel()
    async with serve(kernel, "echo", server), AsyncExitStack() as sessions:
        vat = Vat(kernel, "client")
        sessions.push_async_callback(vat.close)
        bank = kernel.bank("client", pages=20 * (idle + 50), caps=64 * (idle + 50))
        for _ in range(idle):
            await sessions.enter_async_context(
                connect(kernel, "echo", Echo, bank, slots=1, ring=256, vat=vat)
            )
        async with connect(kernel, "echo", Echo, bank, vat=vat) as echo:
            yield echo
