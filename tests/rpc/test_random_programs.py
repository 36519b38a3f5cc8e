"""Random programs of calls against an oracle that knows what may come out of each.

Every call ends exactly once: with its own value, or with an error that names memory, a
cancel or a broken link of its chain. What one holder sent to one object arrives in order.
When the clients have left, every bank is exactly back.
"""

from __future__ import annotations

import gc
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.executor import CancelledError, Task, current_executor, sleep, spawn, timeout
from pinfut.rpc import (
    BankError,
    Interface,
    NestedShortage,
    OutOfCaps,
    OutOfPages,
    RemoteError,
    connect,
    method,
)
from tests.covered import covered, require
from tests.rpc.world import World, quiet, run


class Node(Interface, Protocol):
    """An object of the service under test; `tag` numbers every call of a program."""

    @method(answer=lambda tag, size, delay, stubborn: size + 64)
    async def read(self, tag: int, size: int, delay: int, stubborn: bool) -> bytes: ...
    @method(frame=6000)
    async def child(self, tag: int, delay: int) -> Node: ...
    @method
    async def fail(self, tag: int, delay: int) -> Node: ...
    @method
    async def visit(self, tag: int, node: Node) -> int: ...


@dataclass
class Ledger:
    """What the server saw."""

    started: Counter[int] = field(default_factory=Counter)
    finished: Counter[int] = field(default_factory=Counter)
    # By object: the tags of the calls on it, as they arrived.
    order: dict[int, list[int]] = field(default_factory=dict)
    nodes: int = 0


UNIT = 0.01


async def linger(delay: int, stubborn: bool = False) -> None:
    """Wait; a stubborn handler waits on when it is told to stop."""
    end = current_executor().now() + delay * UNIT
    while current_executor().now() < end:
        try:
            await sleep(end - current_executor().now())
        except CancelledError:
            if not stubborn:
                raise


class NodeServer(Node):
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.number = ledger.nodes
        ledger.nodes += 1

    def _arrived(self, tag: int) -> None:
        self.ledger.started[tag] += 1
        self.ledger.order.setdefault(self.number, []).append(tag)

    @method(answer=lambda tag, size, delay, stubborn: size + 64)
    async def read(self, tag: int, size: int, delay: int, stubborn: bool) -> bytes:
        self._arrived(tag)
        await linger(delay, stubborn)
        self.ledger.finished[tag] += 1
        return value_of(tag, size)

    @method(frame=6000)
    async def child(self, tag: int, delay: int) -> Node:
        self._arrived(tag)
        await linger(delay)
        self.ledger.finished[tag] += 1
        return NodeServer(self.ledger)

    @method
    async def fail(self, tag: int, delay: int) -> Node:
        self._arrived(tag)
        await linger(delay)
        raise ValueError(f"link {tag}")

    @method
    async def visit(self, tag: int, node: Node) -> int:
        self._arrived(tag)
        here = await node
        self.ledger.finished[tag] += 1
        assert isinstance(here, NodeServer)
        return tag


