"""The explorer tries exactly the interleavings that there are, and finds planted errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import cache
from itertools import count
from math import factorial, prod
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut import (
    PENDING,
    Context,
    FutureBase,
    LostWakeup,
    Poll,
    ReenteredExecutor,
    TakenTwice,
    Waker,
    pending,
)
from pinfut.executor import (
    CancelledError,
    Recorder,
    current_executor,
    current_task,
    run,
    scope,
    sleep,
    spawn,
    timeout,
    yield_now,
)
from pinfut.executor.testing import (
    InterleavingError,
    NotTheSame,
    explore,
    replay,
    wait_all_parked,
)
from pinfut.rpc import Interface, SimKernel, connect, method, serve
from pinfut.sync import Closed, Receiver, Sender, channel
from tests.covered import covered, require


class Answering(Interface, Protocol):
    @method
    async def answer(self, n: int) -> int: ...


# ---- how many there are ----


class Steps:
    """Tasks of so many steps each; collects the orders in which they ran."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps
        self.seen: list[str] = []

    async def __call__(self) -> None:
        order: list[str] = []

        async def work(name: str, steps: int) -> None:
            try:
                for i in range(steps):
                    order.append(name)
                    if i < steps - 1:
                        await yield_now()
            except CancelledError:
                order.append(name.upper())
                raise

        async with scope() as s:
            for name, steps in zip("abcdef", self.steps, strict=False):
                s.spawn(work(name, steps), name=name)
        self.seen.append("".join(order))


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3))
def every_order_once(steps: list[int]) -> None:
    program = Steps(*steps)
    found = explore(program)
    expected = factorial(sum(steps)) // prod(map(factorial, steps))
    assert found == (expected, True, 0)
    assert len(set(program.seen)) == len(program.seen) == expected
    covered("interleavings explored", runs=found.runs)


def test_every_interleaving_is_run_exactly_once_and_counted_exactly() -> None:
    every_order_once()
    require(covered("interleavings explored"), "runs")


@pytest.mark.parametrize("cancels", [0, 1, 2, 3])
@pytest.mark.parametrize("steps", [(1, 1), (2, 1), (2, 2), (3, 1)])
def test_every_place_where_a_cancel_can_land_is_tried(steps: tuple[int, ...], cancels: int) -> None:
    @cache
    def expected(left: tuple[int, ...], hit: tuple[bool, ...], budget: int) -> int:
        """How many ways there are to go on, by a model that knows nothing of executors."""
        if not any(left):
            return 1
        total = 0
        for i, n in enumerate(left):
            if n:
                after = (*left[:i], n - 1, *left[i + 1 :])
                total += expected(after, hit, budget)
                if budget and not hit[i]:
                    # One more step, in which it sees its cancel.
                    short = (*left[:i], 1, *left[i + 1 :])
                    now = (*hit[:i], True, *hit[i + 1 :])
                    total += expected(short, now, budget - 1)
        return total

    found = explore(Steps(*steps), cancels=cancels)
    assert found == (expected(steps, (False,) * len(steps), cancels), True, 0)


def test_only_the_victims_are_cancelled() -> None:
    program = Steps(2, 2)
    explore(program, cancels=1, victims=["b"])
    letters = set("".join(program.seen))
    assert letters == {"a", "b", "B"}
    main = Steps(1)
    assert explore(main, cancels=1, victims=["main"]).runs > 2
    assert main.seen == ["a"], "wherever it is cancelled it does not get to its end"


@pytest.mark.parametrize("limit", [1, 2, 5, 19, 20, 21])
def test_the_limit_bounds_the_runs_and_the_report_says_whether_all_were_run(limit: int) -> None:
    program = Steps(3, 3)
    assert explore(program, limit=limit) == (min(limit, 20), limit >= 20, 0)
    assert len(set(program.seen)) == len(program.seen)


