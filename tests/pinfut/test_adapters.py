"""then, catch, fuse, lazy, shared, and timeout as a future."""

from __future__ import annotations

import gc
import random
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut import (
    PENDING,
    FutureBase,
    PinError,
    PolledAfterReady,
    Shared,
    catch,
    drop,
    fuse,
    join,
    lazy,
    map,
    pin,
    ready,
    select,
    shared,
    then,
)
from pinfut.executor import CancelledError, current_executor, sleep, spawn, timeout, yield_now
from tests.covered import covered, require
from tests.executor.world import Run
from tests.pinfut.hand import Gate, Hand

var = ContextVar("var", default="nobody's")


# ---- then ----


def test_then_goes_on_with_what_its_function_makes_of_the_value() -> None:
    first, second = Gate[int](), Gate[str]()
    hand = Hand(then(first, lambda n: second))
    assert hand.poll() is PENDING
    first.open(1)
    assert hand.poll() is PENDING, "the second was polled in the same poll"
    assert second.polls == 1
    second.open("second")
    assert hand.woken
    assert hand.poll() == "second"
    assert (first.polls, second.polls) == (2, 2)


def chained(first: Gate[int], second: Gate[str]) -> FutureBase[str]:
    return then(first, lambda n: second)


def test_a_dropped_then_drops_the_one_that_it_stands_at() -> None:
    for opened in (False, True):
        first, second = Gate[int](), Gate[str]()
        future = chained(first, second)
        hand = Hand(future)
        hand.poll()
        if opened:
            first.open(1)
            hand.poll()
        drop(future)
        assert (first.drops, second.drops) == ((0, 1) if opened else (1, 0))


def test_an_error_of_the_first_is_the_error_of_then() -> None:
    first = Gate[int]()
    first.open(KeyError("first"))
    with pytest.raises(KeyError, match="first"):
        Hand(then(first, lambda n: ready(n))).poll()


