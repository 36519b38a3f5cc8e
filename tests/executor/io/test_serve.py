"""serve: what one visitor does is his own, and the end of a server has a deadline."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from pinfut.executor import (
    CancelledError,
    Priority,
    Task,
    current_executor,
    scope,
    sleep,
    spawn,
    timeout,
    yield_now,
)
from pinfut.executor.current import current_poller
from pinfut.executor.io import BufferedReader, Closed, Socket, listen_tcp, serve, socketpair
from tests.bounded import until
from tests.executor.world import Run
from tests.house.imports import ROOT


class Visitors:
    """Plain sockets that connect to a listener and are closed in the end."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def come(self, listener: Socket) -> socket.socket:
        """One that has connected: he stands in the backlog."""
        sock = socket.create_connection(listener.raw.getsockname())
        self.sockets.append(sock)
        return sock


@pytest.fixture
def visitors() -> Iterator[Visitors]:
    group = Visitors()
    yield group
    for sock in group.sockets:
        sock.close()


def reset(sock: socket.socket) -> None:
    """Have the other side get ECONNRESET."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def echo(sock: Socket) -> None:
    lines = BufferedReader(sock)
    while line := await lines.read_line():
        await sock.sendall(line.upper())


async def ask(visitor: socket.socket, word: bytes) -> bytes:
    """What an echo server answers, while the executor runs it."""
    visitor.setblocking(False)
    visitor.send(word + b"\n")
    with Socket(socket.socket(fileno=os.dup(visitor.fileno()))) as sock:
        return await BufferedReader(sock).read_line()


async def cancelled(task: Task[None]) -> None:
    task.cancel()
    with pytest.raises(CancelledError):
        await task


class Panic(BaseException):
    """What an extension raises when it panics."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("his own"),
        Panic("his own"),
        BaseExceptionGroup("his", [Panic()]),
        GeneratorExit("his own"),
        BaseExceptionGroup("his", [CancelledError(), ValueError()]),
    ],
)
def test_what_one_visitor_makes_a_handler_raise_is_told_and_the_others_are_served(
    run: Run, visitors: Visitors, error: BaseException
) -> None:
    told: list[BaseException] = []

    async def handler(sock: Socket) -> None:
        if await sock.recv(1) == b"!":
            raise error
        await echo(sock)

    async def main() -> None:
        listener = listen_tcp(0)
        good, bad, reset_one = (visitors.come(listener) for _ in range(3))
        server = spawn(serve(listener, handler, on_error=told.append))
        assert await ask(good, b".first") == b"FIRST\n"
        bad.sendall(b"!")
        await until(lambda: told, "the handler's error is told")
        assert bad.recv(1) == b""  # his socket is closed
        reset(reset_one)
        await until(lambda: len(told) == 2, "the reset is told")
        assert await ask(good, b"second") == b"SECOND\n"
        assert await ask(visitors.come(listener), b".third") == b"THIRD\n"
        await cancelled(server)
        assert current_poller().external == 0

    run(main())
    assert told[0] is error
    assert isinstance(told[1], ConnectionResetError)


