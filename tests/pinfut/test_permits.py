"""Semaphore and Lock: no permit is lost or invented, and nobody overtakes who waits."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut import PENDING, Lock, Semaphore, drop
from pinfut.executor import CancelledError, scope, sleep, spawn, yield_now
from tests.covered import covered, require
from tests.executor.world import Run
from tests.pinfut.hand import Hand

operations = st.lists(
    st.tuples(
        st.sampled_from(
            ["acquire", "acquire", "acquire", "poll", "poll", "release", "drop", "try"]
        ),
        st.integers(0, 7),
    ),
    min_size=15,
    max_size=40,
)


class Model:
    """Who holds how many, and who waits in which order."""

    def __init__(self, permits: int) -> None:
        self.free = permits
        # Those that wait, oldest first; those that a permit is reserved for.
        self.waiting: deque[int] = deque()
        self.reserved: set[int] = set()
        self.wants: dict[int, int] = {}

    def serve(self) -> None:
        while self.waiting and self.wants[self.waiting[0]] <= self.free:
            name = self.waiting.popleft()
            self.free -= self.wants[name]
            self.reserved.add(name)


@settings(max_examples=300)
@given(st.integers(1, 4), operations, st.booleans())
def run_semaphore(permits: int, history: list[tuple[str, int]], checked: bool) -> None:
    semaphore = Semaphore(permits)
    model = Model(permits)
    hands: dict[int, Hand[Any]] = {}
    held: list[int] = []
    counts = dict.fromkeys(
        (
            "acquired",
            "waited",
            "dropped_waiting",
            "dropped_roused",
            "served_by_a_drop",
            "several",
            "refused",
        ),
        0,
    )
    names = 0

    def settle(name: int, value: object) -> None:
        """What a poll must have given, and what follows from it."""
        if name in model.reserved:
            model.reserved.remove(name)
        elif name in model.waiting:
            assert value is PENDING
            return
        elif model.waiting or model.free < model.wants[name]:
            assert value is PENDING, "it overtook who waits, or took what is not there"
            model.waiting.append(name)
            counts["waited"] += 1
            return
        else:
            model.free -= model.wants[name]
        assert value is None, "it waits although its permits are free"
        held.append(model.wants[name])
        counts["acquired"] += 1
        counts["several"] += model.wants[name] > 1
        del hands[name]

    for what, n in history:
        if what == "acquire":
            names += 1
            model.wants[names] = n % permits + 1
            hands[names] = Hand(semaphore.acquire(n % permits + 1), checked=checked)
            settle(names, hands[names].poll())
        elif what == "try":
            wants = n % permits + 1
            possible = not model.waiting and model.free >= wants
            assert semaphore.try_acquire(wants) == possible
            if possible:
                model.free -= wants
                held.append(wants)
            counts["refused"] += not possible
        elif what == "poll" and hands:
            name = list(hands)[n % len(hands)]
            settle(name, hands[name].poll())
        elif what == "drop" and hands:
            name = list(hands)[n % len(hands)]
            drop(hands.pop(name).future)
            reserved = len(model.reserved)
            if name in model.reserved:
                model.reserved.remove(name)
                reserved -= 1
                model.free += model.wants[name]
                counts["dropped_roused"] += 1
            else:
                model.waiting.remove(name)
                counts["dropped_waiting"] += 1
            model.serve()
            counts["served_by_a_drop"] += len(model.reserved) - reserved
        elif what == "release" and held:
            permits_back = held.pop(n % len(held))
            semaphore.release(permits_back)
            model.free += permits_back
            model.serve()
        assert semaphore.free == model.free
        assert {name for name, hand in hands.items() if hand.woken} == model.reserved
    for hand in hands.values():
        drop(hand.future)
    for count in held:
        semaphore.release(count)
    assert semaphore.free == permits, "a permit was lost or invented"
    covered("semaphore equals its model", histories=1, **counts)


def test_a_semaphore_does_what_its_model_does() -> None:
    run_semaphore()
    require(
        covered("semaphore equals its model"),
        "acquired",
        "waited",
        "dropped_waiting",
        "dropped_roused",
        "served_by_a_drop",
        "several",
        "refused",
    )


@given(operations, st.booleans())
def run_lock(history: list[tuple[str, int]], checked: bool) -> None:
    lock = Lock()
    hands: dict[int, Hand[Any]] = {}
    waiting: deque[int] = deque()
    owner: int | None = None  # who has it, or is about to
    polled = False  # whether the owner has it
    counts = dict.fromkeys(("acquired", "waited", "dropped_roused", "dropped_waiting"), 0)
    names = 0

    def pass_on() -> None:
        nonlocal owner, polled
        owner, polled = (waiting.popleft() if waiting else None), False

    for what, n in history:
        if what in ("acquire", "try"):
            names += 1
            if what == "try":
                assert lock.try_acquire() == (owner is None)
                if owner is None:
                    owner, polled = names, True
                continue
            hand = Hand(lock.acquire(), checked=checked)
            value = hand.poll()
            if owner is None:
                assert value is None
                owner, polled = names, True
                counts["acquired"] += 1
            else:
                assert value is PENDING, "two hold one lock"
                hands[names] = hand
                waiting.append(names)
                counts["waited"] += 1
        elif what == "release" and polled:
            lock.release()
            pass_on()
        elif what in ("poll", "drop") and hands:
            name = list(hands)[n % len(hands)]
            hand = hands[name]
            if what == "poll":
                value = hand.poll()
                assert (value is None) == (owner == name), "overtaken, or forgotten"
                if owner == name:
                    polled = True
                    del hands[name]
                    counts["acquired"] += 1
            else:
                drop(hands.pop(name).future)
                if owner == name:
                    counts["dropped_roused"] += 1
                    pass_on()
                else:
                    counts["dropped_waiting"] += 1
                    waiting.remove(name)
        assert lock.locked == (owner is not None)
        assert [name for name, hand in hands.items() if hand.woken] == (
            [owner] if owner in hands else []
        )
    covered("lock equals its model", histories=1, **counts)


def test_a_lock_does_what_its_model_does() -> None:
    run_lock()
    require(
        covered("lock equals its model"), "acquired", "waited", "dropped_roused", "dropped_waiting"
    )


def test_tasks_go_through_a_lock_one_by_one_in_the_order_in_which_they_came(run: Run) -> None:
    async def main() -> list[str]:
        lock, log = Lock(), list[str]()

        async def worker(name: str) -> None:
            async with lock:
                log.append(f"{name} in")
                await sleep(1)
                log.append(f"{name} out")

        async with scope() as s:
            for name in "abc":
                s.spawn(worker(name))
        assert not lock.locked
        return log

    assert run(main()) == ["a in", "a out", "b in", "b out", "c in", "c out"]


@pytest.mark.parametrize("kind", [Lock, lambda: Semaphore(1)])
def test_a_waiter_that_is_cancelled_as_its_turn_comes_passes_it_on(run: Run, kind: Any) -> None:
    async def main() -> list[str]:
        lock, log = kind(), list[str]()

        async def worker(name: str) -> None:
            async with lock:
                log.append(name)

        await lock.acquire()
        first = spawn(worker("first"))
        spawn(worker("second"))
        await yield_now()
        lock.release()
        first.cancel()
        await sleep(1)
        await lock.acquire()
        with pytest.raises(CancelledError):
            await first
        return log

    assert run(main()) == ["second"]


@pytest.mark.parametrize("kind", [Lock, lambda: Semaphore(1)])
def test_an_error_in_the_block_gives_it_back(run: Run, kind: Any) -> None:
    async def main() -> None:
        lock = kind()
        for _ in range(3):
            with pytest.raises(KeyError):
                async with lock:
                    raise KeyError
        await lock.acquire()

    run(main())


def test_what_is_not_held_cannot_be_given_back() -> None:
    with pytest.raises(RuntimeError, match="not held; release it once for each acquire"):
        Lock().release()
    semaphore = Semaphore(2)
    with pytest.raises(ValueError, match="0 of 2 are held"):
        semaphore.release()
    assert semaphore.try_acquire()
    with pytest.raises(ValueError, match="1 of 2 are held"):
        semaphore.release(2)
    with pytest.raises(ValueError, match="cannot be taken"):
        semaphore.acquire(3)
    with pytest.raises(ValueError, match="at least one permit"):
        Semaphore(0)


def test_in_checked_mode_who_waits_knows_who_holds_it(run: Run) -> None:
    lock, semaphore = Lock(), Semaphore(1)
    Hand(Semaphore(1).acquire()).poll()  # checked mode, from here on
    assert lock.try_acquire()
    assert semaphore.try_acquire()
    hands = [Hand(lock.acquire()), Hand(semaphore.acquire())]
    for hand in hands:
        hand.poll()
        future = hand.future
        told = future.waits_for()  # type: ignore[attr-defined]
        assert "test_in_checked_mode_who_waits" in told
        assert __file__ in told
    assert lock.holder() is not None
    # Both are reserved now for those that wait.
    for held in (lock, semaphore):
        taken = held.holder()
        held.release()
        assert held.holder() not in (taken, None)
    for hand in hands:
        hand.drop()
    for held in (lock, semaphore):
        assert held.holder() is None
