"""PortablePoller, on each selector: disarmed reports, closed numbers, and what a system lacks."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import selectors
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pinfut.executor import (
    Executor,
    VirtualClock,
    current_executor,
    scope,
    sleep,
    spawn,
    timeout,
)
from pinfut.executor.current import current_poller
from pinfut.executor.io import Socket, signals, socketpair
from pinfut.executor.pollers import VARIABLE, PortablePoller, base
from pinfut.executor.source import READ, WRITE, EdgeSource
from pinfut.sync import Closed
from tests.executor.io.world import no_leaks
from tests.executor.world import Run

__all__ = ["no_leaks"]


@pytest.fixture(autouse=True, params=["EpollSelector", "PollSelector", "SelectSelector"])
def selector(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The selector that the portable poller stands on: each in turn."""
    name: str = request.param
    monkeypatch.setattr(selectors, "DefaultSelector", getattr(selectors, name))
    monkeypatch.setenv(VARIABLE, "portable")
    return name


@pytest.fixture
def poller() -> Iterator[PortablePoller]:
    one = PortablePoller(Executor())
    yield one
    one.close()


class Waiter:
    """A future that waits for a source, and counts how often it was woken."""

    def __init__(self) -> None:
        self.waker: Any = self
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def wait(source: EdgeSource, poller: PortablePoller) -> Waiter:
    """Somebody waits to read from a source that `poller` watches already."""
    source.reader = waiter = Waiter()
    poller.external += 1
    return waiter


def armed(poller: PortablePoller) -> dict[int, int]:
    """What the selector is asked to report, by descriptor, without the poller's own."""
    assert poller._selector is not None
    return {
        key.fd: key.events for key in poller._selector.get_map().values() if key.data is not None
    }


# ---- reports ----


def test_what_is_ready_is_reported_once_and_again_after_the_next_wait(
    poller: PortablePoller, pair: tuple[socket.socket, socket.socket]
) -> None:
    source = EdgeSource(pair[0].fileno())
    pair[1].send(b"x")
    for _ in range(3):
        poller.watch(source, source.mask | READ)
        assert poller.park(0)
        assert not poller.park(0), "reported twice"
        assert armed(poller) == {}


def test_a_report_of_one_direction_leaves_the_other_armed(
    poller: PortablePoller, pair: tuple[socket.socket, socket.socket]
) -> None:
    source = EdgeSource(pair[0].fileno())
    poller.watch(source, READ | WRITE)
    reader = wait(source, poller)
    assert poller.park(0)  # writable
    assert (reader.woken, armed(poller)) == (0, {source.fd: selectors.EVENT_READ})
    pair[1].send(b"x")
    assert poller.park(0)
    assert (reader.woken, armed(poller), poller.external) == (1, {}, 0)