def test_without_on_error_failures_are_logged_and_a_reset_in_one_quiet_line(
    run: Run, visitors: Visitors, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pinfut.executor")

    async def handler(sock: Socket) -> None:
        if await sock.recv(1) == b"!":
            raise ValueError("his own")

    async def main() -> None:
        listener = listen_tcp(0)
        server = spawn(serve(listener, handler))
        visitors.come(listener).sendall(b"!")
        await until(lambda: caplog.records, "the failure is logged")
        reset(visitors.come(listener))
        await until(lambda: len(caplog.records) == 2, "the reset is logged")
        await cancelled(server)

    run(main())
    failed, gone = caplog.records
    assert failed.levelno == logging.ERROR
    assert failed.exc_info is not None
    assert isinstance(failed.exc_info[1], ValueError)
    assert (gone.levelno, gone.exc_info) == (logging.INFO, None)


@pytest.mark.parametrize("kind", [LookupError, Panic, GeneratorExit])
def test_an_on_error_that_fails_is_logged_and_ends_nothing(
    run: Run, visitors: Visitors, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    async def handler(sock: Socket) -> None:
        raise ValueError("first")

    def on_error(error: BaseException) -> None:
        raise kind("second") from error

    async def main() -> None:
        listener = listen_tcp(0)
        server = spawn(serve(listener, handler, on_error=on_error))
        for count in (1, 2):
            visitors.come(listener)
            await until(lambda: len(caplog.records) == count, "it is logged")  # noqa: B023
        await cancelled(server)

    run(main())
    assert "first" in caplog.text
    assert "second" in caplog.text


def test_at_most_limit_visitors_are_served_and_the_others_are_not_even_taken(
    run: Run, visitors: Visitors
) -> None:
    here: list[Socket] = []

    async def handler(sock: Socket) -> None:
        here.append(sock)
        await sock.recv(1)
        here.remove(sock)

    async def main() -> None:
        listener = listen_tcp(0)
        came = [visitors.come(listener) for _ in range(5)]
        server = spawn(serve(listener, handler, limit=2))
        for left in range(3):
            await until(lambda: len(here) == 2, "there are two")
            for _ in range(20):
                await yield_now()
                assert len(here) == 2
            came[left].close()
            await sleep(0.1)
        await cancelled(server)

    run(main())


# ---- errors of accept ----


class Accept:
    """An accept that fails as it is told to, before it does its work."""

    def __init__(self, listener: Socket, *codes: int) -> None:
        self.raw = listener.raw
        self.codes = list(codes)
        self.calls = 0
        self.accept_once = listener.raw.accept
        listener.raw = self  # type: ignore[assignment]

    def accept(self) -> tuple[socket.socket, object]:
        self.calls += 1
        if self.codes:
            raise OSError(code := self.codes.pop(0), os.strerror(code))
        return self.accept_once()

    def __getattr__(self, name: str) -> object:
        return getattr(self.raw, name)


def test_an_accept_that_breaks_over_one_visitor_takes_the_next(
    run: Run, visitors: Visitors
) -> None:
    told: list[BaseException] = []

    async def main() -> None:
        listener = listen_tcp(0)
        accept = Accept(listener, errno.ECONNABORTED, errno.EPROTO, errno.EHOSTUNREACH)
        began = current_executor().now()
        server = spawn(serve(listener, echo, on_error=told.append))
        assert await ask(visitors.come(listener), b"word") == b"WORD\n"
        assert accept.calls >= 4
        assert current_executor().now() == began  # without a pause
        await cancelled(server)

    run(main())
    assert told == []


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EPERM])
def test_an_accept_without_means_is_told_once_and_tried_each_second(
    run: Run, visitors: Visitors, code: int
) -> None:
    told: list[BaseException] = []

    async def main() -> None:
        listener = listen_tcp(0)
        accept = Accept(listener, *[code] * 10)
        began = current_executor().now()
        server = spawn(serve(listener, echo, on_error=told.append))
        assert await ask(visitors.come(listener), b"word") == b"WORD\n"
        assert current_executor().now() - began == 10
        assert [error.errno for error in told if isinstance(error, OSError)] == [code]
        assert "ulimit -n" in told[0].__notes__[0]
        await sleep(100)
        accept.codes.append(code)  # after a minute without one it is news
        assert await ask(visitors.come(listener), b"word") == b"WORD\n"
        assert len(told) == 2
        await cancelled(server)

    run(main())


def test_what_is_no_listener_is_an_error_once_those_being_served_have_ended(
    run: Run, visitors: Visitors
) -> None:
    async def main() -> None:
        one, other = socketpair()
        with other:
            with pytest.raises(OSError, match="Invalid argument"):
                await serve(one, echo)
            assert one.raw.fileno() == -1
        listener = listen_tcp(0)
        accept = Accept(listener)
        server = spawn(serve(listener, echo, drain=5))
        visitor = visitors.come(listener)
        assert await ask(visitor, b"word") == b"WORD\n"
        accept.codes.append(errno.EBADF)
        visitors.come(listener)
        await until(lambda: not accept.codes, "accept has failed")
        assert not server.done
        assert await ask(visitor, b"more") == b"MORE\n"
        visitor.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            await server

    run(main())


EMFILE = """
import resource, socket
from pinfut import executor
from pinfut.executor import io

async def answer(sock):
    await sock.sendall(await sock.recv(100))

told = []

async def main():
    listener = io.listen_tcp(0)
    print(listener.raw.getsockname()[1], flush=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    async with executor.scope() as tasks:
        tasks.spawn(io.serve(listener, answer, on_error=told.append))
        await io.signals(15).__enter__().next()
        tasks.cancel()
    print([error.errno for error in told], flush=True)

executor.run(main())
"""


