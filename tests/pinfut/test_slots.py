"""SlotTable against a plain model: every history of calls, replies and cancels."""

from __future__ import annotations

import random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pinfut import PENDING, SlotTable, TakenTwice
from pinfut.slots import (
    CANCELLING,
    DETACHED,
    FREE,
    MAX_ID,
    READY,
    WAITING,
    DuplicateReply,
    SlotFuture,
    SlotsFull,
    UnknownId,
)
from tests.covered import covered, require
from tests.pinfut.hand import Hand

NAME = "slot table"
picks = st.integers(min_value=0, max_value=1 << 20)


class SlotMachine(RuleBasedStateMachine):
    """The model: operation -> its state. It knows nothing of rings or of free lists."""

    @initialize(capacity=st.integers(min_value=1, max_value=6))
    def make(self, capacity: int) -> None:
        self.capacity = capacity
        self.table: SlotTable[str] = SlotTable(capacity)
        self.waiting: dict[int, Hand[str]] = {}
        self.ready: dict[int, Hand[str]] = {}
        self.cancelling: dict[int, None] = {}
        self.over: list[int] = []
        self.last = -1

    def value_of(self, x: int) -> str:
        return f"reply to {x}"

    def pick(self, ids: dict[int, Hand[str]] | dict[int, None] | list[int], n: int) -> int:
        return list(ids)[n % len(ids)]

    @property
    def taken(self) -> set[int]:
        return {*self.waiting, *self.ready, *self.cancelling}

    @rule(count=st.integers(min_value=1, max_value=4))
    def acquire(self, count: int) -> None:
        for _ in range(count):
            self.acquire_one()

    def acquire_one(self) -> None:
        if len(self.taken) == self.capacity:
            assert self.table.full
            with pytest.raises(SlotsFull):
                self.table.acquire()
            covered(NAME, full_tables=1)
            return
        in_use = {x % self.capacity for x in self.taken}
        slot = self.table.acquire()
        x = slot.x
        assert x > self.last, "ids go up forever"
        assert slot.index == x % self.capacity
        assert slot.index not in in_use, "a taken slot was given out"
        assert slot.state == WAITING
        covered(NAME, acquires=1, skipped_ids=x - self.last - 1)
        self.last = x
        hand = Hand(self.table.future(slot))
        assert hand.poll() is PENDING
        self.waiting[x] = hand

    @precondition(lambda self: self.waiting)
    @rule(n=picks)
    def reply(self, n: int) -> None:
        x = self.pick(self.waiting, n)
        covered(NAME, out_of_order_replies=int(x != min(self.waiting)))
        assert self.table.complete(x, self.value_of(x)) is True
        hand = self.ready[x] = self.waiting.pop(x)
        assert hand.wakes == 1, "the reply wakes its own waiter, once"
        assert all(other.wakes == 0 for other in self.waiting.values())

    @precondition(lambda self: self.waiting)
    @rule(n=picks)
    def poll_spuriously(self, n: int) -> None:
        assert self.waiting[self.pick(self.waiting, n)].poll() is PENDING

    @precondition(lambda self: self.ready)
    @rule(n=picks)
    def take(self, n: int) -> None:
        x = self.pick(self.ready, n)
        assert self.ready.pop(x).poll() == self.value_of(x), "delivered to the wrong call"
        self.over.append(x)
        covered(NAME, taken=1)

    @precondition(lambda self: self.waiting)
    @rule(n=picks, through_future=st.booleans())
    def cancel_waiting(self, n: int, through_future: bool) -> None:
        x = self.pick(self.waiting, n)
        hand = self.waiting.pop(x)
        if through_future:
            assert isinstance(hand.future, SlotFuture)
            hand.future.drop()
            hand.future.drop()
        else:
            assert self.table.cancel(x) is True
        assert self.table.cancel(x) is False, "a cancel is told once"
        self.cancelling[x] = None
        covered(NAME, cancels=1)

    @precondition(lambda self: self.ready)
    @rule(n=picks)
    def cancel_ready(self, n: int) -> None:
        x = self.pick(self.ready, n)
        del self.ready[x]
        assert self.table.cancel(x) is False, "the reply was there: nothing to acknowledge"
        self.over.append(x)
        covered(NAME, cancels_after_the_reply=1)

    @precondition(lambda self: self.ready)
    @rule(n=picks)
    def detach(self, n: int) -> None:
        x = self.pick(self.ready, n)
        del self.ready[x]
        slot = self.table.find(x)
        self.table.detach(slot)
        assert (slot.x, slot.state, slot.value) == (x, DETACHED, self.value_of(x))
        assert self.table._slots[x % self.capacity] is not slot, "its place is another's"
        self.over.append(x)
        covered(NAME, detached=1)

    @precondition(lambda self: self.cancelling)
    @rule(n=picks)
    def late_reply(self, n: int) -> None:
        x = self.pick(self.cancelling, n)
        before = len(self.table)
        assert self.table.complete(x, "too late") is False
        assert len(self.table) == before - 1, "the late reply frees the slot"
        del self.cancelling[x]
        self.over.append(x)
        covered(NAME, late_replies=1)

    @precondition(lambda self: self.ready)
    @rule(n=picks)
    def duplicate(self, n: int) -> None:
        x = self.pick(self.ready, n)
        with pytest.raises(DuplicateReply, match=str(x)):
            self.table.complete(x, "again")
        covered(NAME, duplicates=1)

    @precondition(lambda self: self.over)
    @rule(n=picks)
    def stale(self, n: int) -> None:
        x = self.pick(self.over, n)
        reused = any(other % self.capacity == x % self.capacity for other in self.taken)
        self.refuse(x)
        assert self.table.cancel(x) is False
        covered(NAME, stale_ids=1, stale_ids_of_a_reused_slot=int(reused))

    @precondition(lambda self: self.waiting)
    @rule(ahead=st.integers(min_value=1, max_value=20))
    def never_issued(self, ahead: int) -> None:
        self.refuse(self.last + ahead)
        self.refuse(-ahead)
        covered(NAME, unknown_ids=1)

    def refuse(self, x: int) -> None:
        assert self.table.peek(x) is None
        assert self.table.mark_ready([x]) == [x]
        with pytest.raises(UnknownId, match=str(x)):
            self.table.complete(x, "whose?")
        with pytest.raises(UnknownId, match=str(x)):
            self.table.find(x)

    @precondition(lambda self: self.waiting)
    @rule(ns=st.lists(picks, max_size=6))
    def replies_in_place(self, ns: list[int]) -> None:
        """`mark_ready`, with ids of every kind in one batch; the results come as None."""
        known = [*self.waiting, *self.ready, *self.cancelling, *self.over, self.last + 1]
        xs = list(dict.fromkeys(known[n % len(known)] for n in ns))
        met = [x for x in xs if x in self.waiting]
        assert self.table.mark_ready(xs) == [x for x in xs if x not in self.waiting]
        for x in met:
            hand = self.waiting.pop(x)
            assert hand.wakes == 1
            slot = self.table.find(x)
            assert slot.state == READY
            slot.value = self.value_of(x)
            self.ready[x] = hand
        covered(NAME, batches_in_place=1)

    @invariant()
    def the_table_agrees_with_the_model(self) -> None:
        states = {
            **dict.fromkeys(self.waiting, WAITING),
            **dict.fromkeys(self.ready, READY),
            **dict.fromkeys(self.cancelling, CANCELLING),
        }
        assert {slot.x: slot.state for slot in self.table.taken()} == states
        assert len(self.table) == len(states)
        assert self.table.full == (len(states) == self.capacity)
        assert all(self.table.find(x).index == x % self.capacity for x in states)


