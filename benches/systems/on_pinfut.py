"""pinfut on its own executor, with checked mode off (the registry sees to that)."""

from asyncio import CancelledError
from contextlib import ExitStack
from functools import partial

from benches.load import Load
from benches.probe import BenchFunction, Probe, Suite, shares
from benches.shapes import ARGUMENT, FAN, levels, rounds, shuffled
from benches.systems.pinfut_rpc import (
    DeepEchoServer,
    Echo,
    EchoServer,
    Holder,
    HolderServer,
    connected,
    crowded,
)
from pinfut import Lock, executor, join
from pinfut.executor.io import Socket, socketpair
from pinfut.future import FutureBase
from pinfut.rpc import SimKernel, serve
from pinfut.rpc.bank.bank import PAGE
from pinfut.rpc.lab.hostile.raw import RING, Raw, call
from pinfut.sync import OneshotSender, Receiver, Sender, channel, oneshot


def run(bench: BenchFunction, probe: Probe) -> None:
    executor.run(bench(probe))


async def yields(probe: Probe) -> None:
    async def spin(times: int) -> None:
        for _ in range(times):
            await executor.yield_now()

    for ops in probe.timed():
        async with executor.scope() as scope:
            for times in shares(ops, 100):
                scope.spawn(spin(times))


async def switches(probe: Probe) -> None:
    for ops in probe.timed():
        for _ in range(ops):
            await executor.yield_now()


async def awaits(probe: Probe) -> None:
    tx: OneshotSender[None]
    rx: FutureBase[None]
    for ops in probe.timed():
        for _ in range(ops):
            tx, rx = oneshot()
            executor.call_soon(tx.send, None)
            await rx


async def spawns(probe: Probe) -> None:
    async def trivial() -> None:
        pass

    for ops in probe.timed():
        for _ in range(ops):
            await executor.spawn(trivial())


async def channels(probe: Probe) -> None:
    there: tuple[Sender[int], Receiver[int]] = channel(1)
    back: tuple[Sender[int], Receiver[int]] = channel(1)
    (there_tx, there_rx), (back_tx, back_rx) = there, back

    async def pong(times: int) -> None:
        for _ in range(times):
            await back_tx.send(await there_rx.recv())

    for ops in probe.timed():
        partner = executor.spawn(pong(ops))
        for ball in range(ops):
            await there_tx.send(ball)
            await back_rx.recv()
        await partner


