"""A forgotten await is told of, with its line; what is kept, dropped or awaited is not."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pinfut import (
    Barrier,
    Event,
    FutureBase,
    Lock,
    Notify,
    Semaphore,
    broadcast,
    channel,
    drop,
    join,
    pending,
    race,
    ready,
    select,
    watch,
)
from pinfut.executor import sleep, spawn, timeout, to_thread, yield_now
from pinfut.executor.io import socketpair
from pinfut.forgotten import AT_FIRST
from tests.executor.world import make
from tests.house.imports import ROOT

EVERYDAY = pytest.mark.parametrize("mode", ["everyday", "watched"])

# Each forgets the await of its last line.


async def of_a_sleep() -> None:
    sleep(1)


async def of_a_timeout() -> None:
    timeout(1, sleep(2))


async def of_a_lock() -> None:
    Lock().acquire()


async def of_a_semaphore() -> None:
    Semaphore(2).acquire(2)


async def of_an_event() -> None:
    Event().wait()


async def of_a_notification() -> None:
    Notify().notified()


async def of_a_barrier() -> None:
    Barrier(2).wait()


async def of_a_change() -> None:
    watch(1)[1].changed()


async def of_a_broadcast() -> None:
    broadcast(1)[1].recv()


async def of_a_join() -> None:
    join(sleep(1), race(sleep(2)))


async def of_a_race() -> None:
    race(ready(1), ready(2))


async def of_a_thread() -> None:
    to_thread(print)


async def of_a_read() -> None:
    one, other = socketpair()
    with one, other:
        one.recv(10)


async def of_all_that_is_written() -> None:
    one, other = socketpair()
    with one, other:
        one.sendall(b"lost")


async def of_what_a_function_gives() -> None:
    given_by_another()


def given_by_another() -> FutureBase[None]:
    return sleep(3)


FORGOTTEN = [
    of_a_sleep,
    of_a_timeout,
    of_a_lock,
    of_a_semaphore,
    of_an_event,
    of_a_notification,
    of_a_barrier,
    of_a_change,
    of_a_broadcast,
    of_a_join,
    of_a_race,
    of_a_thread,
    of_a_read,
    of_all_that_is_written,
    of_what_a_function_gives,
]


@EVERYDAY
@pytest.mark.parametrize("forgets", FORGOTTEN, ids=lambda forgets: forgets.__name__)
def test_a_forgotten_await_is_told_of_with_its_line_and_what_to_write(
    forgets: Callable[[], Coroutine[Any, Any, None]], mode: str
) -> None:
    with pytest.warns(RuntimeWarning) as told:
        make(mode).run(forgets())
    (warning,) = told
    lines = Path(__file__).read_text("utf-8").splitlines()
    forgotten = lines[warning.lineno - 1].strip()
    first = forgets.__code__.co_firstlineno
    assert warning.filename == __file__
    assert first < warning.lineno <= first + 3
    assert str(warning.message).startswith(f"{forgotten} was never awaited, so it did nothing")
    assert str(warning.message).endswith(f"Write 'await {forgotten}'")


def test_it_is_told_of_each_time() -> None:
    async def main() -> None:
        for _ in range(3):
            sleep(1)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        make("everyday").run(main())
    assert len(told) == 3


@EVERYDAY
def test_what_is_awaited_kept_dropped_or_lost_to_another_is_not_told_of(mode: str) -> None:
    async def child() -> None:
        await yield_now()

    async def main() -> None:
        tx, rx = one_place()
        await tx.send(1)
        await rx.recv()
        lock = Lock()
        await lock.acquire()
        kept = [sleep(1), sleep(2)]
        await kept[1]
        kept.pop()
        kept.pop()
        waiting: dict[str, Awaitable[object]] = {"a": sleep(1)}
        await waiting["a"]
        waiting.pop("a")
        sleep(1).drop()
        drop(sleep(1))
        await select(sleep(1), pending(), sleep(2))
        await race(ready(1), sleep(1))
        spawn(child())
        with pytest.raises(TimeoutError):
            await timeout(1, sleep(2))
        future = sleep(1)
        del future

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(mode).run(main())


def one_place() -> Any:
    return channel(1)


def test_an_error_of_a_maker_is_the_only_thing_said() -> None:
    async def main() -> None:
        twice = sleep(1)
        for fails in (lambda: join(twice, twice), lambda: race(1)):  # type: ignore[call-overload]
            with pytest.raises((TypeError, ValueError)):
                fails()
        drop(twice)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make("everyday").run(main())


def test_a_long_call_is_named_without_its_arguments() -> None:
    async def main() -> None:
        timeout(
            1,
            pending(),
        )

    with pytest.warns(RuntimeWarning, match=r"^timeout\(\.\.\.\) was never awaited"):
        make("everyday").run(main())


def test_without_a_source_the_kind_is_named() -> None:
    space: dict[str, Any] = {"sleep": sleep}
    exec("async def main():\n    sleep(1)\n", space)
    with pytest.warns(RuntimeWarning, match="^a Sleep was never awaited"):
        make("everyday").run(space["main"]())


CHANNEL = """
from pinfut import channel
from pinfut.executor import run

