"""Banks against an oracle that recomputes every usage from who owns what."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pinfut.rpc.bank.bank import MAX_DEPTH, Balance, Bank, Machine
from pinfut.rpc.errors import BankDead, BankError, OutOfCaps, OutOfPages
from tests.bounded import rounds
from tests.covered import covered, require

NAME = "bank tree equals its oracle"
MUTANTS = "bank tree, planted mutants"
MENDS = "a refusal's mend is enough"


@dataclass
class Node:
    """What the oracle knows of a bank: its limits and what was bought from it itself."""

    bank: Bank
    parent: Node | None
    page_limit: int
    cap_limit: int
    pages: int = 0
    caps: int = 0
    alive: bool = True
    below: list[Node] = field(default_factory=list)

    def path(self) -> list[Node]:
        return [self] if self.parent is None else [self, *self.parent.path()]

    @property
    def books(self) -> int:
        """Pages that the bank takes for itself: whoever is below a client's bank pays."""
        return int(self.alive and len(self.path()) > 2)

    def used(self) -> tuple[int, int]:
        pages, caps = self.pages + self.books, self.caps
        for node in self.below:
            below = node.used()
            pages, caps = pages + below[0], caps + below[1]
        return pages, caps


picks = st.integers(0, 1 << 16)
small = st.integers(0, 4)


