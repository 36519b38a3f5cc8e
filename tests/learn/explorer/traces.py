"""Recorded runs for the tests of what is made of them: small programs that together bring about
every kind of event, and random ones."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

from pinfut.executor import Executor, Recorder, VirtualClock, run, scope, sleep
from pinfut.executor.schedule import Seeded
from pinfut.learn.explorer import Trace, record, record_file
from pinfut.sync import Receiver, Sender, channel
from tests.executor.test_two_loops import large, outcome

BELL = dedent(
    """
    from pinfut import PENDING, FutureBase
    from pinfut.executor import scope, sleep


    class Doorbell(FutureBase[str]):
        def __init__(self):
            self.rung = False

        def poll(self, cx):
            if self.rung:
                return "somebody is at the door"
            return PENDING  # here

        def ring(self):
            self.rung = True


    async def visitor(bell):
        await sleep(1)
        bell.ring()


    async def main():
        bell = Doorbell()
        async with scope() as house:
            house.spawn(visitor(bell), name="visitor")
            print(await bell)  # and here
    """
)
"""Breaks law 2: nobody keeps the waker."""

BUSY = dedent(
    """
    from pinfut import join, select
    from pinfut.executor import call_soon, current_task, scope, sleep, spawn, timeout, yield_now
    from pinfut.sync import channel, oneshot


    async def fails():
        raise ValueError("on purpose")


    async def waits(rx):
        return await rx


    async def waits_long():
        await sleep(100)


    async def twice(task):
        task.wake()
        task.wake()


    async def main():
        first, rx = oneshot()
        async with scope() as s:
            waiter = s.spawn(waits(rx), name="waiter")
            idler = s.spawn(waits_long(), name="idler")
            await yield_now()
            call_soon(first.send, "a value")
            print(await waiter, "é€😀")
            idler.cancel()
            await yield_now()
        winner = await select(sleep(1), sleep(2))
        del winner
        await join(sleep(1), waits_long_enough())
        try:
            with timeout(1):
                await sleep(5)
        except TimeoutError:
            print("too late", end="")
        sleeper = spawn(waits_long(), name="sleeper", priority="high")
        await sleep(0)
        await spawn(twice(sleeper), name="rings twice")
        spawn(fails(), name="fails")
        await sleep(1)
        current_task().wake()


    async def waits_long_enough():
        await sleep(2)
        return [1, 2.5, None, ("a", b"b")]
    """
)
"""Meets what happens without calls and descriptors."""

CALLS = dedent(
    """
    from typing import Protocol

    from pinfut import join
    from pinfut.executor import sleep
    from pinfut.rpc import Interface, SimKernel, connect, method, serve


    class File(Interface, Protocol):
        @method
        async def read(self, offset: int, size: int) -> bytes: ...


    class Folder(Interface, Protocol):
        @method
        async def open(self, name: str) -> File: ...


    class MemoryFile(File):
        def __init__(self, data: bytes) -> None:
            self.data = data

        @method
        async def read(self, offset: int, size: int) -> bytes:
            await sleep(0.01)
            return self.data[offset : offset + size]


    class MemoryFolder(Folder):
        @method
        async def open(self, name: str) -> File:
            return MemoryFile(name.encode() * 10)


    async def main():
        kernel = SimKernel()
        bank = kernel.bank("client", pages=64)
        async with (
            serve(kernel, "files", MemoryFolder()),
            connect(kernel, "files", Folder, bank, slots=4) as files,
        ):
            for _ in range(3):
                print(*await join(files.open("a").read(0, 4), files.open("b").read(2, 4)))
    """
)
"""Makes more calls than there are slots, each second one pipelined on the one before it."""

PIPES = dedent(
    """
    from pinfut.executor import scope, sleep
    from pinfut.executor.io import socketpair


    async def receive(sock):
        return await sock.recv(10)


    async def main():
        one, other = socketpair()
        with one, other:
            async with scope() as s:
                s.spawn(receive(one), name="reader")
                await sleep(1)
                other.raw.send(b"bytes")
                await sleep(1)
                left = s.spawn(receive(one), name="left")
                await sleep(1)
                left.cancel()
    """
)
"""Waits for a descriptor."""

PROGRAMS = {"bell": BELL, "busy": BUSY, "calls": CALLS, "pipes": PIPES}


def recorded(name: str, folder: Path, **options: object) -> Trace:
    """One of the programs, recorded."""
    path = folder / f"{name}.py"
    path.write_text(PROGRAMS[name], "utf-8")
    return record_file(path, **options)  # type: ignore[arg-type]  # those of record_file


@cache
def random_trace(seed: int, limit: int) -> Trace:
    """The last `limit` events of a large random program; of an odd seed in a random order."""

    def go(recorder: Recorder) -> None:
        schedule = Seeded(seed) if seed % 2 else None
        executor = Executor(clock=VirtualClock(), instruments=[recorder], schedule=schedule)
        outcome(executor, [*large(random.Random(seed)), ("sleep", 20)])

    return record(go, sources={}, title=f"seed {seed}", limit=limit)


@cache
def long_trace(count: int = 60) -> Trace:
    """Tasks that hand values on to each other: some thousand events."""

    async def worker(rx: Receiver[int], n: int) -> None:
        async for _ in rx:
            await sleep(0.01 * (n % 7 + 1))

    async def main() -> None:
        ends: tuple[Sender[int], Receiver[int]] = channel(4)
        tx, rx = ends
        async with scope() as s:
            for n in range(8):
                s.spawn(worker(rx, n), name=f"worker {n}")
            for i in range(count):
                await tx.send(i)
            s.cancel()

    def go(recorder: Recorder) -> None:
        run(main(), seed=7, instruments=[recorder])

    return record(go, sources={}, title="workers", seed=7, limit=1_000_000)


@cache
def corpus() -> list[Trace]:
    """Traces that together have every kind of event, some without their beginning."""
    with TemporaryDirectory() as folder:
        return _corpus(Path(folder))


def _corpus(folder: Path) -> list[Trace]:
    whole = [recorded(name, folder) for name in PROGRAMS]
    whole.append(recorded("bell", folder, checked=False))
    whole += [recorded("busy", folder, seed=seed, lines=False) for seed in range(4)]
    whole += [recorded(name, folder, limit=60) for name in ("busy", "calls")]
    return (
        whole
        + [random_trace(seed, limit) for seed in range(6) for limit in (40, 20_000)]
        + [long_trace()]
    )
