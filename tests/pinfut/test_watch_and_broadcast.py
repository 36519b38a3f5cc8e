"""watch and broadcast: who sees what, against plain lists."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut import PENDING, Closed, Lagged, broadcast, drop, watch
from pinfut.executor import CancelledError, scope, sleep, spawn, yield_now
from tests.covered import covered, require
from tests.executor.world import Run
from tests.pinfut.hand import Hand

histories = st.lists(
    st.tuples(
        st.sampled_from(
            ["recv", "recv", "recv", "send", "send", "poll", "poll", "drop", "subscribe", "clone"]
        ),
        st.integers(0, 3),
    ),
    min_size=5,
    max_size=40,
)


@given(histories, st.booleans(), st.booleans())
@settings(max_examples=400)
def run_watch(history: list[tuple[str, int]], close: bool, checked: bool) -> None:
    tx, rx = watch(0)
    receivers = [rx]
    seen = [0]
    newest = 0
    # The waits that have not ended: which receiver, and its hand.
    waits: list[tuple[int, Hand[Any]]] = []
    counts = dict.fromkeys(("at_once", "woken", "skipped_values", "robbed", "dropped_woken"), 0)

    def poll(which: int, hand: Hand[Any]) -> bool:
        if seen[which] == newest:
            counts["robbed"] += hand.woken
            assert hand.poll() is PENDING, "nothing is new"
            return False
        assert hand.poll() == newest
        counts["skipped_values"] += newest - seen[which] > 1
        seen[which] = newest
        return True

    for what, n in [*history, *([("close", 0)] if close else [])]:
        if what == "send":
            newest += 1
            tx.send(newest)
            assert all(hand.woken for _, hand in waits), "a change woke nobody"
        elif what == "subscribe":
            receivers.append(tx.subscribe())
            seen.append(newest)
        elif what == "clone":
            receivers.append(receivers[n % len(receivers)].clone())
            seen.append(seen[n % len(receivers[:-1])])
        elif what == "recv":
            which = n % len(receivers)
            assert receivers[which].value == newest
            hand = Hand(receivers[which].changed(), checked=checked)
            if poll(which, hand):
                counts["at_once"] += 1
            else:
                waits.append((which, hand))
        elif what == "close":
            tx.close()
        elif waits:
            which, hand = waits[n % len(waits)]
            if what == "drop":
                counts["dropped_woken"] += hand.woken
                drop(hand.future)
                del waits[n % len(waits)]
            elif poll(which, hand):
                counts["woken"] += 1
                del waits[n % len(waits)]
    if close:
        for which, hand in waits:
            assert hand.woken
            if seen[which] != newest:
                assert hand.poll() == newest
                seen[which] = newest
            else:
                with pytest.raises(Closed):
                    hand.poll()
        with pytest.raises(Closed):
            tx.send(99)
    covered("watch equals its model", histories=1, **counts)


def test_a_watch_does_what_its_model_does() -> None:
    run_watch()
    require(
        covered("watch equals its model"),
        "at_once",
        "woken",
        "skipped_values",
        "robbed",
        "dropped_woken",
    )


@given(st.integers(1, 4), histories, st.booleans(), st.booleans())
@settings(max_examples=400)
def run_broadcast(
    capacity: int, history: list[tuple[str, int]], close: bool, checked: bool
) -> None:
    tx, rx = broadcast(capacity)  # type: ignore[var-annotated]
    sent: list[int] = []
    receivers = [rx]
    places = [0]
    waits: list[tuple[int, Hand[Any]]] = []
    counts = dict.fromkeys(("at_once", "woken", "lagged", "robbed", "dropped_woken", "late"), 0)

    def poll(which: int, hand: Hand[Any]) -> bool:
        oldest = max(0, len(sent) - capacity)
        if places[which] < oldest:
            with pytest.raises(Lagged) as lagged:
                hand.poll()
            assert lagged.value.missed == oldest - places[which], "the count is not exact"
            places[which] = oldest
            counts["lagged"] += 1
        elif places[which] < len(sent):
            assert hand.poll() == sent[places[which]]
            places[which] += 1
        else:
            counts["robbed"] += hand.woken
            assert hand.poll() is PENDING
            return False
        return True

    for what, n in history:
        if what == "send":
            sent.append(len(sent))
            tx.send(sent[-1])
            assert all(hand.woken for _, hand in waits), "a value woke nobody"
        elif what == "subscribe":
            receivers.append(tx.subscribe())
            places.append(len(sent))
            counts["late"] += bool(sent)
        elif what == "clone":
            places.append(places[n % len(receivers)])
            receivers.append(receivers[n % len(receivers)].clone())
        elif what == "recv":
            which = n % len(receivers)
            hand = Hand(receivers[which].recv(), checked=checked)
            if poll(which, hand):
                counts["at_once"] += 1
            else:
                waits.append((which, hand))
        elif waits:
            which, hand = waits[n % len(waits)]
            if what == "drop":
                counts["dropped_woken"] += hand.woken
                drop(hand.future)
                del waits[n % len(waits)]
            elif poll(which, hand):
                counts["woken"] += 1
                del waits[n % len(waits)]
    if close:
        tx.close()
        with pytest.raises(Closed):
            tx.send(99)
        for which, receiver in enumerate(receivers):
            while True:
                hand = Hand(receiver.recv(), checked=checked)
                if places[which] == len(sent):
                    with pytest.raises(Closed):
                        hand.poll()
                    break
                assert poll(which, hand)
    covered("broadcast equals its model", histories=1, **counts)


def test_a_broadcast_does_what_its_model_does() -> None:
    run_broadcast()
    require(
        covered("broadcast equals its model"),
        "at_once",
        "woken",
        "lagged",
        "robbed",
        "dropped_woken",
        "late",
    )


def test_a_broadcast_keeps_something() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        broadcast(0)


def test_a_slow_receiver_is_told_what_it_missed_and_goes_on(run: Run) -> None:
    async def main() -> list[object]:
        tx, rx = broadcast(2)  # type: ignore[var-annotated]
        log: list[object] = []
        for n in range(5):
            tx.send(n)
        tx.close()
        while True:
            try:
                async for value in rx:
                    log.append(value)
                return log
            except Lagged as error:
                log.append(f"missed {error.missed}")

    assert run(main()) == ["missed 3", 3, 4]


def test_every_receiver_sees_every_change_of_a_watch_that_it_is_awake_for(run: Run) -> None:
    async def main() -> list[list[int]]:
        tx, rx = watch(0)
        logs: list[list[int]] = [[], []]

        async def follow(log: list[int], pause: int) -> None:
            async for value in tx.subscribe():
                log.append(value)
                await sleep(pause)

        async with scope() as s:
            s.spawn(follow(logs[0], 0))
            s.spawn(follow(logs[1], 25))
            for value in range(1, 6):
                await sleep(10)
                tx.send(value)
            await sleep(100)
            tx.close()
        assert rx.value == 5
        return logs

    assert run(main()) == [[1, 2, 3, 4, 5], [1, 3, 5]]


def test_a_receiver_that_is_cancelled_as_a_value_comes_has_not_read_it(run: Run) -> None:
    async def main() -> list[object]:
        tx, rx = broadcast(4)  # type: ignore[var-annotated]
        changes, changed = watch("old")
        log: list[object] = []

        async def read() -> None:
            log.append(await rx.recv())

        async def look() -> None:
            log.append(await changed.changed())

        victims = [spawn(read()), spawn(look())]
        await yield_now()
        tx.send("value")
        changes.send("new")
        for victim in victims:
            victim.cancel()
        for victim in victims:
            with pytest.raises(CancelledError):
                await victim
        assert not log
        return [await rx.recv(), await changed.changed()]

    assert run(main()) == ["value", "new"]
