"""trio. It has no futures: what another task completes is an Event."""

from functools import partial

import trio
import trio.testing
from trio.lowlevel import checkpoint

from benches.load import Load
from benches.probe import BenchFunction, Probe, Suite, shares
from benches.shapes import FAN, levels, rounds, shuffled
from benches.systems import guests


def run(bench: BenchFunction, probe: Probe) -> None:
    trio.run(bench, probe)


async def yields(probe: Probe) -> None:
    # `checkpoint` always goes through the scheduler; `trio.sleep(0)` is the same one call deeper.
    async def spin(times: int) -> None:
        for _ in range(times):
            await checkpoint()

    for ops in probe.timed():
        async with trio.open_nursery() as nursery:
            for times in shares(ops, 100):
                nursery.start_soon(spin, times)


async def awaits(probe: Probe) -> None:
    """An Event that is set by a partner task, which looks at it once per turn.

    trio has no `call_soon`. Tried, in us: the token's `run_sync_soon(event.set)`, made for other
    threads, 20; a new task per event 12; a partner woken by an Event of its own 9.6; this
    partner, which merely yields, 8.8; the same without Event, on the bare
    `wait_task_rescheduled`, 8.1. This is the fastest that a user would write.
    """
    event = trio.Event()
    done = False

    async def completer() -> None:
        while not done:
            event.set()
            await checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(completer)
        for ops in probe.timed():
            for _ in range(ops):
                event = trio.Event()
                await event.wait()
        done = True


async def spawns(probe: Probe) -> None:
    """One nursery per task: its end is the only join that brings back an error too.

    (Telling the parent through an Event, under one long nursery, takes two thirds of the time,
    but joins only tasks that succeed.)
    """

    async def trivial() -> None:
        pass

    for ops in probe.timed():
        for _ in range(ops):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trivial)


async def channels(probe: Probe) -> None:
    there_tx, there_rx = trio.open_memory_channel[int](1)
    back_tx, back_rx = trio.open_memory_channel[int](1)

    async def pong(times: int) -> None:
        for _ in range(times):
            await back_tx.send(await there_rx.receive())

    for ops in probe.timed():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pong, ops)
            for ball in range(ops):
                await there_tx.send(ball)
                await back_rx.receive()


async def timeouts(probe: Probe) -> None:
    for ops in probe.timed():
        for times in shares(ops, max(1, ops // 100)):
            for _ in range(times):
                with trio.fail_after(10):
                    pass
            await checkpoint()  # as on the other systems: let the scheduler sweep its deadlines


async def cancels(probe: Probe) -> None:
    parked = 0

    async def park() -> None:
        nonlocal parked
        parked += 1
        await trio.sleep_forever()

    for ops in probe.timed():
        parked = 0
        for number in range(ops):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(park)
                # The order within a turn is random: one checkpoint or two.
                while parked == number:
                    await checkpoint()
                nursery.cancel_scope.cancel()


async def locks(probe: Probe) -> None:
    lock = trio.Lock()
    for ops in probe.timed():
        for _ in range(ops):
            async with lock:
                pass


async def wakes(probe: Probe, tasks: int) -> None:
    tasks = min(tasks, probe.ops)  # no more than are ever woken: `--quick` parks few
    events: list[trio.Event] = []
    woken = 0

    async def park(place: int) -> None:
        nonlocal woken
        while True:
            events[place] = trio.Event()
            await events[place].wait()
            woken += 1

    async with trio.open_nursery() as nursery:
        for place in range(tasks):
            events.append(trio.Event())
            nursery.start_soon(park, place)
        await trio.testing.wait_all_tasks_blocked()
        order = shuffled(tasks)
        for ops in probe.timed():
            for count in rounds(ops, tasks):
                woken = 0
                for place in order[:count]:
                    events[place].set()
                while woken < count:
                    await checkpoint()  # the order within a batch is random
        nursery.cancel_scope.cancel()


async def depths(probe: Probe, depth: int) -> None:
    event = trio.Event()

    async def wait(levels: int) -> None:
        nonlocal event
        if levels > 1:
            await wait(levels - 1)
        while True:
            event = trio.Event()
            await event.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, depth)
        await trio.testing.wait_all_tasks_blocked()
        for ops in probe.timed():
            for _ in range(ops):
                event.set()
                while event.is_set():
                    await checkpoint()  # the order within a batch is random
        nursery.cancel_scope.cancel()


async def chains(probe: Probe) -> None:
    async def call(levels: int) -> int:
        if levels > 1:
            return await call(levels - 1) + 1
        await checkpoint()
        return 1

    for ops in probe.timed():
        for _ in range(ops):
            assert await call(10) == 10


async def trees(probe: Probe, seconds: float | None) -> None:
    async def node(below: int) -> None:
        if below:
            async with trio.open_nursery() as nursery:
                for _ in range(FAN):
                    nursery.start_soon(node, below - 1)
        elif seconds is not None:
            await trio.sleep(seconds)

    for ops in probe.timed():
        await node(levels(ops))


async def memory(probe: Probe) -> None:
    events: list[trio.Event] = []

    async def park(event: trio.Event) -> None:
        await event.wait()

    async with trio.open_nursery() as nursery:
        for ops in probe.weighed():
            for _ in range(ops):
                event = trio.Event()
                events.append(event)
                nursery.start_soon(park, event)
            await checkpoint()
            await checkpoint()  # the order within the first turn is random
        for event in events:
            event.set()


async def socket_echo(probe: Probe) -> None:
    async def echo(end: trio.socket.SocketType) -> None:
        while data := await end.recv(65536):
            await end.send(data)

    ours, theirs = trio.socket.socketpair()
    with ours, theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo, theirs)
            for ops in probe.timed():
                for _ in range(ops):
                    await ours.send(b"sixteen bytes, x")
                    await ours.recv(65536)
            ours.shutdown(trio.socket.SHUT_WR)


async def socket_cpu(probe: Probe) -> None:
    async def echo(stream: trio.SocketStream) -> None:
        async with stream:
            while data := await stream.receive_some(65536):
                await stream.send_all(data)

    with Load() as load:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(load.listener))
        control = trio.socket.from_stdlib_socket(load.control)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, echo, [listener])
            for ops in probe.billed():
                await control.send(load.order(ops))
                assert await control.recv(1), "the clients have failed"
            nursery.cancel_scope.cancel()


async def socket_cpu_raw(probe: Probe) -> None:
    async def echo(connection: trio.socket.SocketType) -> None:
        with connection:
            while data := await connection.recv(65536):
                while data:
                    data = data[await connection.send(data) :]

    with Load() as load:
        listener = trio.socket.from_stdlib_socket(load.listener)
        control = trio.socket.from_stdlib_socket(load.control)

        async def serve() -> None:
            while True:
                connection, _ = await listener.accept()
                nursery.start_soon(echo, connection)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            for ops in probe.billed():
                await control.send(load.order(ops))
                assert await control.recv(1), "the clients have failed"
            nursery.cancel_scope.cancel()


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
        "tree-tasks": partial(trees, seconds=None),
        "tree-io-tasks": partial(trees, seconds=0.05),
        "memory": memory,
        "socket-echo": socket_echo,
        "socket-cpu": socket_cpu,
        "socket-cpu-raw": socket_cpu_raw,
        "guest-switch": guests.switches,
        "guest-hop": guests.hops,
    },
)
