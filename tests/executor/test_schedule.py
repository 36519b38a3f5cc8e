"""Seeds: one seed gives one history, several seeds give several orders."""

from __future__ import annotations

import random
from math import factorial
from typing import Any

import pytest

from pinfut.executor import Executor, Recorder, VirtualClock, run, scope, sleep, yield_now
from pinfut.executor.schedule import Seeded
from pinfut.sync import Receiver, Sender, channel
from tests.bounded import rounds
from tests.covered import covered, require
from tests.executor.test_two_loops import large
from tests.executor.test_two_loops import outcome as outcome_of

SEEDS = range(200)


async def racy(log: list[str]) -> None:
    """Three tasks that append to one log: the order is nobody's promise."""

    async def append(letter: str) -> None:
        for _ in range(2):
            log.append(letter)
            await yield_now()

    async with scope() as s:
        for letter in "abc":
            s.spawn(append(letter), name=letter)


def order(seed: int | None) -> tuple[str, str]:
    """The log of the racy program, and the recorded text."""
    log: list[str] = []
    recorder = Recorder()
    run(racy(log), seed=seed, instruments=[recorder])
    return "".join(log), recorder.text()


def test_the_same_seed_gives_the_same_events_to_the_letter() -> None:
    for seed in range(20):
        assert order(seed) == order(seed)


def test_different_seeds_give_nearly_every_order_that_there_is() -> None:
    orders = {order(seed)[0] for seed in SEEDS}
    everything = factorial(6) // 2**3
    counts = covered("orders of a racy program", seeds=len(SEEDS), histories=len(orders))
    require(counts, "histories")
    # 200 draws among 90 orders that are not equally likely.
    assert everything // 2 < len(orders) <= everything
    assert all(sorted(one) == list("aabbcc") for one in orders)


def test_without_a_seed_the_order_is_that_of_becoming_ready() -> None:
    assert order(None)[0] == "abcabc"


def test_time_is_simulated_with_a_seed_and_jumps() -> None:
    async def main() -> float:
        await sleep(3600)
        return executor_now()

    def executor_now() -> float:
        from pinfut.executor import current_executor

        return current_executor().now()

    assert run(main(), seed=1) == 3600
    clock = VirtualClock(5)
    assert run(main(), seed=1, clock=clock) == 3605, "a clock that is given is kept"


def test_every_ready_task_is_taken_with_the_same_chance() -> None:
    """No place in the queue is favoured: counted over many seeds."""
    first = dict.fromkeys("abc", 0)
    for seed in SEEDS:
        first[order(seed)[0][0]] += 1
    assert all(40 < count < 95 for count in first.values()), first


def test_a_spinning_task_does_not_starve_the_others() -> None:
    async def main() -> int:
        turns = 0
        done: list[bool] = []

        async def other() -> None:
            done.append(True)

        async with scope() as s:
            s.spawn(other())
            for _ in rounds("the other has had its turn"):
                if done:
                    break
                turns += 1
                await yield_now()
        return turns

    assert max(run(main(), seed=seed) for seed in SEEDS) < 50


def test_values_are_not_lost_in_any_order() -> None:
    async def main() -> list[int]:
        ends: tuple[Sender[int], Receiver[int]] = channel(2)
        tx, rx = ends
        got: list[int] = []

        async def send(start: int) -> None:
            for i in range(start, start + 5):
                await tx.send(i)

        async def receive() -> None:
            for _ in range(5):
                got.append(await rx.recv())

        async with scope() as s:
            for start in (0, 5):
                s.spawn(send(start))
                s.spawn(receive())
        return got

    results = {tuple(run(main(), seed=seed)) for seed in range(50)}
    assert len(results) > 5
    assert all(sorted(result) == list(range(10)) for result in results)


def test_programs_of_every_kind_give_one_history_for_one_seed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL", logger="pinfut.executor")
    different = 0
    for number in range(40):
        program = [*large(random.Random(number)), ("sleep", 20)]

        def one(seed: int, program: Any = program) -> tuple[list[object], str]:
            recorder = Recorder()
            executor = Executor(clock=VirtualClock(), instruments=[recorder], schedule=Seeded(seed))
            return outcome_of(executor, program).log, recorder.text()

        assert one(1) == one(1)
        different += one(1) != one(2)
    require(covered("programs under seeds", programs=40, different=different), "different")
