"""Event, Notify and Barrier: who waits is woken, and what was for somebody reaches somebody."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut import PENDING, Barrier, Event, Notify, drop
from pinfut.executor import CancelledError, scope, sleep, spawn, yield_now
from tests.covered import covered, require
from tests.executor.world import Run
from tests.pinfut.hand import Hand


def histories(*kinds: str) -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 7)), max_size=30)


@given(histories("wait", "wait", "poll", "set", "clear", "drop"), st.booleans())
@settings(max_examples=400)
def run_event(history: list[tuple[str, int]], checked: bool) -> None:
    event = Event()
    is_set = False
    hands: dict[int, Hand[Any]] = {}
    roused: set[int] = set()
    gone: list[tuple[Hand[Any], int]] = []
    counts = dict.fromkeys(("at_once", "waited", "cleared_before_the_poll", "dropped"), 0)
    for number, (what, n) in enumerate(history):
        if what == "wait":
            hand = Hand(event.wait(), checked=checked)
            if hand.poll() is PENDING:
                assert not is_set
                hands[number] = hand
            else:
                assert is_set
                counts["at_once"] += 1
        elif what == "set":
            event.set()
            is_set = True
            roused |= set(hands)
        elif what == "clear":
            event.clear()
            is_set = False
        elif hands:
            name = list(hands)[n % len(hands)]
            if what == "drop":
                hand = hands.pop(name)
                drop(hand.future)
                gone.append((hand, hand.wakes))
                counts["dropped"] += 1
                roused.discard(name)
            elif hands[name].poll() is PENDING:
                assert name not in roused
            else:
                assert name in roused
                counts["waited"] += 1
                counts["cleared_before_the_poll"] += not is_set
                roused.discard(name)
                del hands[name]
        assert event.is_set == is_set
        assert {name for name, hand in hands.items() if hand.woken} == roused
        assert all(hand.wakes == wakes for hand, wakes in gone), "it was woken after its drop"
    covered("event equals its model", histories=1, **counts)


def test_an_event_does_what_its_model_does() -> None:
    run_event()
    require(
        covered("event equals its model"), "at_once", "waited", "cleared_before_the_poll", "dropped"
    )


@given(
    histories("wait", "wait", "wait", "poll", "one", "one", "all", "drop", "drop"), st.booleans()
)
@settings(max_examples=400)
def run_notify(history: list[tuple[str, int]], checked: bool) -> None:
    notify = Notify()
    kept = False
    hands: dict[int, Hand[Any]] = {}
    waiting: list[int] = []
    # Those that were roused, and whether by a notification that must reach somebody.
    roused: dict[int, bool] = {}
    counts = dict.fromkeys(("kept", "woken", "by_all", "passed_on", "merged"), 0)

    def one() -> None:
        nonlocal kept
        if waiting:
            roused[waiting.pop(0)] = True
        else:
            counts["merged"] += kept
            kept = True

    for number, (what, n) in enumerate(history):
        if what == "wait":
            hand = Hand(notify.notified(), checked=checked)
            if hand.poll() is PENDING:
                assert not kept
                hands[number] = hand
                waiting.append(number)
            else:
                assert kept
                kept = False
                counts["kept"] += 1
        elif what == "one":
            notify.notify_one()
            one()
        elif what == "all":
            notify.notify_all()
            roused |= dict.fromkeys(waiting, False)
            counts["by_all"] += len(waiting)
            waiting.clear()
        elif hands:
            name = list(hands)[n % len(hands)]
            if what == "drop":
                drop(hands.pop(name).future)
                if roused.pop(name, False):
                    counts["passed_on"] += 1
                    one()
                elif name in waiting:
                    waiting.remove(name)
            elif hands[name].poll() is PENDING:
                assert name in waiting
            else:
                del roused[name], hands[name]
                counts["woken"] += 1
        assert {name for name, hand in hands.items() if hand.woken} == set(roused)
    covered("notify equals its model", histories=1, **counts)


def test_notify_does_what_its_model_does() -> None:
    run_notify()
    require(covered("notify equals its model"), "kept", "woken", "by_all", "passed_on", "merged")


@given(st.integers(1, 4), histories("come", "come", "come", "poll", "drop"), st.booleans())
@settings(max_examples=400)
def run_barrier(parties: int, history: list[tuple[str, int]], checked: bool) -> None:
    barrier = Barrier(parties)
    hands: dict[int, Hand[Any]] = {}
    waiting: list[int] = []
    passed: set[int] = set()
    counts = dict.fromkeys(("leaders", "followers", "left", "left_after_passing"), 0)
    for number, (what, n) in enumerate(history):
        if what == "come":
            hand = Hand(barrier.wait(), checked=checked)
            value = hand.poll()
            if len(waiting) == parties - 1:
                assert value is True, "the last to come leads"
                passed |= set(waiting)
                waiting.clear()
                counts["leaders"] += 1
            else:
                assert value is PENDING
                hands[number] = hand
                waiting.append(number)
        elif hands:
            name = list(hands)[n % len(hands)]
            if what == "drop":
                drop(hands.pop(name).future)
                if name in waiting:
                    waiting.remove(name)
                    counts["left"] += 1
                else:
                    counts["left_after_passing"] += 1
                    passed.remove(name)
            else:
                value = hands[name].poll()
                assert (value is False) == (name in passed)
                if name in passed:
                    counts["followers"] += 1
                    passed.remove(name)
                    del hands[name]
        assert barrier.waiting == len(waiting)
        assert {name for name, hand in hands.items() if hand.woken} == passed
    covered("barrier equals its model", histories=1, **counts)


def test_a_barrier_does_what_its_model_does() -> None:
    run_barrier()
    require(
        covered("barrier equals its model"), "leaders", "followers", "left", "left_after_passing"
    )


def test_a_barrier_is_for_somebody() -> None:
    with pytest.raises(ValueError, match="one party or more"):
        Barrier(0)


def test_parties_pass_a_barrier_together_again_and_again(run: Run) -> None:
    async def main() -> tuple[list[int], int]:
        barrier, log, leaders = Barrier(3), list[int](), 0

        async def party(delay: int) -> None:
            nonlocal leaders
            for generation in range(3):
                await sleep(delay)
                led = await barrier.wait()
                leaders += led
                log.append(generation)

        async with scope() as s:
            for delay in (1, 5, 9):
                s.spawn(party(delay))
        return log, leaders

    assert run(main()) == ([0, 0, 0, 1, 1, 1, 2, 2, 2], 3)


def test_a_party_that_is_cancelled_has_not_come(run: Run) -> None:
    async def main() -> list[str]:
        barrier, log = Barrier(2), list[str]()

        async def party(name: str) -> None:
            await barrier.wait()
            log.append(name)

        quitter = spawn(party("quitter"))
        await yield_now()
        quitter.cancel()
        await yield_now()
        spawn(party("a"))
        await sleep(1)
        assert not log
        spawn(party("b"))
        await sleep(1)
        with pytest.raises(CancelledError):
            await quitter
        return sorted(log)

    assert run(main()) == ["a", "b"]
