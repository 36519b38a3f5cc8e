"""The whole life of banks against an oracle that owns what they own.

After every step the oracle counts each usage again from the objects that exist and the banks
that pay for them, and compares everything that can be asked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pinfut.rpc.bank import bank as bank_module
from pinfut.rpc.bank import owned, reservation
from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.bank.handle import verify
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.bank.teardown import Destroying, destroy
from pinfut.rpc.errors import (
    BankDead,
    BankError,
    OutOfPages,
    QuotaInUse,
    Restricted,
    SessionDead,
    StillPinned,
)
from pinfut.rpc.memory.pages import PageCap, Region, move_batch
from tests.covered import covered, require

NAME = "bank tree with objects equals its oracle"
MUTANTS = "bank tree with objects, planted mutants"


@dataclass(eq=False)
class Books:
    """What a bank keeps in its ledger: its own place in the tree, and tickets."""

    bank: Bank
    charged: bool
    tickets: int = 0
    # Whether the bank's place in the tree is still there: also of one that was removed.
    below: list[Node] = field(default_factory=list)
    open: bool = True

    def stands(self) -> bool:
        # Where all below is destroyed, one more piece takes the place of a bank that was removed.
        return (
            self.open
            or self.bank.state == bank_module.DYING
            or any(node.ledger.stands() for node in self.below)
        )

    @property
    def pages(self) -> int:
        return int((self.charged and self.stands()) or self.tickets > 0)


@dataclass(eq=False)
class Node:
    """What the oracle knows of a bank."""

    bank: Bank
    parent: Node | None
    limit: int
    funded: bool = False
    no_remove: bool = False
    loose: int = 0
    things: list[Thing] = field(default_factory=list)
    below: list[Node] = field(default_factory=list)
    dying: bool = False
    # Its own books first, then those of the banks whose heir it is.
    books: list[Books] = field(default_factory=list)

    def __post_init__(self) -> None:
        charged = self.parent is not None and self.parent.parent is not None
        self.ledger = Books(self.bank, charged)
        self.books.append(self.ledger)

    def own(self) -> int:
        return self.loose + sum(t.pages for t in self.things) + sum(b.pages for b in self.books)

    def used(self) -> int:
        return self.own() + sum(n.limit if n.funded else n.used() for n in self.below)

    def all_books(self) -> int:
        below = sum(n.all_books() for n in self.below if not n.funded)
        return below + sum(b.pages for b in self.books)

    def path(self) -> list[Node]:
        return [self] if self.parent is None else [self, *self.parent.path()]

    def doomed(self) -> bool:
        return any(n.dying for n in self.path())

    def room(self) -> int:
        """What could be bought now."""
        room = 1 << 30
        for node in self.path():
            room = min(room, node.limit - node.used())
            if node.funded:
                break
        return max(0, room)


@dataclass(eq=False)
class Thing:
    """A region or a reservation that exists."""

    thing: Region | Reservation
    owner: Node
    pages: int
    keeper: Books
    cap: PageCap | None = None
    pins: int = 0
    mark: int = 0


picks = st.integers(0, 1 << 16)


class Tree(RuleBasedStateMachine):
    """Everything that can happen to banks, in any order."""

    report_as = NAME

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.serial = 0
        self.root = Node(Bank("root", 90, 1 << 20), None, 90)
        self.nodes = [self.root]
        self.gone: list[Bank] = []
        self.dead_caps: list[PageCap] = []
        # The books of banks that were removed above others.
        self.heirs: list[Books] = []
        self.destroys: list[tuple[Destroying, Node]] = []
        client = self.grow(self.root, 60)
        for node in (client, self.grow(client, 30), self.grow(client, 20, funded=True)):
            for kind in ("loose", "region", "kept"):
                self.try_to_buy(node, 2, kind)
        self.grow(self.nodes[-1], 5)
        self.grow(self.root, 40, no_remove=True)
        # In every history a bank was removed above another one, with something that it owned.
        middle = self.grow(client, 8)
        self.grow(middle, 60)
        self.try_to_buy(middle, 2, "region")
        self.remove(self.nodes.index(middle), 0)

    def grow(self, parent: Node, pages: int, **how: Any) -> Node:
        name = f"b{self.serial}"
        self.serial += 1
        bank = parent.bank.child(name, pages=pages, caps=0, **how)
        node = Node(bank, parent, pages, **how)
        parent.below.append(node)
        self.nodes.append(node)
        return node

    def pick(self, pick: int) -> Node:
        return self.nodes[pick % len(self.nodes)]

    def things(self) -> list[Thing]:
        return [t for node in self.nodes for t in node.things]

    def pick_thing(self, pick: int) -> Thing | None:
        things = self.things()
        return things[pick % len(things)] if things else None

    # ---- what can happen ----

    @rule(pick=picks, pages=st.integers(0, 12), funded=st.booleans(), no_remove=st.booleans())
    def child(self, pick: int, pages: int, funded: bool, no_remove: bool) -> None:
        parent = self.pick(pick)
        if len(parent.path()) > 6:
            return
        if parent.doomed():
            with pytest.raises(BankDead):
                parent.bank.child("x", pages=pages, caps=0, funded=funded)
            self.counts["children_of_the_dying"] += 1
            return
        charged = parent.parent is not None
        needs = pages if funded else int(charged)
        if needs > parent.room() or (charged and pages < 1):
            with pytest.raises(OutOfPages):
                parent.bank.child("x", pages=pages, caps=0, funded=funded)
            self.counts["too_poor_to_exist"] += 1
            return
        self.grow(parent, pages, funded=funded, no_remove=no_remove)
        self.counts["funded"] += funded

    @rule(pick=picks, pages=st.integers(1, 4), kind=st.sampled_from(["loose", "region", "kept"]))
    def buy(self, pick: int, pages: int, kind: str) -> None:
        self.try_to_buy(self.pick(pick), pages, kind)

    @rule(pick=picks)
    def buy_what_only_the_ticket_has_no_room_for(self, pick: int) -> None:
        node = self.pick(pick)
        if not node.ledger.pages and node.room():
            self.try_to_buy(node, node.room(), "kept")

    @rule(pick=picks)
    def buy_all_there_is_and_sell_it(self, pick: int) -> None:
        """What no limit forbids can be bought, and not a page more."""
        below_removed = [n for b in self.heirs for n in b.below if n in self.nodes]
        node = self.pick(pick) if pick % 2 or not below_removed else below_removed[0]
        room = node.room()
        if node.doomed():
            return
        node.bank.buy(room)
        with pytest.raises(OutOfPages):
            node.bank.buy(1)
        node.bank.sell(room)
        self.counts["all_bought_below_a_removed_bank"] += node in below_removed and room > 0

    def try_to_buy(self, node: Node, pages: int, kind: str) -> None:
        if kind == "kept" and node.ledger.tickets > 8:
            return
        books = int(kind == "kept" and not node.ledger.pages)
        fits = pages + books <= node.room() and not node.doomed()
        if not fits:
            with pytest.raises(BankError) as refused:
                self._buy(node, pages, kind)
            assert isinstance(refused.value, BankDead) == node.doomed()
            self.counts["refused"] += 1
            self.counts["refused_half_way"] += bool(
                books and not node.doomed() and node.room() >= books
            )
            return
        thing = self._buy(node, pages, kind)
        if thing is None:
            node.loose += pages
            self.counts[kind] += 1
            return
        made = Thing(thing, node, pages, node.ledger)
        node.things.append(made)
        if isinstance(thing, Region):
            assert thing.sharers == 1, "the new region's capability is not the only one"
            assert not any(thing.buffer), "memory shows what a former owner wrote"
            self.serial += 1
            made.mark = self.serial % 255 + 1
            thing.buffer[:] = bytes([made.mark]) * len(thing.buffer)
            made.cap = thing.share()
        else:
            node.ledger.tickets += 1
        self.counts[kind] += 1

    def _buy(self, node: Node, pages: int, kind: str) -> Region | Reservation | None:
        if kind == "region":
            return Region(node.bank, pages)
        if kind == "kept":
            return Reservation(node.bank, pages)
        node.bank.buy(pages)
        return None

    @rule(pick=picks)
    def begin_below_the_dying(self, pick: int) -> None:
        dying = [n for n in self.nodes if n.doomed()]
        if dying:
            with pytest.raises(BankDead):
                dying[pick % len(dying)].bank.child("x", pages=9)
            self.counts["children_of_the_dying"] += 1

    @rule(pick=picks, pages=st.integers(1, 4))
    def sell(self, pick: int, pages: int) -> None:
        node = self.pick(pick)
        if node.loose:
            pages = min(pages, node.loose)
            node.bank.sell(pages)
            node.loose -= pages
        elif not node.own():
            with pytest.raises(ValueError, match="sold"):
                node.bank.sell(pages)

    @rule(pick=picks)
    def free(self, pick: int) -> None:
        thing = self.pick_thing(pick)
        if thing is None:
            return
        if isinstance(thing.thing, Region):
            if thing.pins:
                with pytest.raises(StillPinned):
                    thing.thing.free()
                self.counts["free_refused_by_a_pin"] += 1
                return
            thing.thing.free()
        else:
            thing.thing.drop()
        self.forget(thing)

    def forget(self, thing: Thing) -> None:
        thing.owner.things.remove(thing)
        if thing.cap is not None:
            self.dead_caps.append(thing.cap)
        else:
            thing.keeper.tickets -= 1

    @rule(pick=picks, to=picks)
    def move(self, pick: int, to: int) -> None:
        self.try_to_move(self.pick_thing(pick), self.pick(to))

    @rule(pick=picks, to=picks)
    def move_where_it_cannot_go(self, pick: int, to: int) -> None:
        thing = self.pick_thing(pick)
        if thing is not None:
            others = [n for n in self.nodes if n.doomed() or n.room() < thing.pages]
            others = [n for n in others if n is not thing.owner]
            if others:
                self.try_to_move(thing, others[to % len(others)])

    def try_to_move(self, thing: Thing | None, node: Node) -> None:
        if thing is None or not isinstance(thing.thing, Region):
            return
        if thing.pins:
            with pytest.raises(StillPinned):
                move_batch([thing.thing], node.bank)
            return
        # What the region takes now comes back first.
        thing.owner.things.remove(thing)
        fits = thing.pages <= node.room() and not node.doomed()
        if fits:
            move_batch([thing.thing], node.bank)
            node.things.append(thing)
            thing.owner = node
            assert thing.cap is not None
            self.dead_caps.append(thing.cap)
            thing.cap = thing.thing.share()
            self.counts["moved"] += 1
        else:
            thing.owner.things.append(thing)
            with pytest.raises(BankError):
                move_batch([thing.thing], node.bank)
            self.counts["move_refused"] += 1

    @rule(pick=picks, first=st.integers(0, 2))
    def extract(self, pick: int, first: int) -> None:
        thing = self.pick_thing(pick)
        if thing is None or not isinstance(thing.thing, Region) or thing.pages < first + 2:
            return
        if thing.pins:
            with pytest.raises(StillPinned):
                thing.thing.extract(first, 1)
            return
        part = thing.thing.extract(first, 1)
        thing.pages -= 1
        other = Thing(part, thing.owner, 1, thing.keeper, part.share(), mark=thing.mark)
        thing.owner.things.append(other)
        assert thing.cap is not None
        self.dead_caps.append(thing.cap)
        thing.cap = thing.thing.share()
        self.counts["extracted"] += 1

    @rule(pick=picks)
    def pin(self, pick: int) -> None:
        thing = self.pick_thing(pick)
        if thing is not None and isinstance(thing.thing, Region):
            thing.thing.pin()
            thing.pins += 1

    @rule(pick=picks)
    def unpin(self, pick: int) -> None:
        pinned = [t for t in self.things() if t.pins]
        if not pinned:
            return
        thing = pinned[pick % len(pinned)]
        doomed = thing.thing.doomed
        thing.thing.unpin()
        thing.pins -= 1
        if doomed and not thing.pins:
            self.counts["went_with_the_last_pin"] += 1
            self.forget(thing)
            self.bury()

    @rule(pick=picks, pages=st.integers(-8, 8))
    def refill(self, pick: int, pages: int) -> None:
        node = self.pick(pick)
        if node.bank.state >= bank_module.DYING:
            with pytest.raises(BankDead):
                node.bank.refill(pages)
            return
        if not node.funded:
            node.bank.refill(pages)
            node.limit = max(0, node.limit + pages)
            self.counts["limits_below_usage"] += node.limit < node.used()
            return
        assert node.parent is not None
        if -pages > max(0, node.limit - node.used()):
            with pytest.raises(QuotaInUse):
                node.bank.refill(pages)
            self.counts["withdrawal_refused"] += 1
        elif node.doomed():
            with pytest.raises(BankDead):
                node.bank.refill(pages)
        elif pages > node.parent.room():
            with pytest.raises(OutOfPages):
                node.bank.refill(pages)
            self.counts["transfer_refused"] += 1
        else:
            node.bank.refill(pages)
            node.limit += pages
            self.counts["transferred"] += pages != 0

    @rule(pick=picks, rare=st.integers(0, 2))
    def squeeze(self, pick: int, rare: int) -> None:
        """The limit goes just below what is used."""
        node = self.pick(pick)
        if not (rare or node.funded or node.parent is None) and 0 < node.used() <= node.limit:
            self.refill(self.nodes.index(node), node.used() - 1 - node.limit)

    @rule(pick=picks)
    def ask_for_more_than_there_is(self, pick: int) -> None:
        funded = [n for n in self.nodes if n.funded and not n.doomed()]
        if funded:
            node = funded[pick % len(funded)]
            assert node.parent is not None
            with pytest.raises(OutOfPages):
                node.bank.refill(node.parent.room() + 1)
            self.counts["transfer_refused"] += 1
            with pytest.raises(QuotaInUse):
                node.bank.refill(-node.bank.balance.pages - 1)
            self.counts["withdrawal_refused"] += 1

    @rule(pick=picks, rare=st.integers(0, 2))
    def remove(self, pick: int, rare: int) -> None:
        if rare:
            return
        node = self.pick(pick)
        heir = node.parent
        if node.doomed():
            with pytest.raises(BankDead):
                node.bank.remove()
            return
        if heir is None or node.funded:
            with pytest.raises(ValueError, match="destroy"):
                node.bank.remove()
            return
        if node.no_remove:
            with pytest.raises(Restricted):
                node.bank.remove()
            self.counts["remove_refused"] += 1
            return
        before = heir.bank.pages_used - heir.all_books()
        node.bank.remove()
        self.nodes.remove(node)
        heir.below.remove(node)
        # Its place in the tree stays until the last bank below has gone.
        self.counts["removed_above_others"] += bool(node.below)
        node.ledger.open = False
        node.ledger.below = list(node.below)
        self.heirs.append(node.ledger)
        for one in node.below:
            one.parent = heir
            heir.below.append(one)
        heir.loose += node.loose
        for thing in node.things:
            thing.owner = heir
            heir.things.append(thing)
        heir.books += node.books
        # Nothing but places in the tree that nobody needs any more can have gone.
        assert heir.bank.pages_used - heir.all_books() == before, "the heir's usage changed"
        self.counts["removed"] += 1
        self.counts["removed_with_objects"] += bool(node.things)

    # ---- the end ----

    @rule(pick=picks)
    def close(self, pick: int) -> None:
        node = self.pick(pick)
        if node.parent is None or node.bank.state >= bank_module.DYING:
            return
        if node.used() > int(node.ledger.charged) or node.ledger.tickets:
            with pytest.raises(ValueError, match="still pays"):
                node.bank.close()
            return
        node.bank.close()
        self.drop(node)
        self.counts["closed"] += 1

    def drop(self, node: Node) -> None:
        assert node.parent is not None
        node.parent.below.remove(node)
        node.ledger.open = False
        self.nodes.remove(node)
        self.gone.append(node.bank)

    @rule(pick=picks)
    def destroy_under_a_pin(self, pick: int) -> None:
        """Destroy a bank whole while something of it is in use."""
        self.pin(pick)
        pinned = [t for t in self.things() if t.pins and t.owner.parent is not None]
        if pinned:
            node = pinned[pick % len(pinned)].owner
            self.start_to_destroy(self.nodes.index(node), 3, 0)
            self.destroy_on(len(self.destroys) - 1, 2)
            if self.destroys:
                self.destroy_on(len(self.destroys) - 1, 100)
            self.unpin(pick)

    @rule(pick=picks, step=st.integers(1, 3), rare=st.integers(0, 3))
    def start_to_destroy(self, pick: int, step: int, rare: int) -> None:
        node = self.pick(pick)
        if node.parent is None or rare:
            return
        node.dying = True
        self.counts["destroyed_above_a_destroy"] += any(n.dying for n in self.below(node))
        self.destroys.append((destroy(node.bank, step=step), node))

    def below(self, node: Node) -> list[Node]:
        return [n for one in node.below for n in (one, *self.below(one))]

    @rule(pick=picks, pieces=st.integers(1, 3))
    def destroy_on(self, pick: int, pieces: int) -> None:
        if not self.destroys:
            return
        destroying, node = self.destroys[pick % len(self.destroys)]
        before = sum(n.bank.pages_used for n in self.nodes[:1])
        more = destroying.step(pieces)
        self.follow()
        self.counts["pieces"] += 1
        self.counts["in_the_midst"] += more and self.root.bank.pages_used < before
        if destroying.done:
            assert node not in self.nodes
            self.destroys = [one for one in self.destroys if one[1] is not node]
            self.counts["destroyed"] += 1
        elif not more:
            assert any(t.pins for n in (node, *self.below(node)) for t in n.things)
            self.counts["waits_for_pins"] += 1

    def follow(self) -> None:
        """Take out of the oracle what destroying took: only of banks that are dying."""
        for thing in self.things():
            alive = thing.thing.pages if isinstance(thing.thing, Region) else thing.thing.valid
            if not alive:
                assert thing.owner.doomed(), "an object of a living bank was taken"
                assert not thing.pins, "an object in use was taken"
                self.forget(thing)
        for node in self.nodes:
            for books in list(node.books):
                if books.bank.state == bank_module.DYING:
                    assert node.doomed(), "a place below a living bank goes"
                if not books.bank.share.alive and books.pages:
                    # Those of a bank that was removed go with the last one below it.
                    last = not books.open and all(one.doomed() for one in books.below)
                    assert node.doomed() or last, "the books of a living bank were taken"
                    node.books.remove(books)
            node.dying |= node.bank.state >= bank_module.DYING
        self.bury()

    def bury(self) -> None:
        for node in reversed(list(self.nodes)):
            if node.bank.state == bank_module.DEAD:
                assert node.doomed(), "a living bank died"
                assert not node.things
                assert not node.below
                self.drop(node)

    # ---- what has to be true ----

    @invariant()
    def every_answer_is_what_the_oracle_says(self) -> None:
        for node in self.nodes:
            bank = node.bank
            used = node.used()
            assert bank.pages_used == used, f"{bank} should use {used}"
            assert bank.page_limit == node.limit, bank
            assert bank.balance.pages == max(0, node.limit - used)
            assert bank.available.pages == node.room()
            assert bank.alive == (bank.state == bank_module.OPEN)
            assert bank.parent is (None if node.parent is None else node.parent.bank)
            assert verify(self.root.bank, bank) or node.doomed()
        for gone in self.gone:
            assert not verify(self.root.bank, gone)
            assert not gone.alive
        for thing in self.things():
            assert thing.thing.bank is thing.owner.bank
            assert thing.thing.pins == thing.pins
            if thing.cap is not None:
                memory = thing.cap.get()
                assert len(memory) == thing.pages * PAGE
                assert memory[0] == memory[-1] == thing.mark, "regions share memory"
        for cap in self.dead_caps:
            assert not cap.alive
            with pytest.raises(SessionDead):
                cap.get()

    def teardown(self) -> None:
        # Whatever happened, destroying everything leaves nothing.
        for thing in self.things():
            for _ in range(thing.pins):
                thing.thing.unpin()
        for one in list(self.root.below):
            end = destroy(one.bank)
            for _ in range(100):
                end.step()
            assert end.done, "destroying has no end"
        for thing in self.root.things:
            if isinstance(thing.thing, Region):
                thing.thing.free()
            else:
                thing.thing.drop()
        assert self.root.bank.pages_used == self.root.loose
        assert self.root.bank.caps_used == 0
        covered(self.report_as, **self.counts)


class Mutant(Tree):
    report_as = MUTANTS


WANTED = (
    "funded",
    "too_poor_to_exist",
    "children_of_the_dying",
    "loose",
    "region",
    "kept",
    "refused",
    "refused_half_way",
    "free_refused_by_a_pin",
    "moved",
    "move_refused",
    "extracted",
    "limits_below_usage",
    "transferred",
    "transfer_refused",
    "withdrawal_refused",
    "removed",
    "removed_with_objects",
    "removed_above_others",
    "remove_refused",
    "all_bought_below_a_removed_bank",
    "closed",
    "destroyed",
    "in_the_midst",
    "destroyed_above_a_destroy",
    "waits_for_pins",
    "went_with_the_last_pin",
)


def test_whatever_happens_usage_is_the_sum_of_what_is_owned() -> None:
    """Bank rule 1: an allocation debits the bank and every ancestor; the tightest limit wins.
    Bank rule 2: an ancestor's refusal undoes all debits.
    Bank rule 4: destroy reclaims every object and sub-bank.
    Bank rule 5: remove passes ownership to the parent with no re-accounting.
    Bank rule 11: a limit below usage is allowed; available is then 0, never negative.
    Bank rule 12: the effective limit includes the bank's own limit."""
    many = settings(
        max_examples=max(300, settings().max_examples),
        stateful_step_count=40,
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(Tree, settings=many)
    require(covered(NAME), *WANTED)


def test_the_place_of_a_removed_bank_is_paid_until_the_piece_that_takes_it() -> None:
    """Between any two pieces of destroying what stands above it, and after the last."""
    tree = Tree()
    (place,) = tree.heirs
    (below,) = place.below
    tree.start_to_destroy(tree.nodes.index(tree.root.below[0]), step=1, rare=0)
    alone = 0
    while tree.destroys:
        tree.destroy_on(0, pieces=1)
        tree.every_answer_is_what_the_oracle_says()
        alone += below not in tree.nodes and place.pages
    assert alone == 1, "nothing was asked while only the place stood"
    assert not place.pages
    tree.teardown()


def _keeps_its_limits(remove: Any) -> Any:
    def mutant(self: Bank) -> None:
        limit = self.page_limit
        remove(self)
        self.page_limit = limit

    return mutant


def _accounts_again(remove: Any) -> Any:
    def mutant(self: Bank) -> None:
        heir, own = self.parent, self.own.pages
        remove(self)
        if heir is not None:
            heir.buy(min(own, heir.available.pages))

    return mutant


def _forgets_objects(take_all: Any) -> Any:
    return lambda self, other: None


def _takes_what_is_pinned(revoke: Any) -> Any:
    return lambda self: self._reclaim()


def _leaves_the_banks_below(piece: Any) -> Any:
    def mutant(self: Bank) -> bool:
        self._children.clear()
        return bool(piece(self))

    return mutant


def _stops_at_the_first_object(piece: Any) -> Any:
    def mutant(self: Bank) -> bool:
        self.objects.first = self.objects.last = None
        return bool(piece(self))

    return mutant


def _withdraws_what_is_used(move: Any) -> Any:
    def mutant(self: Bank, pages: int, caps: int) -> None:
        self.parent._debit(pages, caps)  # type: ignore[union-attr]
        self.page_limit += pages

    return mutant


def _funds_for_nothing(move: Any) -> Any:
    def mutant(self: Bank, pages: int, caps: int) -> None:
        move(self, min(pages, 0), caps)
        self.page_limit += max(pages, 0)

    return mutant


def _keeps_the_generation(renew: Any) -> Any:
    def mutant(self: Region, buffer: memoryview) -> None:
        self.buffer = buffer

    return mutant


def _pays_twice(move: Any) -> Any:
    def mutant(self: Region, to: Bank) -> None:
        before = self.bank
        move(self, to)
        if before.alive:
            before.take_back(self.pages)

    return mutant


def _refunds_twice(reclaim: Any) -> Any:
    def mutant(self: Reservation) -> None:
        bank, pages = self.bank, self.pages
        reclaim(self)
        bank.sell(min(pages, bank.own.pages))

    return mutant


def _forgets_the_ticket(reclaim: Any) -> Any:
    def mutant(self: Reservation) -> None:
        reclaim(self)
        self._keeper.ledger.take(1)

    return mutant


@pytest.mark.parametrize(
    ("kind", "name", "mutate"),
    [
        (Bank, "remove", _keeps_its_limits),
        (Bank, "remove", _accounts_again),
        (owned.Objects, "take_all", _forgets_objects),
        (owned.Owned, "revoke", _takes_what_is_pinned),
        (Bank, "next_to_destroy", _leaves_the_banks_below),
        (Bank, "next_to_destroy", _stops_at_the_first_object),
        (Bank, "_move", _withdraws_what_is_used),
        (Bank, "_move", _funds_for_nothing),
        (Region, "_renew", _keeps_the_generation),
        (Region, "change_owner", _pays_twice),
        (reservation.Reservation, "_reclaim", _refunds_twice),
        (reservation.Reservation, "_reclaim", _forgets_the_ticket),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)).strip("_"),
)
def test_the_oracle_kills_a_tree_that_is_broken_on_purpose(
    monkeypatch: pytest.MonkeyPatch, kind: Any, name: str, mutate: Any
) -> None:
    monkeypatch.setattr(kind, name, mutate(getattr(kind, name)))
    hunt = settings(
        phases=[Phase.generate],
        max_examples=500,
        stateful_step_count=40,
        report_multiple_bugs=False,
        print_blob=False,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((Exception, pytest.fail.Exception)):  # any is a kill
        run_state_machine_as_test(Mutant, settings=hunt)
    require(covered(MUTANTS, killed=1), "killed")
