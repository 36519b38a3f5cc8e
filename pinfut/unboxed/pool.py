"""Pool: frames of one function, used again and again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, TypeVar, final

from pinfut.payers import current
from pinfut.unboxed.binding import starter
from pinfut.unboxed.frame import Frame, FreeList, frame_size
from pinfut.unboxed.unit import unit_of

P = ParamSpec("P")
T = TypeVar("T")


def start(free_list: FreeList, args: list[Any]) -> Frame[Any]:
    """Begin a call in a frame of `free_list`, or a new one. For the `begin` of a pool."""
    idle = free_list.idle
    if idle:
        frame = idle.pop()
        # Held by nobody but `frame` and getrefcount: one that is held elsewhere stays done.
        if sys.getrefcount(frame) != 2:
            frame = Frame(free_list.size, free_list)
    else:
        frame = Frame(free_list.size, free_list)
    generator = frame._generator
    if generator is None:
        if current()[0] is not free_list.payer:
            frame = Frame(free_list.size)  # who pays here has it, and the pool never
        generator = frame.prepare(free_list.unit)
    if frame._free_list is not None:
        free_list.taken = taken = free_list.taken + 1
        if taken > free_list.high_water:
            free_list.high_water = taken
    frame.busy = True
    frame.__next__ = generator.asend(args).__next__  # type: ignore[attr-defined]
    return frame


@final
class Pool(Generic[P, T]):
    """Frames of one function, used again and again: ``frames = pool(f); await frames.begin(x)``.
    It grows to what was needed at once, up to `bound` idle frames; one more than that is freed
    when it comes back."""

    __slots__ = ("_free_list", "begin")

    def __init__(self, function: Callable[P, Coroutine[Any, Any, T]], bound: int = 64) -> None:
        """Raises TypeError if `function` is not unboxed, ValueError for a bound below 0."""
        if bound < 0:
            raise ValueError(f"a pool keeps 0 frames or more, not {bound}")
        unit = unit_of(function)
        self._free_list = free_list = FreeList(unit, frame_size(unit), bound)
        # Begin a call in a frame of the pool, or a new one. It comes back when the call ends,
        # in whatever way. Raises TypeError when the arguments do not fit.
        self.begin: Callable[P, Frame[T]] = starter(unit, start, free_list)

    @property
    def size(self) -> int:
        """Bytes of each frame: what is charged for one."""
        return self._free_list.size

    @property
    def bound(self) -> int:
        """The most idle frames that it keeps."""
        return self._free_list.bound

    @property
    def taken(self) -> int:
        """Frames that are in use."""
        return self._free_list.taken

    @property
    def high_water(self) -> int:
        """The most frames that ever were in use at once."""
        return self._free_list.high_water

    def __len__(self) -> int:
        return len(self._free_list.idle)

    def __del__(self) -> None:
        # Idle frames know their free list, and that knows them.
        free_list = getattr(self, "_free_list", None)
        if free_list is not None:
            free_list.bound = 0
            free_list.idle.clear()


pool = Pool
