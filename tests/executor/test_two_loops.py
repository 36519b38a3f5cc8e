"""The everyday loop and the one with checks and instruments give the same history.

Random programs of tasks that yield, sleep, send, cancel, fail, and wait in blocks and
combinators write a log of what they did and when. Whoever is watching, the log is the same.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut import FutureBase, LostWakeup, join, map, race, select, try_join
from pinfut.executor import (
    CancelledError,
    Executor,
    Instrument,
    JoinHandle,
    Recorder,
    Scope,
    VirtualClock,
    call_soon,
    current_executor,
    current_task,
    scope,
    sleep,
    timeout,
    yield_now,
)
from pinfut.sync import Closed, OneshotSender, Receiver, Sender, channel, oneshot
from tests.covered import covered, require

NAME = "programs in both loops"

Program = list[Any]
"""Operations, each a tuple of its name and what it needs."""

ONESHOTS = 3
TIMES = st.sampled_from([0, 1, 1, 2, 3, 5])

simple = st.one_of(
    st.tuples(st.just("yield")),
    st.tuples(st.just("sleep"), TIMES),
    st.tuples(st.just("send"), st.integers(0, ONESHOTS - 1)),
    st.tuples(st.just("recv"), st.integers(0, ONESHOTS - 1)),
    st.tuples(st.just("put"), st.integers(0, 9)),
    st.tuples(st.just("get")),
    st.tuples(st.just("cancel"), st.integers(0, 7)),
    st.tuples(st.just("cancel myself")),
    st.tuples(st.just("cancel my scope")),
    st.tuples(st.just("await"), st.integers(0, 7)),
    st.tuples(st.just("wake"), st.integers(0, 7)),
    st.tuples(st.just("call soon")),
    st.tuples(st.just("fail")),
    st.tuples(st.just("return")),
)


def level(depth: int) -> st.SearchStrategy[Program]:
    """Programs with blocks in blocks, `depth` deep."""
    if depth == 0:
        return st.lists(simple, min_size=1, max_size=4)
    inner = level(depth - 1)
    block = st.one_of(
        st.tuples(st.just("timeout"), TIMES, inner),
        st.tuples(st.just("scope"), st.lists(inner, max_size=3), inner),
        st.tuples(st.just("spawn"), inner),
        st.tuples(st.just("catch"), inner, inner),
        st.tuples(st.just("finally"), inner, inner),
        st.tuples(
            st.sampled_from(["join", "try join", "race", "select"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
    )
    return st.lists(st.one_of(simple, block), min_size=1, max_size=4)


small: st.SearchStrategy[Program] = st.builds(
    lambda tasks, main: [*(("spawn", task) for task in tasks), *main],
    st.lists(level(2), min_size=1, max_size=4),
    level(2),
)

SIMPLE: list[Callable[[random.Random], tuple[Any, ...]]] = [
    lambda rng: ("yield",),
    lambda rng: ("sleep", rng.choice([0, 1, 1, 2, 3, 5])),
    lambda rng: ("send", rng.randrange(ONESHOTS)),
    lambda rng: ("recv", rng.randrange(ONESHOTS)),
    lambda rng: ("put", rng.randrange(10)),
    lambda rng: ("get",),
    lambda rng: ("cancel", rng.randrange(8)),
    lambda rng: ("await", rng.randrange(8)),
    lambda rng: ("wake", rng.randrange(8)),
    lambda rng: ("call soon",),
]
RARE = [("cancel myself",), ("cancel my scope",), ("fail",), ("return",)]


def large(rng: random.Random, depth: int = 3, size: int = 5) -> Program:
    """A program that is too large to be drawn and shrunk choice by choice."""
    program: Program = []
    for _ in range(rng.randint(1, size)):
        if rng.random() < 0.1:
            program.append(rng.choice(RARE))
        elif depth == 0 or rng.random() < 0.5:
            program.append(rng.choice(SIMPLE)(rng))
        else:
            inner = [large(rng, depth - 1, 3) for _ in range(3)]
            some = inner[: rng.randint(1, 3)]
            program.append(
                rng.choice(
                    [
                        ("timeout", rng.randint(0, 4), inner[0]),
                        ("scope", some, inner[-1]),
                        ("spawn", inner[0]),
                        ("catch", inner[0], inner[1]),
                        ("finally", inner[0], inner[1]),
                        ("join", some),
                        ("try join", some),
                        ("race", some),
                        ("select", some),
                    ]
                )
            )
    return program


programs = st.one_of(
    small,
    # `sleep` at the end: what was spawned has time to do something before it is cancelled.
    st.integers(0, 1 << 64).map(lambda seed: [*large(random.Random(seed)), ("sleep", 20)]),
)


class ProgramError(Exception):
    """What a program raises."""


class Leave(Exception):
    """Ends a program early."""


class Machine:
    """Runs one program, and writes down what happens."""

    def __init__(self) -> None:
        self.log: list[object] = []
        self.met: Counter[str] = Counter()
        self.tasks: list[JoinHandle[Any]] = []
        self.awaited: set[int] = set()
        self.senders: list[OneshotSender[int]] = []
        self.receivers: list[Any] = []
        for _ in range(ONESHOTS):
            ends: tuple[OneshotSender[int], FutureBase[int]] = oneshot()
            self.senders.append(ends[0])
            self.receivers.append(ends[1])
        self.tx: Sender[int]
        self.rx: Receiver[int]
        self.tx, self.rx = channel(1)
        self.names = 0

    def note(self, name: str, *what: object) -> None:
        executor = current_executor()
        self.log.append((executor.now(), name, *what))
        live = [task for task in executor.ready if not task.done]
        assert len(live) == len(set(live)), "a task stands in the queue twice"

    def new(self, name: str) -> str:
        self.names += 1
        return f"{name}/{self.names}"

    async def run(self, name: str, program: Program, around: Scope | None = None) -> str:
        """One coroutine: its steps in the log, and how it ended."""
        try:
            for op in program:
                self.met[op[0]] += 1
                self.note(name, op[0])
                await self.step(name, around, *op)
        except Leave:
            self.note(name, "left")
        except BaseException as error:
            self.note(name, "ended by", describe(error))
            raise
        else:
            self.note(name, "ended")
        return name

    async def step(self, name: str, around: Scope | None, op: str, *args: Any) -> None:
        match op, args:
            case "yield", ():
                await yield_now()
            case "sleep", (seconds,):
                await sleep(seconds)
            case "send", (i,):
                try:
                    self.senders[i].send(i)
                except (Closed, RuntimeError) as error:
                    self.note(name, describe(error))
            case "recv", (i,):
                receiver, self.receivers[i] = self.receivers[i], None
                if receiver is not None:
                    self.note(name, "got", await receiver)
            case "put", (n,):
                await self.tx.send(n)
            case "get", ():
                self.note(name, "got", await self.rx.recv())
            case "cancel", (i,) if i < len(self.tasks):
                self.note(name, "cancels", self.tasks[i].name, self.tasks[i].cancel())
            case "cancel myself", ():
                current_task().cancel()
            case "cancel my scope", () if around is not None:
                around.cancel()
            case "await", (i,) if i < len(self.tasks) and i not in self.awaited:
                self.awaited.add(i)
                try:
                    self.note(name, "got", await self.tasks[i])
                except ProgramError as error:
                    self.note(name, "got", describe(error))
            case "wake", (i,) if i < len(self.tasks):
                self.tasks[i].wake()
            case "call soon", ():
                call_soon(self.note, name, "was called")
            case "fail", ():
                raise ProgramError(name)
            case "return", ():
                raise Leave
            case "timeout", (seconds, body):
                try:
                    with timeout(seconds):
                        await self.run(self.new(name), body, around)
                except TimeoutError:
                    self.met["expired"] += 1
                    self.note(name, "timed out")
            case "scope", (children, body):
                try:
                    async with scope() as inner:
                        for child in children:
                            self.spawn(name, child, inner)
                        await self.run(self.new(name), body, inner)
                except BaseExceptionGroup as group:
                    self.met["group"] += 1
                    self.note(name, describe(group))
            case "spawn", (child,):
                self.spawn(name, child, None)
            case "catch", (body, handler):
                try:
                    await self.run(self.new(name), body, around)
                except (CancelledError, ProgramError) as error:
                    self.met["caught"] += 1
                    self.note(name, "caught", describe(error))
                    await self.run(self.new(name), handler, around)
            case "finally", (body, clean_up):
                try:
                    await self.run(self.new(name), body, around)
                except GeneratorExit:
                    raise
                except BaseException:
                    await self.run(self.new(name), clean_up, around)
                    raise
            case (("join" | "try join" | "race" | "select"), (children,)):
                await self.combine(name, op, children)

    async def combine(self, name: str, op: str, children: list[Program]) -> None:
        coroutines = [self.run(self.new(name), child) for child in children]
        result: Awaitable[object]
        if op == "join":
            result = join(*coroutines)
        elif op == "try join":
            result = try_join(*coroutines)
        elif op == "race":
            result = race(*coroutines)
        else:
            # The loser is a task: a coroutine that nobody can reach again would be in limbo.
            executor = current_executor()
            tasks = [executor.spawn(one) for one in coroutines]
            for task in tasks:
                self.awaited.add(len(self.tasks))
                self.tasks.append(task)
            result = map(select(*tasks), lambda won: won[:2])
        self.note(name, "got", await result)

    def spawn(self, name: str, program: Program, around: Scope | None) -> None:
        own = self.new(name)
        coro: Coroutine[Any, Any, str] = self.run(own, program, around)
        spawner = current_executor() if around is None else around
        self.tasks.append(spawner.spawn(coro, name=own))


def describe(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return f"[{', '.join(describe(one) for one in error.exceptions)}]"
    return type(error).__name__


class Silent(Instrument):
    """Hears everything and keeps nothing."""


def history(program: Program, *, checked: bool, instruments: list[Instrument]) -> Machine:
    """The log of a program on a new executor, with its outcome at the end."""
    return outcome(
        Executor(clock=VirtualClock(), checked=checked, instruments=instruments), program
    )


def outcome(executor: Executor, program: Program) -> Machine:
    """The log of a program on `executor`, with its outcome at the end."""
    machine = Machine()
    ended: object
    try:
        ended = executor.run(machine.run("main", program))
    except (CancelledError, ProgramError, LostWakeup, RuntimeError) as error:
        ended = describe(error)
        machine.met[ended] += 1
    except BaseExceptionGroup as group:
        ended = describe(group)
    machine.log.append(("outcome", ended, executor.now()))
    machine.log.append([(task.done, task.cancels) for task in machine.tasks])
    assert not executor.tasks, "something still runs"
    assert len(executor.timers) == 0, "a timer is left"
    # What nobody has looked at would be reported when it is freed, in another test.
    for task in machine.tasks:
        if task.done:
            try:
                task.error()
            except RuntimeError:
                continue
    return machine


def compare(program: Program) -> None:
    everyday = history(program, checked=False, instruments=[])
    again = history(program, checked=False, instruments=[])
    assert again.log == everyday.log, "the same program gives the same history"
    recorder = Recorder()
    for checked, instruments in ((True, []), (False, [recorder]), (True, [Silent(), Recorder()])):
        watched = history(program, checked=checked, instruments=list(instruments))
        assert watched.log == everyday.log
    covered(
        NAME,
        programs=1,
        steps=len(everyday.log),
        wakes=recorder.counts["wake"],
        **{kind.replace(" ", "_"): count for kind, count in sorted(everyday.met.items())},
    )


@given(programs)
def compare_any(program: Program) -> None:
    compare(program)


def test_both_loops_give_every_program_the_same_history(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="pinfut.executor")
    for seed in range(50):
        compare([*large(random.Random(seed)), ("sleep", 20)])
    compare_any()
    require(
        covered(NAME),
        "yield",
        "sleep",
        "send",
        "recv",
        "put",
        "get",
        "cancel",
        "cancel_myself",
        "cancel_my_scope",
        "await",
        "wake",
        "call_soon",
        "fail",
        "timeout",
        "expired",
        "scope",
        "group",
        "spawn",
        "caught",
        "finally",
        "join",
        "try_join",
        "race",
        "select",
        "LostWakeup",
        "ProgramError",
        "CancelledError",
    )