async def main():
    tx, rx = channel(1)
    for n in range({before}):
        await tx.send(n)
        assert await rx.recv() == n
    {forgets}
    send = tx.send(1)
    return hasattr(send, "__del__")

print(run(main()))
"""


def told_by(before: int, forgets: str, *options: str) -> tuple[str, str]:
    environment = {name: value for name, value in os.environ.items() if "PINFUT" not in name}
    done = subprocess.run(
        [sys.executable, *options, "-c", CHANNEL.format(before=before, forgets=forgets)],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("forgets", ["tx.send(1)", "rx.recv()"])
def test_a_send_or_a_recv_is_told_of_at_first_and_always_if_warnings_are_asked_for(
    forgets: str,
) -> None:
    # Which future, or since Python 3.13, which knows the source of -c, which call.
    told = "was never awaited, so it did nothing"
    assert told in told_by(AT_FIRST // 2, forgets)[1]
    assert told_by(AT_FIRST, forgets)[1] == ""
    for option in ("-Xdev", "-Wdefault"):
        assert told in told_by(AT_FIRST, forgets, option)[1]


def test_channels_pay_nothing_for_it_once_the_first_were_watched() -> None:
    assert told_by(AT_FIRST - 10, "pass")[0] == "True"
    assert told_by(AT_FIRST, "pass")[0] == "False"


def test_what_a_receiver_took_at_once_stands_nowhere() -> None:
    """A recv that did not wait is marked so; `registrations` must not count that."""

    async def main() -> None:
        tx, rx = one_place()
        await tx.send(1)
        future = rx.recv()
        assert await future == 1
        assert future.registrations() == 0

    make("everyday").run(main())


# ---- futures in place of their values ----

FUTURES: list[Callable[[], FutureBase[Any]]] = [
    lambda: Lock().acquire(),
    lambda: Semaphore(1).acquire(),
    lambda: Event().wait(),
    lambda: one_place()[0].send(1),
    lambda: one_place()[1].recv(),
    lambda: sleep(1),
    lambda: timeout(1, sleep(2)),
    lambda: join(sleep(1), sleep(2)),
    lambda: race(sleep(1)),
    lambda: to_thread(print),
    lambda: ready(False),
    pending,
]


@pytest.mark.parametrize("gives", FUTURES)
@pytest.mark.parametrize(
    "asks",
    [
        bool,
        lambda future: not future,
        lambda future: future and 1,
        lambda future: 1 if future else 2,
    ],
    ids=["bool", "not", "and", "if"],
)
def test_a_future_is_neither_true_nor_false(
    gives: Callable[[], FutureBase[Any]], asks: Callable[[Any], object]
) -> None:
    future = gives()
    with pytest.raises(TypeError, match="neither true nor false: await it") as told:
        asks(future)
    assert type(future).__qualname__ in str(told.value)
    drop(future)


@EVERYDAY
def test_what_a_condition_guards_does_not_run_when_its_await_is_forgotten(mode: str) -> None:
    ran = False

    async def main() -> None:
        nonlocal ran
        lock = Lock()
        if lock.acquire():
            ran = True

    with pytest.raises(TypeError, match=r"'if await \.\.\.:'"):
        make(mode).run(main())
    assert not ran


@EVERYDAY
def test_a_task_is_true_running_or_done_for_it_needs_no_await(mode: str) -> None:
    async def nothing() -> None:
        """Ends with a false value."""

    async def main() -> None:
        task = spawn(nothing())
        assert task
        await task
        assert task

    make(mode).run(main())


@pytest.mark.parametrize("gives", FUTURES)
def test_a_future_has_no_length_no_members_and_no_block(
    gives: Callable[[], FutureBase[Any]],
) -> None:
    future: Any = gives()
    with pytest.raises(TypeError):
        len(future)
    with pytest.raises(TypeError):
        iter(future)
    with pytest.raises(TypeError):
        assert 1 in future
    with pytest.raises(TypeError), future:
        pass
    with pytest.raises(TypeError):
        assert future < 1
    drop(future)
