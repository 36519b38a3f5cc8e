"""Checked mode: what it remembers of futures, and what it reports when it is too late to raise."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pinfut import (
    PENDING,
    Barrier,
    Context,
    Event,
    FutureBase,
    Lock,
    LostWakeup,
    Notify,
    PinError,
    Poll,
    PolledAfterReady,
    Semaphore,
    SlotTable,
    Waker,
    channel,
    checked,
    drop,
    fuse,
    join,
    lazy,
    map,
    oneshot,
    pending,
    pin,
    poll_fn,
    race,
    ready,
    select,
    then,
    watch,
)
from pinfut.executor import sleep, spawn, timeout, yield_now
from pinfut.sync import OneshotSender, Receiver, Sender
from pinfut.testing import Hand
from tests.executor.world import make
from tests.house.imports import ROOT

Make = Callable[[], FutureBase[Any]]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What checked mode has reported: the first lines."""

    def read() -> list[str]:
        gc.collect()
        return [
            record.getMessage().splitlines()[0]
            for record in caplog.records
            if record.name == "pinfut"
        ]

    caplog.set_level(logging.WARNING, logger="pinfut")
    return read


def here(mark: str) -> str:
    with open(__file__, encoding="utf-8") as source:
        numbers = [n for n, line in enumerate(source, 1) if line.rstrip().endswith(f"# {mark}")]
    assert len(numbers) == 1
    return f"{__file__}:{numbers[0]} in "


# ---- where a future was made ----


def test_an_error_tells_where_its_future_was_made_and_polled_first() -> None:
    async def second(future: FutureBase[int]) -> None:
        await future
        await future

    async def first() -> None:
        future = ready(1)  # made here
        await second(future)

    with pytest.raises(PolledAfterReady) as caught:
        make("checked").run(first())
    message = str(caught.value)
    assert f"made at {here('made here')}" in message
    assert "test_an_error_tells_where" in message
    assert message.index("law 1") < message.index("made at") < message.index("first polled at")


def test_every_parked_task_of_a_deadlock_tells_where_its_future_was_made() -> None:
    async def main() -> None:
        await pending()  # waits forever

    with pytest.raises(LostWakeup) as caught:
        make("checked").run(main())
    assert f"made at {here('waits forever')}" in str(caught.value)


def test_a_future_that_is_used_up_may_be_polled_if_its_class_says_so() -> None:
    async def fail() -> int:
        raise ValueError("once")

    hand = Hand(fuse(fail()))
    with pytest.raises(ValueError, match="once"):
        hand.poll()
    assert hand.poll() is PENDING


def test_a_foreign_future_that_was_dropped_may_have_another_owner() -> None:
    class Foreign:
        def poll(self, cx: Context, /) -> Poll[int]:
            self.waker = cx.waker
            return PENDING

    future = Foreign()
    Hand(future).poll()
    with pytest.raises(PinError):
        Hand(future).poll()
    drop(future)
    assert Hand(future).poll() is PENDING


def test_without_the_environment_futures_are_made_as_objects_are() -> None:
    """Off, checked mode costs nothing: there is neither a constructor nor a wrapped drop."""
    program = (
        "from pinfut import FutureBase, oneshot, drop, sync\n"
        "from pinfut.sync.oneshot import _Oneshot\n"
        "assert FutureBase.__new__ is object.__new__\n"
        "assert type(oneshot()[1]) is _Oneshot\n"
        "assert not hasattr(_Oneshot.drop, '__wrapped__')\n"
        "print('plain')"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PINFUT_CHECKED"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,  # only so that a hang ends
    )
    assert done.stdout == "plain\n", done.stderr


# ---- never taken ----


def oneshot_of_any() -> tuple[OneshotSender[Any], FutureBase[Any]]:
    return oneshot()


def oneshot_of_int() -> tuple[OneshotSender[int], FutureBase[int]]:
    return oneshot()


def channel_of_int() -> tuple[Sender[int], Receiver[int]]:
    return channel(1)