def test_a_wait_after_a_cancelled_one_is_woken_and_what_came_in_between_is_not_lost(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    async def main() -> None:
        poller = current_poller()
        assert isinstance(poller, PortablePoller)
        with Socket(pair[0]) as sock:
            for number in range(3):
                with pytest.raises(TimeoutError), timeout(1):
                    await sock.recv(10)
                assert armed(poller) == {sock.raw.fileno(): selectors.EVENT_READ}
                if number:
                    # Reported to nobody, which disarms it.
                    pair[1].send(b"y")
                    await sleep(1)
                    assert armed(poller) == {}
                    assert await sock.recv(10) == b"y"
                reading = spawn(receive(sock))
                await sleep(1)
                pair[1].send(b"x")
                assert await reading == b"x"
            assert current_poller().external == 0

    run(main())


async def receive(sock: Socket) -> bytes:
    return await sock.recv(10)


def test_hundreds_of_descriptors_that_are_ready_at_once_are_all_seen_in_one_look(
    run: Run,
) -> None:
    count = 200

    async def main() -> None:
        pairs = [socketpair() for _ in range(count)]
        async with scope() as s:
            readers = [s.spawn(receive(one)) for one, _ in pairs]
            await sleep(1)
            assert current_poller().external == count
            for _, other in pairs:
                other.raw.send(b"x")
            assert current_poller().park(0)
            assert current_poller().external == 0
            assert [await reader for reader in readers] == [b"x"] * count
        for one, other in pairs:
            one.close()
            other.close()

    run(main())


def test_a_jump_of_virtual_time_looks_at_descriptors_that_nobody_reads_once(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    clock = VirtualClock()

    async def main() -> list[float]:
        with Socket(pair[0]) as sock:
            with pytest.raises(TimeoutError), timeout(1):
                await sock.recv(10)
            pair[1].send(b"x")
            times = []
            for _ in range(3):
                await sleep(1000)
                times.append(clock.now())
            return times

    assert Executor(clock=clock).run(main()) == [1001, 2001, 3001]


def test_a_regular_file_keeps_nobody_waiting_and_is_not_armed(poller: PortablePoller) -> None:
    with tempfile.TemporaryFile() as file:
        for fd in (file.fileno(), os.open(".", os.O_RDONLY)):
            with pytest.raises(PermissionError):
                poller.watch(EdgeSource(fd), READ)
        os.close(fd)
    assert armed(poller) == {}


# ---- closed, and another's ----


def test_one_who_waits_for_a_descriptor_that_was_closed_unseen_does_not_stop_the_others(
    run: Run, selector: str, pair: tuple[socket.socket, socket.socket]
) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        one.setblocking(False)
        sock = Socket(one)
        lost = spawn(receive(sock))
        found = spawn(receive(Socket(pair[0])))
        await sleep(1)
        one.close()
        other.close()
        pair[1].send(b"x")
        assert await found == b"x"
        if selector == "EpollSelector":
            sock.close()  # the kernel has told nobody
        with pytest.raises((OSError, Closed), match=r"Bad file|closed"):
            await lost
        sock.close()
        assert current_poller().external == 0

    run(main())


def test_a_number_that_was_closed_unseen_while_armed_works_for_the_next_socket(
    poller: PortablePoller,
) -> None:
    one, other = socket.socketpair()
    first = EdgeSource(one.fileno())
    poller.watch(first, READ)
    one.close()
    other.close()
    one, other = socket.socketpair()
    with one, other:
        assert first.fd in (one.fileno(), other.fileno()), "the number was not used again"
        source = EdgeSource(first.fd)
        poller.watch(source, READ)
        waiter = wait(source, poller)
        assert not poller.park(0)
        (other if source.fd == one.fileno() else one).send(b"x")
        assert poller.park(0)
        assert (waiter.woken, first.poller) == (1, None)


def test_of_two_sources_of_one_descriptor_the_newer_is_told_and_the_older_tries_again(
    poller: PortablePoller, pair: tuple[socket.socket, socket.socket]
) -> None:
    sources = [EdgeSource(pair[0].fileno()) for _ in range(2)]
    waiters = []
    for source in sources:
        poller.watch(source, READ)
        waiters.append(wait(source, poller))
    assert [waiter.woken for waiter in waiters] == [1, 0]
    pair[1].send(b"x")
    assert poller.park(0)
    assert [waiter.woken for waiter in waiters] == [1, 1]
    assert poller.external == 0
    poller.forget(sources[0])
    assert poller.known(pair[0].fileno()) is sources[1]


@pytest.mark.parametrize("same", [True, False])
def test_when_a_source_cannot_be_armed_who_waits_for_its_descriptor_tries_again(
    same: bool,
    poller: PortablePoller,
    pair: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = EdgeSource(pair[0].fileno())
    poller.watch(source, READ)
    waiter = wait(source, poller)

    def refuses(*args: object) -> None:
        raise OSError(errno.ENOSPC, "too many watches")

    with monkeypatch.context() as patch:
        patch.setattr(type(poller._selector), "register", refuses)
        with pytest.raises(OSError, match="too many"):
            poller.watch(source if same else EdgeSource(source.fd), READ | WRITE)
    assert (waiter.woken, poller.external, source.mask) == (1, 0, 0)
    assert armed(poller) == {}
    poller.watch(source, READ)
    assert armed(poller) == {source.fd: selectors.EVENT_READ}


def test_when_a_source_cannot_be_armed_again_after_a_report_both_directions_are_told(
    poller: PortablePoller,
    pair: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = EdgeSource(pair[0].fileno())
    poller.watch(source, READ | WRITE)  # writable it is
    waiter = wait(source, poller)

    def refuses(*args: object) -> None:
        raise OSError(errno.EBADF, "gone")

    monkeypatch.setattr(type(poller._selector), "register", refuses)
    assert poller.park(0)
    assert (waiter.woken, poller.external, source.mask) == (1, 0, 0)


def test_a_descriptor_beyond_what_select_takes_is_refused_where_it_is_waited_for(
    run: Run, selector: str, pair: tuple[socket.socket, socket.socket]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft <= 1024:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2048), hard))
    far = fcntl.fcntl(pair[0].fileno(), fcntl.F_DUPFD_CLOEXEC, 1024)

    async def main() -> None:
        if selector == "SelectSelector":
            with pytest.raises(OSError, match="takes 1024"):
                await current_poller().readable(far)
            assert current_poller().external == 0
        else:
            pair[1].send(b"x")
            await current_poller().readable(far)
        with pytest.raises(TimeoutError), timeout(1):
            await current_poller().readable(pair[1].fileno())

    try:
        run(main())
    finally:
        os.close(far)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- beginning and end ----


@pytest.mark.parametrize("fails", ["socketpair", "selector", "register"])
def test_a_poller_that_cannot_be_made_leaves_no_descriptor(
    fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*args: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    if fails == "socketpair":
        monkeypatch.setattr(socket, "socketpair", refuses)
    elif fails == "selector":
        monkeypatch.setattr(selectors, "DefaultSelector", refuses)
    else:
        monkeypatch.setattr(selectors.DefaultSelector, "register", refuses)
    with pytest.raises(OSError, match="open files"):
        PortablePoller(Executor())


def test_a_full_socket_pair_keeps_neither_unparks_nor_calls_from_ending_a_sleep(
    poller: PortablePoller,
) -> None:
    got: list[int] = []
    while True:
        try:
            poller._send.send(bytes(1000))  # type: ignore[union-attr]  # it has one here
        except BlockingIOError:
            break
    poller.unpark()
    poller.hand_over(got.append, 1)
    assert poller.park(None)
    assert got == [1]
    parks = 1
    while poller.park(0):
        parks += 1
    assert parks < 100


def test_a_signal_handler_ends_a_sleep_without_end(poller: PortablePoller) -> None:
    got: list[int] = []

    def handle(number: int, frame: object) -> None:
        poller.hand_over(got.append, number)

    before = signal.signal(signal.SIGUSR2, handle)
    threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR2)).start()
    try:
        assert poller.park(None)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert got == [signal.SIGUSR2]


# ---- without sockets ----


def test_without_sockets_time_passes_and_descriptors_are_refused_by_name(
    run: Run, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "SOCKETS", False)

    async def sleeps(seconds: float) -> None:
        await sleep(seconds)

    async def main() -> None:
        async with scope() as s:
            for seconds in (3600, 1):
                s.spawn(sleeps(seconds))
        assert current_executor().now() == 3600
        with pytest.raises(OSError, match="waiting for a descriptor needs sockets"):
            await current_poller().readable(pair[0].fileno())
        with pytest.raises(OSError, match="needs epoll, kqueue"):
            current_poller().fileno()
        assert current_poller().external == 0

    run(main())


def test_without_sockets_a_real_sleep_ends_in_time_and_by_a_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(base, "SOCKETS", False)

    async def main() -> int:
        await sleep(0.001)
        with signals(signal.SIGUSR2) as stream:
            threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR2)).start()
            return await stream.next()

    assert Executor().run(main()) == signal.SIGUSR2
