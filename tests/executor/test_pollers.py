"""Poller: one sleep for descriptors, threads and time; nothing that comes is lost."""

from __future__ import annotations

import math
import os
import select
import selectors
import socket
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pinfut.executor import (
    Executor,
    VirtualClock,
    scope,
    sleep,
    spawn,
    timeout,
    yield_now,
)
from pinfut.executor.contract import Poller
from pinfut.executor.current import current_poller
from pinfut.executor.pollers import VARIABLE, open_poller
from pinfut.executor.ready import TURN
from pinfut.executor.source import Busy
from pinfut.laws import LostWakeup
from pinfut.poll import PENDING
from pinfut.sync.closed import Closed
from tests.executor.world import POLLERS, Run


@pytest.fixture(autouse=True, params=[*POLLERS, "PollSelector", "SelectSelector"])
def any_poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each poller, and the portable one on the selectors of other systems."""
    name: str = request.param
    if name not in POLLERS:
        monkeypatch.setattr(selectors, "DefaultSelector", getattr(selectors, name))
    monkeypatch.setenv(VARIABLE, "epoll" if name == "epoll" else "portable")
    return name


@pytest.fixture
def poller() -> Iterator[Poller]:
    one = open_poller(Executor())
    yield one
    one.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# ---- unparking ----


def test_an_unpark_that_comes_before_the_park_is_not_lost(poller: Poller) -> None:
    poller.unpark()
    poller.park(None)


def test_an_unpark_from_another_thread_ends_a_sleep_without_end(poller: Poller) -> None:
    thread = threading.Thread(target=poller.unpark)
    thread.start()
    poller.park(None)
    thread.join()


def test_a_park_without_an_unpark_ends_at_its_time_and_says_so(poller: Poller) -> None:
    assert not poller.park(0)
    assert not poller.park(0.001)


def test_any_number_of_unparks_ends_one_sleep(poller: Poller) -> None:
    for _ in range(10_000):
        poller.unpark()
    assert poller.park(0)
    assert not poller.park(0)
    poller.unpark()
    assert poller.park(None)


def test_a_park_may_be_as_long_as_a_float_can_say(poller: Poller) -> None:
    for seconds in (1e9, 1e300, math.inf):
        poller.unpark()
        poller.park(seconds)


def test_a_closed_poller_gives_its_descriptors_back_and_takes_nothing_more() -> None:
    before = open_descriptors()
    one = open_poller(Executor())
    one.close()
    assert open_descriptors() == before
    assert one.is_closed
    # Nobody knows whose descriptor it is by now: it must not be written to.
    one.unpark()
    assert not one.hand_over(print)


def test_a_host_can_wait_for_everything_on_one_descriptor(poller: Poller, any_poller: str) -> None:
    if any_poller.endswith("Selector"):
        with pytest.raises(OSError, match="call turn often"):
            poller.fileno()
        return

    def anything() -> bool:
        return bool(select.select([poller.fileno()], [], [], 0)[0])

    assert not anything()
    poller.unpark()
    assert anything()
    poller.park(0)
    assert not anything()


# ---- what threads hand over ----


def test_what_threads_hand_over_runs_once_each_in_order_and_ends_the_park(
    poller: Poller,
) -> None:
    got: list[tuple[int, int]] = []

    def work(number: int) -> None:
        for i in range(500):
            assert poller.hand_over(got.append, (number, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while len(got) < 2000:
        assert poller.park(10), "a wake was lost"
    for thread in threads:
        thread.join()
    for number in range(4):
        assert [i for n, i in got if n == number] == list(range(500))


def test_a_call_that_is_handed_over_while_others_run_is_run_too(poller: Poller) -> None:
    got: list[int] = []

    def first() -> None:
        got.append(1)
        poller.hand_over(got.append, 2)

    poller.hand_over(first)
    poller.park(None)
    assert poller.park(10), "the wake for the second call was lost"
    assert got == [1, 2]


def test_a_call_that_fails_is_logged_and_holds_nobody_up(
    poller: Poller, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[int] = []
    poller.hand_over(lambda: 1 / 0)
    poller.hand_over(got.append, 2)
    poller.park(None)
    assert got == [2]
    assert "ZeroDivisionError" in caplog.text


# ---- descriptors ----


def test_a_wait_ends_when_bytes_come_and_again_while_they_are_there(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair

    async def write() -> None:
        await sleep(1)
        other.send(b"x")

    async def main() -> None:
        poller = current_poller()
        task = spawn(write())
        await poller.readable(one.fileno())
        # Nothing was read: an edge alone would not come again.
        await poller.readable(one.fileno())
        assert one.recv(10) == b"x"
        await task

    run(main())


def test_a_reader_and_a_writer_may_wait_for_one_descriptor(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    while True:
        try:
            one.send(bytes(100_000))
        except BlockingIOError:
            break
    log: list[str] = []

    async def wait(name: str) -> None:
        poller = current_poller()
        await (poller.readable if name == "read" else poller.writable)(one.fileno())
        log.append(name)

    async def main() -> None:
        async with scope() as s:
            s.spawn(wait("read"))
            s.spawn(wait("write"))
            await sleep(1)
            assert log == []
            assert current_poller().external == 2
            other.send(b"x")
            await sleep(1)
            assert log == ["read"]
            while True:
                try:
                    other.recv(1_000_000)
                except BlockingIOError:
                    break
        assert log == ["read", "write"]
        assert current_poller().external == 0

    run(main())


def test_two_readers_of_one_descriptor_are_an_error_that_names_the_way_out(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    async def wait() -> None:
        await current_poller().readable(pair[0].fileno())

    async def main() -> None:
        async with scope() as s:
            s.spawn(wait())
            await yield_now()
            with pytest.raises(Busy, match="have one task own it"):
                await wait()
            s.cancel()

    run(main())


def test_a_cancelled_wait_leaves_nothing_behind(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    async def wait() -> None:
        await current_poller().readable(pair[0].fileno())

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(TimeoutError), timeout(1):
                await wait()
            assert current_poller().external == 0
        pair[1].send(b"x")
        await wait()

    run(main())


def test_who_waits_for_a_descriptor_that_is_closed_here_is_told(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    fd = pair[0].fileno()

    async def close() -> None:
        current_poller().closing(fd)
        pair[0].close()

    async def main() -> None:
        task = spawn(close())
        with pytest.raises(Closed, match="closed here"):
            await current_poller().readable(fd)
        await task
        assert current_poller().external == 0

    run(main())


def test_a_number_that_was_closed_unseen_and_is_anothers_now_works(run: Run) -> None:
    async def main() -> None:
        poller = current_poller()
        one, other = socket.socketpair()
        fd = one.fileno()
        other.send(b"x")
        await poller.readable(fd)
        one.close()
        other.close()
        third, fourth = socket.socketpair()
        with third, fourth:
            ours = third if third.fileno() == fd else fourth
            assert ours.fileno() == fd, "the number was not used again"
            with pytest.raises(TimeoutError), timeout(1):
                await poller.readable(fd)
            (fourth if ours is third else third).send(b"y")
            await poller.readable(fd)

    run(main())


def test_a_regular_file_is_always_ready(run: Run) -> None:
    async def main() -> None:
        with tempfile.TemporaryFile() as file:
            await current_poller().readable(file.fileno())
            await current_poller().writable(file.fileno())
            assert current_poller().external == 0

    run(main())


def test_a_descriptor_that_is_none_is_an_error_and_nothing_is_counted(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="Bad file"):
            await current_poller().readable(99_999)
        assert current_poller().external == 0

    run(main())


def test_a_ready_descriptor_comes_before_time_jumps() -> None:
    clock = VirtualClock()
    one, other = socket.socketpair()

    async def read() -> float:
        await current_poller().readable(one.fileno())
        return clock.now()

    async def main() -> None:
        task = spawn(read())
        await sleep(1)
        other.send(b"x")
        await sleep(1000)
        assert await task == 1

    with one, other:
        Executor(clock=clock).run(main())


def test_a_descriptor_is_seen_while_tasks_are_ready_all_the_time(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    async def main() -> None:
        async def wait() -> None:
            await current_poller().readable(pair[0].fileno())

        task = spawn(wait())
        pair[1].send(b"x")
        for _ in range(2 * TURN):
            await yield_now()
        assert task.done

    run(main())


def test_a_descriptor_is_seen_while_a_timer_is_always_due(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    async def main() -> None:
        async def wait() -> None:
            await current_poller().readable(pair[0].fileno())

        task = spawn(wait())
        await yield_now()
        pair[1].send(b"x")
        for _ in range(2 * TURN):
            await sleep(0)
        assert task.done

    run(main())


def test_when_nobody_waits_for_a_descriptor_a_lost_wakeup_is_still_reported(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    class Lost:
        def poll(self, cx: Any) -> Any:
            assert cx.waker is not None
            return PENDING

        def __await__(self) -> Any:
            yield self

    async def main() -> None:
        pair[1].send(b"x")
        await current_poller().readable(pair[0].fileno())
        await Lost()

    with pytest.raises(LostWakeup):
        run(main())
