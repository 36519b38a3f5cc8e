"""Random trees of futures give what plain sequential evaluation gives.

Each leaf opens at its own time. The oracle knows the times and computes the outcome of a
tree from its leaves up; the tree itself is polled by hand, whenever it was woken and now
and then when it was not.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pinfut import (
    PENDING,
    CoroutineFuture,
    FuturesOrdered,
    FuturesUnordered,
    catch,
    drop,
    fuse,
    join,
    lazy,
    map,
    pin,
    race,
    ready,
    select,
    shared,
    then,
    try_join,
    yield_now,
)
from pinfut.coroutine import into_future
from tests.covered import covered, require
from tests.pinfut.hand import Gate, Hand

NAME = "trees of futures"


class LeafError(Exception):
    """The error of one leaf."""


@dataclass(frozen=True)
class Failed:
    """An outcome that is an error: the number of a leaf, or the set of what a group holds."""

    what: object


def failure(error: BaseException) -> Failed:
    if isinstance(error, BaseExceptionGroup):
        return Failed(frozenset(failure(one) for one in error.exceptions))
    assert isinstance(error, LeafError), error
    return Failed(error.args[0])


def caught(error: Exception) -> object:
    return "caught", failure(error)


@dataclass
class Leaf:
    fails: bool
    gate: Gate[Any] = field(default_factory=Gate)
    number: int = -1
    time: int = -1

    @property
    def opens_with(self) -> object:
        return LeafError(self.number) if self.fails else self.number

    @property
    def outcome(self) -> object:
        return Failed(self.number) if self.fails else self.number


@dataclass
class Node:
    kind: str
    children: list[Leaf | Node]


Tree = Leaf | Node

GROUPS = ("join", "try join", "race", "select", "shared", "ordered", "unordered")
CHAINS = ("map", "then", "catch", "fuse", "lazy", "pin", "sequence", "yielding sequence")
KINDS = GROUPS + CHAINS


def random_tree(rng: random.Random, depth: int = 3) -> Tree:
    if depth == 0 or rng.random() < 0.2:
        return Leaf(fails=rng.random() < 0.15)
    return Node(rng.choice(KINDS), [random_tree(rng, depth - 1) for _ in range(rng.randint(1, 3))])


trees = st.recursive(
    st.builds(Leaf, fails=st.sampled_from([False, False, False, True])),
    lambda inner: st.builds(Node, st.sampled_from(KINDS), st.lists(inner, min_size=1, max_size=4)),
    max_leaves=12,
)


Moment = tuple[int, int]
"""The number of the leaf that opened, and how often we were polled again since because a
part of the tree had itself woken."""


def used(tree: Node) -> list[Leaf | Node]:
    """The children that the future of a node is made of."""
    if tree.kind in ("map", "catch", "fuse", "lazy", "pin", "shared"):
        return tree.children[:1]
    if tree.kind == "then":
        return tree.children[:2]
    return tree.children


def leaves(tree: Tree) -> list[Leaf]:
    if isinstance(tree, Leaf):
        return [tree]
    return [leaf for child in used(tree) for leaf in leaves(child)]


def build(tree: Tree, selected: list[Awaitable[Any]]) -> Awaitable[Any]:
    """The future of a tree; what is given to a select is noted: its losers are ours."""
    if isinstance(tree, Leaf):
        return tree.gate
    first = tree.children[0]
    match tree.kind:
        case "map":
            return map(build(first, selected), lambda value: ("mapped", value))
        case "then" if len(tree.children) > 1:
            second = tree.children[1]
            return then(build(first, selected), lambda value: build(second, selected))
        case "then":
            return then(build(first, selected), lambda value: ready(("then", value)))
        case "catch":
            return catch(build(first, selected), (LeafError, ExceptionGroup), caught)
        case "fuse":
            return fuse(build(first, selected))
        case "lazy":
            return lazy(lambda: build(first, selected))
        case "pin":
            return pin(build(first, selected))
        case "shared":
            handle = shared(build(first, selected))
            return try_join(handle, handle.clone())
        case "sequence" | "yielding sequence":
            return CoroutineFuture(sequence(tree, selected))
        case "ordered" | "unordered":
            return CoroutineFuture(stream(tree, selected))
    children = [build(child, selected) for child in tree.children]
    match tree.kind:
        case "join":
            return join(*children)
        case "try join":
            return try_join(*children)
        case "race":
            return race(*children)
    selected.extend(children)
    return map(select(*children), lambda won: won[:2])


async def sequence(tree: Node, selected: list[Awaitable[Any]]) -> list[Any]:
    values = []
    for child in tree.children:
        values.append(await build(child, selected))
        if tree.kind == "yielding sequence":
            await yield_now()
    return values


async def stream(tree: Node, selected: list[Awaitable[Any]]) -> list[Any]:
    count = len(tree.children)
    futures: FuturesOrdered[Any] | FuturesUnordered[Any]
    futures = FuturesOrdered(count) if tree.kind == "ordered" else FuturesUnordered(count)
    for child in tree.children:
        futures.push(build(child, selected))
    try:
        values = [value async for value in futures]
    finally:
        futures.drop()
    return values if tree.kind == "ordered" else sorted(values, key=repr)


def expect(tree: Tree, start: Moment = (0, 0)) -> tuple[Moment, object]:
    """When a tree that is polled from `start` on is done, and its value or a Failed.

    Of children that are done at the same moment the first in order counts: that is only
    possible for what was open already when it was polled for the first time.
    """
    if isinstance(tree, Leaf):
        return max(start, (tree.time, 0)), tree.outcome
    if tree.kind in ("map", "then", "catch", "fuse", "lazy", "pin", "shared"):
        end, outcome = expect(tree.children[0], start)
        failed = isinstance(outcome, Failed)
        match tree.kind:
            case "catch" if failed:
                return end, ("caught", outcome)
            case "map" if not failed:
                return end, ("mapped", outcome)
            case "then" if not failed:
                if len(tree.children) > 1:
                    return expect(tree.children[1], end)
                return end, ("then", outcome)
            case "shared" if not failed:
                # The clone that polled wakes the other, unless that was yet to be polled.
                return (end[0], end[1] + (end > start)), (outcome, outcome)
        return end, outcome
    if "sequence" in tree.kind:
        values = []
        for child in tree.children:
            start, outcome = expect(child, start)
            if isinstance(outcome, Failed):
                return start, outcome
            values.append(outcome)
            if tree.kind == "yielding sequence":
                start = (start[0], start[1] + 1)
        return start, values
    ends = [expect(child, start) for child in tree.children]
    outcomes = [end[1] for end in ends]
    failures = [end for end in ends if isinstance(end[1], Failed)]
    last = max(end[0] for end in ends)
    match tree.kind:
        case "join" if failures:
            return last, Failed(frozenset(end[1] for end in failures))
        case "join":
            return last, tuple(outcomes)
        case "try join" | "unordered" if failures:
            return min(failures, key=lambda end: end[0])
        case "try join":
            return last, tuple(outcomes)
        case "unordered":
            return last, sorted(outcomes, key=repr)
        case "ordered" if failures:
            first_failure = ends.index(failures[0])
            return max(end[0] for end in ends[: first_failure + 1]), failures[0][1]
        case "ordered":
            return last, outcomes
    first = min(range(len(ends)), key=lambda i: ends[i][0])
    end, outcome = ends[first]
    if tree.kind == "select" and not isinstance(outcome, Failed):
        return end, (first, outcome)
    return end, outcome


def passes_polls_on(tree: Tree) -> bool:
    """Whether a spurious poll of the whole reaches a leaf: no combinator in between knows
    who was woken."""
    return isinstance(tree, Leaf) or (
        tree.kind in CHAINS and any(passes_polls_on(child) for child in used(tree))
    )


def has_select(tree: Tree) -> bool:
    return isinstance(tree, Node) and (
        tree.kind == "select" or any(has_select(child) for child in used(tree))
    )


def poll_until_settled(hand: Hand[Any]) -> object:
    """Poll as long as the future wakes itself; PENDING, or its outcome."""
    while True:
        try:
            value = hand.poll()
        except (LeafError, ExceptionGroup) as error:
            return failure(error)
        if value is not PENDING or not hand.woken:
            return value


def check(tree: Tree, rng: random.Random, checked: bool) -> None:
    every = leaves(tree)
    order = every[:]
    rng.shuffle(order)
    at_once = rng.choice([0, rng.randint(0, len(every))])
    for number, leaf in enumerate(every):
        leaf.number = number
    for position, leaf in enumerate(order):
        leaf.time = max(0, position - at_once + 1)
    for leaf in order[:at_once]:
        leaf.gate.open(leaf.opens_with)

    (expected_time, yields), expected = expect(tree)
    selected: list[Awaitable[Any]] = []
    future = into_future(build(tree, selected))
    hand: Hand[Any] = Hand(future, checked=checked)
    outcome = poll_until_settled(hand)
    now = 0
    spurious_polls = spurious_wakes = 0
    for leaf in order[at_once:]:
        if outcome is not PENDING:
            break
        for _ in range(rng.randint(0, 2)):
            rng.choice(every).gate.wake()
            spurious_wakes += 1
        if rng.random() < 0.5:
            outcome = poll_until_settled(hand)
            assert outcome is PENDING, "nothing has happened"
            spurious_polls += 1
        now += 1
        waits = leaf.gate.polls > 0 and not leaf.gate.drops
        leaf.gate.open(leaf.opens_with)
        assert hand.woken or not waits or has_select(tree)
        if hand.woken:
            outcome = poll_until_settled(hand)
    assert outcome == expected
    assert now == expected_time, "ready at the wake that made it so, no later"
    for leaf in every:
        gate = leaf.gate
        if gate.polls and not gate.done and not has_select(tree):
            assert gate.drops >= 1, "given up without a drop"
    drops = sum(leaf.gate.drops for leaf in every)
    for loser in selected:
        drop(loser)
    polls = sum(leaf.gate.polls for leaf in every)
    polls -= spurious_polls if passes_polls_on(tree) else 0
    wakes = sum(leaf.gate.wakes for leaf in every)
    resumed = any(
        isinstance(one, Node) and one.kind in ("yielding sequence", "shared") for one in nodes(tree)
    )
    assert polls <= len(every) * (2 if resumed else 1) + wakes, "polled without having been woken"
    kinds = {f"{node.kind}s": 1 for node in nodes(tree) if isinstance(node, Node)}
    covered(
        NAME,
        trees=1,
        errors=int(isinstance(expected, Failed)),
        drops=drops,
        spurious_polls=spurious_polls,
        spurious_wakes=spurious_wakes,
        at_first_poll=int(expected_time == 0),
        later=int(expected_time > 0),
        after_yields=int(yields > 0),
        **{kind.replace(" ", "_"): count for kind, count in kinds.items()},
    )


def nodes(tree: Tree) -> list[Tree]:
    if isinstance(tree, Leaf):
        return [tree]
    return [tree, *(node for child in used(tree) for node in nodes(child))]


@given(trees, st.randoms(use_true_random=False), st.booleans())
def check_any(tree: Tree, rng: random.Random, checked: bool) -> None:
    check(tree, rng, checked)


def test_a_tree_of_futures_gives_what_its_sequential_evaluation_gives() -> None:
    for seed in range(400):
        rng = random.Random(seed)
        check(random_tree(rng), rng, checked=seed % 2 == 0)
    check_any()
    require(
        covered(NAME),
        "errors",
        "drops",
        "spurious_polls",
        "spurious_wakes",
        "at_first_poll",
        "later",
        "after_yields",
        *(f"{kind}s".replace(" ", "_") for kind in KINDS),
    )