def test_a_slot_table_agrees_with_its_model_in_every_history() -> None:
    run_state_machine_as_test(SlotMachine)
    counts = covered(NAME)
    require(
        counts,
        "acquires",
        "taken",
        "out_of_order_replies",
        "cancels",
        "cancels_after_the_reply",
        "late_replies",
        "detached",
        "duplicates",
        "stale_ids",
        "stale_ids_of_a_reused_slot",
        "unknown_ids",
        "skipped_ids",
        "full_tables",
        "batches_in_place",
    )


@pytest.mark.parametrize("capacity", [8, 64])
def test_counting_x_without_skipping_would_collide_where_the_table_does_not(capacity: int) -> None:
    """Full load, replies in random order: the history that makes the skipping necessary."""
    collided = 0
    for seed in range(50):
        rng = random.Random(seed)
        table: SlotTable[int] = SlotTable(capacity)
        naive: dict[int, int] = {}  # slot -> the id that counts up and is in use there
        naive_of: dict[int, int] = {}  # id in the table -> id of the naive scheme
        collision = False
        for x_naive in range(capacity * 6):
            if table.full:
                slot = rng.choice(table.taken())
                gone = naive_of.pop(slot.x)
                if naive.get(gone % capacity) == gone:
                    del naive[gone % capacity]
                table.complete(slot.x, slot.x)
                assert table.take(slot, slot.x) == slot.x
            x = table.acquire().x
            naive_of[x] = x_naive
            collision |= x_naive % capacity in naive
            naive[x_naive % capacity] = x_naive
        collided += collision
        assert len({slot.x for slot in table.taken()}) == capacity
    assert collided == 50
    covered("x mod N without skipping, full load", histories=50, collided=collided)


