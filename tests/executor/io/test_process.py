"""Child processes: waited for, never left over, and nothing of ours is inherited."""

from __future__ import annotations

import os
import signal
import socket
import sys
import warnings

import pytest

from pinfut.executor import CancelledError, scope, spawn, yield_now
from pinfut.executor.current import current_poller
from pinfut.executor.io import (
    DEVNULL,
    PIPE,
    BufferedReader,
    ChildProcess,
    open_process,
    run_process,
)
from tests.executor.world import Run


def is_gone(pid: int) -> bool:
    """Ended and reaped: not even a zombie is left."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_program_gets_its_input_and_gives_its_outputs_and_status(run: Run) -> None:
    data = os.urandom(300_000)
    program = (
        "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1]);"
        "sys.stderr.write('oh'); sys.exit(3)"
    )

    async def main() -> None:
        done = await run_process([sys.executable, "-c", program], input=data)
        assert (done.returncode, done.stdout, done.stderr) == (3, data[::-1], b"oh")
        assert current_poller().external == 0

    run(main())


def test_a_program_may_leave_its_input_unread(run: Run) -> None:
    async def main() -> None:
        assert (await run_process(["true"], input=bytes(1_000_000))).returncode == 0

    run(main())


def test_a_program_that_writes_too_much_is_killed_and_said_so(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="limit="):
            await run_process(["cat", "/dev/zero"], limit=100_000)

    run(main())


def test_a_conversation_with_a_child(run: Run) -> None:
    async def main() -> None:
        async with open_process(["cat"], stdin=PIPE, stdout=PIPE) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            reader = BufferedReader(child.stdout)
            for line in (b"one\n", b"two\n"):
                await child.stdin.sendall(line)
                assert await reader.read_line() == line
            assert child.returncode is None
        # The end of the block closed its input, and waited.
        assert child.returncode == 0
        assert is_gone(child.pid)

    run(main())


def test_a_child_is_killed_and_reaped_when_its_block_is_cancelled_or_fails(run: Run) -> None:
    children: list[ChildProcess] = []

    async def sleeps() -> None:
        async with open_process(["sleep", "1000"], stdin=DEVNULL) as child:
            children.append(child)
            await child.wait()

    async def fails() -> None:
        async with open_process(["sleep", "1000"]) as child:
            children.append(child)
            raise LookupError

    async def main() -> None:
        task = spawn(sleeps())
        await yield_now()
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        with pytest.raises(LookupError):
            await fails()
        for child in children:
            assert child.returncode == -signal.SIGKILL
            assert is_gone(child.pid)
        assert current_poller().external == 0

    run(main())


def test_a_second_cancel_does_not_leave_a_killed_child_unreaped(run: Run) -> None:
    async def sleeps() -> None:
        async with open_process(["sleep", "1000"], stdin=DEVNULL) as child:
            children.append(child)
            await child.wait()

    children: list[ChildProcess] = []

    async def main() -> None:
        task = spawn(sleeps())
        await yield_now()
        task.cancel()
        await yield_now()
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        assert children[0].returncode == -signal.SIGKILL
        assert is_gone(children[0].pid)

    run(main())


def test_a_child_that_is_thrown_away_is_killed_and_reaped_and_nothing_of_it_stays_open(
    run: Run,
) -> None:
    async def main() -> None:
        before = os.listdir("/proc/self/fd")
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            pid = open_process(["sleep", "1000"], stdin=PIPE, stdout=PIPE).pid
        assert is_gone(pid)
        assert os.listdir("/proc/self/fd") == before
        assert [str(one.message)[:8] for one in warned] == ["<ChildPr", "unclosed", "unclosed"]

    run(main())


def test_a_child_that_ends_by_a_signal_says_which(run: Run) -> None:
    async def main() -> None:
        async with open_process(["sleep", "1000"]) as child:
            async with scope() as s:
                waiting = s.spawn(wait(child))
                await yield_now()
                child.terminate()
            assert waiting.result() == -signal.SIGTERM
            assert await child.wait() == -signal.SIGTERM

    async def wait(child: ChildProcess) -> int:
        return await child.wait()

    run(main())


def test_a_child_inherits_three_descriptors_and_those_that_are_named(run: Run) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        with one, other:
            done = await run_process(["ls", "/proc/self/fd"])
            # `ls` has the folder open itself.
            assert done.stdout.split() == [b"0", b"1", b"2", b"3"]
            async with open_process(
                ["ls", "/proc/self/fd"], stdout=PIPE, stderr=DEVNULL, pass_fds=[one.fileno()]
            ) as child:
                assert child.stdout is not None
                listed = await child.stdout.recv(1000)
                assert str(one.fileno()).encode() in listed.split()

    run(main())


def test_a_program_that_is_not_there_leaves_nothing_open(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            open_process(["/no/such/program"], stdin=PIPE, stdout=PIPE, stderr=PIPE)

    run(main())
