"""Child processes: `subprocess.Popen`, waited for through a descriptor (Linux's pidfd; elsewhere a
socket that a thread for each child closes), pipes as streams."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from io import FileIO
from typing import Any, Final, final

from pinfut.closing import close_each, closed_on_error
from pinfut.combinators import try_join
from pinfut.executor.block import shield
from pinfut.executor.interrupt import InterruptsHeld
from pinfut.executor.io.operations import ReadOperation
from pinfut.executor.io.pipes import PipeReader, PipeWriter, raw_pipe
from pinfut.executor.source import EdgeSource
from pinfut.future import FutureBase

PIPE: Final = subprocess.PIPE
DEVNULL: Final = subprocess.DEVNULL


@final
class ChildProcess:
    """A child process, and our ends of its pipes.

    ``async with open_process(...) as p:`` waits for the child when the block ends, with its
    `stdin` closed; when the block is left by an error or a cancel the child is killed first.
    It is always reaped, and our ends are always closed. Its own children are not touched.
    One that is thrown away while the child runs kills it, with a ResourceWarning."""

    __slots__ = ("_ended", "_exit", "_popen", "_watch", "stderr", "stdin", "stdout")

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        watch: tuple[FileIO | socket.socket, threading.Thread | None],
        stdin: PipeWriter | None,
        stdout: PipeReader | None,
        stderr: PipeReader | None,
    ) -> None:
        # What it asks and does takes a lock that an interrupt may leave taken: hence `_held`.
        self._popen = popen
        # Readable once the child has ended; the thread that waits, where there is no pidfd.
        self._ended, self._watch = watch
        self._exit = EdgeSource(self._ended.fileno())
        # None where no pipe was asked for.
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, minus the signal that killed it, or None while it runs."""
        with InterruptsHeld():
            return self._popen.poll()

    def wait(self) -> FutureBase[int]:
        """Wait for its end; the `returncode`. Cancelled, the child runs on. One task may."""
        return ReadOperation(self._exit, self._reap)

    def _reap(self) -> int:
        if self._popen.returncode is None and self._watch is None:
            # `poll` would give 0 for a child that somebody else has waited for.
            try:
                if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    raise BlockingIOError
            except ChildProcessError:
                _ = self.returncode
                raise ChildProcessError(
                    errno.ECHILD,
                    f"how process {self.pid} has ended is lost: something else in this program "
                    "waits for any child (os.wait, a SIGCHLD handler, SIG_IGN for SIGCHLD); "
                    "have it wait for its own",
                ) from None
        code = self.returncode
        if code is None:
            raise BlockingIOError
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal; a no-op once it has ended."""
        with InterruptsHeld():
            self._popen.send_signal(number)

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it (SIGKILL)."""
        self.send_signal(signal.SIGKILL)

    async def __aenter__(self) -> ChildProcess:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            if self.stdin is not None:
                self.stdin.close()
            if error is None:
                await self.wait()
        finally:
            if self.returncode is None:
                if issubclass(type(error), GeneratorExit):
                    _end(self._popen)  # nothing can be awaited; what is killed ends at once
                else:
                    self.kill()
                    with shield():
                        await self.wait()
            self._close()

    def __del__(self) -> None:
        if self.returncode is None:
            text = f"{self!r} was thrown away, and is killed"
            warnings.warn(text, ResourceWarning, stacklevel=2)
            _end(self._popen)
        self._exit.close()
        self._ended.close()

    def __repr__(self) -> str:
        return f"<ChildProcess {self.pid}>"

    def _close(self) -> None:
        ends = (self.stdin, self.stdout, self.stderr)
        calls: list[Callable[[], object]] = [end.close for end in ends if end is not None]
        calls += [self._exit.close, self._ended.close]
        if self._watch is not None and self._popen.returncode is not None:
            calls.append(self._watch.join)  # at once: it waits for nothing any more
        close_each(calls)


def _watch(
    popen: subprocess.Popen[bytes],
) -> tuple[FileIO | socket.socket, threading.Thread | None]:
    """What becomes readable when the child ends, and the thread behind it."""
    if hasattr(os, "pidfd_open"):
        return FileIO(os.pidfd_open(popen.pid)), None
    ours, theirs = socket.socketpair()

    def wait() -> None:
        with theirs:
            popen.wait()

    thread = threading.Thread(target=wait, name=f"waits for {popen.pid}", daemon=True)
    with closed_on_error(ours, theirs):
        thread.start()
    return ours, thread


def open_process(
    command: Sequence[str | bytes | os.PathLike[str]],
    *,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> ChildProcess:
    """Start a child process: ``async with open_process(["cat"], stdin=PIPE) as p: ...``.

    `stdin`, `stdout`, `stderr`: PIPE for a stream of ours, DEVNULL, a descriptor, or None to
    share ours. Other descriptors are not inherited, but for `pass_fds`. It blocks until the
    system has started the program, about a millisecond. Raises OSError when it cannot, and
    RuntimeError while SIGCHLD is ignored, where the system forgets how a child has ended."""
    if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        raise RuntimeError(
            "SIGCHLD is ignored, so the system throws away how a child ends, and nobody can wait "
            "for one: call signal.signal(signal.SIGCHLD, signal.SIG_DFL) first"
        )
    with InterruptsHeld(), ExitStack() as ours:
        given: dict[str, Any] = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        ends: dict[str, Any] = dict.fromkeys(given)
        with ExitStack() as theirs:
            for name in [name for name, choice in given.items() if choice == PIPE]:
                read, write = raw_pipe()
                if name == "stdin":
                    given[name] = theirs.enter_context(read)
                    ends[name] = ours.enter_context(PipeWriter(write))
                else:
                    given[name] = theirs.enter_context(write)
                    ends[name] = ours.enter_context(PipeReader(read))
            popen = subprocess.Popen(
                command, bufsize=0, cwd=cwd, env=env, pass_fds=pass_fds, **given
            )
            ours.callback(_end, popen)
            process = ChildProcess(popen, _watch(popen), **ends)
            ours.callback(process._close)
            ours.callback(_end, popen)
        ours.pop_all()
    return process


def _end(popen: subprocess.Popen[bytes]) -> None:
    with InterruptsHeld():
        popen.kill()
        popen.wait()


async def run_process(
    command: Sequence[str | bytes | os.PathLike[str]],
    *,
    input: bytes = b"",
    limit: int = 1 << 20,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end with `input`; its status and what it wrote. Cancelled, it is killed;
    so when it writes more than `limit` bytes to one of its outputs, and ValueError is raised."""
    process = open_process(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=cwd, env=env)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    async with process:
        out, err, _ = await try_join(
            _read_all(process.stdout, limit),
            _read_all(process.stderr, limit),
            _feed(process.stdin, input),
        )
        code = await process.wait()
    return subprocess.CompletedProcess(command, code, out, err)


async def _read_all(reader: PipeReader, limit: int) -> bytes:
    data = bytearray()
    while piece := await reader.recv(65536):
        data += piece
        if len(data) > limit:
            raise ValueError(
                f"the program wrote more than {limit} bytes; allow more with limit=, or read its "
                "output as a stream with open_process"
            )
    return bytes(data)


async def _feed(writer: PipeWriter, data: bytes) -> None:
    with writer, suppress(BrokenPipeError):  # it may not want all of its input
        await writer.sendall(data)
