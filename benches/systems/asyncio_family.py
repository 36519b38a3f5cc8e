"""The benches as one writes them for asyncio, for any event loop that carries it."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial

from benches.load import Load
from benches.probe import BenchFunction, Probe, Suite, shares
from benches.shapes import ARGUMENT, FAN, levels, rounds, shuffled
from benches.systems import guests, loops, memory_rpc
from benches.systems.streams_rpc import (
    BatchedFrames,
    EchoClient,
    Server,
    StreamFrames,
    connected,
    encode,
    framed,
    stream,
)


def suite(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    benches: Mapping[str, BenchFunction] | None = None,
) -> Suite:
    """These benches on one event loop; all, if it is not said which."""

    def run(bench: BenchFunction, probe: Probe) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(bench(probe))

    return Suite(run, BENCHES if benches is None else benches)


async def yields(probe: Probe) -> None:
    async def spin(times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0)

    for ops in probe.timed():
        async with asyncio.TaskGroup() as group:
            for times in shares(ops, 100):
                group.create_task(spin(times))


async def awaits(probe: Probe) -> None:
    loop = asyncio.get_running_loop()
    for ops in probe.timed():
        for _ in range(ops):
            future: asyncio.Future[None] = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future


async def spawns(probe: Probe) -> None:
    async def trivial() -> None:
        pass

    for ops in probe.timed():
        for _ in range(ops):
            await asyncio.create_task(trivial())


async def channels(probe: Probe) -> None:
    there: asyncio.Queue[int] = asyncio.Queue(1)
    back: asyncio.Queue[int] = asyncio.Queue(1)

    async def pong(times: int) -> None:
        for _ in range(times):
            await back.put(await there.get())

    for ops in probe.timed():
        partner = asyncio.create_task(pong(ops))
        for ball in range(ops):
            await there.put(ball)
            await back.get()
        await partner


async def timeouts(probe: Probe) -> None:
    for ops in probe.timed():
        for times in shares(ops, max(1, ops // 100)):
            for _ in range(times):
                async with asyncio.timeout(10):
                    pass
            # Cancelled timers are swept by the loop's turn: let it have one now and then, so
            # that the sweeping is paid inside the round.
            await asyncio.sleep(0)


async def cancels(probe: Probe) -> None:
    loop = asyncio.get_running_loop()
    parked = 0

    async def park() -> None:
        nonlocal parked
        parked += 1
        await loop.create_future()

    for ops in probe.timed():
        parked = 0
        for _ in range(ops):
            task = asyncio.create_task(park())
            await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
        assert parked == ops, "a task was cancelled before it had parked"


async def locks(probe: Probe) -> None:
    lock = asyncio.Lock()
    for ops in probe.timed():
        for _ in range(ops):
            async with lock:
                pass


async def wakes(probe: Probe, tasks: int) -> None:
    tasks = min(tasks, probe.ops)  # no more than are ever woken: `--quick` parks few
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[None]] = []

    async def park(place: int) -> None:
        while True:
            futures[place] = loop.create_future()
            await futures[place]

    parked = []
    for place in range(tasks):
        futures.append(loop.create_future())
        parked.append(asyncio.create_task(park(place)))
    await asyncio.sleep(0)  # all of them run up to their await
    order = shuffled(tasks)
    for ops in probe.timed():
        for count in rounds(ops, tasks):
            for place in order[:count]:
                futures[place].set_result(None)
            await asyncio.sleep(0)
    for task in parked:
        task.cancel()
    await asyncio.gather(*parked, return_exceptions=True)


async def depths(probe: Probe, depth: int) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None]

    async def wait(levels: int) -> None:
        nonlocal future
        if levels > 1:
            await wait(levels - 1)
        while True:
            future = loop.create_future()
            await future

    task = asyncio.create_task(wait(depth))
    await asyncio.sleep(0)
    for ops in probe.timed():
        for _ in range(ops):
            future.set_result(None)
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def chains(probe: Probe) -> None:
    async def call(levels: int) -> int:
        if levels > 1:
            return await call(levels - 1) + 1
        await asyncio.sleep(0)
        return 1

    for ops in probe.timed():
        for _ in range(ops):
            assert await call(10) == 10


async def trees(probe: Probe, seconds: float | None) -> None:
    async def node(below: int) -> None:
        if below:
            async with asyncio.TaskGroup() as group:
                for _ in range(FAN):
                    group.create_task(node(below - 1))
        elif seconds is not None:
            await asyncio.sleep(seconds)

    for ops in probe.timed():
        await node(levels(ops))


async def memory(probe: Probe) -> None:
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[None]] = []
    tasks: list[asyncio.Task[None]] = []

    async def park(future: asyncio.Future[None]) -> None:
        await future

    for ops in probe.weighed():
        for _ in range(ops):
            future: asyncio.Future[None] = loop.create_future()
            futures.append(future)
            tasks.append(asyncio.create_task(park(future)))
        await asyncio.sleep(0)  # all of them run up to their await
    for future in futures:
        future.set_result(None)
    for task in tasks:
        await task


Connect = Callable[[int], AbstractAsyncContextManager[EchoClient]]


async def echoes(probe: Probe, in_flight: int, connect: Connect) -> None:
    async with connect(in_flight) as echo:

        async def caller(calls: int) -> None:
            for _ in range(calls):
                await echo.echo(b"sixteen bytes, x")

        for ops in probe.timed():
            async with asyncio.TaskGroup() as group:
                for calls in shares(ops, in_flight):
                    group.create_task(caller(calls))


async def hostile_bytes(probe: Probe) -> None:
    """A client opens calls that are never answered; the server is that of the echo benches."""
    loop = asyncio.get_running_loop()
    held = 0

    async def hold(data: bytes) -> int:
        nonlocal held
        held += 1
        await loop.create_future()
        return len(data)

    async with AsyncExitStack() as connections:
        for ops in probe.weighed():
            client, end = socket.socketpair()
            connections.enter_context(client)
            client.setblocking(False)
            frames = StreamFrames(*await stream(end))
            connections.push_async_callback(frames.close)
            server = asyncio.create_task(Server(frames, {"hold": (bytes, hold)}, ops).run())
            connections.callback(server.cancel)
            held = 0
            for number in range(ops):
                unsent = framed(encode((number, "hold", ARGUMENT)))
                while unsent:
                    try:
                        unsent = unsent[client.send(unsent) :]
                    except BlockingIOError:
                        await asyncio.sleep(0)
            while held < ops:
                await asyncio.sleep(0)
    # Its tasks end with the loop.


async def socket_echo(probe: Probe) -> None:
    """On `loop.sock_recv` and `loop.sock_sendall`."""
    loop = asyncio.get_running_loop()

    async def echo(end: socket.socket) -> None:
        while data := await loop.sock_recv(end, 65536):
            await loop.sock_sendall(end, data)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        async with asyncio.TaskGroup() as group:
            group.create_task(echo(theirs))
            for ops in probe.timed():
                for _ in range(ops):
                    await loop.sock_sendall(ours, b"sixteen bytes, x")
                    await loop.sock_recv(ours, 65536)
            ours.shutdown(socket.SHUT_WR)


async def socket_cpu(probe: Probe) -> None:
    """On streams, as the documentation teaches."""

    handlers: list[asyncio.Task[None]] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.append(task)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    with Load() as load:
        server = await asyncio.start_server(echo, sock=load.listener)
        reader, writer = await asyncio.open_connection(sock=load.control)
        for ops in probe.billed():
            writer.write(load.order(ops))
            assert await reader.read(1), "the clients have failed"
        server.close()
        writer.close()
    await asyncio.gather(*handlers, return_exceptions=True)  # their clients are gone


async def socket_cpu_raw(probe: Probe) -> None:
    """On `loop.sock_recv` and `loop.sock_sendall`."""
    loop = asyncio.get_running_loop()

    async def echo(connection: socket.socket) -> None:
        with connection:
            while data := await loop.sock_recv(connection, 65536):
                await loop.sock_sendall(connection, data)

    async def serve(listener: socket.socket) -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            handlers.add(asyncio.create_task(echo(connection)))

    handlers: set[asyncio.Task[None]] = set()
    with Load() as load:
        load.listener.setblocking(False)
        load.control.setblocking(False)
        accepting = asyncio.create_task(serve(load.listener))
        for ops in probe.billed():
            await loop.sock_sendall(load.control, load.order(ops))
            assert await loop.sock_recv(load.control, 1), "the clients have failed"
        accepting.cancel()
        for task in handlers:
            task.cancel()
        await asyncio.gather(accepting, *handlers, return_exceptions=True)


def echoes_over(connect: Connect) -> dict[str, BenchFunction]:
    return {f"echo-{n}": partial(echoes, in_flight=n, connect=connect) for n in (1, 64, 1000)}


BENCHES: dict[str, BenchFunction] = {
    "yield": yields,
    "await": awaits,
    "spawn": spawns,
    "channel": channels,
    "timeout": timeouts,
    "cancel": cancels,
    "lock": locks,
    "wake-100": partial(wakes, tasks=100),
    "wake-100000": partial(wakes, tasks=100_000),
    "depth-1": partial(depths, depth=1),
    "depth-10": partial(depths, depth=10),
    "depth-50": partial(depths, depth=50),
    "depth-100": partial(depths, depth=100),
    "chain-10": chains,
    "tree": partial(trees, seconds=None),
    "tree-io": partial(trees, seconds=0.05),
    "tree-tasks": partial(trees, seconds=None),
    "tree-io-tasks": partial(trees, seconds=0.05),
    "memory": memory,
    **echoes_over(partial(connected, make=StreamFrames)),
    "hostile-bytes": hostile_bytes,
    "socket-echo": socket_echo,
    "socket-cpu": socket_cpu,
    "socket-cpu-raw": socket_cpu_raw,
    **loops.BENCHES,
    "guest-switch": guests.switches,
    "guest-hop": guests.hops,
}


BATCHED = echoes_over(partial(connected, make=BatchedFrames))
IN_MEMORY = echoes_over(memory_rpc.connected)
