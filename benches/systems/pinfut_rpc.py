"""pinfut's side of the echo benches: a server and a client over the simulated kernel."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from pinfut.rpc import Interface, SimKernel, connect, method, serve

PAGES_PER_SLOT = 4


class Echo(Interface, Protocol):
    @method
    async def echo(self, data: bytes) -> bytes: ...


class EchoServer(Echo):
    @method
    async def echo(self, data: bytes) -> bytes:
        return data


@asynccontextmanager
async def connected(slots: int) -> AsyncIterator[Echo]:
    """An echo server and its client, both in this executor."""
    kernel = SimKernel()
    async with serve(kernel, "echo", EchoServer()):
        bank = kernel.bank("client", pages=max(4096, PAGES_PER_SLOT * slots))
        async with connect(kernel, "echo", Echo, bank, slots=slots) as echo:
            yield echo
