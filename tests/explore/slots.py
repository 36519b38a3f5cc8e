"""A table of slots whose operations are started, answered, cancelled and taken in every
order, with late and invented ids among them. The oracle is a dict."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from pinfut.laws import TakenTwice
from pinfut.poll import PENDING
from pinfut.slots import (
    CANCELLING,
    FREE,
    READY,
    WAITING,
    DuplicateReply,
    Slot,
    SlotTable,
    UnknownId,
)
from pinfut.testing import Hand
from tests.explore.states import REST, Operation


class Slots:
    """`capacity` slots; the ids go up forever, and stand in no form."""

    def __init__(self, capacity: int) -> None:
        self.table: SlotTable[int] = SlotTable(capacity)
        self.capacity = capacity
        # By place: the id and the hand of the operation there, as the oracle sees it.
        self.open: dict[int, tuple[int, Hand[int]]] = {}
        self.states: dict[int, int] = {}
        self.polled: set[int] = set()
        self.issued = -1
        self.skipped = False
        self.late = False
        for _ in range(capacity):
            # One lap, so that every place has an operation that is over.
            self._acquire()
            place = self.issued % capacity
            self.table.complete(self.issued, 0)
            assert self.open[place][1].poll() == 0
            self._over(place)

    def operations(self) -> Sequence[Operation]:
        found: list[Operation] = [("strays",)]
        if not self.table.full:
            found.append(("acquire",))
        for place in range(self.capacity):
            state = self.states.get(place, FREE)
            if state == FREE:
                continue
            found.append(("complete", place))
            if state == WAITING:
                found += [("drop", place), ("mark", place)]
                if place not in self.polled:
                    found.append(("poll", place))
            elif state == READY:
                found += [("drop", place), ("take", place), ("detach", place)]
            else:
                found.append(("cancel again", place))
        return found

    def apply(self, operation: Operation, /) -> None:
        self.skipped = self.late = False
        if operation[0] == "acquire":
            self._acquire()
        elif operation[0] == "strays":
            self._strays()
        else:
            self._act(operation[0], operation[1])

    def _acquire(self) -> None:
        slot = self.table.acquire()
        assert slot.index not in self.open, "a slot was given twice"
        assert slot.x > self.issued, "an id was given twice"
        assert slot.x % self.capacity == slot.index
        self.skipped = slot.x > self.issued + 1
        self.issued = slot.x
        self.open[slot.index] = slot.x, Hand(self.table.future(slot))
        self.states[slot.index] = WAITING

    def _act(self, what: str, place: int) -> None:
        table = self.table
        x, hand = self.open[place]
        state = self.states[place]
        slot = table.find(x)
        polled = place in self.polled
        if what == "poll":
            assert hand.poll() is PENDING
            self.polled.add(place)
        elif what == "complete" and state == READY:
            try:
                table.complete(x, x)
            except DuplicateReply:
                return
            raise AssertionError("a second reply was accepted")
        elif what == "complete" and state == CANCELLING:
            assert not table.complete(x, x), "a reply to what was cancelled is nobody's"
            self.late = True
            self._over(place)
        elif what in ("complete", "mark"):
            if what == "complete":
                assert table.complete(x, x)
            else:
                assert table.mark_ready([x, x - self.capacity]) == [x - self.capacity]
                slot.value = x
            assert hand.woken == polled, "whoever waits is woken, once"
            assert hand.wakes <= 1
            self.states[place] = READY
        elif what == "drop":
            hand.future.drop()  # type: ignore[attr-defined]  # a SlotFuture
            if state == READY:
                self._over(place)
            else:
                self.states[place] = CANCELLING
                self.polled.discard(place)
        elif what == "cancel again":
            assert not table.cancel(x)
        elif what == "take":
            assert hand.poll() == x, "the result of another operation"
            self._over(place)
            _refused(table, slot, x)
        else:
            table.detach(slot)
            assert slot.value == x
            self._over(place)

    def _strays(self) -> None:
        """Ids that name nothing change nothing: of a lap ago, and of the lap to come."""
        before = self.form()
        for place in range(self.capacity):
            last = self.table._slots[place].x  # the last operation there
            over = last - self.capacity if place in self.open else last
            for x in (over, last + self.capacity):
                assert self.table.peek(x) is None, f"{x} names an operation that is not"
                assert not self.table.cancel(x)
                assert self.table.mark_ready([x]) == [x]
                try:
                    self.table.complete(x, x)
                except UnknownId:
                    continue
                raise AssertionError(f"a reply to {x}, which names nothing, was accepted")
        assert self.form() == before, "an id that names nothing changed something"

    def _over(self, place: int) -> None:
        del self.open[place], self.states[place]
        self.polled.discard(place)

    def check(self) -> None:
        table = self.table
        taken = table.taken()
        assert [slot.index for slot in taken] == sorted(self.open), "not the slots in use"
        free = [slot.index for slot in table.free]
        assert len(set(free)) == len(free), "a slot is free twice"
        assert set(free) | set(self.open) == set(range(self.capacity)), "a slot was lost"
        assert not set(free) & set(self.open), "a slot in use is free"
        ids = [slot.x for slot in taken]
        assert len(set(ids)) == len(ids), "an id of two operations"
        for slot in taken:
            assert self.open[slot.index][0] == slot.x
            assert self.states[slot.index] == slot.state
            polled = slot.index in self.polled
            assert (slot.waker is not None) == (polled and slot.state == WAITING)

    def form(self) -> Hashable:
        table = self.table
        places: list[tuple[int, bool, bool] | None] = [None] * self.capacity
        for slot in table.taken():
            places[slot.index] = slot.state, slot.waker is not None, slot.index in self.polled
        free = tuple(slot.index for slot in table.free)
        return tuple(places), free, table._last % self.capacity

    def kinds(self) -> Iterable[str]:
        if not self.open:
            yield REST
        if self.table.full:
            yield "full"
        if self.skipped:
            yield "ids skipped"
        if self.late:
            yield "late reply"
        if CANCELLING in self.states.values():
            yield "cancelling"
        if len(self.states) == self.capacity and set(self.states.values()) == {CANCELLING}:
            yield "full of cancelled"
        if len(set(self.states.values())) == 3:
            yield "in three states"


def _refused(table: SlotTable[int], slot: Slot[int], x: int) -> None:
    try:
        table.take(slot, x)
    except TakenTwice:
        return
    raise AssertionError("a result was taken twice")