def test_the_everyday_order_comes_first_and_then_those_closest_to_it() -> None:
    program = Steps(3, 3)
    explore(program)
    assert program.seen[0] == "ababab"

    def departures(order: str) -> int:
        """How often a task ran although another had been ready for longer."""
        queue, found = list("ab"), 0
        left = {"a": 3, "b": 3}
        for name in order:
            found += queue[0] != name
            queue.remove(name)
            left[name] -= 1
            if left[name]:
                queue.append(name)
        return found

    counts = [departures(order) for order in program.seen]
    assert counts == sorted(counts)
    assert counts[-1] >= 2


def test_a_program_that_may_spin_for_ever_is_cut_and_said_not_to_be_exhausted() -> None:
    async def main() -> None:
        done: list[bool] = []

        async def other() -> None:
            done.append(True)

        spawn(other())
        while not done:
            await yield_now()

    found = explore(main, limit=50, steps=10)
    assert not found.exhaustive
    assert found.cut > 0
    assert found.runs <= 50

    async def spins() -> None:
        while True:
            await yield_now()

    assert explore(spins, steps=10) == (1, False, 1)


def test_timers_may_fire_at_any_point_if_asked_for() -> None:
    outcomes: set[str] = set()

    async def main() -> None:
        try:
            with timeout(1):
                for _ in range(3):
                    await yield_now()
            outcomes.add("in time")
        except TimeoutError:
            outcomes.add("late")

    assert explore(main) == (1, True, 0)
    assert outcomes == {"in time"}
    found = explore(main, timers=True)
    assert found.exhaustive
    assert outcomes == {"in time", "late"}
    # Before each of the steps inside the block, or not at all.
    assert found.runs == 4


# ---- what is found ----


class Cell(FutureBase[int]):
    """A oneshot that looks for a waker before it publishes: broken if one comes between."""

    def __init__(self) -> None:
        self.value: int | None = None
        self.waker: Waker | None = None

    def poll(self, cx: Context, /) -> Poll[int]:
        if self.value is not None:
            return self.value
        self.waker = cx.waker
        return PENDING

    async def send(self, value: int, *, broken: bool) -> None:
        waker = self.waker
        await yield_now()
        self.value = value
        if not broken:
            waker = self.waker
        if waker is not None:
            waker.wake()


def one_value(broken: bool) -> None:
    async def program() -> None:
        cell = Cell()

        async def receives() -> None:
            assert await cell == 1

        async with scope() as s:
            s.spawn(receives(), name="receiver")
            s.spawn(cell.send(1, broken=broken), name="sender")

    found = explore(program)
    assert found.exhaustive


def test_a_planted_lost_wakeup_is_found() -> None:
    one_value(broken=False)
    with pytest.raises(InterleavingError) as caught:
        one_value(broken=True)
    assert isinstance(caught.value.__cause__, LostWakeup)
    assert "sender #3 runs before receiver #2" in str(caught.value)
    assert "LostWakeup" in str(caught.value)
    assert "receiver #2  " in str(caught.value), "the timeline"


