"""Blocks in any tasks run by number, or everybody hears that they cannot."""

from __future__ import annotations

import itertools

import pytest

from pinfut.executor import scope, sleep, spawn, yield_now
from pinfut.executor.testing import Sequencer, explore
from pinfut.testing import Hand, assert_pending, assert_ready
from tests.executor.world import Run


@pytest.mark.parametrize("numbers", list(itertools.permutations(range(4))))
def test_blocks_run_by_number_whatever_the_order_of_the_tasks(
    run: Run, numbers: tuple[int, ...]
) -> None:
    async def main() -> list[int]:
        seq = Sequencer()
        log: list[int] = []

        async def block(number: int) -> None:
            async with seq(number):
                log.append(number)
                await yield_now()
                log.append(number)

        async with scope() as s:
            for number in numbers:
                s.spawn(block(number))
        return log

    assert run(main()) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_blocks_run_by_number_in_every_interleaving() -> None:
    async def program() -> None:
        seq = Sequencer()
        log: list[int] = []

        async def blocks(*numbers: int) -> None:
            for number in numbers:
                async with seq(number):
                    log.append(number)
                    await yield_now()

        async with scope() as s:
            s.spawn(blocks(0, 3))
            s.spawn(blocks(1, 2))
        assert log == [0, 1, 2, 3]

    assert explore(program).exhaustive


def test_a_block_that_fails_lets_the_next_one_run(run: Run) -> None:
    async def main() -> None:
        seq = Sequencer()
        with pytest.raises(ValueError, match="mine"):
            async with seq(0):
                raise ValueError("mine")
        async with seq(1):
            pass

    run(main())


def test_who_waits_behind_a_cancelled_one_hears_of_it_and_so_does_who_comes_later(
    run: Run,
) -> None:
    async def main() -> None:
        seq = Sequencer()
        outcomes: list[str] = []

        async def block(number: int) -> None:
            try:
                async with seq(number):
                    outcomes.append(f"{number} ran")
            except RuntimeError as error:
                outcomes.append(f"{number}: {error}")

        waits = [spawn(block(number)) for number in (1, 2)]
        await sleep(1)
        waits[0].cancel()
        await sleep(1)
        await block(3)
        assert outcomes[0].startswith("2: number 2 of a sequence cannot come")
        assert outcomes[1].startswith("3: ")
        assert len(outcomes) == 2

    run(main())


def test_a_cancel_inside_of_a_block_breaks_nothing(run: Run) -> None:
    async def main() -> list[int]:
        seq = Sequencer()
        log: list[int] = []

        async def block(number: int) -> None:
            async with seq(number):
                await sleep(1 - number)
                log.append(number)

        tasks = [spawn(block(number)) for number in (0, 1)]
        await yield_now()
        await yield_now()
        tasks[0].cancel()
        await tasks[1]
        return log

    assert run(main()) == [1]


def test_a_turn_that_came_is_dropped_without_harm() -> None:
    seq = Sequencer()
    first, second = (seq(number).turn() for number in (0, 1))
    waits = Hand(second)
    assert_pending(waits.poll())
    came = Hand(first)
    assert_ready(came.poll())
    came.drop()
    assert not waits.woken


def test_a_number_is_used_once_and_not_below_zero() -> None:
    seq = Sequencer()
    seq(0)
    for number in (0, -1):
        with pytest.raises(ValueError, match="used already"):
            seq(number)
