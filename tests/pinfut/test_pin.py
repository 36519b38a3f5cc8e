"""Pinned: what stays in its place, in its task."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from pinfut import (
    PENDING,
    PinError,
    Pinned,
    Poll,
    catch,
    channel,
    drop,
    join,
    map,
    pin,
    race,
    ready,
    select,
    then,
    try_join,
)
from pinfut.coroutine import into_future
from pinfut.executor import Executor, VirtualClock, sleep, spawn, timeout, yield_now
from pinfut.poll import Context
from tests.executor.world import Run
from tests.pinfut.hand import Gate, Hand


def test_a_pinned_future_is_polled_in_place_without_a_step_in_between() -> None:
    gate = Gate[int]()
    pinned = pin(gate)
    assert into_future(pinned) is gate
    assert pin(pinned) is pinned
    hand = Hand(join(pinned, ready(2)))
    assert hand.poll() is PENDING
    gate.open(1)
    assert hand.poll() == (1, 2)


def test_a_pinned_coroutine_starts_at_its_first_poll_and_goes_on_where_it_was(run: Run) -> None:
    log: list[str] = []

    async def work() -> str:
        log.append("started")
        await sleep(2)
        log.append("ended")
        return "value"

    async def main() -> str:
        pinned = pin(work())
        assert log == []
        won = await select(sleep(1), pinned)
        assert won.losers == (pinned,)
        assert log == ["started"]
        return await pinned

    assert run(main()) == "value"
    assert log == ["started", "ended"]


def test_dropping_a_pinned_future_drops_what_is_in_it() -> None:
    gate = Gate[int]()
    pinned = pin(gate)
    drop(pinned)
    assert gate.drops == 1


@pytest.mark.parametrize("move", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_pinned_future_may_not_be_copied_or_pickled(move: Any) -> None:
    with pytest.raises(PinError, match="Gate"):
        move(pin(Gate[int]()))


def test_checked_mode_names_a_pinned_future_that_another_task_polls() -> None:
    gate = Gate[int]()

    async def main() -> None:
        pinned = pin(gate)
        await race(pinned_again(pinned), sleep(1))
        await thief(pinned)

    async def pinned_again(pinned: Pinned[int]) -> int:
        return (await select(pinned, sleep(100))).value or 0

    async def thief(pinned: Pinned[int]) -> None:
        async def steal() -> int:
            return await pinned

        await spawn(steal())

    with pytest.raises(PinError, match=r"Gate.*steal"):
        Executor(clock=VirtualClock(), checked=True).run(main())


def test_a_future_moves_until_its_first_poll_and_not_after() -> None:
    gates = [Gate[int]() for _ in range(3)]
    tx, rx = channel[Gate[int]](3)

    async def first() -> None:
        for gate in gates:
            await tx.send(gate)

    async def second() -> None:
        for number in (1, 2):
            gate = await rx.recv()
            spawn(open_soon(gate, number))
            assert await gate == number
        ended = await select(await rx.recv(), sleep(1))
        (held,) = ended.losers
        await spawn(again(held))

    async def open_soon(gate: Gate[int], value: int) -> None:
        gate.open(value)

    async def again(gate: Any) -> None:
        await gate

    async def main() -> None:
        await spawn(first())
        await second()

    with pytest.raises(PinError, match=r"Gate.*again"):
        Executor(clock=VirtualClock(), checked=True).run(main())
    assert [gate.polls for gate in gates[:2]] == [2, 2]


def test_what_is_made_of_pinned_futures_alone_is_pinned() -> None:
    pinned = pin(ready(1))
    for made in (
        map(pinned, str),
        then(pinned, lambda n: ready(n)),
        join(pinned),
        join(pinned, pin(ready(2))),
        try_join(pinned, pin(ready(2)), pin(ready(3)), pin(ready(4))),
        try_join(*[pin(ready(n)) for n in range(12)]),
    ):
        assert type(made) is Pinned
    for free in (join(pinned, ready(1)), join(), catch(pinned, KeyError, lambda error: 0)):
        assert not isinstance(free, Pinned)


def test_a_class_with_poll_alone_can_be_pinned_and_awaited(run: Run) -> None:
    class Plain:
        def poll(self, cx: Context, /) -> Poll[int]:
            return 1

    async def main() -> int:
        return await pin(Plain())

    assert run(main()) == 1


def test_what_cannot_be_awaited_cannot_be_pinned() -> None:
    with pytest.raises(TypeError, match="neither a future nor awaitable"):
        pin(5)  # type: ignore[call-overload]


# ---- the losers of a select ----


def test_coroutines_that_lose_a_select_go_on_where_they_were(run: Run) -> None:
    async def count(seconds: float, name: str) -> str:
        await sleep(seconds)
        await yield_now()
        return name

    async def main() -> list[str]:
        names = []
        left: tuple[Any, ...] = (count(3, "c"), count(1, "a"), count(2, "b"))
        while left:
            _, name, left = await select(*left)
            names.append(name)
        return names

    assert run(main()) == ["a", "b", "c"]


def test_losers_that_are_nested_in_each_other_find_their_own_driver(run: Run) -> None:
    """Coroutines of one select share the cell that leads to their driver."""

    async def slow() -> str:
        await sleep(2)
        return "slow"

    async def main() -> str | None:
        inbox: list[Pinned[Any]] = []

        async def outer() -> str:
            await sleep(2)
            inner = await inbox[0]
            try:
                with timeout(1):
                    await sleep(5)
            except TimeoutError:
                return f"{inner}, then timed out"
            return "not interrupted"

        _, _, losers = await select(sleep(1), slow(), outer())
        inbox.append(losers[0])
        return await losers[1]

    assert run(main()) == "slow, then timed out"


@pytest.mark.parametrize("how", ["fails", "is dropped"])
def test_a_select_closes_the_coroutines_that_it_cannot_hand_back(run: Run, how: str) -> None:
    closed: list[str] = []
    kept = Gate[int]()

    async def work() -> None:
        try:
            await sleep(100)
        finally:
            closed.append("closed")

    async def fails() -> None:
        await sleep(1)
        raise KeyError("fails")

    async def main() -> None:
        if how == "fails":
            with pytest.raises(KeyError):
                await select(work(), kept, fails())
        else:
            future = select(work(), kept)
            assert (await race(future, sleep(1))) is None
        assert closed == ["closed"]

    run(main())
    assert kept.drops == 0, "what the caller gave stays the caller's"