MAKERS: dict[str, Make] = {
    "sleep": lambda: sleep(1),
    "timeout": lambda: timeout(1, ready(1)),
    "lock": lambda: Lock().acquire(),
    "semaphore": lambda: Semaphore(1).acquire(),
    "send": lambda: channel_of_int()[0].send(1),
    "recv": lambda: channel(1)[1].recv(),
    "event": lambda: Event().wait(),
    "notify": lambda: Notify().notified(),
    "barrier": lambda: Barrier(2).wait(),
    "watch": lambda: watch(1)[1].changed(),
    "slot": lambda: (table := SlotTable[int](1)).future(table.acquire()),
    "ready": lambda: ready(1),
    "join": lambda: join(),
    "race": lambda: race(pending()),
    "map": lambda: map(ready(1), str),
    "then": lambda: then(ready(1), ready),
    "lazy": lambda: lazy(lambda: ready(1)),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_future_that_is_thrown_away_unpolled_is_reported(
    kind: str, told: Callable[[], list[str]]
) -> None:
    async def main() -> None:
        future = MAKERS[kind]()
        name = type(future).__qualname__
        del future
        # What is inside of a combinator goes with it.
        assert f"NeverTaken: a {name} was thrown away and had never been polled. Await" in [
            line.removesuffix(" it, or drop() it") for line in told()
        ]

    make("checked").run(main())


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("how", [drop, lambda future: future.drop()], ids=["drop", "its drop"])
def test_a_future_that_was_dropped_is_not_reported(
    kind: str, how: Callable[[Any], None], told: Callable[[], list[str]]
) -> None:
    async def main() -> None:
        future = MAKERS[kind]()
        how(future)
        del future
        # What was inside of a combinator has gone with it, but for what it had not begun.
        assert not [line for line in told() if type(MAKERS[kind]()).__qualname__ in line]

    make("checked").run(main())


def test_a_future_that_was_polled_or_awaited_is_not_reported(
    told: Callable[[], list[str]],
) -> None:
    async def main() -> None:
        await sleep(1)
        pinned = pin(sleep(2))
        await select(pinned, sleep(1))
        pinned.drop()
        del pinned
        lock = Lock()
        async with lock:
            pass
        await lock.acquire()
        await join(sleep(1), ready(2), race(sleep(1), pending()))
        spawn(yields())
        assert told() == []

    async def yields() -> int:
        await yield_now()
        return 1

    make("checked").run(main())
    assert told() == []


def test_the_loser_of_a_select_that_nobody_keeps_is_dropped_and_not_reported(
    told: Callable[[], list[str]],
) -> None:
    async def main() -> None:
        await select(pending(), ready(1))
        await yield_now()
        assert told() == []

    make("checked").run(main())


def test_a_value_that_was_sent_and_never_taken_is_reported_but_a_signal_is_not(
    told: Callable[[], list[str]],
) -> None:
    async def main() -> None:
        for value in (None, 42):
            a, b = oneshot_of_any()
            a.send(value)
            del a, b
        tx, rx = oneshot_of_int()
        winner = (await select(rx, sleep(1))).winner
        assert winner == 1
        await yield_now()
        tx.send(43)
        del tx, rx
        tx, rx = oneshot_of_int()
        tx.send(44)
        assert await rx == 44
        del tx, rx
        oneshot_of_int()

    make("checked").run(main())
    assert [line.partition(". ")[0] for line in told()] == [
        "NeverTaken: a _Oneshot was thrown away and had never been polled",
        "NeverTaken: a _Oneshot was thrown away and had never been taken",
    ]


def test_of_a_run_that_is_not_checked_only_a_forgotten_await_is_told(
    told: Callable[[], list[str]],
) -> None:
    async def main() -> None:
        future = sleep(1)
        del future
        sleep(2)

    with pytest.warns(RuntimeWarning) as warned:
        make("everyday").run(main())
    assert ["sleep(2)" in str(each.message) for each in warned] == [True]
    future = sleep(1)
    del future
    assert told() == []


# ---- blocked in a poll ----


class Work(FutureBase[int]):
    """Ready at once, after so many seconds of a clock that is moved by hand."""

    def __init__(self, time: list[float], seconds: float, *children: FutureBase[int]) -> None:
        self.time = time
        self.seconds = seconds
        self.children = children

    def poll(self, cx: Context, /) -> Poll[int]:
        self.time[0] += self.seconds
        for child in self.children:
            cx.derive(cx.waker).poll(child)
        return 1


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(checked, "clock", lambda: now[0])
    monkeypatch.setattr(checked, "patience", 0.1)
    return now


def test_a_poll_that_takes_longer_than_the_patience_is_reported_and_only_the_innermost(
    time: list[float], told: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        await Work(time, checked.patience)
        await Work(time, 0.06, Work(time, 0.06), Work(time, 0.06))
        await Work(time, 0.01, Work(time, 0.01, Work(time, 0.2)), Work(time, 0.05))
        monkeypatch.setattr(checked, "patience", 1.0)
        await Work(time, 0.9)

    make("checked").run(main())
    reports = told()
    assert len(reports) == 1
    assert reports[0].startswith("BlockedInPoll: a poll of <Work at")
    assert "took 0.200 s" in reports[0]


def test_a_poll_that_blocks_and_raises_is_reported_too(
    time: list[float], told: Callable[[], list[str]]
) -> None:
    def block(cx: Context) -> Poll[None]:
        time[0] += 0.3
        raise ValueError("and more")

    async def main() -> None:
        with pytest.raises(ValueError, match="and more"):
            await poll_fn(block)

    make("checked").run(main())
    assert [line.partition(" a poll of <")[0] for line in told()] == ["BlockedInPoll:"]


def test_a_step_of_a_task_that_blocks_is_reported_without_what_its_polls_took(
    time: list[float], told: Callable[[], list[str]]
) -> None:
    async def worker() -> None:
        time[0] += 0.08
        await Work(time, 0.08)
        await sleep(1)
        time[0] += 0.15
        await yield_now()
        time[0] += 0.08

    async def main() -> None:
        await spawn(worker())

    make("checked").run(main())
    reports = told()
    assert len(reports) == 1
    assert reports[0].startswith("BlockedInPoll: a step of <WatchedTask ")
    assert "worker" in reports[0]
    assert "took 0.150 s" in reports[0]


def test_a_foreign_future_without_room_for_a_record_is_left_alone() -> None:
    class Foreign:
        __slots__ = ("waker",)

        def poll(self, cx: Context, /) -> Poll[int]:
            if not hasattr(self, "waker"):
                self.waker: Waker = cx.waker
                self.waker.wake()
                return PENDING
            return 7

    async def main() -> int:
        return await pin(Foreign())

    assert make("checked").run(main()) == 7