async def timeouts(probe: Probe) -> None:
    for ops in probe.timed():
        for times in shares(ops, max(1, ops // 100)):
            for _ in range(times):
                with executor.timeout(10):
                    pass
            await executor.yield_now()  # as on the other systems: let it sweep its timers


async def cancels(probe: Probe) -> None:
    parked = 0

    async def park() -> None:
        nonlocal parked
        parked += 1
        ends: tuple[OneshotSender[None], FutureBase[None]] = oneshot()
        await ends[1]

    for ops in probe.timed():
        parked = 0
        for _ in range(ops):
            task = executor.spawn(park())
            await executor.yield_now()
            task.cancel()
            try:
                await task
            except CancelledError:
                pass
        assert parked == ops, "a task was cancelled before it had parked"


async def locks(probe: Probe) -> None:
    lock = Lock()
    for ops in probe.timed():
        for _ in range(ops):
            async with lock:
                pass


async def wakes(probe: Probe, tasks: int) -> None:
    tasks = min(tasks, probe.ops)  # no more than are ever woken: `--quick` parks few
    senders: list[OneshotSender[None]] = []

    async def park(place: int) -> None:
        tx: OneshotSender[None]
        rx: FutureBase[None]
        while True:
            tx, rx = oneshot()
            senders[place] = tx
            await rx

    tx: OneshotSender[None]
    async with executor.scope() as scope:
        for place in range(tasks):
            tx, _ = oneshot()
            senders.append(tx)
            scope.spawn(park(place))
        await executor.yield_now()  # all of them run up to their await
        order = shuffled(tasks)
        for ops in probe.timed():
            for count in rounds(ops, tasks):
                for place in order[:count]:
                    senders[place].send(None)
                await executor.yield_now()  # after all of them
        scope.cancel()


async def depths(probe: Probe, depth: int) -> None:
    sender: OneshotSender[None]

    async def wait(levels: int) -> None:
        nonlocal sender
        if levels > 1:
            await wait(levels - 1)
        rx: FutureBase[None]
        while True:
            sender, rx = oneshot()
            await rx

    async with executor.scope() as scope:
        scope.spawn(wait(depth))
        await executor.yield_now()
        for ops in probe.timed():
            for _ in range(ops):
                sender.send(None)
                await executor.yield_now()
        scope.cancel()


async def chains(probe: Probe) -> None:
    async def call(levels: int) -> int:
        if levels > 1:
            return await call(levels - 1) + 1
        await executor.yield_now()
        return 1

    for ops in probe.timed():
        for _ in range(ops):
            assert await call(10) == 10


async def trees(probe: Probe, seconds: float | None) -> None:
    async def node(below: int) -> None:
        if below:
            await join(*[node(below - 1) for _ in range(FAN)])
        elif seconds is not None:
            await executor.sleep(seconds)

    for ops in probe.timed():
        await node(levels(ops))


async def trees_of_tasks(probe: Probe, seconds: float | None) -> None:
    async def node(below: int) -> None:
        if below:
            async with executor.scope() as scope:
                for _ in range(FAN):
                    scope.spawn(node(below - 1))
        elif seconds is not None:
            await executor.sleep(seconds)

    for ops in probe.timed():
        await node(levels(ops))


async def memory(probe: Probe) -> None:
    senders: list[OneshotSender[None]] = []
    tasks: list[executor.Task[None]] = []

    async def park(future: FutureBase[None]) -> None:
        await future

    tx: OneshotSender[None]
    rx: FutureBase[None]
    for ops in probe.weighed():
        for _ in range(ops):
            tx, rx = oneshot()
            senders.append(tx)
            tasks.append(executor.spawn(park(rx)))
        await executor.yield_now()  # all of them run up to their await
    for tx in senders:
        tx.send(None)
    for task in tasks:
        await task


async def echoes(probe: Probe, in_flight: int, server: type[Echo] = EchoServer) -> None:
    async with connected(in_flight, server()) as echo:

        async def caller(calls: int) -> None:
            for _ in range(calls):
                await echo.echo(b"sixteen bytes, x")

        for ops in probe.timed():
            async with executor.scope() as scope:
                for calls in shares(ops, in_flight):
                    scope.spawn(caller(calls))


async def idlers(probe: Probe, idle: int) -> None:
    """One session calls; the others share its two processes, and have nothing to say."""
    async with crowded(min(idle, probe.ops), EchoServer()) as echo:
        for ops in probe.timed():
            for _ in range(ops):
                await echo.echo(b"sixteen bytes, x")


async def hostile(probe: Probe, *, paid: bool) -> None:
    """A client opens calls that are never answered. `paid`: counts what its bank was charged."""
    kernel, server = SimKernel(), HolderServer()
    spent = 0
    async with serve(kernel, "hold", server):
        with ExitStack() as sessions:
            for ops in probe.weighed():
                bank = kernel.bank(f"hostile {ops}", pages=1000 + 8 * ops, caps=1000 + 8 * ops)
                before = bank.balance.pages
                client = Raw(kernel, "hold", bank, slots=ops, ring=2 * RING)
                sessions.callback(client.leave)
                await client.bootstrap(Holder)
                server.held = 0
                for number in range(ops):
                    client.send(call(ops + number, 0, 0, ARGUMENT, place=number % 4))
                    while server.held <= number:
                        await executor.yield_now()
                spent = before - bank.balance.pages
    if paid:
        probe.per_op = spent * PAGE / probe.ops


async def socket_echo(probe: Probe) -> None:
    async def echo(end: Socket) -> None:
        while data := await end.recv(65536):
            await end.sendall(data)

    ours, theirs = socketpair()
    with ours, theirs:
        async with executor.scope() as scope:
            scope.spawn(echo(theirs))
            for ops in probe.timed():
                for _ in range(ops):
                    await ours.sendall(b"sixteen bytes, x")
                    await ours.recv(65536)
            ours.send_eof()


async def socket_cpu(probe: Probe) -> None:
    async def echo(connection: Socket) -> None:
        with connection:
            while data := await connection.recv(65536):
                await connection.sendall(data)

    async def serve(listener: Socket, scope: executor.Scope) -> None:
        while True:
            scope.spawn(echo(await listener.accept()))

    with Load() as load:
        listener, control = Socket(load.listener), Socket(load.control)
        async with executor.scope() as scope:
            scope.spawn(serve(listener, scope))
            for ops in probe.billed():
                await control.sendall(load.order(ops))
                assert await control.recv(1), "the clients have failed"
            scope.cancel()


SUITE = Suite(
    run,
    {
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
        "tree-tasks": partial(trees_of_tasks, seconds=None),
        "tree-io-tasks": partial(trees_of_tasks, seconds=0.05),
        "memory": memory,
        "echo-1": partial(echoes, in_flight=1),
        "echo-64": partial(echoes, in_flight=64),
        "echo-1000": partial(echoes, in_flight=1000),
        "idle-10": partial(idlers, idle=10),
        "idle-10000": partial(idlers, idle=10_000),
        "echo-64-deep": partial(echoes, in_flight=64, server=DeepEchoServer),
        "hostile-bytes": partial(hostile, paid=False),
        "hostile-paid": partial(hostile, paid=True),
        "socket-echo": socket_echo,
        "socket-cpu": socket_cpu,
        "socket-cpu-raw": socket_cpu,
        "guest-switch": switches,
        "guest-hop": spawns,
    },
)