def test_functions_given_to_combinators_see_the_context_variables_of_who_gave_them(
    run: Run,
) -> None:
    async def read(value: object = None) -> str:
        await yield_now()
        return var.get()

    def invert(n: int) -> str:
        return str(1 // n)

    async def main() -> list[str]:
        var.set("the task's")
        return [
            await then(sleep(1), read),
            await lazy(read),
            await catch(map(ready(0), invert), ZeroDivisionError, lambda error: var.get()),
        ]

    assert run(main()) == ["the task's"] * 3


# ---- catch ----


def test_catch_makes_values_of_the_errors_that_it_was_given_and_of_no_others() -> None:
    def failing(error: Exception) -> Gate[int]:
        gate = Gate[int]()
        gate.open(error)
        return gate

    caught = Hand(catch(failing(KeyError("a")), KeyError, lambda error: error.args)).poll()
    assert caught == ("a",)
    kinds = (KeyError, ValueError)
    assert Hand(catch(failing(ValueError()), kinds, lambda error: "caught")).poll() == "caught"
    assert Hand(catch(ready(1), KeyError, lambda error: "caught")).poll() == 1
    with pytest.raises(ValueError, match="passes"):
        Hand(catch(failing(ValueError("passes")), KeyError, lambda error: "caught")).poll()


def test_a_dropped_catch_drops_what_is_in_it() -> None:
    gate = Gate[int]()
    future = catch(gate, KeyError, lambda error: 0)
    Hand(future).poll()
    drop(future)
    assert gate.drops == 1


# ---- fuse ----


@pytest.mark.parametrize("fails", [False, True])
def test_a_fused_future_is_pending_for_ever_after_its_outcome(fails: bool) -> None:
    gate = Gate[int]()
    gate.open(KeyError("once") if fails else 1)
    future = fuse(gate)
    hand = Hand(future)
    assert not future.done
    if fails:
        with pytest.raises(KeyError, match="once"):
            hand.poll()
    else:
        assert hand.poll() == 1
    assert future.done
    assert [hand.poll(), hand.poll()] == [PENDING, PENDING]
    assert gate.polls == 1
    drop(future)
    assert gate.drops == 0


def test_checked_mode_still_names_what_is_not_fused() -> None:
    hand = Hand(map(ready(1), str))
    hand.poll()
    with pytest.raises(PolledAfterReady, match="Map"):
        hand.poll()


def test_a_fused_future_that_was_dropped_is_pending_too() -> None:
    gate = Gate[int]()
    future = fuse(gate)
    hand = Hand(future)
    hand.poll()
    drop(future)
    drop(future)
    assert gate.drops == 1
    assert hand.poll() is PENDING


# ---- lazy ----


def test_a_lazy_future_is_made_at_its_first_poll_and_once() -> None:
    made: list[Gate[int]] = []

    def make() -> Gate[int]:
        made.append(Gate())
        return made[-1]

    future = lazy(make)
    assert made == []
    hand = Hand(future)
    assert hand.poll() is PENDING
    made[0].open(7)
    assert hand.poll() == 7
    assert len(made) == 1


def test_a_lazy_future_that_is_dropped_before_its_first_poll_is_never_made() -> None:
    async def never() -> None:
        raise AssertionError("it was dropped")

    future = lazy(never)
    drop(future)
    with pytest.raises(RuntimeError, match="dropped"):
        Hand(future).poll()
    gate = Gate[int]()
    begun = lazy(lambda: gate)
    Hand(begun).poll()
    drop(begun)
    assert gate.drops == 1


# ---- shared ----


@given(st.integers(1, 6), st.booleans(), st.randoms(use_true_random=False))
def check_shared(count: int, fails: bool, rng: random.Random) -> None:
    """Clones polled and dropped at random: who is left gets the value, and is woken for it;
    the future is polled only when it was woken, and dropped with the last."""
    gate = Gate[Any]()
    first = shared(gate)
    clones = [first, *(first.clone() for _ in range(count - 1))]
    hands = {n: Hand[Any](clone) for n, clone in enumerate(clones)}
    del first, clones
    polled: set[int] = set()
    dropped_with_a_wake = 0
    spurious = 0
    open_at = rng.randint(0, 6)
    for step in range(12):
        if not hands:
            break
        n = rng.choice(list(hands))
        if step == open_at:
            gate.open(KeyError("shared") if fails else "value")
        match rng.randrange(4):
            case 0:
                dropped_with_a_wake += hands[n].woken
                drop(hands.pop(n).future)
            case 1:
                gate.wake()
            case _ if not gate.opened:
                spurious += n in polled
                assert hands[n].poll() is PENDING
                polled.add(n)
        waiting = [hand for k, hand in hands.items() if k in polled]
        if gate.opened and waiting and gate.polls:
            assert any(hand.woken for hand in waiting), "somebody has to poll it"
    if not hands:
        assert gate.drops == (0 if gate.done else 1)
        covered("shared", dropped_altogether=1)
        return
    if not gate.opened:
        gate.open(KeyError("shared") if fails else "value")
    assert gate.drops == 0
    got = 0
    while hands:
        ready_ones = [n for n, hand in hands.items() if hand.woken or n not in polled]
        assert ready_ones, "who waits was told"
        n = rng.choice(ready_ones)
        hand = hands.pop(n)
        if fails:
            with pytest.raises(KeyError, match="shared"):
                hand.poll()
        else:
            assert hand.poll() == "value"
        got += 1
    assert gate.polls <= 1 + gate.wakes + 1
    assert gate.drops == 0
    covered(
        "shared",
        got=got,
        several=int(got > 1),
        spurious=spurious,
        duty_dropped=dropped_with_a_wake,
        failed=int(fails),
    )


def test_every_clone_gets_the_value_whoever_is_dropped() -> None:
    check_shared()
    require(
        covered("shared"),
        "got",
        "several",
        "spurious",
        "duty_dropped",
        "failed",
        "dropped_altogether",
    )


def test_the_duty_to_poll_goes_on_when_the_clone_that_was_woken_is_dropped() -> None:
    gate = Gate[int]()
    first = shared(gate)
    one, two = Hand(first), Hand(first.clone())
    one.poll()
    two.poll()
    assert gate.polls == 1, "one polls for all"
    gate.open(1)
    assert (one.woken, two.woken) == (True, False)
    drop(first)
    assert two.woken
    assert two.poll() == 1


def test_a_shared_future_may_be_awaited_by_several_tasks(run: Run) -> None:
    async def fetch() -> str:
        with timeout(10):
            await sleep(2)
        return "page"

    async def main() -> tuple[list[str], float]:
        page = shared(fetch())

        async def read(clone: Shared[str]) -> str:
            return await clone

        readers = [spawn(read(page.clone())) for _ in range(3)]
        drop(page)
        await sleep(1)
        readers[0].cancel()
        with pytest.raises(CancelledError):
            await readers[0]
        return [await reader for reader in readers[1:]], current_executor().now()

    assert run(main()) == (["page", "page"], 2)


def test_handles_that_nobody_holds_any_more_count_as_dropped() -> None:
    gate = Gate[int]()
    handle = shared(gate)
    other = handle.clone()
    Hand(handle).poll()
    del handle
    gc.collect()
    assert gate.drops == 0
    del other
    gc.collect()
    assert gate.drops == 1


def test_a_clone_of_what_was_dropped_is_refused_and_of_what_is_done_is_ready() -> None:
    dropped = shared(Gate[int]())
    drop(dropped)
    with pytest.raises(PinError, match="last handle"):
        dropped.clone()
    done = shared(ready(1))
    assert Hand(done).poll() == 1
    assert Hand(done.clone()).poll() == 1


# ---- timeout as a future ----


def test_a_timeout_gives_the_value_that_comes_in_time_and_takes_its_timer_back(run: Run) -> None:
    async def main() -> tuple[str, int]:
        value = await timeout(2, map(sleep(1), lambda none: "in time"))
        return value, len(current_executor().timers)

    assert run(main()) == ("in time", 0)


def test_a_timeout_drops_what_comes_too_late(run: Run) -> None:
    gate = Gate[int]()
    log: list[str] = []

    async def slow() -> None:
        try:
            await sleep(9)
        finally:
            log.append("closed")

    async def main() -> tuple[float, int]:
        with pytest.raises(TimeoutError, match=r"after 1 s"):
            await timeout(1, gate)
        with pytest.raises(TimeoutError):
            await timeout(1, slow())
        return current_executor().now(), len(current_executor().timers)

    assert run(main()) == (2, 0)
    assert (gate.drops, log) == (1, ["closed"])


def test_a_value_that_comes_with_the_end_of_its_time_is_not_thrown_away(run: Run) -> None:
    async def main() -> str:
        return await timeout(1, map(sleep(1), lambda none: "at the last moment"))

    # The timer of the timeout stands behind that of the sleep: both fire in one turn.
    assert run(main()) == "at the last moment"


def test_timeouts_of_children_run_side_by_side(run: Run) -> None:
    async def main() -> tuple[object, float]:
        late = catch(timeout(2, sleep(5)), TimeoutError, lambda error: "late")
        return await join(late, timeout(2, ready("early"))), current_executor().now()

    assert run(main()) == (("late", "early"), 2)


def test_a_timeout_that_lost_a_select_still_ends_in_time(run: Run) -> None:
    gate = Gate[int]()

    async def main() -> float:
        bounded = pin(timeout(5, gate))
        assert (await select(bounded, sleep(1))).winner == 1
        with pytest.raises(TimeoutError):
            await bounded
        return current_executor().now()

    assert run(main()) == 5


def test_a_dropped_timeout_leaves_neither_timer_nor_child(run: Run) -> None:
    gate = Gate[int]()

    async def main() -> int:
        future: FutureBase[int] = timeout(5, gate)
        task = spawn(waiter(future))
        await sleep(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        return len(current_executor().timers)

    async def waiter(future: FutureBase[int]) -> int:
        return await future

    assert run(main()) == 0
    assert gate.drops == 1


def test_an_error_of_the_child_passes_and_takes_the_timer_back(run: Run) -> None:
    async def fails() -> None:
        await sleep(1)
        raise KeyError("child")

    async def main() -> int:
        with pytest.raises(KeyError, match="child"):
            await timeout(5, fails())
        return len(current_executor().timers)

    assert run(main()) == 0


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_time_that_makes_no_sense_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="0 s or more"):
        timeout(seconds, pin(ready(1)))