class Box:
    """A place for one value, whose taking has an await between the look and the take."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.full = True

    async def take(self) -> bool:
        if not self.full:
            return False
        if self.broken:
            await yield_now()
        if not self.full:
            raise TakenTwice("the value was there and is gone")
        self.full = False
        return True


def two_takers(broken: bool) -> None:
    async def program() -> None:
        box = Box(broken)
        async with scope() as s:
            tasks = [s.spawn(box.take(), name=f"taker {i}") for i in range(2)]
        assert sum(task.result() for task in tasks) == 1

    assert explore(program).exhaustive


def test_a_planted_double_take_is_found() -> None:
    two_takers(broken=False)
    with pytest.raises(InterleavingError, match="TakenTwice"):
        two_takers(broken=True)


def test_a_planted_leak_at_a_cancel_is_found_only_if_cancels_are_tried() -> None:
    """A permit that is taken, then lost because the taker is cancelled as it yields."""

    async def program() -> None:
        permits: list[int] = [1]

        async def uses() -> None:
            while not permits:
                await yield_now()
            permit = permits.pop()
            await yield_now()
            permits.append(permit)

        async with scope() as s:
            s.spawn(uses())
            s.spawn(uses())
        assert permits == [1], "the permit is lost"

    explore(program, limit=200, steps=40)
    with pytest.raises(InterleavingError, match="the permit is lost"):
        explore(program, limit=200, steps=40, cancels=1)


def test_a_channel_loses_nothing_wherever_a_cancel_lands() -> None:
    counts = {"returned": 0}

    async def program() -> None:
        ends: tuple[Sender[int], Receiver[int]] = channel(1)
        tx, rx = ends
        got: list[int] = []

        async def sends() -> None:
            for i in range(2):
                await tx.send(i)

        async def receives() -> None:
            got.append(await rx.recv())

        async with scope() as s:
            s.spawn(sends(), name="sender")
            s.spawn(receives(), name="victim")
            s.spawn(receives(), name="other")
        while len(got) < 2:
            # What the victim did not take has to be there.
            got.append(await rx.recv())
            counts["returned"] += 1
        assert sorted(got) == [0, 1]

    found = explore(program, cancels=1, victims=["victim"])
    assert found.exhaustive
    require(covered("cancels in a channel", runs=found.runs, **counts), "runs", "returned")


def test_nobody_hears_that_a_channel_is_closed_while_a_value_comes_back() -> None:
    async def program() -> None:
        ends: tuple[Sender[int], Receiver[int]] = channel(1)
        tx, rx = ends
        got: list[int] = []

        async def sends() -> None:
            for i in range(2):
                await tx.send(i)
            tx.close()

        async def receives() -> None:
            try:
                got.append(await rx.recv())
            except Closed:
                return

        async with scope() as s:
            s.spawn(sends(), name="sender")
            s.spawn(receives(), name="victim")
            while True:
                try:
                    got.append(await rx.recv())
                except Closed:
                    break
        assert sorted(got) == [0, 1]

    assert explore(program, cancels=1, victims=["victim"]).exhaustive


def test_a_failure_is_replayed_by_its_choices_again_and_again() -> None:
    async def program() -> None:
        order: list[str] = []

        async def work(name: str) -> None:
            for _ in range(3):
                order.append(name)
                await yield_now()

        async with scope() as s:
            s.spawn(work("a"))
            s.spawn(work("b"))
        assert "".join(order) != "aabbba", "that one"

    with pytest.raises(InterleavingError) as caught:
        explore(program)
    assert 0 < max(caught.value.choices)
    histories = []
    for _ in range(2):
        recorder = Recorder()
        with pytest.raises(AssertionError, match="that one"):
            replay(program, caught.value.choices, instruments=[recorder])
        histories.append(recorder.text())
    assert histories[0] == histories[1]
    replay(program, [])


def test_a_failure_with_a_cancel_in_it_is_replayed_with_the_same_options() -> None:
    async def program() -> None:
        finished: list[int] = []

        async def work(n: int) -> None:
            await yield_now()
            finished.append(n)

        async with scope() as s:
            for n in range(2):
                s.spawn(work(n))
        assert len(finished) == 2, "one was cancelled"

    with pytest.raises(InterleavingError) as caught:
        explore(program, cancels=1)
    assert "is cancelled" in str(caught.value)
    with pytest.raises(AssertionError, match="one was cancelled"):
        replay(program, caught.value.choices, cancels=1)


def test_the_first_failure_is_one_of_the_simplest() -> None:
    program = Steps(3, 3)

    async def fails() -> None:
        await program()
        assert program.seen[-1][0] == "a"

    with pytest.raises(InterleavingError) as caught:
        explore(fails)
    assert [choice for choice in caught.value.choices if choice] == [1]


def test_a_task_that_fails_unheard_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def program() -> None:
        async def fails() -> None:
            raise ValueError("unheard")

        spawn(fails())
        await yield_now()
        await yield_now()

    with pytest.raises(InterleavingError, match="ValueError: unheard"):
        explore(program)


def test_a_cancel_that_comes_out_of_the_program_is_no_failure_unless_it_is_its_own() -> None:
    async def program() -> None:
        async def work() -> None:
            await yield_now()

        await spawn(work())

    assert explore(program, cancels=1).exhaustive

    async def cancels_itself() -> None:
        raise CancelledError

    with pytest.raises(InterleavingError, match="CancelledError"):
        explore(cancels_itself)


@pytest.mark.parametrize("later", [1, 2])
def test_a_program_that_is_not_the_same_each_time_is_refused(later: int) -> None:
    """Whether a decision does not come, or comes with fewer choices."""
    runs = count()

    async def program() -> None:
        async def nothing() -> None:
            return

        async with scope() as s:
            for _ in range(3 if next(runs) < later else later):
                s.spawn(nothing())

    with pytest.raises(NotTheSame, match="not do the same"):
        explore(program)


def test_broken_laws_are_failures() -> None:
    class Forgets(FutureBase[None]):
        def poll(self, cx: Context, /) -> Poll[None]:
            return PENDING

    async def program() -> None:
        await Forgets()

    with pytest.raises(InterleavingError, match="without reading"):
        explore(program)

    async def parked() -> None:
        await pending()

    with pytest.raises(InterleavingError, match="LostWakeup"):
        explore(parked)


def test_it_runs_outside_of_executors_and_wants_sane_bounds() -> None:
    async def inside() -> None:
        explore(inside)

    with pytest.raises(ReenteredExecutor):
        run(inside())
    for limit, steps, cancels in ((0, 1, 0), (1, 0, 0), (1, 1, -1)):
        with pytest.raises(ValueError, match="1 or more"):
            explore(inside, limit=limit, steps=steps, cancels=cancels)


def test_after_main_has_ended_nothing_is_decided() -> None:
    async def left_over() -> None:
        try:
            await sleep(10)
        finally:
            await yield_now()

    async def main() -> None:
        for _ in range(4):
            spawn(left_over())
        while any(task.queued for task in current_executor().tasks if not task.running):
            await yield_now()

    assert explore(main, limit=5).cut == 0

    async def leaves_at_once() -> None:
        for _ in range(4):
            spawn(left_over())

    assert explore(leaves_at_once) == (1, True, 0)


def test_a_task_that_has_ended_and_stands_in_the_queue_is_no_choice() -> None:
    async def selfish() -> None:
        await sleep(1)
        current_task().wake()

    async def main() -> None:
        async with scope() as s:
            s.spawn(selfish())
            s.spawn(selfish())

    # Who of the two goes first, at the start and again when their timers have fired.
    assert explore(main) == (4, True, 0)


def test_what_the_runtime_has_made_for_itself_is_no_victim() -> None:
    cleaned = 0

    class Answers(Answering):
        @method
        async def answer(self, n: int) -> int:
            return n + 1

    async def numbers() -> AsyncGenerator[int, None]:
        nonlocal cleaned
        try:
            yield 1
        finally:
            await yield_now()
            cleaned += 1

    async def asks(it: Answering) -> None:
        async for _ in numbers():
            break
        assert await it.answer(1) == 2

    cancelled = 0

    async def program() -> None:
        nonlocal cancelled
        before = cleaned
        kernel = SimKernel()
        bank = kernel.bank("client", pages=100)
        async with serve(kernel, "it", Answers()), connect(kernel, "it", Answering, bank) as it:
            asking = spawn(asks(it), name="asks")
            try:
                await asking
            except CancelledError:
                cancelled += 1
            else:
                await wait_all_parked()
                assert cleaned == before + 1
        names = {task.name for task in current_executor().tasks}
        assert names == {"main"}
        assert bank.balance.pages == 100

    found = explore(program, cancels=1, limit=400)
    counts = covered("victims among tasks of the runtime", runs=found.runs, cancelled=cancelled)
    require(counts, "runs", "cancelled")
