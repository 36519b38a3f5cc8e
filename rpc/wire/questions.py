"""Questions: the calls that this side has made, one for each slot, the mirror of the answers.

A question is the slot of its call (`pinfut.slots`), and knows all that its answer will need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

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


@final
class Questions(SlotTable[Any]):
    """The questions of one side: N of them."""

    __slots__ = ()

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity, Question)

    if TYPE_CHECKING:  # every slot here is a question

        def acquire(self) -> Question: ...
        def find(self, x: int) -> Question: ...
        def peek(self, x: int) -> Question | None: ...
        def taken(self) -> list[Question]: ...  # type: ignore[override]
