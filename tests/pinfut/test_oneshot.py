"""oneshot: one value from one task to another."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from pinfut import PENDING, FutureBase, TakenTwice, drop, select
from pinfut.executor import CancelledError, sleep, spawn, timeout
from pinfut.sync import Closed, OneshotSender, oneshot
from tests.executor.world import Run
from tests.pinfut.hand import Hand


def ends() -> tuple[OneshotSender[Any], FutureBase[Any]]:
    return oneshot()


def test_a_value_sent_before_the_first_poll_is_there_at_once() -> None:
    tx, rx = ends()
    tx.send("value")
    hand = Hand(rx)
    assert hand.poll() == "value"


def test_a_value_wakes_the_waiting_receiver_once() -> None:
    tx, rx = ends()
    hand = Hand(rx)
    assert hand.poll() is PENDING
    tx.send("value")
    assert hand.wakes == 1
    assert hand.poll() == "value"


@pytest.mark.parametrize("value", [None, False, 0, "", PENDING.name])
def test_every_value_goes_through(value: object) -> None:
    tx, rx = ends()
    tx.send(value)
    assert Hand(rx).poll() is value


def test_a_second_send_is_refused() -> None:
    tx, rx = ends()
    tx.send(1)
    with pytest.raises(TakenTwice, match="one value"):
        tx.send(2)
    hand = Hand(rx)
    assert hand.poll() == 1
    with pytest.raises(TakenTwice, match="one value"):
        tx.send(3)


def test_a_dropped_receiver_makes_send_raise_closed() -> None:
    tx, rx = ends()
    hand = Hand(rx)
    hand.poll()
    drop(rx)
    drop(rx)
    with pytest.raises(Closed, match="receiver is gone"):
        tx.send(1)
    assert hand.wakes == 0


@pytest.mark.parametrize("waiting", [False, True])
def test_a_closed_oneshot_raises_closed(waiting: bool) -> None:
    tx, rx = ends()
    hand = Hand(rx)
    if waiting:
        hand.poll()
    tx.close()
    tx.close()
    assert hand.wakes == int(waiting)
    with pytest.raises(Closed, match="without a value"):
        hand.poll()
    with pytest.raises(Closed):
        tx.send(1)


def test_close_after_send_changes_nothing() -> None:
    tx, rx = ends()
    tx.send(1)
    tx.close()
    assert Hand(rx).poll() == 1


def test_dropping_a_receiver_that_is_done_changes_nothing() -> None:
    tx, rx = ends()
    tx.send(1)
    hand = Hand(rx, checked=False)
    assert hand.poll() == 1
    drop(rx)
    with pytest.raises(TakenTwice):
        tx.send(2)
    with pytest.raises(TakenTwice):
        hand.poll()


def test_a_taken_value_is_not_kept() -> None:
    class Thing: ...

    tx, rx = ends()
    thing = Thing()
    gone = weakref.ref(thing)
    tx.send(thing)
    del thing
    Hand(rx).poll()
    gc.collect()
    assert gone() is None


def test_a_cancelled_receiver_tells_the_sender(run: Run) -> None:
    async def main() -> None:
        tx, rx = ends()

        async def waiter() -> None:
            await rx

        task = spawn(waiter())
        await sleep(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        with pytest.raises(Closed):
            tx.send("too late")

    run(main())


def test_a_receiver_that_lost_a_select_takes_its_value_later(run: Run) -> None:
    async def main() -> str:
        tx, rx = ends()
        assert (await select(rx, sleep(1))).winner == 1
        tx.send("value")
        with timeout(1):
            value: str = await rx
        await sleep(0)
        return value

    assert run(main()) == "value"