def test_a_full_descriptor_table_keeps_visitors_waiting_and_every_one_is_served() -> None:
    files = 40
    with subprocess.Popen(
        [sys.executable, "-c", EMFILE.replace("FILES", str(files))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        where = ("127.0.0.1", int(child.stdout.readline()))
        came = [socket.create_connection(where, timeout=60) for _ in range(2 * files)]
        for visitor in came:
            visitor.sendall(b"here")
        for visitor in came:
            with visitor:
                assert visitor.recv(100) == b"here"
        child.send_signal(signal.SIGTERM)
        told = child.stdout.read()
    assert told in ("[]\n", f"[{errno.EMFILE}]\n")
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > files


# ---- the end ----


def test_cancelled_it_refuses_visitors_and_waits_for_those_it_has(
    run: Run, visitors: Visitors
) -> None:
    async def main() -> None:
        listener = listen_tcp(0)
        where = listener.raw.getsockname()
        visitor = visitors.come(listener)
        server = spawn(serve(listener, echo, drain=5))
        assert await ask(visitor, b"one") == b"ONE\n"
        server.cancel()
        await sleep(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(where)
        assert await ask(visitor, b"two") == b"TWO\n"
        visitor.close()
        began = current_executor().now()
        with pytest.raises(CancelledError):
            await server
        assert current_executor().now() == began  # no longer than he stays

    run(main())


@pytest.mark.parametrize("second", [False, True])
def test_the_drain_ends_at_its_deadline_or_at_a_second_cancel_and_cleans_up(
    run: Run, visitors: Visitors, second: bool
) -> None:
    ended: list[str] = []

    async def handler(sock: Socket) -> None:
        try:
            await sleep(1000)
        finally:
            await sleep(1)
            ended.append("cleaned up")

    async def main() -> None:
        listener = listen_tcp(0)
        visitor = visitors.come(listener)
        server = spawn(serve(listener, handler, drain=5))
        await sleep(1)
        server.cancel()
        await sleep(2)
        assert ended == []
        if second:
            server.cancel()
        with pytest.raises(CancelledError):
            await server
        assert current_executor().now() == (4 if second else 7)
        assert visitor.recv(1) == b""

    run(main())
    assert ended == ["cleaned up"]


def leave_by_cancel(task: Task[None], listener: Socket) -> None:
    task.cancel()


def leave_by_close(task: Task[None], listener: Socket) -> None:
    listener.close()


@pytest.mark.parametrize("leave", [leave_by_cancel, leave_by_close])
@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("priority", ["normal", "high"])  # before his first step, and after
def test_without_a_drain_who_was_taken_is_let_go_at_any_moment(
    run: Run,
    visitors: Visitors,
    leave: Callable[[Task[None], Socket], None],
    priority: Priority,
    turns: int,
) -> None:
    async def main() -> None:
        with listen_tcp(0) as listener:  # serve never begins when it is cancelled at once
            came = [visitors.come(listener) for _ in range(3)]
            server = spawn(serve(listener, echo), priority=priority)
            for _ in range(turns):
                await yield_now()
            leave(server, listener)
            if leave is leave_by_cancel:
                with pytest.raises(CancelledError):
                    await server
            else:
                await server
        for visitor in came:
            visitor.settimeout(60)
            try:
                assert visitor.recv(1) == b""
            except ConnectionResetError:
                pass  # he was still in the backlog
        assert current_poller().external == 0

    run(main())


def test_a_listener_that_is_closed_ends_it_also_while_there_is_no_room(
    run: Run, visitors: Visitors
) -> None:
    async def main() -> None:
        listener = listen_tcp(0)
        visitors.come(listener)
        server = spawn(serve(listener, echo, limit=1, drain=3))
        await sleep(0.5)
        listener.close()
        await server
        assert current_executor().now() <= 5

    run(main())


def test_a_timeout_around_it_and_an_error_beside_it_come_out_as_they_are(run: Run) -> None:
    async def fail() -> None:
        await sleep(1)
        raise LookupError

    async def side_by_side() -> None:
        async with scope() as s:
            s.spawn(serve(listen_tcp(0), echo, drain=5))
            s.spawn(fail())

    async def main() -> None:
        with pytest.raises(TimeoutError), timeout(1):
            await serve(listen_tcp(0), echo, drain=5)
        with pytest.raises(ExceptionGroup) as group:
            await side_by_side()
        assert group.group_contains(LookupError, depth=1)
        assert len(group.value.exceptions) == 1

    run(main())


def test_a_slow_reader_keeps_nobody_waiting_and_is_cancelled_in_the_end(
    run: Run, visitors: Visitors
) -> None:
    ended: list[BaseException] = []

    async def handler(sock: Socket) -> None:
        if await sock.recv(1) == b".":
            return await echo(sock)
        try:
            while True:
                await sock.sendall(b"x" * 65536)
        except CancelledError as error:
            ended.append(error)
            raise

    async def main() -> None:
        listener = listen_tcp(0)
        slow, other = visitors.come(listener), visitors.come(listener)
        server = spawn(serve(listener, handler))
        slow.sendall(b"!")
        assert await ask(other, b".word") == b"WORD\n"
        await sleep(100)
        assert ended == []
        assert await ask(other, b"more") == b"MORE\n"
        await cancelled(server)

    run(main())
    assert len(ended) == 1


def test_a_limit_or_a_drain_that_cannot_be_is_refused(run: Run) -> None:
    async def main() -> None:
        with listen_tcp(0) as listener:
            for limit, drain in ((0, 0.0), (1, -1.0), (1, float("nan"))):
                with pytest.raises(ValueError, match="serve takes"):
                    await serve(listener, echo, limit=limit, drain=drain)

    run(main())


def test_a_closed_listener_is_an_end_and_no_error(run: Run) -> None:
    async def main() -> None:
        listener = listen_tcp(0)
        listener.close()
        await serve(listener, echo)
        with pytest.raises(Closed):
            await listener.accept()

    run(main())
