"""FreeList: the frames of a pool that no call uses."""

from __future__ import annotations

from typing import Generic, TypeVar, final

from pinfut.unboxed.unit import Unit

F = TypeVar("F")


@final
class FreeList(Generic[F]):
    """The idle frames of a pool, and how many are in use."""

    __slots__ = ("bound", "high_water", "idle", "size", "taken", "unit")

    def __init__(self, unit: Unit, size: int, bound: int) -> None:
        self.unit = unit
        # Bytes of each.
        self.size = size
        # Invariant: at most `bound` frames, each idle and scrubbed.
        self.idle: list[F] = []
        self.bound = bound
        # Frames that are in use, and the most that ever were.
        self.taken = 0
        self.high_water = 0

    def put(self, frame: F) -> None:
        """A call has ended in `frame`."""
        self.taken -= 1
        if len(self.idle) < self.bound:
            self.idle.append(frame)
