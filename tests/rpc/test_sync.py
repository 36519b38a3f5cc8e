"""Synchronous calls: threads that wait for answers, and where they may not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import pytest

from pinfut.executor import Executor, current_executor, sleep, spawn, to_thread
from pinfut.executor.contract import Runner
from pinfut.executor.current import current_poller
from pinfut.executor.threads import THREADS
from pinfut.laws import FutureLock
from pinfut.rpc import (
    Bank,
    Interface,
    RemoteError,
    SimKernel,
    connect,
    method,
    serve,
    sync,
)
from pinfut.sync import Barrier, Lock
from tests.rpc.services import Desk, DeskServer
from tests.rpc.world import World, only, run


class Gate(Interface, Protocol):
    @method
    async def through(self, n: int) -> int: ...


class GateServer(Gate):
    """Lets callers through when `count` of them are there."""

    def __init__(self, count: int) -> None:
        self.barrier = Barrier(count)

    @method
    async def through(self, n: int) -> int:
        await self.barrier.wait()
        return 2 * n


def test_threads_wait_for_calls_of_their_own_at_the_same_time() -> None:
    """Each has a slot: none of three is answered before all three are open."""

    async def main(world: World) -> list[int]:
        async with world.session(Gate, GateServer(3), slots=4) as gate:
            tasks = [spawn(_in_thread(sync.call, gate.through, n)) for n in (1, 2, 3)]
            return [await task for task in tasks]

    assert run(main) == [2, 4, 6]


async def _in_thread(fn: Callable[..., Any], *args: Any) -> Any:
    return await to_thread(fn, *args)


async def _beside(work: Callable[[], None]) -> None:
    """Wait for a thread that the executor knows nothing of, awake."""
    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        await sleep(0.001)
    thread.join()


def test_a_thread_that_the_executor_knows_nothing_of_connects_and_calls() -> None:
    """It calls an object that it gets, too; a call's error is raised in it, and when its block
    ends the bank has everything back."""
    got: list[object] = []

    def work(kernel: SimKernel, bank: Bank, executor: Runner) -> None:
        with sync.entered(connect(kernel, "desk", Desk, bank), executor=executor) as desk:
            got.append(sync.call(desk.do, n=20))
            with sync.entered(sync.call(desk.make, "cup"), executor=executor) as cup:
                got.append(sync.call(cup.name))
            with pytest.raises(RemoteError, match="no cup"):
                sync.call(desk.fail, "no cup")
            with pytest.raises(TypeError, match="no method of a proxy"):
                sync.call(DeskServer().do, 1)
            got.append(bank.pages_used > 0)
        got.append(bank.pages_used)

    async def main() -> None:
        kernel = SimKernel()
        bank = kernel.bank("client", pages=40)
        async with serve(kernel, "desk", DeskServer()):
            await _beside(partial(work, kernel, bank, current_executor()))

    Executor().run(main())
    assert got == [20, "cup", True, 0]


def test_a_proxy_that_a_thread_lets_go_of_is_released_while_the_executor_sleeps() -> None:
    async def main() -> None:
        kernel = SimKernel()
        async with (
            serve(kernel, "desk", DeskServer()) as vat,
            connect(kernel, "desk", Desk, kernel.bank("client", pages=40)) as desk,
        ):

            def work() -> int:
                cup = sync.call(desk.make, "cup")
                held = len(only(vat).peer.exports.things)
                del cup
                # Nothing else wakes it: nobody else runs, and no timer is set.
                while len(only(vat).peer.exports.things) == held:
                    if time.monotonic() > limit:
                        return -1
                return held

            limit = time.monotonic() + 30
            assert await to_thread(work) == 2

    Executor().run(main())


def test_a_handler_that_would_wait_in_its_servers_thread_is_told_who_waits_for_whom() -> None:
    """In its first step, in a later one, and in a task that has nothing to do with a call."""

    async def main(world: World) -> list[str]:
        told: list[str] = []

        async def tries(n: int) -> int:
            if n:
                await sleep(1)
            try:
                sync.call(disk.do, 1)
            except RuntimeError as error:
                told.append(str(error))
            return n

        async with (
            world.session(Desk, DeskServer(), name="disk", bank=world.bank("desk")) as disk,
            world.session(Desk, DeskServer(do=tries), name="desk") as desk,
        ):
            for n in (0, 1):
                await desk.do(n)
            await tries(0)
        return told

    first, later, outside = run(main)
    for told in (first, later):
        assert "Desk.do cannot be called synchronously here. This task serves call " in told
        assert " of session client>desk#2; the answer to Desk.do over session desk>disk#1 " in told
        assert "would be delivered by this very thread" in told
        assert "to_thread(sync.call, ...)" in told
    assert "This task runs in an executor; the answer" in outside


def test_an_executor_does_not_stand_still_for_a_server_of_another() -> None:
    """Two servers in two threads that call each other would: the first to do so is refused."""
    got: list[str] = []

    async def outer() -> None:
        kernel = SimKernel()
        async with (
            serve(kernel, "desk", DeskServer()),
            connect(kernel, "desk", Desk, kernel.bank("client", pages=40)) as desk,
        ):

            async def inner() -> None:
                try:
                    sync.call(desk.do, 1)
                except RuntimeError as error:
                    got.append(str(error))

            await to_thread(Executor().run, inner())

    Executor().run(outer())
    assert "may need this thread, which serves nobody meanwhile" in got[0]


def test_two_servers_that_wait_for_each_other_in_threads_are_named() -> None:
    """Each holds what the other needs: the run ends, and says which call waits for which."""

    async def main() -> None:
        kernel = SimKernel()
        lock = Lock()

        async def ping(n: int) -> int:
            async with lock:
                return await to_thread(sync.call, theirs.do, n)

        async def pong(n: int) -> int:
            return await to_thread(sync.call, ours.do, n)

        async with (
            serve(kernel, "ping", DeskServer(do=ping)),
            serve(kernel, "pong", DeskServer(do=pong)),
            connect(kernel, "ping", Desk, kernel.bank("us", pages=40)) as ours,
            connect(kernel, "pong", Desk, kernel.bank("them", pages=40)) as theirs,
        ):
            await ours.do(1)

    with pytest.raises(FutureLock) as caught:
        Executor().run(main())
    told = str(caught.value)
    for server, waits in (("us>ping#1", "them>pong#2"), ("them>pong#2", "us>ping#1")):
        (line,) = (
            line
            for line in told.splitlines()
            if f", which serves call 1 of session {server}, waits for its thread" in line
        )
        assert "<Task synchronous call of Desk.do, parked on" in line
        assert f"of session {waits}'" in line


def test_calls_that_need_more_threads_than_there_are_are_named_and_do_not_hang() -> None:
    """A server that calls itself in threads, over and over, runs out of them."""
    deep = THREADS + 2

    async def main() -> None:
        kernel = SimKernel()

        async def again(n: int) -> int:
            return n and await to_thread(sync.call, desk.do, n - 1)

        async with (
            serve(kernel, "desk", DeskServer(do=again)),
            connect(kernel, "desk", Desk, kernel.bank("client", pages=400)) as desk,
        ):
            assert await desk.do(THREADS) == 0  # as many as there are
            await desk.do(deep)

    with pytest.raises(FutureLock, match=f"one of {THREADS} threads, none of which is free"):
        Executor().run(main())


def test_a_thread_that_waits_for_what_is_still_to_come_is_no_deadlock() -> None:
    """A timer, a descriptor or another thread at work ends the wait."""

    async def main() -> int:
        done = 0

        async def timer(n: int) -> int:
            await sleep(0.01)
            return n

        async def thread(n: int) -> int:
            await to_thread(time.sleep, 0.01)
            return n

        async def descriptor(n: int) -> int:
            end, other = os.pipe()
            try:
                writer = threading.Timer(0.01, os.write, (other, b"x"))
                writer.start()
                await current_poller().readable(end)
                writer.join()
            finally:
                os.close(end)
                os.close(other)
            return n

        for do in (timer, thread, descriptor):
            kernel = SimKernel()
            async with (
                serve(kernel, "desk", DeskServer(do=do)),
                connect(kernel, "desk", Desk, kernel.bank("client", pages=40)) as desk,
            ):
                done += await to_thread(sync.call, desk.do, 1)
        return done

    assert Executor().run(main()) == 3
