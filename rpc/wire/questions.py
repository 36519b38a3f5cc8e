"""Questions: the calls that this side has made, one for each slot, the mirror of the answers.

A question is the slot of its call (`pinfut.slots`), and knows all that its answer will need.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, final

from pinfut.rpc.wire.frames import Cap
from pinfut.slots import Slot, SlotTable


@final
class Question(Slot[Any]):
    """One call that this side has made. Made once for each slot and used again."""

    __slots__ = ("decode_eagerly", "pipelined_on", "place", "sent_caps", "settles")

    def __init__(self, index: int) -> None:
        super().__init__(index)
        # Where the answer will be; the holder's, once the question is detached.
        self.place = 0
        # Invariant: the rest is set only until the answer has been read. The target that it
        # will settle, and the promise that the call was made on.
        self.settles: Any = None
        self.pipelined_on: Any = None
        # What was handed out in the arguments, until it is known that it was taken.
        self.sent_caps: tuple[Cap, ...] = ()
        # The method, for an answer with capabilities: what it names is held only until Finish,
        # so it is read before the slot goes to another call.
        self.decode_eagerly: Any = None


_NONE: Final[deque[Slot[Any]]] = deque()
"""What is free of a table whose questions are not made. Nobody puts anything in."""


@final
class Questions(SlotTable[Any]):
    """The questions of one side: N of them, made when the first is asked. Most servers ask none."""

    __slots__ = ("_made",)

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._make = Question
        self._last = -1
        # Until then one stands for all: FREE, no call's, and not to be had.
        self._slots: list[Slot[Any]] = [Question(0)] * capacity
        self.free = _NONE
        self._made = False

    def __len__(self) -> int:
        return super().__len__() if self._made else 0

    @property
    def full(self) -> bool:
        return self._made and not self.free

    def _none_free(self) -> Slot[Any]:
        if self._made:
            return super()._none_free()
        slots: list[Slot[Any]] = [Question(index) for index in range(self.capacity)]
        self.free = deque(slots)
        self._slots = slots
        self._made = True
        return slots[0]

    if TYPE_CHECKING:  # every slot here is a question

        def acquire(self) -> Question: ...
        def find(self, x: int) -> Question: ...
        def peek(self, x: int) -> Question | None: ...
        def taken(self) -> list[Question]: ...  # type: ignore[override]
