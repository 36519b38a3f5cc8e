"""join, select, race, map and their leaves: values, order, errors, drops, and who is polled."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut import (
    PENDING,
    Context,
    ContextKept,
    CoroutineFuture,
    EventContext,
    Future,
    FutureBase,
    LostWakeup,
    Poll,
    Selected,
    Waker,
    drop,
    join,
    map,
    pending,
    pin,
    poll_events,
    poll_fn,
    race,
    ready,
    select,
    try_join,
    yield_now,
)
from pinfut.combinators import group
from pinfut.coroutine import driver
from pinfut.executor import current_executor, current_task, sleep, spawn
from pinfut.testing import CountingWaker
from tests.covered import covered, require
from tests.executor.world import Run
from tests.pinfut.hand import Again, Gate, Hand


def gates(count: int) -> list[Gate[Any]]:
    return [Gate() for _ in range(count)]


# ---- which events have come ----


def test_a_poll_sees_each_event_that_came_since_the_last_one_once() -> None:
    counts: Counter[str] = Counter()
    what = st.sampled_from(["poll", "wake", "wake", "in the middle"])

    @given(st.lists(st.tuples(what, st.integers(0, 3)), max_size=40))
    def check(steps: list[tuple[str, int]]) -> None:
        wakers: dict[int, Waker] = {}
        seen: list[int] = []
        during: list[int] = []

        def poll(cx: EventContext[int]) -> Poll[None]:
            seen[:] = cx.events
            for event in range(4):
                if event not in wakers:  # once, as with a source that keeps its waker
                    wakers[event] = cx.waker_of(event)
            for event in during:
                wakers[event].wake()
            return PENDING

        hand = Hand(poll_events(poll))
        hand.poll()
        expected: dict[int, None] = {}
        for what, event in steps:
            if what == "wake":
                wakers[event].wake()
                assert hand.woken
                counts["again"] += event in expected
                expected[event] = None
                continue
            during[:] = [event] if what == "in the middle" else []
            hand.poll()
            assert seen == list(expected)
            counts["together"] += len(seen) > 1
            counts["spurious"] += not seen
            counts["in the middle"] += bool(during)
            expected = dict.fromkeys(during)
            assert hand.woken == bool(during), "what comes in the middle of a poll is not lost"

    check()
    covered("events of a poll", **counts)
    require(counts, "again", "together", "spurious", "in the middle")


def test_who_names_no_waker_and_waits_is_told_so() -> None:
    with pytest.raises(LostWakeup):
        Hand(poll_events(lambda cx: PENDING)).poll()
    hand: Hand[None] = Hand(poll_events(lambda cx: (cx.waker, PENDING)[1]))
    assert hand.poll() is PENDING, "a waker without a name will do"


def test_the_context_of_events_ends_with_its_poll() -> None:
    kept: list[EventContext[str]] = []

    def poll(cx: EventContext[str]) -> Poll[int]:
        kept.append(cx)
        return cx.poll(ready(1)) + cx.derive(cx.waker).poll(ready(2))  # type: ignore[operator]

    assert Hand(poll_events(poll)).poll() == 3
    (cx,) = kept
    uses: list[Callable[[], object]] = [
        lambda: cx.waker,
        lambda: cx.waker_of("late"),
        lambda: cx.poll(ready(1)),
        lambda: cx.derive(CountingWaker()),
    ]
    for use in uses:
        with pytest.raises(ContextKept):
            use()


def test_a_task_learns_which_of_its_sources_were_ready(run: Run) -> None:
    class Bell:
        def __init__(self) -> None:
            self.wakers: list[Waker] = []

        def ring(self) -> None:
            for waker in self.wakers:
                waker.wake()

    rung = {name: Bell() for name in ("door", "phone", "oven")}

    def poll(cx: EventContext[str]) -> Poll[list[str]]:
        if cx.events:
            return list(cx.events)
        for name, bell in rung.items():
            bell.wakers.append(cx.waker_of(name))
        return PENDING

    async def main() -> list[str]:
        for name in ("oven", "door", "oven"):
            current_executor().call_soon(rung[name].ring)
        return await poll_events(poll)

    assert run(main()) == ["oven", "door"]


# ---- the leaves ----


def test_ready_gives_its_value_at_the_first_poll() -> None:
    assert Hand(ready("value")).poll() == "value"


def test_pending_is_never_ready() -> None:
    hand: Hand[Any] = Hand(pending())
    assert [hand.poll(), hand.poll()] == [PENDING, PENDING]
    assert hand.wakes == 0


def test_poll_fn_is_polled_through_its_function() -> None:
    gate: Gate[int] = Gate()

    def poll(cx: Context) -> Poll[int]:
        value = cx.poll(gate)
        return PENDING if value is PENDING else value + 1

    hand = Hand(poll_fn(poll))
    assert hand.poll() is PENDING
    gate.open(1)
    assert hand.woken
    assert hand.poll() == 2


def test_a_base_future_without_poll_says_what_to_define() -> None:
    with pytest.raises(NotImplementedError, match=r"FutureBase has to define poll\(cx\)"):
        Hand(FutureBase[int]()).poll()


def test_dropping_a_plain_future_needs_no_word() -> None:
    class Plain:
        def poll(self, cx: Context, /) -> Poll[int]:
            return 1

    drop(Plain())
    hand: Hand[Any] = Hand(join(Plain()))  # type: ignore[call-overload]
    assert hand.poll() == (1,)


# ---- join ----


def test_join_gives_the_values_in_the_order_of_the_futures_not_of_their_ends() -> None:
    a, b, c = gates(3)
    hand = Hand(join(a, b, c))
    for gate in (c, a, b):
        assert hand.poll() is PENDING
        gate.open(f"value of {'abc'[[a, b, c].index(gate)]}")
    assert hand.poll() == ("value of a", "value of b", "value of c")


def test_join_of_nothing_is_ready() -> None:
    assert Hand(join()).poll() == ()


def test_try_join_raises_the_first_error_at_once_and_drops_the_rest() -> None:
    done, failing, left = gates(3)
    hand = Hand(try_join(done, failing, left))
    hand.poll()
    done.open(1)
    hand.poll()
    failing.open(KeyError("first"))
    with pytest.raises(KeyError, match="first"):
        hand.poll()
    assert [gate.drops for gate in (done, failing, left)] == [0, 0, 1]


def test_a_dropped_join_drops_its_children_once() -> None:
    done, left = gates(2)
    future = join(done, left)
    hand = Hand(future)
    hand.poll()
    done.open(1)
    hand.poll()
    drop(future)
    drop(future)
    assert [done.drops, left.drops] == [0, 1]


def test_a_child_that_cannot_be_dropped_does_not_keep_the_others_from_it(run: Run) -> None:
    """A coroutine that awaits while it is closed is refused by the interpreter."""

    async def stubborn() -> None:
        try:
            await pending()
        finally:
            await sleep(1)

    gate: Gate[int] = Gate()

    async def waiter() -> None:
        await join(stubborn(), gate)

    async def main() -> None:
        task = spawn(waiter())
        await sleep(1)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, RuntimeError)):
            await task

    run(main())
    assert gate.drops == 1


# ---- select ----


def test_select_gives_the_winner_and_leaves_the_losers_where_they_are() -> None:
    a, b, c = gates(3)
    hand = Hand(select(a, b, c))
    assert hand.poll() is PENDING
    b.open("b")
    won = hand.poll()
    assert isinstance(won, Selected)
    assert won[:2] == (1, "b")
    assert [loser.__pinned__() for loser in won.losers] == [a, c]
    assert [gate.drops for gate in (a, b, c)] == [0, 0, 0]


def test_losers_can_be_selected_again_joined_and_awaited(run: Run) -> None:
    a, b, c = gates(3)

    async def opener() -> None:
        for gate, value in ((b, "b"), (c, "c"), (a, "a")):
            await sleep(1)
            gate.open(value)

    async def main() -> list[object]:
        spawn(opener())
        left = [a, b, c]
        first = await select(*left)
        second = await select(*first.losers)
        (last,) = second.losers
        return [first[:2], second[:2], await last]

    assert run(main()) == [(1, "b"), (1, "c"), "a"]
    assert [gate.drops for gate in (a, b, c)] == [0, 0, 0]


def test_a_dropped_select_leaves_its_futures_to_the_caller(run: Run) -> None:
    gate: Gate[str] = Gate()

    async def main() -> str:
        task = current_task()
        current_executor().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await select(gate)
        assert gate.drops == 0
        gate.open("still mine")
        return await gate

    assert run(main()) == "still mine"


def test_a_select_that_was_dropped_wakes_nobody() -> None:
    gate: Gate[int] = Gate()
    future = select(gate)
    hand = Hand(future)
    hand.poll()
    drop(future)
    gate.open(1)
    assert hand.wakes == 0


def test_select_raises_the_error_of_the_first_that_fails() -> None:
    a, b = gates(2)
    hand = Hand(select(a, b))
    hand.poll()
    b.open(KeyError("b"))
    with pytest.raises(KeyError, match="b"):
        hand.poll()
    assert [a.drops, b.drops] == [0, 0]


def test_of_two_that_are_ready_the_first_wins() -> None:
    for first in (ready("first"), Again(0)):
        won = Hand(select(first, ready("second"))).poll()
        assert isinstance(won, Selected)
        assert won[:2] == (0, "first" if not isinstance(first, Again) else 1)


# ---- race ----


def test_race_gives_the_first_value_and_drops_the_losers() -> None:
    a, b, c = gates(3)
    hand = Hand(race(a, b, c))
    hand.poll()
    c.open("c")
    assert hand.poll() == "c"
    assert [gate.drops for gate in (a, b, c)] == [1, 1, 0]


def test_race_raises_the_first_error_and_drops_the_losers() -> None:
    a, b = gates(2)
    hand = Hand(race(a, b))
    hand.poll()
    a.open(KeyError("a"))
    with pytest.raises(KeyError, match="a"):
        hand.poll()
    assert b.drops == 1


def test_a_dropped_race_drops_its_children_once() -> None:
    a, b = gates(2)
    future = race(a, b)
    Hand(future).poll()
    drop(future)
    drop(future)
    assert [a.drops, b.drops] == [1, 1]


def test_a_race_that_never_polled_a_coroutine_closes_it() -> None:
    async def never_started() -> str:
        raise AssertionError("the race was over")

    # Warnings are errors here: a coroutine that nobody closes would warn.
    assert Hand(race(ready("won"), never_started())).poll() == "won"


@pytest.mark.parametrize("combine", [select, race])
def test_waiting_for_the_first_of_nothing_is_refused(combine: Any) -> None:
    with pytest.raises(ValueError, match="would wait forever"):
        combine()


# ---- map ----


def test_map_puts_the_value_through_its_function() -> None:
    gate: Gate[str] = Gate()
    hand = Hand(map(gate, len))
    assert hand.poll() is PENDING
    gate.open("four")
    assert hand.poll() == 4


def test_map_passes_errors_on_and_drops_what_is_in_it() -> None:
    gate: Gate[str] = Gate()
    gate.open(KeyError("inner"))
    with pytest.raises(KeyError, match="inner"):
        Hand(map(gate, len)).poll()
    with pytest.raises(ZeroDivisionError):
        Hand(map(ready(0), lambda n: 1 // n)).poll()
    left: Gate[str] = Gate()
    future = map(left, len)
    Hand(future).poll()
    drop(future)
    assert left.drops == 1


# ---- who is polled ----


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("combine", [join, try_join, select, race])
def test_only_the_children_that_were_woken_are_polled_again(combine: Any, checked: bool) -> None:
    children = gates(50)
    hand = Hand(combine(*children), checked=checked)
    hand.poll()
    assert [gate.polls for gate in children] == [1] * 50
    for _ in range(3):
        hand.poll()
    assert [gate.polls for gate in children] == [1] * 50, "nobody was woken"
    children[7].wake()
    children[31].wake()
    children[7].wake()
    hand.poll()
    assert [i for i, gate in enumerate(children) if gate.polls == 2] == [7, 31]
    assert max(gate.polls for gate in children) == 2


def test_children_woken_together_are_all_polled_in_one_poll() -> None:
    """One field for "the event that woke me" would lose all but the last."""
    children = gates(5)
    hand = Hand(join(*children))
    hand.poll()
    for gate in children:
        gate.open("value")
    assert hand.poll() == ("value",) * 5


@pytest.mark.parametrize("combine", [join, try_join, select, race])
def test_a_child_woken_while_it_is_polled_is_polled_next_time(combine: Any) -> None:
    """Its bit is cleared before the poll, never after: a wake in between is not lost."""
    child = Again(3)
    hand = Hand(combine(child))
    for n in (1, 2, 3):
        assert hand.poll() is PENDING
        assert child.polls == n, "once per poll: a child that yields cannot hold the turn"
        assert hand.woken
    assert hand.poll() in ((4,), Selected(0, 4), 4)


def test_a_late_wake_of_a_child_that_is_done_is_harmless() -> None:
    a, b = gates(2)
    hand = Hand(join(a, b))
    hand.poll()
    a.open(1)
    hand.poll()
    a.wake()
    assert hand.poll() is PENDING
    b.open(2)
    assert hand.poll() == (1, 2)


def test_the_newest_waker_of_a_combinator_is_the_one_that_is_called() -> None:
    gate: Gate[int] = Gate()
    future: Future[Any] = join(gate)
    first, second = Hand(future, checked=False), Hand(future, checked=False)
    first.poll()
    second.poll()
    gate.open(1)
    assert (first.wakes, second.wakes) == (0, 1)


# ---- coroutines as children ----


def test_coroutines_run_side_by_side_without_a_task(run: Run) -> None:
    async def steps(name: str, log: list[str]) -> str:
        for i in range(2):
            log.append(f"{name}{i}")
            await yield_now()
        return name

    async def main() -> tuple[list[str], tuple[str, str], int]:
        log: list[str] = []
        values = await join(steps("a", log), steps("b", log))
        return log, values, len(current_executor().tasks)

    assert run(main()) == (["a0", "b0", "a1", "b1"], ("a", "b"), 1)


def test_a_failing_coroutine_closes_its_siblings(run: Run) -> None:
    log = []

    async def fails() -> None:
        await sleep(1)
        raise KeyError("child")

    async def sibling() -> None:
        try:
            await sleep(10)
        finally:
            log.append(current_executor().now())

    async def main() -> int:
        with pytest.raises(KeyError, match="child"):
            await try_join(sibling(), fails())
        return len(current_executor().timers)

    assert run(main()) == 0
    assert log == [1]


def test_a_coroutine_child_sees_the_context_variables_of_its_task(run: Run) -> None:
    var = ContextVar("var", default="nobody's")

    async def reader() -> str:
        await yield_now()
        return var.get()

    async def main() -> list[object]:
        var.set("the task's")
        return [
            await reader(),
            *await join(reader(), CoroutineFuture(reader())),
            await map(ready(None), lambda none: var.get()),
            await poll_fn(lambda cx: var.get()),
        ]

    assert run(main()) == ["the task's"] * 5


def test_a_context_variable_set_in_a_child_does_not_leak_to_other_tasks(run: Run) -> None:
    var = ContextVar("var", default="nobody's")

    async def setter() -> None:
        var.set("the child's")

    async def other() -> str:
        await sleep(1)
        return var.get()

    async def main() -> str:
        task = spawn(other())
        await join(setter())
        late = spawn(other())
        del late
        return await task

    assert run(main()) == "nobody's"
    assert var.get() == "nobody's"


# ---- ends of tasks that were woken once more ----


def test_a_task_may_end_while_a_loser_of_its_race_has_woken_it(run: Run) -> None:
    async def yields() -> str:
        while True:
            await yield_now()

    async def quick() -> str:
        return "quick"

    async def racer() -> str:
        return await race(yields(), quick())

    async def main() -> tuple[str, str]:
        task = spawn(racer())
        await sleep(1)
        return task.result(), await race(yields(), quick())

    assert run(main()) == ("quick", "quick")


def test_a_task_may_end_after_it_has_woken_itself(run: Run) -> None:
    async def selfish() -> str:
        gate: Gate[str] = Gate()
        await select(gate, sleep(1))
        gate.open("ends in this step")
        return await gate

    async def main() -> list[str]:
        task = spawn(selfish())
        await sleep(5)
        return [task.result(), await selfish()]

    assert run(main()) == ["ends in this step"] * 2


# ---- children that refuse to be dropped ----


async def stubborn() -> str:
    """Awaits while it is closed, which the interpreter refuses."""
    try:
        await sleep(100)
    finally:
        await sleep(1)
    return "not reached"


async def soon() -> str:
    await sleep(1)
    return "soon"


async def fails_soon() -> str:
    await sleep(1)
    raise KeyError("the child's own")


def test_a_loser_that_refuses_to_be_dropped_does_not_take_the_race(run: Run) -> None:
    async def main() -> str:
        return await race(stubborn(), soon())

    assert run(main()) == "soon"


def test_a_child_that_refuses_to_be_dropped_does_not_hide_the_error_of_a_try_join(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(KeyError, match="the child's own"):
            await try_join(stubborn(), fails_soon())

    run(main())


def test_a_race_drops_every_loser_although_one_refuses(run: Run) -> None:
    gate: Gate[str] = Gate()

    async def main() -> None:
        try:
            await race(stubborn(), gate, soon())
        except RuntimeError:
            pass

    run(main())
    assert gate.drops == 1


@pytest.mark.parametrize("combine", [join, try_join, race])
def test_every_child_is_dropped_although_the_drop_of_one_raises(combine: Any) -> None:
    class Refuses(Gate[str]):
        def drop(self) -> None:
            super().drop()
            raise RuntimeError("refused")

    children: list[Gate[str]] = [Refuses(), Gate(), Refuses(), Gate()]
    future = combine(*children)
    Hand(future).poll()
    try:
        drop(future)
    except RuntimeError:
        pass
    assert [child.drops for child in children] == [1, 1, 1, 1]


# ---- join: the errors ----


def test_join_waits_for_every_child_and_raises_all_errors_together() -> None:
    first, fine, second = gates(3)
    hand = Hand(join(first, fine, second))
    hand.poll()
    second.open(KeyError("second"))
    assert hand.poll() is PENDING
    first.open(ValueError("first"))
    assert hand.poll() is PENDING
    assert [gate.drops for gate in (first, fine, second)] == [0, 0, 0]
    fine.open(1)
    with pytest.raises(ExceptionGroup) as caught:
        hand.poll()
    assert [repr(error) for error in caught.value.exceptions] == [
        "KeyError('second')",
        "ValueError('first')",
    ]


def test_join_raises_a_group_for_one_error_too() -> None:
    failing: Gate[int] = Gate()
    failing.open(KeyError("alone"))
    with pytest.raises(ExceptionGroup) as caught:
        Hand(join(ready(1), failing)).poll()
    assert [type(error) for error in caught.value.exceptions] == [KeyError]


@pytest.mark.parametrize("beside", [False, True])
def test_a_cancelled_child_is_no_failure_of_a_join_beside_others(run: Run, beside: bool) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def fails() -> None:
        raise KeyError("real")

    async def main() -> None:
        if beside:
            with pytest.raises(ExceptionGroup) as caught:
                await join(cancelled(), fails())
            assert repr(caught.value.exceptions) == "(KeyError('real'),)"
        else:
            with pytest.raises(asyncio.CancelledError):
                await join(cancelled(), sleep(1))

    run(main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_does_not_wait_for_the_others_of_a_join(kind: Any) -> None:
    urgent, left = gates(2)
    hand = Hand(join(urgent, left))
    hand.poll()
    urgent.open(kind())
    with pytest.raises(kind):
        hand.poll()
    assert left.drops == 1


def test_the_error_of_a_join_keeps_nothing_that_the_join_was_made_of() -> None:
    class Value:
        pass

    async def fails() -> None:
        raise KeyError

    value = Value()
    alive = weakref.ref(value)
    hand = Hand(join(ready(value), fails()), checked=False)
    gc.disable()
    try:
        with pytest.raises(ExceptionGroup):
            hand.poll()
        del value, hand
        assert alive() is None
    finally:
        gc.enable()


# ---- wakes ----


def test_a_combinator_wakes_its_parent_once_for_each_poll() -> None:
    children = gates(3)
    hand = Hand(join(join(*children)))
    hand.poll()
    for gate in children:
        gate.wake()
    assert hand.wakes == 1
    hand.poll()
    children[0].wake()
    assert hand.wakes == 2


def test_a_join_of_coroutines_that_do_not_wait_makes_no_waker(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*parts: object) -> Any:
        raise AssertionError("nobody waits")

    async def node(depth: int) -> int:
        return 1 if not depth else sum(await join(*[node(depth - 1) for _ in range(3)]))

    monkeypatch.setattr(group, "ChildWaker", refuse)
    future: Future[int] = CoroutineFuture(node(3))
    assert Hand(future, checked=False).poll() == 27


def test_a_join_keeps_no_cycle_so_what_is_forgotten_is_closed_at_once() -> None:
    closed: list[str] = []

    async def work() -> None:
        try:
            await Gate[int]()
        finally:
            closed.append("closed")

    future: FutureBase[Any] = join(work(), work())
    hand = Hand(future, checked=False)
    hand.poll()
    gc.disable()
    try:
        del future, hand
        assert closed == ["closed"] * 2
    finally:
        gc.enable()


def test_a_cancel_that_a_join_raises_is_freed_without_the_collector() -> None:
    class Cancel(asyncio.CancelledError):
        pass

    async def cancelled() -> None:
        raise Cancel

    hand = Hand(join(cancelled(), ready(1)), checked=False)
    gc.disable()
    try:
        try:
            hand.poll()
        except Cancel as error:
            alive = weakref.ref(error)
        assert alive() is None
    finally:
        gc.enable()


def test_context_variables_set_in_one_child_are_not_seen_by_its_siblings(run: Run) -> None:
    var = ContextVar("var", default="nobody's")

    async def child(name: str) -> str:
        before = var.get()
        var.set(name)
        await yield_now()
        return f"{before} {var.get()}"

    async def main() -> tuple[str, ...]:
        return await join(child("a"), child("b"))

    assert run(main()) == ("nobody's a", "nobody's b")


def test_a_coroutine_that_is_closed_still_has_its_driver() -> None:
    seen: list[object] = []

    async def work() -> None:
        try:
            await Gate[int]()
        finally:
            seen.append(driver())

    future = CoroutineFuture(work())
    Hand(future).poll()
    drop(future)
    assert seen == [future]
    assert driver() is None


@pytest.mark.parametrize("combine", [join, try_join, select, race])
def test_a_future_that_is_given_twice_is_refused(combine: Any) -> None:
    gate: Gate[int] = Gate()
    with pytest.raises(ValueError, match="given twice"):
        combine(gate, ready(1), gate)
    with pytest.raises(ValueError, match="given twice"):
        combine(pin(gate), gate)