class BankTree(RuleBasedStateMachine):
    """Random buying, selling, refilling and closing in a random tree."""

    report_as = NAME

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        root = Node(Bank("b0", 12, 12), None, 12, 12)
        self.nodes = [root]
        # A tree to begin with, so that most histories have somewhere to buy from.
        middle = self.grow(root, 9, 9)
        self.grow(middle, 9, 9)
        self.grow(root, 9, 9)

    def grow(self, parent: Node, pages: int, caps: int) -> Node:
        bank = parent.bank.child(f"b{len(self.nodes)}", pages=pages, caps=caps)
        node = Node(bank, parent, pages, caps)
        parent.below.append(node)
        self.nodes.append(node)
        return node

    def pick(self, pick: int) -> Node:
        return self.nodes[pick % len(self.nodes)]

    @rule(pick=picks, pages=st.integers(0, 12), caps=st.integers(0, 12))
    def child(self, pick: int, pages: int, caps: int) -> None:
        parent = self.pick(pick)
        if not parent.alive:
            with pytest.raises(BankDead, match=f"'{parent.bank.name}'"):
                parent.bank.child("late", pages=pages, caps=caps)
            self.counts["dead"] += 1
            return
        if len(parent.path()) > MAX_DEPTH:
            return
        below_a_client = parent.parent is not None
        room = min(one.page_limit - one.used()[0] for one in parent.path())
        if below_a_client and min(pages, room) < 1:
            with pytest.raises(OutOfPages):
                parent.bank.child(f"b{len(self.nodes)}", pages=pages, caps=caps)
            self.counts["too_poor_to_exist"] += 1
            return
        node = self.grow(parent, pages, caps)
        self.counts["sub_banks"] += 1
        self.counts["grandchildren"] += len(node.path()) > 2

    @rule(pick=picks, pages=small, caps=small)
    def buy(self, pick: int, pages: int, caps: int) -> None:
        self.try_to_buy(self.pick(pick), pages, caps)

    def try_to_buy(self, node: Node, pages: int, caps: int) -> None:
        path = node.path()
        dead = {one.bank.name for one in path if not one.alive}
        # Who asks for nothing is refused nothing, also where a limit is below usage.
        no_pages = {n.bank.name for n in path if pages and n.used()[0] + pages > n.page_limit}
        no_caps = {n.bank.name for n in path if caps and n.used()[1] + caps > n.cap_limit}
        below = any(n.used()[0] > n.page_limit or n.used()[1] > n.cap_limit for n in path)
        if not (dead or no_pages or no_caps):
            self.counts["bought_beside_a_limit_below_usage"] += below and pages + caps > 0
            node.bank.buy(pages, caps, why="a test")
            node.pages += pages
            node.caps += caps
            self.counts["bought_below_the_root"] += len(path) > 1 and pages > 0
            return
        with pytest.raises(BankError) as refused:
            node.bank.buy(pages, caps, why="a test")
        found = re.match(r"bank '(\w+)'", str(refused.value))
        assert found, f"the refusal names no bank: {refused.value}"
        kinds: dict[type, set[str]] = {BankDead: dead, OutOfPages: no_pages, OutOfCaps: no_caps}
        assert found[1] in kinds[type(refused.value)], f"it blames another: {refused.value}"
        self.counts["dead"] += bool(dead)
        lacking = no_pages | no_caps
        self.counts["ancestor_refusals"] += not dead and node.bank.name not in lacking
        self.counts["refused_by_caps_with_free_pages"] += not dead and bool(no_caps - no_pages)

    @rule(pick=picks, data=st.data())
    def sell(self, pick: int, data: st.DataObject) -> None:
        node = self.pick(pick)
        pages = data.draw(st.integers(0, node.pages))
        caps = data.draw(st.integers(0, node.caps))
        node.bank.sell(pages, caps)
        node.pages -= pages
        node.caps -= caps
        self.counts["sold"] += pages + caps > 0

    @rule(pick=picks, more=st.integers(1, 5), of_caps=st.booleans())
    def sell_too_much(self, pick: int, more: int, of_caps: bool) -> None:
        node = self.pick(pick)
        pages, caps = node.used()
        with pytest.raises(ValueError, match=re.escape(node.bank.name)):
            node.bank.sell(pages + more * (not of_caps), caps + more * of_caps)
        self.counts["oversold"] += 1

    @rule(pick=picks, pages=st.integers(-8, 8), caps=st.integers(-8, 8))
    def refill(self, pick: int, pages: int, caps: int) -> None:
        node = self.pick(pick)
        if not node.alive:
            with pytest.raises(BankDead):
                node.bank.refill(pages, caps)
            return
        node.bank.refill(pages, caps)
        node.page_limit = max(0, node.page_limit + pages)
        node.cap_limit = max(0, node.cap_limit + caps)

    @rule(pick=picks, of_caps=st.booleans())
    def squeeze(self, pick: int, of_caps: bool) -> None:
        """One limit goes just below what is used; the other thing can be bought as before."""
        node = self.pick(pick)
        pages, caps = node.used()
        if node.alive and of_caps and caps:
            less = min(0, caps - 1 - node.cap_limit)
            node.bank.refill(caps=less)
            node.cap_limit += less
            self.try_to_buy(node, 1, 0)
        elif node.alive and not of_caps and pages:
            less = min(0, pages - 1 - node.page_limit)
            node.bank.refill(pages=less)
            node.page_limit += less
            self.try_to_buy(node, 0, 1)

    @rule(pick=picks)
    def close(self, pick: int) -> None:
        node = self.pick(pick)
        if not node.alive:
            return
        if node.used() != (node.books, 0):
            with pytest.raises(ValueError, match=re.escape(node.bank.name)):
                node.bank.close()
            self.counts["close_refused"] += 1
            return
        if node.parent is not None:
            node.bank.close()
            node.alive = False
            self.counts["closed"] += 1

    @invariant()
    def usage_is_the_sum_of_what_is_owned(self) -> None:
        for node in self.nodes:
            bank, (pages, caps) = node.bank, node.used()
            assert (bank.pages_used, bank.caps_used) == (pages, caps), bank
            assert (bank.page_limit, bank.cap_limit) == (node.page_limit, node.cap_limit)
            assert bank.alive == node.alive
            assert bank.balance == (
                max(0, node.page_limit - pages),
                max(0, node.cap_limit - caps),
            )
            self.counts["limits_below_usage"] += pages > node.page_limit or caps > node.cap_limit

    def teardown(self) -> None:
        covered(self.report_as, **self.counts)


def test_every_usage_is_the_sum_of_what_is_owned_after_any_history() -> None:
    many = settings(max_examples=max(200, settings().max_examples))
    run_state_machine_as_test(BankTree, settings=many)
    require(
        covered(NAME),
        "sub_banks",
        "grandchildren",
        "bought_below_the_root",
        "ancestor_refusals",
        "refused_by_caps_with_free_pages",
        "limits_below_usage",
        "bought_beside_a_limit_below_usage",
        "sold",
        "oversold",
        "close_refused",
        "closed",
        "dead",
        "too_poor_to_exist",
    )


def _above(bank: Bank) -> list[Bank]:
    return [] if bank.parent is None else [bank.parent, *_above(bank.parent)]


def _asks_only_itself(buy: Any) -> Any:
    def mutant(self: Bank, pages: int = 0, caps: int = 0, *, why: str = "memory") -> None:
        limits = [(one, one.page_limit, one.cap_limit) for one in _above(self)]
        for one, _, _ in limits:
            one.page_limit = one.cap_limit = 1 << 30
        try:
            buy(self, pages, caps, why=why)
        finally:
            for one, page_limit, cap_limit in limits:
                one.page_limit, one.cap_limit = page_limit, cap_limit

    return mutant


