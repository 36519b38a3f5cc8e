"""Questions: the calls that this side has made, one for each slot, the mirror of the answers.

A question is the slot of its call (`pinfut.slots`), and knows all that its answer will need."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, cast, final

from pinfut.payers import off_call
from pinfut.rpc.wire.frames import Cap
from pinfut.slots import Slot, SlotTable


@final
class Question(Slot[Any]):
    """One call that this side has made. Made once for each slot and used again."""

    __slots__ = ("decode_eagerly", "pipelined_on", "place", "sent_caps", "settles")

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.place = 0  # where the answer will be; the holder's, once the question is detached
        # Invariant: the rest is set only until the answer has been read. The target that it
        # will settle, and the promise that the call was made on.
        self.settles: Any = None
        self.pipelined_on: Any = None
        # What was handed out in the arguments, until it is known that it was taken.
        self.sent_caps: tuple[Cap, ...] = ()
        # The method, for an answer with capabilities: what it names is held only until Finish,
        # so it is read before the slot goes to another call.
        self.decode_eagerly: Any = None


@final
class Questions(SlotTable[Any]):
    """The questions of one side: `size` of the N, the lowest, made when the first is asked. Most
    servers ask none. N stays what ids are counted by."""

    __slots__ = ("idle", "size")

    def __init__(self, capacity: int) -> None:
        self.capacity = self.size = capacity
        self._make = Question
        self._last = -1
        self._slots: list[Slot[Any]] = []
        self.free: deque[Slot[Any]] = cast("deque[Slot[Any]]", ())  # until there are any
        # Free ones that are not to be used, because they are to go.
        self.idle: list[Slot[Any]] = []

    def __len__(self) -> int:
        return super().__len__() - len(self.idle)

    @property
    def full(self) -> bool:
        return bool(self._slots) and not self.free

    def _none_free(self) -> Slot[Any]:
        if self._slots:
            return super()._none_free()
        # What this side writes down is paid with the slots.
        off_call(self.resize, self.size, True)
        return self.free[0]

    def narrow(self, size: int) -> bool:
        """Use none from `size` on any more, until `resize`; whether none of them is taken."""
        self.idle += [one for one in self.free if one.index >= size]
        self.free = deque(one for one in self.free if one.index < size)
        return len(self.idle) == max(0, len(self._slots) - size)

    def resize(self, size: int, make: bool = False) -> None:
        """Have so many. What goes is free, and `narrow` has said so."""
        if make or self._slots:
            fresh = [Question(index) for index in range(len(self._slots), size)]
            self.free = deque(one for one in (*self.free, *self.idle, *fresh) if one.index < size)
            self.idle.clear()
            del self._slots[size:]
            self._slots += fresh
        self.size = size

    if TYPE_CHECKING:  # every slot here is a question

        def acquire(self) -> Question: ...
        def find(self, x: int) -> Question: ...
        def peek(self, x: int) -> Question | None: ...
        def taken(self) -> list[Question]: ...  # type: ignore[override]
