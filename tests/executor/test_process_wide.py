"""What a run takes of the process, and gives back: handlers, the wakeup descriptor, a fork."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from pinfut.executor import (
    Executor,
    current_executor,
    from_thread,
    run,
    scope,
    sleep,
    spawn,
)
from pinfut.executor.current import running
from pinfut.executor.io import PIPE, open_process, signals, socketpair
from tests.executor.world import Run
from tests.house.imports import ROOT

pytestmark = pytest.mark.usefixtures("each_poller")


@pytest.fixture(autouse=True)
def gives_back(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every handler and the wakeup descriptor are afterwards what they were before, and as many
    descriptors are open, but for one that multiprocessing keeps."""
    descriptors = len(os.listdir("/proc/self/fd"))
    numbers = (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    yield
    after = [signal.getsignal(number) for number in numbers]
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    assert after == before
    assert signal.set_wakeup_fd(-1) == -1
    kept = "multiprocessing" in request.node.name
    assert len(os.listdir("/proc/self/fd")) <= descriptors + kept


def mine(number: int, frame: FrameType | None) -> None:
    """A handler of the program's own."""


def raises_elsewhere(number: int) -> Callable[[], None]:
    """Has `number` come in another thread, as the system may: that one runs the C handler."""

    def sends() -> None:
        time.sleep(0.01)  # so that the executor sleeps; without it the test holds, and shows less
        signal.pthread_kill(threading.get_ident(), number)

    return sends


# ---- handlers ----


def test_a_handler_of_ctrl_c_that_the_program_sets_meanwhile_stays(run: Run) -> None:
    async def main() -> None:
        signal.signal(signal.SIGINT, mine)

    run(main())
    assert signal.getsignal(signal.SIGINT) is mine
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_the_handler_of_a_run_that_is_over_does_as_the_default_one(run: Run) -> None:
    found: list[Any] = []

    async def main() -> None:
        found.append(signal.getsignal(signal.SIGINT))

    run(main())
    signal.signal(signal.SIGINT, found[0])  # as a program may that had put its own over it
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    run(main())
    assert found[1] != found[0], "the next run takes it over"
    assert signal.getsignal(signal.SIGINT) == found[0]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_handler_of_the_dump_that_the_program_sets_meanwhile_stays() -> None:
    async def main() -> None:
        signal.signal(signal.SIGUSR1, mine)

    run(main(), dump_on_signal=True)
    assert signal.getsignal(signal.SIGUSR1) is mine
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


@pytest.mark.parametrize("order", ["nested", "overlapping"])
def test_users_of_one_signal_end_in_any_order_and_each_gets_what_comes(
    run: Run, order: str
) -> None:
    got: dict[str, list[int]] = {"a": [], "b": []}

    async def user(name: str, start: float, end: float) -> None:
        await sleep(start)
        with signals(signal.SIGUSR1) as stream:
            await sleep(end - start)
            while stream.came:
                got[name].append(await stream.next())

    async def main() -> None:
        async with scope() as s:
            s.spawn(user("a", 0, 4 if order == "overlapping" else 8))
            s.spawn(user("b", 2, 6))
            await sleep(1)
            signal.raise_signal(signal.SIGUSR1)  # for a
            await sleep(2)
            signal.raise_signal(signal.SIGUSR1)  # for both
            await sleep(2)
            signal.raise_signal(signal.SIGUSR1)  # for who is left: b, and a when it is around it

    run(main())
    assert got == {"a": [signal.SIGUSR1], "b": [signal.SIGUSR1]}, "each signal counts once"


def test_a_handler_that_the_program_puts_over_a_stream_of_signals_stays(run: Run) -> None:
    async def main() -> None:
        with signals(signal.SIGUSR1):
            signal.signal(signal.SIGUSR1, mine)
            with signals(signal.SIGUSR1):
                assert signal.getsignal(signal.SIGUSR1) is not mine
            assert signal.getsignal(signal.SIGUSR1) is mine
        assert signal.getsignal(signal.SIGUSR1) is mine

    run(main())
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


# ---- the wakeup descriptor ----


def test_a_signal_that_comes_in_another_thread_ends_the_sleep() -> None:
    async def main() -> int:
        with signals(signal.SIGUSR1) as stream:
            threads = threading.Thread(target=raises_elsewhere(signal.SIGUSR1))
            current_executor().call_soon(threads.start)
            number = await stream.next()
            threads.join()
            return number

    assert run(main()) == signal.SIGUSR1


def test_ctrl_c_that_comes_in_another_thread_ends_the_sleep() -> None:
    threads = threading.Thread(target=raises_elsewhere(signal.SIGINT))

    async def main() -> None:
        current_executor().call_soon(threads.start)
        await sleep(1000)

    try:
        run(main())
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("the run went on")
    finally:
        threads.join()


def test_who_had_the_wakeup_descriptor_gets_the_signals_that_come_and_has_it_back() -> None:
    """As asyncio, whose handlers are called for the numbers that it reads there."""
    receive, send = socket.socketpair()
    with receive, send:
        receive.setblocking(False)
        send.setblocking(False)
        signal.set_wakeup_fd(send.fileno())

        async def main() -> None:
            with signals(signal.SIGUSR1) as stream:
                current_executor().call_soon(signal.raise_signal, signal.SIGUSR1)
                assert await stream.next() == signal.SIGUSR1
            await sleep(0.001)

        run(main())
        assert receive.recv(100) == bytes([signal.SIGUSR1])
        assert signal.set_wakeup_fd(-1) == send.fileno()


@pytest.mark.parametrize("first", [0, 1])
def test_executors_that_are_hosted_side_by_side_close_in_any_order(first: int) -> None:
    receive, send = socket.socketpair()
    with receive, send:
        send.setblocking(False)
        signal.set_wakeup_fd(send.fileno())
        pair = [Executor(), Executor()]
        for one in pair:
            one.open()
        pair.pop(first).close()
        pair.pop().close()
        assert signal.set_wakeup_fd(-1) == send.fileno()


def test_a_wakeup_descriptor_that_somebody_puts_over_it_stays_and_a_closed_one_does_not() -> None:
    receive, send = socket.socketpair()
    with receive, send:
        send.setblocking(False)

        async def takes() -> None:
            signal.set_wakeup_fd(send.fileno())

        run(takes())
        assert signal.set_wakeup_fd(send.fileno()) == send.fileno()

        async def closes() -> None:
            send.close()

        run(closes())
    assert signal.set_wakeup_fd(-1) == -1


# ---- forks ----


def forked(child: Callable[[], object]) -> str:
    """What `child`, called in a forked process, gives."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = str(child())
        except BaseException as error:
            text = repr(error)
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with open(read) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text


def test_a_forked_child_runs_an_executor_of_its_own_and_the_parent_goes_on(run: Run) -> None:
    async def inner() -> str:
        one, other = socketpair()
        with one, other:
            await other.sendall(b"inner")
            await sleep(0.001)
            return (await one.recv(10)).decode()

    async def main() -> None:
        one, other = socketpair()
        with one, other:

            async def reads() -> bytes:
                return await one.recv(10)

            reading = spawn(reads())
            await sleep(1)
            assert forked(lambda: Executor().run(inner())) == "inner"
            await other.sendall(b"outer")
            assert await reading == b"outer"

    run(main())


def test_a_forked_child_starts_clean(run: Run) -> None:
    async def main() -> None:
        executor = current_executor()
        poller = executor.poller
        assert poller is not None
        with signals(signal.SIGUSR1):

            def child() -> object:
                return (
                    running.executor,
                    signal.getsignal(signal.SIGINT) is signal.default_int_handler,
                    signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL,
                    signal.set_wakeup_fd(-1),
                    poller.hand_over(print),
                    len(os.listdir("/proc/self/fd")) - before,
                )

            before = len(os.listdir("/proc/self/fd"))
            # The pipe of the answer is there, and the three descriptors of the run are not.
            assert forked(child) == "(None, True, True, -1, False, -1)"

    run(main())


def test_what_a_forked_child_does_with_the_run_of_its_parent_is_refused_by_name(run: Run) -> None:
    cleaned: list[int] = []

    async def other() -> None:
        try:
            await sleep(1000)
        finally:
            cleaned.append(os.getpid())

    async def main() -> None:
        executor = current_executor()
        spawn(other())
        await sleep(1)
        assert "not open" in forked(lambda: executor.turn(0))
        assert "goes on in its parent" in forked(lambda: from_thread(print, executor=executor))
        assert "no executor runs in this thread" in forked(current_executor)

    run(main())
    assert cleaned == [os.getpid()]


def test_a_forked_child_that_leaves_through_the_run_runs_no_clean_up_of_another_task() -> None:
    program = """
import os, sys
from pinfut.executor import run, sleep, spawn, yield_now

async def other():
    try:
        await sleep(1000)
    except BaseException as error:
        await sleep(0.001)
        print("clean-up of another task, in", "parent" if os.getpid() == parent else "child")
        raise

async def main():
    spawn(other())
    await yield_now()
    pid = os.fork()
    if pid == 0 and sys.argv[1] == "exits":
        sys.exit(3)
    elif pid == 0:
        await Forever()
    print("child:", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)

class Forever:
    def __await__(self):
        yield self
    def poll(self, cx):
        from pinfut import PENDING
        return PENDING
    def drop(self):
        pass

parent = os.getpid()
run(main(), checked=False)
"""
    for how, code in (("exits", 3), ("waits", 1)):
        done = subprocess.run(
            [sys.executable, "-c", program, how],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,  # only so that a hang ends
        )
        assert done.stdout == f"child: {code}\nclean-up of another task, in parent\n", done.stderr
        assert ("goes on in its parent only: call run" in done.stderr) == (how == "waits")


async def doubled(number: int) -> int:
    await sleep(0.001)
    return number * 2


def in_a_process(number: int) -> int:
    return run(doubled(number))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_processes_of_multiprocessing_run_executors(method: str) -> None:
    async def main() -> list[int]:
        context = multiprocessing.get_context(method)
        with context.Pool(1) as pool:
            got = pool.map(in_a_process, [1, 2])
            pool.close()
            pool.join()
        return got

    assert run(main()) == [2, 4]


# ---- children whose end is lost ----


def test_while_sigchld_is_ignored_no_process_is_started(run: Run) -> None:
    async def main() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            with pytest.raises(RuntimeError, match="SIGCHLD is ignored"):
                open_process(["true"])
        finally:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    run(main())


@pytest.mark.parametrize("thief", ["os.wait", "SIG_IGN"])
def test_a_child_that_somebody_else_has_waited_for_has_no_status(thief: str) -> None:
    async def main() -> None:
        try:
            async with open_process(["sh", "-c", "read it; exit 3"], stdin=PIPE) as process:
                assert process.stdin is not None
                if thief == "SIG_IGN":
                    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
                process.stdin.close()
                if thief == "os.wait":
                    os.wait()
                with pytest.raises(ChildProcessError, match="waits for any child"):
                    await process.wait()
                raise KeyError("of the block")
        finally:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    with pytest.raises(KeyError, match="of the block"):
        run(main())