def value_of(tag: int, size: int) -> bytes:
    return (tag.to_bytes(4, "little") * (size // 4 + 1))[:size]


@dataclass
class Call:
    """What a program did with one call, and what came of it."""

    tag: int
    kind: str
    size: int = 0
    given_up: bool = False
    ends: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Step:
    """One thing that a client does."""

    what: str
    size: int
    delay: int
    depth: int
    stubborn: bool
    how: str
    wait: int


WHATS = ["read"] * 5 + ["chain"] * 3 + ["visit", "burst", "broken", "refill", "let"]
SIZES = [0, 1, 100, 900, 1000, 3000, 9000]
DELAYS = [0, 0, 0, 1, 2, 5]
HOWS = ["await", "await", "later", "later", "drop", "timeout", "cancel"]
WAITS = [0, 0, 1, 3]
CAPS = [3, 4, 8, 100]

steps = st.builds(
    Step,
    what=st.sampled_from(WHATS),
    size=st.sampled_from(SIZES),
    delay=st.sampled_from(DELAYS),
    depth=st.integers(1, 4),
    stubborn=st.booleans(),
    how=st.sampled_from(HOWS),
    wait=st.sampled_from(WAITS),
)


@dataclass(frozen=True)
class Client:
    slots: int
    pages: int
    caps: int
    steps: list[Step]


clients = st.builds(
    Client,
    slots=st.integers(1, 8),
    pages=st.integers(3, 30),
    caps=st.sampled_from(CAPS),
    steps=st.lists(steps, min_size=1, max_size=25),
)


class Program:
    """One client that takes its steps, and remembers what came of each call."""

    def __init__(self, world: World, ledger: Ledger, client: Client, number: int) -> None:
        self.world = world
        self.ledger = ledger
        self.client = client
        self.bank = world.bank(f"client {number}", pages=client.pages, caps=client.caps)
        self.calls: list[Call] = []
        self.tasks: list[Task[None]] = []
        self.counts: Counter[str] = Counter()
        # By holder: the tags of the calls on it, as they were made.
        self.sent: list[list[int]] = []
        self.open = 0
        self._base = number * 100_000
        self.last = self._base + 99_999

    def _call(self, kind: str, size: int = 0) -> Call:
        call = Call(self._base + len(self.calls), kind, size)
        self.calls.append(call)
        self.counts["calls"] += 1
        if self.open >= self.client.slots:
            self.counts["backlog"] += 1
        return call

    async def main(self, root: Node) -> None:
        mine: list[int] = []
        self.sent.append(mine)
        for step in self.client.steps:
            if step.what == "refill":
                self.bank.refill(3, 2)
                self.counts["refills"] += 1
            elif step.what == "let":
                await sleep(step.wait * UNIT)
            elif step.what == "burst":
                for _ in range(step.depth * 3):
                    await self.one(root, step, "read", mine)
            else:
                await self.one(root, step, step.what, mine)
        for task in self.tasks:
            await task

    async def one(self, root: Node, step: Step, kind: str, mine: list[int]) -> None:
        """Make one call (or one chain) and see to its end in the way the step says."""
        try:
            call, promise = self.make(root, step, kind, mine)
        except BankError:
            return  # told at once: nothing was sent
        self.open += 1
        if step.how == "drop":
            call.given_up = True
            if step.wait:
                await sleep(step.wait * UNIT)
            self.counts["drops"] += 1
            call.ends.append("given up")
            self.open -= 1
            return
        task = spawn(self.end(call, promise, step))
        del promise
        if step.how == "cancel":
            await sleep(step.wait * UNIT)
            if task.cancel():
                call.given_up = True
                self.counts["cancels"] += 1
        self.tasks.append(task)
        if step.how == "await":
            try:
                await task
            except CancelledError:
                raise AssertionError("nobody cancelled it") from None
            self.tasks.pop()

    def make(self, root: Node, step: Step, kind: str, mine: list[int]) -> tuple[Call, Any]:
        call = self._call(kind, step.size)
        try:
            if kind == "read":
                made = root.read(call.tag, step.size, step.delay, step.stubborn)
                mine.append(call.tag)
                return call, made
            if kind == "visit":
                child = root.child(call.tag, step.delay)
                mine.append(call.tag)
                second = self._call("visited")
                second.ends.append("part of a visit")
                made_visit = root.visit(second.tag, child)
                mine.append(second.tag)
                call.size = second.tag
                self.counts["pipelined"] += 1
                return call, made_visit
            node = root
            held = mine
            for depth in range(step.depth):
                link = self._call("link")
                link.ends.append("part of a chain")
                if kind == "broken" and depth == 0:
                    node = node.fail(link.tag, step.delay)
                else:
                    node = node.child(link.tag, step.delay if depth == 0 else 0)
                held.append(link.tag)
                held = []
                self.sent.append(held)
            made = node.read(call.tag, step.size, 0, step.stubborn)
            held.append(call.tag)
            extra = self._call("second on the chain", 4)
            again = node.read(extra.tag, 4, 0, False)
            held.append(extra.tag)
            self.open += 1
            self.tasks.append(
                spawn(self.end(extra, again, Step("read", 4, 0, 1, False, "later", 0)))
            )
            self.counts["pipelined"] += step.depth
            return call, made
        except BankError as error:
            # What was made of the chain is dropped with it.
            for one in self.calls[self.calls.index(call) :]:
                if not one.ends:
                    self._refused(one, error)
            raise

    def _refused(self, call: Call, error: BankError) -> None:
        kind = error.kind if isinstance(error, NestedShortage) else type(error)
        self.counts["out of pages" if kind is OutOfPages else "out of caps"] += 1
        call.ends.append(type(error).__name__)

    async def end(self, call: Call, promise: Any, step: Step) -> None:
        """Wait for the call, and note how it ended."""
        try:
            if step.how == "timeout":
                with timeout(step.wait * UNIT):
                    value = await promise
            else:
                value = await promise
        except TimeoutError:
            call.given_up = True
            self.counts["timeouts"] += 1
            call.ends.append("given up")
        except CancelledError:
            call.given_up = True
            call.ends.append("given up")
        except BankError as error:
            self._refused(call, error)
        except RemoteError as error:
            told = error.kind == "ValueError" and error.detail.startswith("link")
            expected = call.kind in ("broken", "second on the chain")
            self.counts["broken"] += 1
            call.ends.append("broken link" if told and expected else str(error))
        else:
            if call.kind == "visit":
                assert value == call.size
            else:
                assert value == value_of(call.tag, call.size)
            assert call.kind != "broken"
            self.counts["values"] += 1
            call.ends.append("value")
        finally:
            self.open -= 1


async def play(world: World, programs: list[Client]) -> Counter[str]:
    ledger = Ledger()
    counts: Counter[str] = Counter()
    running: list[Program] = []

    async def client(program: Program) -> None:
        try:
            async with connect(
                world.kernel,
                "service",
                Node,
                program.bank,
                slots=program.client.slots,
                ring=2048,
                vat=None,
            ) as root:
                await program.main(root)
                gc.collect(0)
                # The session is as good as new: a call that is small enough succeeds.
                program.bank.refill(20, 20)
                with timeout(1000):
                    value = await root.read(program.last, 10, 0, False)
                assert value == value_of(program.last, 10)
        except (OutOfPages, OutOfCaps):
            assert not program.calls, "only connecting may fail like this"
            program.counts["not connected"] += 1

    async with world.served("service", NodeServer(ledger)):
        for number, one in enumerate(programs):
            running.append(Program(world, ledger, one, number))
        tasks = [spawn(client(program)) for program in running]
        for task in tasks:
            await task
        await quiet()
        for program in running:
            assert program.bank.pages_used == program.bank.caps_used == 0
            counts += program.counts

    assert not [tag for tag, times in ledger.started.items() if times > 1]
    late = set()
    for program in running:
        for call in program.calls:
            assert len(call.ends) == 1, f"{call} ended {len(call.ends)} times"
            assert call.ends[0] in ENDS, call
            # Only a visit's handler calls others, and so meets a shortage of its own.
            assert call.ends[0] != "NestedShortage" or call.kind == "visit", call
            if call.ends == ["value"] and call.kind != "visit":
                assert ledger.finished[call.tag] == 1
            if call.given_up and ledger.finished[call.tag]:
                late.add(call.tag)
    counts["late replies"] = len(late)
    place = {tag: (o, i) for o, tags in ledger.order.items() for i, tag in enumerate(tags)}
    for program in running:
        for sent in program.sent:
            arrived = [place[tag] for tag in sent if tag in place]
            assert len({which for which, _ in arrived}) <= 1, "one holder, one object"
            assert arrived == sorted(arrived), f"sent {sent}, arrived {arrived}"
    return counts


ENDS = {
    "value",
    "given up",
    "OutOfPages",
    "OutOfCaps",
    "NestedShortage",
    "broken link",
    "part of a chain",
    "part of a visit",
}

NEEDED = (
    "calls",
    "values",
    "cancels",
    "drops",
    "timeouts",
    "late replies",
    "out of pages",
    "out of caps",
    "backlog",
    "pipelined",
    "broken",
    "refills",
    "not connected",
)


@given(programs=st.lists(clients, min_size=1, max_size=3), seed=st.integers(0, 1000))
def check_random_programs(programs: list[Client], seed: int) -> None:
    counts = run(lambda world: play(world, programs), seed=seed)
    covered("random programs", **{name: counts[name] for name in NEEDED})


def seeded(seed: int) -> list[Client]:
    """Long programs that are the same in each run, so that each case is met in each."""
    draw = random.Random(seed)

    def step() -> Step:
        return Step(
            draw.choice(WHATS),
            draw.choice(SIZES),
            draw.choice(DELAYS),
            draw.randint(1, 4),
            draw.random() < 0.5,
            draw.choice(HOWS),
            draw.choice(WAITS),
        )

    return [
        Client(
            draw.randint(1, 8),
            draw.randint(3, 30),
            draw.choice(CAPS),
            [step() for _ in range(25)],
        )
        for _ in range(draw.randint(1, 3))
    ]


def test_random_programs_end_each_call_once_in_order_and_leave_every_bank_whole() -> None:
    for seed in range(40):
        counts = run(lambda world, seed=seed: play(world, seeded(seed)), seed=seed)  # type: ignore[misc]
        covered("random programs", **{name: counts[name] for name in NEEDED})
    check_random_programs()
    require(covered("random programs"), *NEEDED)


def test_the_oracle_notices_a_value_that_belongs_to_another_call() -> None:
    program_value = value_of(1, 10)
    assert program_value != value_of(2, 10)
    with pytest.raises(AssertionError):
        assert program_value == value_of(1, 11)
