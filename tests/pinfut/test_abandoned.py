"""What nobody holds any more ends: a wait that was left behind takes nothing from the others."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import pytest

from pinfut import (
    Barrier,
    BroadcastReceiver,
    BroadcastSender,
    Lock,
    Notify,
    Semaphore,
    broadcast,
    channel,
    fuse,
    join,
    map,
    oneshot,
    pending,
    pin,
    race,
    select,
    watch,
)
from pinfut.executor import (
    CancelledError,
    Executor,
    current_executor,
    sleep,
    spawn,
    timeout,
    to_thread,
    yield_now,
)
from pinfut.executor.io import socketpair
from pinfut.sync import Receiver, Sender
from tests.executor.world import Run
from tests.pinfut.hand import Gate


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """The last reference has to do it alone."""
    gc.disable()
    yield
    gc.enable()


def ints(capacity: int = 4) -> tuple[Sender[int], Receiver[int]]:
    return channel(capacity)


def ints_for_all() -> tuple[BroadcastSender[int], BroadcastReceiver[int]]:
    return broadcast(4)


Abandon = Callable[[Callable[[], Any]], Any]


async def as_a_loser(make: Callable[[], Any]) -> None:
    assert (await select(make(), sleep(1))).winner == 1


async def as_a_loser_that_was_unpacked(make: Callable[[], Any]) -> None:
    winner, _, _ = await select(make(), sleep(1))
    assert winner == 1


async def by_a_timeout(make: Callable[[], Any]) -> None:
    with pytest.raises(TimeoutError), timeout(1):
        await select(make(), pending())


async def by_a_cancel(make: Callable[[], Any]) -> None:
    async def waits() -> None:
        await select(pending(), make())

    task = spawn(waits())
    await sleep(1)
    task.cancel()
    with pytest.raises(CancelledError):
        await task


async def by_an_error(make: Callable[[], Any]) -> None:
    async def fails() -> None:
        await sleep(1)
        raise KeyError("beside")

    with pytest.raises(KeyError):
        await select(make(), fails())


async def inside_of_others(make: Callable[[], Any]) -> None:
    await select(map(join(make(), pending()), str), fuse(sleep(1)))


async def pinned_and_forgotten(make: Callable[[], Any]) -> None:
    pinned = pin(make())
    await select(pinned, sleep(1))
    await select(pinned, sleep(1))
    del pinned


WAYS: list[Abandon] = [
    as_a_loser,
    as_a_loser_that_was_unpacked,
    by_a_timeout,
    by_a_cancel,
    by_an_error,
    inside_of_others,
    pinned_and_forgotten,
]


def then_yield(way: Abandon) -> Abandon:
    """What a step has let go is gone when its task has waited for the next thing."""

    @wraps(way)
    async def abandon(make: Callable[[], Any]) -> None:
        await way(make)
        await yield_now()

    return abandon


each_way = pytest.mark.parametrize(
    "abandon", [then_yield(way) for way in WAYS], ids=[way.__name__ for way in WAYS]
)


@each_way
def test_a_value_is_not_kept_for_a_receiver_that_was_left_behind(
    abandon: Abandon, run: Run
) -> None:
    async def main() -> None:
        tx, rx = ints()
        await abandon(rx.recv)
        await tx.send(1)
        assert await timeout(1, rx.recv()) == 1

    run(main())


@each_way
def test_a_value_is_not_sent_for_a_sender_that_was_left_behind(abandon: Abandon, run: Run) -> None:
    async def main() -> None:
        tx, rx = ints(1)
        await tx.send(1)
        await abandon(lambda: tx.send(2))
        assert await rx.recv() == 1
        assert tx.try_send(3)
        assert await rx.recv() == 3

    run(main())


@each_way
@pytest.mark.parametrize("kind", [Lock, lambda: Semaphore(1)])
def test_a_lock_is_not_kept_for_a_waiter_that_was_left_behind(
    kind: Callable[[], Any], abandon: Abandon, run: Run
) -> None:
    async def main() -> None:
        lock = kind()
        async with lock:
            await abandon(lock.acquire)
        assert lock.try_acquire()

    run(main())


@each_way
def test_a_coroutine_that_was_left_behind_is_closed(abandon: Abandon, run: Run) -> None:
    async def main() -> None:
        lock = Lock()
        log: list[str] = []

        async def holds() -> None:
            async with lock:
                try:
                    await sleep(1000)
                finally:
                    log.append("closed")

        await abandon(holds)
        assert log == ["closed"]
        assert not lock.locked

    run(main())


@each_way
def test_a_timer_goes_with_the_sleep_that_was_left_behind(abandon: Abandon, run: Run) -> None:
    async def main() -> None:
        for _ in range(3):
            await abandon(lambda: sleep(1000))
            await abandon(lambda: timeout(1000, pending()))
        assert len(current_executor().timers) == 0

    run(main())


@each_way
def test_the_next_reader_of_a_socket_need_not_give_way(abandon: Abandon, run: Run) -> None:
    async def main() -> None:
        one, other = socketpair()
        with one, other:
            await abandon(lambda: one.recv(10))
            await other.sendall(b"now")
            assert await one.recv(10) == b"now"

    run(main())


def test_who_was_left_behind_has_not_come_and_takes_no_notification(run: Run) -> None:
    async def main() -> None:
        barrier, notify = Barrier(2), Notify()
        tx, rx = ints_for_all()
        latest, latest_rx = watch(0)

        async def comes() -> None:
            await barrier.wait()

        await select(barrier.wait(), notify.notified(), rx.recv(), latest_rx.changed(), sleep(1))
        await yield_now()
        waits = spawn(comes())
        await sleep(1)
        assert not waits.done
        notify.notify_one()
        await timeout(1, notify.notified())
        tx.send(5)
        assert await rx.recv() == 5
        latest.send(1)
        assert await latest_rx.changed() == 1
        await barrier.wait()
        await waits

    run(main())


# ---- what somebody holds stays ----


@each_way
def test_a_future_that_the_caller_holds_goes_on(abandon: Abandon, run: Run) -> None:
    if abandon.__name__ in ("inside_of_others", "pinned_and_forgotten"):
        pytest.skip("it gives the future away")
    if abandon.__name__ == "by_a_cancel":
        pytest.skip("another task has polled it")

    async def main() -> None:
        tx, rx = ints()
        mine = rx.recv()
        gate: Gate[int] = Gate()
        await abandon(lambda: mine)
        await abandon(lambda: gate)
        await tx.send(1)
        assert await mine == 1
        assert gate.drops == 0
        gate.open(2)
        assert await gate == 2

    run(main())


@each_way
def test_tasks_and_receivers_of_oneshots_go_on(abandon: Abandon, run: Run) -> None:
    if abandon.__name__ == "inside_of_others":
        pytest.skip("a join drops what it was given")
    if abandon.__name__ == "by_a_cancel":
        pytest.skip("another task has polled it")

    async def work() -> str:
        await sleep(10)
        return "done"

    async def main() -> None:
        task = spawn(work())
        tx, rx = oneshot_of_int()
        await abandon(lambda: task)
        await abandon(lambda: rx)
        tx.send(1)
        assert await rx == 1
        assert await task == "done"

    def oneshot_of_int() -> Any:
        return oneshot()

    run(main())


def test_a_pinned_future_that_a_combinator_has_is_the_combinators(run: Run) -> None:
    async def main() -> None:
        tx, rx = ints()
        await tx.send(1)
        # Nobody else has the Pinned while these wait.
        assert await timeout(5, pin(rx.recv())) == 1
        await race(pin(sleep(3)), pending())
        assert await join(pin(sleep(1)), map(pin(sleep(2)), str)) == (None, "None")
        won = await select(pin(sleep(3)), sleep(1))
        again = await select(won.losers[0], pending())
        assert again.winner == 0

    run(main())


def test_work_in_a_thread_is_not_taken_back() -> None:
    async def main() -> None:
        done: list[int] = []
        await select(to_thread(done.append, 1), yields())
        while not done:
            await sleep(0.001)

    async def yields() -> None:
        await yield_now()

    Executor().run(main())


def test_an_error_of_what_is_left_behind_is_logged_and_changes_nothing(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails_in_the_end() -> None:
        try:
            await pending()
        finally:
            raise ValueError("in the clean-up")

    async def main() -> None:
        assert (await select(fails_in_the_end(), sleep(1))).winner == 1

    run(main())
    assert [r.message for r in caplog.records if r.levelname == "ERROR"]
