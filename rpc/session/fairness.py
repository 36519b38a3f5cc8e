"""FairQueue: in which order the ready sessions of a process are looked at, and for how long.

Three levels, each a queue in which a session stands once and behind the others. The
highest level goes first, and of every eight looks one is for the lowest that is ready and
one for the middle, so that a flood above delays what is below and never stops it. A client
asks for its level, and a service may give less (`serve(priority=)`): a level costs nothing, so
otherwise everybody would be in the highest.

A look ends after `BUDGET` messages or when the session's credit is used up, whichever comes
first (deficit round robin). Credit is bytes: `QUANTUM` for each look, nothing saved once the
session has nothing more, and a message that was longer than the credit is paid off in later
looks. What may be many things when it is decoded costs credit, too: for what is paid for it in
advance, and for each thing that is weighed. So of sessions that are ready all the time, each has
the same share, however long or dense its messages are. A message is handled whole, so a look takes
its credit and one message more."""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar, final

from pinfut.executor.contract import Priority
from pinfut.tables import tidied

K = TypeVar("K")

BUDGET: Final = 64
"""The most messages of one look: a message costs, also when it is empty."""

QUANTUM: Final = 16_384
"""Bytes of one look."""

CHUNK: Final = QUANTUM // 4
"""Bytes that are read at a time. What the credit does not reach to is put back."""

RING: Final = 256
"""Bytes that a step from one ring to the next counts as."""

THING: Final = QUANTUM // 256
"""Bytes of credit for a thing in arguments that are weighed, about twice what it takes beside a
message: the look that ends with a long message has that much to spare."""

ADVANCE: Final = 16
"""Bytes that arguments may become, for each byte of credit: they are bought, decoded and sold."""

CAP_BYTES: Final = 16
"""Bytes of credit for a capability that goes with a message."""

TURN: Final = 32
"""How many looks before other tasks of the process have their turn."""

LEVELS: Final[dict[Priority, int]] = {"high": 0, "normal": 1, "low": 2}


def level_of(priority: Priority) -> int:
    """The level of a priority. Raises ValueError for what is none."""
    level = LEVELS.get(priority)
    if level is None:
        raise ValueError(f"a priority is 'high', 'normal' or 'low', not {priority!r}")
    return level


@final
class FairQueue(Generic[K]):
    """What is ready, by level. Every operation is O(1), whatever is idle."""

    __slots__ = ("_levels", "_looks", "_standing")

    def __init__(self) -> None:
        self._levels: tuple[deque[K], deque[K], deque[K]] = deque(), deque(), deque()
        # Invariant: what stands in one of the queues; each thing stands once.
        self._standing: set[K] = set()
        self._looks = 0

    def __bool__(self) -> bool:
        return bool(self._standing)

    def __len__(self) -> int:
        return len(self._standing)

    def put(self, thing: K, level: int) -> None:
        """`thing` is ready: behind the others of its level, unless it stands there already."""
        if thing not in self._standing:
            self._standing.add(thing)
            self._levels[level].append(thing)

    def tidy(self) -> None:
        """Many things may have gone for good: give up the room that they took."""
        self._standing = tidied(self._standing)

    def pick(self) -> K:
        """Whose look is next. Raises IndexError when nothing is ready."""
        high, normal, low = self._levels
        self._looks = turn = self._looks + 1 & 7
        if turn == 0:
            queue = low or normal or high
        elif turn == 4:
            queue = normal or high or low
        else:
            queue = high or normal or low
        thing = queue.popleft()
        self._standing.discard(thing)
        return thing
