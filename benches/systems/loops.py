"""What an event loop of asyncio is asked for: the same program on every loop that there is."""

import asyncio
import socket
from typing import cast

from benches.probe import BenchFunction, Probe

GROUP = 100
"""Tasks of one group."""

HELLO = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"


async def chain(probe: Probe) -> None:
    loop = asyncio.get_running_loop()
    left = 0
    over: asyncio.Future[None]

    def call() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(call)
        else:
            over.set_result(None)

    for ops in probe.timed():
        left, over = ops, loop.create_future()
        loop.call_soon(call)
        await over


async def future(probe: Probe) -> None:
    loop = asyncio.get_running_loop()
    for ops in probe.timed():
        for _ in range(ops):
            pending: asyncio.Future[None] = loop.create_future()
            loop.call_soon(pending.set_result, None)
            await pending


async def group(probe: Probe) -> None:
    async def trivial() -> None:
        pass

    for ops in probe.timed():
        for _ in range(max(1, ops // GROUP)):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(GROUP):
                    tasks.create_task(trivial())


async def timer(probe: Probe) -> None:
    loop = asyncio.get_running_loop()

    def never() -> None:
        raise AssertionError("it was cancelled")

    for ops in probe.timed():
        for _ in range(max(1, ops // 100)):
            for _ in range(100):
                loop.call_later(60, never).cancel()
            # Cancelled timers are swept by the loop's turn: it is paid inside the round.
            await asyncio.sleep(0)


async def sock(probe: Probe) -> None:
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()

    async def echo() -> None:
        while data := await loop.sock_recv(there, 1024):
            await loop.sock_sendall(there, data)

    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        echoing = asyncio.create_task(echo())
        for ops in probe.timed():
            for _ in range(ops):
                await loop.sock_sendall(here, b"ball")
                await loop.sock_recv(here, 1024)
        here.shutdown(socket.SHUT_WR)
        await echoing


class Hello(asyncio.Protocol):
    """An HTTP server as small as can be."""

    transport: asyncio.Transport
    rest = b""  # of a request that has not come whole

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # not every loop's is one

    def data_received(self, data: bytes) -> None:
        *requests, self.rest = (self.rest + data).split(b"\r\n\r\n")
        for _ in requests:
            self.transport.write(ANSWER)


async def http(probe: Probe) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Hello, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for ops in probe.timed():
        for _ in range(ops):
            writer.write(HELLO)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readexactly(6)
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


BENCHES: dict[str, BenchFunction] = {
    "loop-chain": chain,
    "loop-future": future,
    "loop-group": group,
    "loop-timer": timer,
    "loop-sock": sock,
    "loop-http": http,
}