def _does_not_undo(buy: Any) -> Any:
    def mutant(self: Bank, pages: int = 0, caps: int = 0, *, why: str = "memory") -> None:
        try:
            buy(self, pages, caps, why=why)
        except BankError:
            if self.pages_used + pages <= self.page_limit:
                self.pages_used += pages  # and a bank above refused
            raise

    return mutant


def _debits_only_itself(buy: Any) -> Any:
    def mutant(self: Bank, pages: int = 0, caps: int = 0, *, why: str = "memory") -> None:
        buy(self, pages, caps, why=why)
        for one in _above(self):
            one.pages_used -= pages

    return mutant


def _forgets_caps_above(buy: Any) -> Any:
    def mutant(self: Bank, pages: int = 0, caps: int = 0, *, why: str = "memory") -> None:
        buy(self, pages, caps, why=why)
        for one in _above(self):
            one.caps_used -= caps

    return mutant


def _refuses_who_asks_for_nothing(buy: Any) -> Any:
    def mutant(self: Bank, pages: int = 0, caps: int = 0, *, why: str = "memory") -> None:
        if self.pages_used > self.page_limit:
            raise OutOfPages(f"bank {self.name!r} is above its limit")
        buy(self, pages, caps, why=why)

    return mutant


def _negative(balance: Any) -> Any:
    return property(
        lambda bank: Balance(bank.page_limit - bank.pages_used, bank.cap_limit - bank.caps_used)
    )