def test_with_replies_in_order_no_id_is_skipped() -> None:
    table: SlotTable[int] = SlotTable(4)
    ids: list[int] = []
    for turn in range(40):
        if turn >= 3:
            slot = table.find(ids[turn - 3])
            table.complete(slot.x, 0)
            table.take(slot, slot.x)
        ids.append(table.acquire().x)
    assert ids == list(range(40))


def test_a_dropped_slot_future_keeps_its_slot_until_the_acknowledgement() -> None:
    table: SlotTable[str] = SlotTable(1)
    slot = table.acquire()
    hand = Hand(table.future(slot))
    assert hand.poll() is PENDING
    table.future(slot).drop()
    with pytest.raises(SlotsFull):
        table.acquire()
    assert table.complete(slot.x, "late") is False
    assert hand.wakes == 0, "nobody waits for a cancelled operation"
    assert slot.value is None
    assert table.acquire().x == 1


def test_a_future_never_takes_the_result_of_a_later_operation_in_its_slot() -> None:
    table: SlotTable[str] = SlotTable(1)
    old = table.acquire()
    stale = Hand(table.future(old), checked=False)
    table.complete(old.x, "first")
    assert stale.poll() == "first"
    new = table.acquire()
    assert new is old
    fresh = Hand(table.future(new))
    table.complete(new.x, "second")
    with pytest.raises(TakenTwice, match="operation 0"):
        stale.poll()
    stale_future = stale.future
    assert isinstance(stale_future, SlotFuture)
    stale_future.drop()
    assert fresh.poll() == "second"


def test_a_result_cannot_be_taken_before_it_is_there() -> None:
    table: SlotTable[str] = SlotTable(1)
    slot = table.acquire()
    with pytest.raises(TakenTwice, match="waiting"):
        table.take(slot, slot.x)


def test_a_free_slot_holds_neither_value_nor_waker() -> None:
    table: SlotTable[str] = SlotTable(1)
    for end in ("take", "cancel", "late"):
        slot = table.acquire()
        hand = Hand(table.future(slot))
        hand.poll()
        if end == "late":
            table.cancel(slot.x)
            assert slot.waker is None, "a cancelled operation wakes nobody"
        table.complete(slot.x, "value")
        if end == "take":
            hand.poll()
        elif end == "cancel":
            table.cancel(slot.x)
        assert (slot.state, slot.value, slot.waker) == (FREE, None, None)


def test_the_newest_waker_is_the_one_that_is_called() -> None:
    table: SlotTable[str] = SlotTable(1)
    slot = table.acquire()
    future = table.future(slot)
    first, second = Hand(future, checked=False), Hand(future, checked=False)
    first.poll()
    second.poll()
    table.complete(slot.x, "value")
    assert (first.wakes, second.wakes) == (0, 1)


def test_a_table_whose_ids_are_used_up_refuses_more() -> None:
    table: SlotTable[int] = SlotTable(2)
    table._last = MAX_ID - 2
    xs = [table.acquire().x, table.acquire().x]
    assert xs == [MAX_ID - 1, MAX_ID]
    for x in xs:
        assert table.complete(x, x) is True
        assert table.take(table.find(x), x) == x
    for _ in range(2):
        with pytest.raises(SlotsFull, match="new table"):
            table.acquire()
    assert len(table) == 0


def test_a_table_needs_a_slot() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SlotTable(0)


def test_a_waker_that_raises_keeps_no_other_from_being_woken() -> None:
    table: SlotTable[int] = SlotTable(3)
    woken: list[int] = []

    class Bell:
        def __init__(self, x: int) -> None:
            self.x = x

        def wake(self) -> None:
            woken.append(self.x)
            if self.x < 2:
                raise ArithmeticError(self.x)

    for _ in range(3):
        slot = table.acquire()
        slot.waker = Bell(slot.x)
    with pytest.raises(ArithmeticError, match="0"):
        table.mark_ready([0, 1, 2])
    assert woken == [0, 1, 2]
    assert [slot.state for slot in table.taken()] == [READY] * 3
