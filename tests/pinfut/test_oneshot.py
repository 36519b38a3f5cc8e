"""oneshot: one value from one task to another."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut import PENDING, FutureBase, TakenTwice, drop, select
from pinfut.executor import CancelledError, sleep, spawn, timeout
from pinfut.sync import Closed, OneshotSender, oneshot
from tests.covered import covered, require
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


operations = st.lists(
    st.sampled_from(["poll", "poll", "fresh waker", "send", "send", "close", "drop"]),
    min_size=3,
    max_size=12,
)


@settings(max_examples=300)
@given(operations)
def run_oneshot(history: list[str]) -> None:
    """A oneshot against what its one value can be: on its way, there, taken, given up."""
    tx, rx = ends()
    hand = Hand(rx, checked=False)
    state, waits = "empty", False
    counts = dict.fromkeys(("taken", "woken", "closed", "dropped_with_value", "refused"), 0)
    for what in history:
        if what == "fresh waker":
            hand.fresh_waker()
            waits = False  # the newest has not been given yet
        elif what == "poll":
            if state == "empty":
                assert hand.poll() is PENDING
                waits = True
            elif state == "there":
                assert hand.poll() == "value"
                state = "taken"
                counts["taken"] += 1
            else:
                with pytest.raises(TakenTwice if state == "taken" else Closed):
                    hand.poll()
        elif what == "send":
            if state == "empty":
                tx.send("value")
                state = "there"
            else:
                with pytest.raises(Closed if state == "closed" else TakenTwice):
                    tx.send("again")
                counts["refused"] += 1
        elif what == "close":
            tx.close()
            if state == "empty":
                state = "closed"
                counts["closed"] += 1
        else:
            hand.drop()
            waits = False
            counts["dropped_with_value"] += state == "there"
            if state != "taken":
                state = "closed"
        if state != "empty" and waits:
            assert hand.woken, "the receiver sleeps on"
            counts["woken"] += 1
            waits = False
    covered("oneshot equals its model", histories=1, **counts)


def test_a_oneshot_does_what_its_model_does() -> None:
    run_oneshot()
    require(
        covered("oneshot equals its model"),
        "taken",
        "woken",
        "closed",
        "dropped_with_value",
        "refused",
    )
