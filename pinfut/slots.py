"""SlotTable: a fixed array of places where results are written (docs/slots.md).

The id of an operation is a counter x that only goes up, its slot is x mod N. For replies may come
in any order, x skips over slots that are still taken, and a reply names its whole x. States::

    FREE ──acquire──▶ WAITING ──complete──▶ READY ──take──▶ FREE
                        │
                        └──cancel──▶ CANCELLING ──complete──▶ FREE

and from READY by `detach` to DETACHED: the result is the holder's, the place free.
A cancelled slot is free only after `complete`: until then the other side may still write there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar, cast, final

from pinfut.core import accelerate
from pinfut.future import FutureBase
from pinfut.laws import TakenTwice
from pinfut.poll import PENDING, Context, Poll, Waker

T = TypeVar("T")

FREE: Final = 0
WAITING: Final = 1
READY: Final = 2
CANCELLING: Final = 3
DETACHED: Final = 4

MAX_ID: Final = (1 << 64) - 1
"""Ids are 64 bits wide; a table that has used them up takes no more operations."""


class SlotError(RuntimeError):
    """A slot was asked for what it cannot do."""


class SlotsFull(SlotError):
    """All N slots are taken: wait for a reply, or make the table larger."""


class UnknownId(SlotError):
    """An id names no operation in progress: never issued, finished, or of a reused slot."""


class DuplicateReply(SlotError):
    """An operation was completed a second time."""


class Slot(Generic[T]):
    """One place. `x` is the id of its operation, -1 before the first."""

    __slots__ = ("index", "state", "value", "waker", "x")

    def __init__(self, index: int) -> None:
        self.index = index  # Invariant: x mod N == index once x >= 0
        self.x = -1
        self.state = FREE
        # Invariant: set only while WAITING; the one waker to call on completion.
        self.waker: Waker | None = None
        self.value: T | None = None  # Invariant: set only while READY

    def __repr__(self) -> str:
        state = ("free", "waiting", "ready", "cancelling", "detached")[self.state]
        return f"<Slot {self.index}, x={self.x}, {state}>"


class SlotTable(Generic[T]):
    """N slots; `acquire` to `take` are O(1) whatever the order of the replies, and nothing here
    grows. `make`: makes the slot of an index, for a table whose slots have more to say."""

    __slots__ = ("_last", "_make", "_slots", "capacity", "free")

    def __init__(self, capacity: int, make: Callable[[int], Slot[T]] = Slot) -> None:
        if capacity < 1:
            raise ValueError(f"a SlotTable needs at least one slot, not {capacity}")
        self.capacity = capacity
        self._make = make
        self._slots: list[Slot[T]] = [make(i) for i in range(capacity)]
        # The longest free first: a slot rests before it is used again, and ids go up by one.
        self.free: deque[Slot[T]] = deque(self._slots)
        self._last = -1  # Invariant: every id ever issued is <= _last

    def __len__(self) -> int:
        """How many slots are taken."""
        return len(self._slots) - len(self.free)

    @property
    def full(self) -> bool:
        """Whether `acquire` would raise SlotsFull."""
        return not self.free

    def acquire(self) -> Slot[T]:
        """Take a slot; its ``x`` is the id to send. Raises SlotsFull."""
        try:
            slot = self.free[0]
        except IndexError:
            slot = self._none_free()
        # The smallest x above _last that falls on this slot.
        x = self._last + 1
        x += (slot.index - x) % self.capacity
        if x > MAX_ID:
            raise SlotsFull("all 64-bit ids are used up; open a new table")
        self.free.popleft()
        self._last = slot.x = x
        slot.state = WAITING
        return slot

    def _none_free(self) -> Slot[T]:
        """The slot to take all the same. Raises SlotsFull."""
        raise SlotsFull(f"all {self.capacity} slots are taken") from None

    def find(self, x: int) -> Slot[T]:
        """The taken slot of operation `x`. Raises UnknownId unless the whole id matches."""
        slot = self.peek(x)
        if slot is None:
            raise UnknownId(f"no operation {x} is in progress")
        return slot

    def peek(self, x: int) -> Slot[T] | None:
        """The taken slot of operation `x`, or None when that is over."""
        try:
            slot = self._slots[x % self.capacity]
        except IndexError:  # of a table that has not made all its slots
            return None
        return slot if slot.x == x and slot.state != FREE else None

    def complete(self, x: int, value: T) -> bool:
        """Write the result of `x` in place and wake the waiting task. False when the operation had
        been cancelled: the slot is free now, and `value` is the caller's to dispose of (law 7).
        Raises UnknownId, DuplicateReply."""
        slot = self._slots[x % self.capacity]
        if slot.state == WAITING and slot.x == x:
            slot.value = value
            slot.state = READY
            waker = slot.waker
            if waker is not None:
                slot.waker = None
                waker.wake()
            return True
        slot = self.find(x)
        if slot.state == CANCELLING:
            self.release(slot)
            return False
        raise DuplicateReply(f"operation {x} was completed already")

    def mark_ready(self, xs: list[int]) -> list[int]:
        """`complete` for many operations whose results lie in place already, outside of the
        table. Gives back those that were not simply waited for: unknown, cancelled, or
        completed before; nothing has happened to them. The first error of a waker is raised when
        all are woken."""
        first: BaseException | None = None
        slots, capacity = self._slots, self.capacity
        rest = []
        for x in xs:
            try:
                slot = slots[x % capacity]
            except IndexError:
                rest.append(x)
                continue
            if slot.state == WAITING and slot.x == x:
                slot.state = READY
                waker = slot.waker
                if waker is not None:
                    slot.waker = None
                    try:
                        waker.wake()
                    except BaseException as error:
                        first = first or error
            else:
                rest.append(x)
        if first is not None:
            try:
                raise first
            finally:
                del first
        return rest

    def take(self, slot: Slot[T], x: int) -> T:
        """The result of `x`; the slot is free afterwards. Raises TakenTwice."""
        if slot.x != x or slot.state != READY:
            raise TakenTwice(f"operation {x} has no result to take: {slot!r}")
        value = slot.value
        self.release(slot)
        return cast(T, value)

    def cancel(self, x: int) -> bool:
        """Give up operation `x`. True when an acknowledgement has to come before the slot
        is free; False when the result was there already and has been discarded, or when
        the operation is over."""
        slot = self._slots[x % self.capacity]
        if slot.x != x or slot.state in (FREE, CANCELLING):
            return False
        if slot.state == READY:
            self.release(slot)
            return False
        slot.state = CANCELLING
        slot.waker = None
        return True

    def release(self, slot: Slot[T]) -> None:
        """Make a taken slot free. Its id is never used again."""
        slot.state = FREE
        slot.value = None
        slot.waker = None
        self.free.append(slot)

    def detach(self, slot: Slot[T]) -> None:
        """Leave a READY slot to its holder, with its result, and free its place."""
        fresh = self._make(slot.index)
        fresh.x = slot.x
        self._slots[slot.index] = fresh
        self.free.append(fresh)
        slot.state = DETACHED

    def future(self, slot: Slot[T]) -> SlotFuture[T]:
        """The future of the operation that `slot` holds now."""
        return SlotFuture(self, slot)

    def taken(self) -> list[Slot[T]]:
        """The slots in use, in order of their place. O(N): for closing and for auditing."""
        return [slot for slot in self._slots if slot.state != FREE]


@final
class SlotFuture(FutureBase[T]):
    """The leaf that waits for a slot; dropping it cancels the operation."""

    __slots__ = ("_slot", "_table", "x")

    def __init__(self, table: SlotTable[T], slot: Slot[T]) -> None:
        self._table = table
        self._slot = slot
        self.x = slot.x

    def poll(self, cx: Context, /) -> Poll[T]:
        slot = self._slot
        if slot.x == self.x and slot.state == WAITING:
            slot.waker = cx.waker
            return PENDING
        return self._table.take(slot, self.x)

    def drop(self) -> None:
        self._table.cancel(self.x)


accelerate(globals())
