"""Direct to the leaf: polling the leaf alone does what polling from the root would do.

The executor polls the future that a task is parked on, and none of the coroutines between
the task and it. A runner that polls from the root, through every level, each time, has to
leave the same trace for the same program; and a wake has to cost the same at any depth.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut import PENDING, Context, FutureBase, Poll, drop, join, oneshot, race, yield_now
from pinfut.coroutine import YIELD
from pinfut.executor import Executor, Instrument, VirtualClock, spawn
from pinfut.testing import Hand
from tests.covered import covered, require
from tests.pinfut.hand import Gate

NAME = "polling the leaf equals polling from the root"

Step = tuple[Any, ...]
Event = tuple[str, int]


class ProgramError(Exception):
    """What programs raise, and gates."""


class Machine:
    """Runs a program and writes down what it does. `call` makes the levels."""

    def __init__(self, call: Callable[[Coroutine[Any, Any, None]], Awaitable[None]]) -> None:
        self.call = call
        self.log: list[object] = []
        self.gates: list[Gate[int]] = []

    async def body(self, steps: list[Step]) -> None:
        for step in steps:
            await self.step(step)

    async def step(self, step: Step) -> None:
        match step:
            case ("gate",):
                number = len(self.gates)
                self.gates.append(Gate())
                self.log.append(("waits", number))
                self.log.append(("got", number, await self.gates[number]))
            case ("yield",):
                await yield_now()
                self.log.append("yielded")
            case ("raise",):
                raise ProgramError
            case ("call", inner):
                await self.call(self.body(inner))
                self.log.append("returned")
            case ("join", *branches):
                await join(*[self.call(self.body(branch)) for branch in branches])
                self.log.append("joined")
            case ("race", *branches):
                await race(*[self.call(self.body(branch)) for branch in branches])
                self.log.append("raced")
            case ("try", inner, handler):
                try:
                    await self.call(self.body(inner))
                except (ProgramError, CancelledError, ExceptionGroup) as error:
                    self.log.append(("caught", type(error).__name__))
                    await self.body(handler)
            case ("finally", inner, cleanup):
                try:
                    await self.call(self.body(inner))
                finally:
                    self.log.append("finally")
                    await self.body(cleanup)

    def happen(self, event: Event) -> bool:
        """Let a gate do something; False when there is none for it."""
        kind, n = event
        waiting = [gate for gate in self.gates if not (gate.opened or gate.drops)]
        if not waiting:
            return False
        gate = waiting[n % len(waiting)]
        number = self.gates.index(gate)
        self.log.append((kind, number))
        match kind:
            case "open":
                gate.open(number)
            case "fail":
                gate.open(ProgramError())
            case "wake":
                gate.wake()
        return True


class Level(FutureBase[None]):
    """A coroutine that is polled from above, each time, down to its leaf."""

    def __init__(self, coro: Coroutine[Any, Any, None]) -> None:
        self.coro = coro
        self.leaf: Any = YIELD
        self.cancelled = False

    def poll(self, cx: Context, /) -> Poll[None]:
        try:
            leaf: Any = self.leaf
            while True:
                if self.cancelled:
                    self.cancelled = False
                    if leaf is not YIELD:
                        drop(leaf)
                    leaf = self.coro.throw(CancelledError())
                elif leaf is YIELD:
                    leaf = self.coro.send(None)
                else:
                    try:
                        value: object = leaf.poll(cx)
                    except BaseException as error:
                        leaf = self.coro.throw(error)
                    else:
                        if value is PENDING:
                            self.leaf = leaf
                            return PENDING
                        leaf = self.coro.send(value)
                if leaf is YIELD:
                    self.leaf = leaf
                    cx.waker.wake()
                    return PENDING
        except StopIteration:
            return None

    def cancel(self) -> None:
        """Raise CancelledError at the innermost level."""
        if isinstance(self.leaf, Level):
            self.leaf.cancel()
        else:
            self.cancelled = True

    def drop(self) -> None:
        leaf, self.leaf = self.leaf, YIELD
        if leaf is not YIELD:
            drop(leaf)
        self.coro.close()


def from_the_root(program: list[Step], events: list[Event]) -> list[object]:
    machine = Machine(Level)
    root = Level(machine.body(program))
    hand = Hand(root, checked=False)

    def settle() -> bool:
        """Poll until it waits; True when it is over."""
        try:
            while True:
                if hand.poll() is not PENDING:
                    machine.log.append("returned at last")
                    return True
                if not hand.woken:
                    return False
        except BaseException as error:
            machine.log.append(("raised at last", type(error).__name__))
            return True

    over = settle()
    for event in events:
        if over:
            break
        if event[0] == "cancel":
            machine.log.append("cancel")
            root.cancel()
        elif not machine.happen(event):
            continue
        over = settle()
    if not over:
        root.drop()
    return machine.log


def on_the_executor(program: list[Step], events: list[Event], checked: bool) -> list[object]:
    machine = Machine(lambda coro: coro)

    async def main() -> None:
        task = spawn(machine.body(program))
        # What is dropped is closed, as from the root, where nobody would clean up after it.
        task.executor.ending = True

        async def settle() -> bool:
            while True:
                await yield_now()
                if task.done:
                    error = task.error()
                    kind = type(error).__name__
                    machine.log.append(("raised at last", kind) if error else "returned at last")
                    return True
                if not task.queued:
                    return False

        over = await settle()
        for event in events:
            if over:
                break
            if event[0] == "cancel":
                machine.log.append("cancel")
                task.cancel()
            elif not machine.happen(event):
                continue
            over = await settle()
        if not over:
            task.abandon()
            task.executor.tasks.pop(task)

    Executor(clock=VirtualClock(), checked=checked).run(main())
    return machine.log


steps: st.SearchStrategy[Step] = st.deferred(
    lambda: st.one_of(
        st.just(("gate",)),
        st.just(("gate",)),
        st.just(("yield",)),
        st.just(("raise",)),
        st.tuples(st.just("call"), bodies),
        st.tuples(st.just("call"), bodies),
        st.tuples(st.sampled_from(["join", "race"]), bodies, bodies),
        st.tuples(st.sampled_from(["try", "finally"]), bodies, bodies),
    )
)
bodies: st.SearchStrategy[list[Step]] = st.lists(steps, max_size=3)
happenings = st.lists(
    st.tuples(
        st.sampled_from(["open", "open", "open", "fail", "wake", "cancel"]), st.integers(0, 5)
    ),
    max_size=12,
)


@settings(max_examples=max(100, settings().max_examples))
@given(st.lists(steps, min_size=1, max_size=4), happenings, st.booleans())
def run_both(program: list[Step], events: list[Event], checked: bool) -> None:
    expected = from_the_root(program, events)
    assert on_the_executor(program, events, checked) == expected
    kinds = [entry if isinstance(entry, str) else entry[0] for entry in expected]  # type: ignore[index]
    covered(
        NAME,
        programs=1,
        gates=kinds.count("got"),
        spurious_wakes=kinds.count("wake"),
        failures=kinds.count("fail"),
        cancels=kinds.count("cancel"),
        caught=kinds.count("caught"),
        cleanups=kinds.count("finally"),
        joins=kinds.count("joined"),
        races=kinds.count("raced"),
        calls=kinds.count("returned"),
        yields=kinds.count("yielded"),
        cut_off=int(kinds[-1] not in ("returned at last", "raised at last")),
    )


def test_the_leaf_polled_alone_does_what_polling_from_the_root_does() -> None:
    run_both()
    require(
        covered(NAME),
        "gates",
        "spurious_wakes",
        "failures",
        "cancels",
        "caught",
        "cleanups",
        "joins",
        "races",
        "calls",
        "yields",
        "cut_off",
    )


class _Polls(Instrument):
    def __init__(self) -> None:
        self.count = 0

    def poll(self, task: Any, leaf: Any) -> None:
        self.count += 1


@pytest.mark.parametrize("depth", [1, 10, 100])
def test_a_wake_costs_two_polls_at_any_depth(depth: int) -> None:
    polls = _Polls()
    rounds = 50

    async def wait(levels: int, sender: list[Any]) -> None:
        if levels > 1:
            await wait(levels - 1, sender)
            return
        for _ in range(rounds):
            tx, rx = oneshot()
            sender[:] = [tx]
            await rx

    async def main() -> None:
        sender: list[Any] = []
        task = spawn(wait(depth, sender))
        await yield_now()
        for _ in range(rounds):
            sender[0].send(None)
            await yield_now()
        assert task.done

    Executor(instruments=[polls]).run(main())
    assert polls.count == 2 * rounds, "one when it parks and one when it is woken"


def test_the_iterator_of_an_await_is_awaited_once() -> None:
    async def main() -> None:
        future = oneshot()[1]
        with pytest.raises(TypeError, match="can't be used in 'await' expression"):
            await future.__await__()  # type: ignore[misc]  # that is what is refused
        future.drop()

    Executor().run(main())