@pytest.mark.parametrize(
    ("name", "mutate"),
    [
        ("buy", _asks_only_itself),
        ("buy", _does_not_undo),
        ("buy", _debits_only_itself),
        ("buy", _forgets_caps_above),
        ("buy", _refuses_who_asks_for_nothing),
        ("balance", _negative),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__.strip("_"),
)
def test_the_oracle_kills_a_bank_that_is_broken_on_purpose(
    monkeypatch: pytest.MonkeyPatch, name: str, mutate: Any
) -> None:
    class Mutant(BankTree):
        report_as = MUTANTS

    monkeypatch.setattr(Bank, name, mutate(getattr(Bank, name)))
    hunt = settings(
        phases=[Phase.generate],
        max_examples=500,
        stateful_step_count=50,
        report_multiple_bugs=False,
        print_blob=False,
        database=None,
    )
    # Where it fails depends on the history; that it fails is what counts.
    with pytest.raises((AssertionError, ValueError, BankError, pytest.fail.Exception)):
        run_state_machine_as_test(Mutant, settings=hunt)
    require(covered(MUTANTS, killed=1), "killed")


def test_three_pages_from_a_bank_with_two_are_refused_whole() -> None:
    bank = Bank("two", 2, 5)
    with pytest.raises(OutOfPages):
        bank.buy(3, 1)
    assert (bank.pages_used, bank.caps_used) == (0, 0)
    bank.buy(2, 5)
    assert bank.balance == (0, 0)


def test_a_parent_cannot_sell_what_only_its_child_owns() -> None:
    parent = Bank("parent", 10, 10)
    child = parent.child("child", pages=5, caps=5)
    child.buy(3, 2)
    with pytest.raises(ValueError, match="parent"):
        parent.sell(1, 0)
    with pytest.raises(ValueError, match="parent"):
        parent.sell(0, 1)
    assert (parent.pages_used, parent.caps_used) == (3, 2)


def test_a_refusal_says_which_bank_lacks_what_for_what_and_the_mend() -> None:
    root = Bank("root", 4, 100)
    child = root.child("child", pages=50, caps=1)
    with pytest.raises(OutOfPages) as pages:
        child.buy(7, why="a large thing")
    text = str(pages.value)
    for part in ("bank 'root'", "'child'", "4 of 4 pages", "a large thing", "needs 7", "pages=3"):
        assert part in text, (part, text)
    with pytest.raises(OutOfCaps) as caps:
        child.buy(caps=3, why="two friends")
    text = str(caps.value)
    for part in ("bank 'child'", "1 of 1 capabilities ", "two friends", "needs 3", "caps=2"):
        assert part in text, (part, text)


def test_doing_what_a_refusal_says_mends_what_it_names() -> None:
    follow_the_mends()
    require(covered(MENDS), "mended", "limits_below_usage")


@settings(max_examples=max(400, settings().max_examples))
@given(
    chain=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4),
    owned=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    wanted=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def follow_the_mends(
    chain: list[tuple[int, int]], owned: tuple[int, int], wanted: tuple[int, int]
) -> None:
    bank = Bank("b0", 100, 100)
    banks = {"b0": bank}
    for number in range(1, len(chain)):
        bank = bank.child(f"b{number}", pages=100, caps=100)
        banks[bank.name] = bank
    bank.buy(*owned)
    below = 0
    for one, (pages, caps) in zip(banks.values(), chain, strict=True):
        one.refill(pages - 100, caps - 100)
        below += pages < owned[0] or caps < owned[1]
    mended = []
    for _ in rounds("the mends are enough", 1000):
        try:
            bank.buy(*wanted)
            break
        except BankError as error:
            text = str(error)
        found = re.search(r"^bank '(\w+)'.*refill\((pages|caps)=(\d+)\)", text)
        assert found, text
        step = found[1], found[2]
        assert step not in mended, f"the mend was not enough: {text}"
        mended.append(step)
        banks[found[1]].refill(**{found[2]: int(found[3])})
    covered(MENDS, mended=len(mended), limits_below_usage=int(below > 0 and len(mended) > 0))


def test_a_bank_cannot_be_nested_deeper_than_the_bound_and_the_refusal_leaves_no_name() -> None:
    bank = Bank("b", 1, 1)
    bank.refill(pages=100)
    for depth in range(MAX_DEPTH):
        bank = bank.child(f"b{depth}", pages=100)
    for _ in range(2):  # had the first attempt left its name behind, the second would say so
        with pytest.raises(ValueError, match="deeper than"):
            bank.child("deeper", pages=1)
    bank.buy(1)


def test_a_name_in_use_is_refused_and_a_closed_one_can_be_used_again() -> None:
    root = Bank("root", 10, 10)
    first = root.child("a", pages=1)
    with pytest.raises(ValueError, match="'root' has a child 'a'"):
        root.child("a", pages=1)
    root.child("b", pages=1).child("a", pages=1)  # names are unique among siblings only
    first.close()
    second = root.child("a", pages=2)
    second.buy(2)
    assert root.pages_used == 3


def test_closing_twice_is_harmless_also_when_the_name_is_in_use_again() -> None:
    root = Bank("root", 10, 10)
    first = root.child("a", pages=1)
    first.close()
    first.close()
    root.child("a", pages=1)
    first.close()
    with pytest.raises(ValueError, match="has a child 'a'"):
        root.child("a", pages=1)


def test_a_bank_with_banks_below_it_is_not_closed_before_them() -> None:
    root = Bank("root", 10, 10)
    middle = root.child("middle", pages=5)
    leaf = middle.child("leaf", pages=5)
    with pytest.raises(ValueError, match="'middle' still pays for 1 pages"):
        middle.close()
    leaf.close()
    middle.close()
    with pytest.raises(BankDead, match="'middle' was closed"):
        middle.buy(1)
    assert root.pages_used == leaf.pages_used == 0


@pytest.mark.parametrize(("pages", "caps"), [(-1, 0), (0, -1), (-3, 3)])
def test_negative_amounts_and_limits_are_refused(pages: int, caps: int) -> None:
    bank = Bank("bank", 10, 10)
    bank.buy(4, 4)
    with pytest.raises(ValueError, match="0 or more"):
        bank.buy(pages, caps)
    with pytest.raises(ValueError, match="sold"):
        bank.sell(pages, caps)
    with pytest.raises(ValueError, match="0 or more"):
        bank.child("c", pages=pages, caps=caps)
    assert bank.balance == (6, 6)


def test_a_limit_below_usage_takes_nothing_back_and_refuses_what_is_new() -> None:
    bank = Bank("bank", 10, 10)
    bank.buy(8, 8)
    bank.refill(-5, -20)
    assert bank.balance == (0, 0)
    assert (bank.pages_used, bank.caps_used) == (8, 8)
    assert bank.cap_limit == 0
    with pytest.raises(OutOfPages):
        bank.buy(1)
    with pytest.raises(OutOfCaps):
        bank.buy(caps=1)
    bank.sell(4, 8)
    bank.buy(1)


def test_whoever_watches_a_tree_is_told_of_each_change_once_and_of_no_refusal() -> None:
    seen: list[tuple[str, int, int, str]] = []
    machine = Machine(lambda bank, *change: seen.append((bank.name, *change)))
    root = Bank("root", 5, 5, machine=machine)
    child = root.child("child", pages=9, caps=9)
    child.buy(2, 1, why="a test")
    with pytest.raises(OutOfPages):
        child.buy(4)
    child.sell(1, 1)
    assert seen == [("child", 2, 1, "a test"), ("child", -1, -1, "")]
