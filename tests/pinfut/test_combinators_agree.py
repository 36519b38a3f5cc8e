"""Random trees of futures give what plain sequential evaluation gives.

Each leaf opens at its own time. The oracle knows the times and computes the outcome of a
tree from its leaves up; the tree itself is polled by hand, whenever it was woken and now
and then when it was not.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pinfut import PENDING, FutureBase, Selected, drop, join, map, race, select, yield_now
from tests.covered import covered, require
from tests.pinfut.hand import Gate, Hand

NAME = "trees of futures"


class LeafError(Exception):
    """The error of one leaf."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LeafError) and self.args == other.args

    __hash__ = Exception.__hash__


@dataclass
class Leaf:
    fails: bool
    gate: Gate[Any] = field(default_factory=Gate)
    number: int = -1
    time: int = -1

    @property
    def outcome(self) -> object:
        return LeafError(self.number) if self.fails else self.number


@dataclass
class Node:
    kind: str
    children: list[Leaf | Node]


Tree = Leaf | Node

KINDS = ("join", "race", "select", "map", "sequence", "yielding sequence")


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
"""The number of the leaf that opened, and how often yields have had us polled since."""


def leaves(tree: Tree) -> list[Leaf]:
    if isinstance(tree, Leaf):
        return [tree]
    return [leaf for child in tree.children for leaf in leaves(child)]


def build(tree: Tree, selected: list[FutureBase[Any]]) -> FutureBase[Any]:
    """The future of a tree; what is given to a select is noted: its losers are ours."""
    if isinstance(tree, Leaf):
        return tree.gate
    if tree.kind == "map":
        return map(build(tree.children[0], selected), lambda value: ("mapped", value))
    if "sequence" in tree.kind:
        return join(sequence(tree, selected))
    children = [build(child, selected) for child in tree.children]
    if tree.kind == "join":
        return join(*children)
    if tree.kind == "race":
        return race(*children)
    selected.extend(children)
    return select(*children)


async def sequence(tree: Node, selected: list[FutureBase[Any]]) -> list[Any]:
    values = []
    for child in tree.children:
        values.append(await build(child, selected))
        if tree.kind == "yielding sequence":
            await yield_now()
    return values


def expect(tree: Tree, start: Moment = (0, 0)) -> tuple[Moment, object]:
    """When a tree that is polled from `start` on is done, and its value or its LeafError.

    Of children that are done at the same moment the first in order counts: that is only
    possible for what was open already when it was polled for the first time.
    """
    if isinstance(tree, Leaf):
        return max(start, (tree.time, 0)), tree.outcome
    if tree.kind == "map":
        end, outcome = expect(tree.children[0], start)
        return end, outcome if isinstance(outcome, LeafError) else ("mapped", outcome)
    if "sequence" in tree.kind:
        values = []
        for child in tree.children:
            start, outcome = expect(child, start)
            if isinstance(outcome, LeafError):
                return start, outcome
            values.append(outcome)
            if tree.kind == "yielding sequence":
                start = (start[0], start[1] + 1)
        return start, (values,)
    ends = [expect(child, start) for child in tree.children]
    if tree.kind == "join":
        failed = [end for end in ends if isinstance(end[1], LeafError)]
        if failed:
            return min(failed, key=lambda end: end[0])
        return max(end[0] for end in ends), tuple(end[1] for end in ends)
    first = min(range(len(ends)), key=lambda i: ends[i][0])
    end, outcome = ends[first]
    if tree.kind == "select" and not isinstance(outcome, LeafError):
        return end, Selected(first, outcome)
    return end, outcome


def has_select(tree: Tree) -> bool:
    return isinstance(tree, Node) and (
        tree.kind == "select" or any(has_select(child) for child in tree.children)
    )


def poll_until_settled(hand: Hand[Any]) -> object:
    """Poll as long as the future wakes itself; PENDING, or its outcome."""
    while True:
        try:
            value = hand.poll()
        except LeafError as error:
            return error
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
        leaf.gate.open(leaf.outcome)

    (expected_time, yields), expected = expect(tree)
    selected: list[FutureBase[Any]] = []
    future = build(tree, selected)
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
        seen = hand.wakes
        waits = leaf.gate.polls > 0 and not leaf.gate.drops
        leaf.gate.open(leaf.outcome)
        assert hand.wakes > seen or not waits or has_select(tree)
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
    # Between the root and a single leaf there may be no combinator that knows who was woken.
    polls = sum(leaf.gate.polls for leaf in every) - (spurious_polls if len(every) == 1 else 0)
    wakes = sum(leaf.gate.wakes for leaf in every)
    resumed = any(isinstance(one, Node) and one.kind == "yielding sequence" for one in nodes(tree))
    assert polls <= len(every) * (2 if resumed else 1) + wakes, "polled without having been woken"
    kinds = {f"{node.kind}s": 1 for node in nodes(tree) if isinstance(node, Node)}
    covered(
        NAME,
        trees=1,
        errors=int(isinstance(expected, LeafError)),
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
    return [tree, *(node for child in tree.children for node in nodes(child))]


@given(trees, st.randoms(use_true_random=False), st.booleans())
def check_any(tree: Tree, rng: random.Random, checked: bool) -> None:
    check(tree, rng, checked)


def test_a_tree_of_futures_gives_what_its_sequential_evaluation_gives() -> None:
    for seed in range(200):
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
