"""select and race: who wins when several are ready, and that nobody is kept out."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest

from pinfut import FutureBase, join, map, pending, race, ready, select, yield_now
from tests.executor.world import Run
from tests.pinfut.hand import Gate

UNBIASED: dict[str, Callable[[list[FutureBase[int]]], FutureBase[Any]]] = {
    "select": lambda futures: map(select(*futures, biased=False), attrgetter("value")),
    "race": lambda futures: race(*futures, biased=False),
}


@pytest.mark.parametrize("made", UNBIASED)
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_unbiased_ones_give_each_that_is_always_ready_its_share(
    run: Run, made: str, count: int
) -> None:
    wins = [0] * count
    loops = 3
    each = 100 * count

    async def draws() -> None:
        for _ in range(each):
            wins[await UNBIASED[made]([ready(number) for number in range(count)])] += 1
            await yield_now()  # the loops draw in turns

    async def main() -> None:
        await join(*(draws() for _ in range(loops)))

    run(main())
    assert sum(wins) == loops * each
    assert max(wins) - min(wins) <= 20


def test_one_of_several_loops_that_draw_in_turns_gets_every_winner(run: Run) -> None:
    async def main() -> list[int]:
        winners: list[int] = []
        for _ in range(20):
            winners.append(await race(ready(0), ready(1), biased=False))
            await race(ready(0), ready(1), biased=False)  # another loop's
        return winners

    winners = run(main())
    assert 5 <= sum(winners) <= 15


def test_a_biased_one_gives_the_first_that_was_given(run: Run) -> None:
    async def main() -> None:
        for _ in range(10):
            assert await race(ready(0), ready(1)) == 0
            assert (await select(pending(), ready(1), ready(2), biased=True)).winner == 1

    run(main())


def test_unbiased_ones_take_the_same_turns_in_every_run(run: Run) -> None:
    async def main() -> list[int]:
        return [await race(*map_ready(5), biased=False) for _ in range(50)]

    def map_ready(count: int) -> list[FutureBase[int]]:
        return [ready(number) for number in range(count)]

    assert run(main()) == run(main())


def test_an_unbiased_one_keeps_its_losers_in_the_order_given(run: Run) -> None:
    async def main() -> None:
        for _ in range(10):
            futures = [Gate[int]() for _ in range(3)]
            futures[1].open(7)
            won = await select(*futures, biased=False)
            assert (won.winner, won.value) == (1, 7)
            first, last = won.losers
            futures[2].open(2)
            futures[0].open(0)
            assert (await first, await last) == (0, 2)

    run(main())
