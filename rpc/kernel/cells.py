"""Cells: the memory that a caller reserves for answers, where they are written in place.

Small answers lie in cells of one size, bought a page at a time as concurrency rises;
a larger one gets a region of its own. A place is an integer that travels with the call.
"""

from __future__ import annotations

from typing import Final, final

from pinfut.rpc.errors import GarbageFrame, OutOfPages
from pinfut.rpc.kernel.bank import PAGE, Bank
from pinfut.rpc.kernel.pages import Region, pages_for

_LARGE: Final = 1 << 31
"""Places from here on are regions of their own."""


@final
class Cells:
    """The answer memory of one direction of a session; `size` bytes for a small cell."""

    __slots__ = (
        "_bank",
        "_free_large",
        "_large",
        "_pages",
        "_spare",
        "free_small",
        "size",
        "small",
    )

    def __init__(self, bank: Bank, size: int) -> None:
        if size < 64 or PAGE % size:
            raise ValueError(f"a cell's size divides {PAGE} and is at least 64, not {size}")
        self._bank = bank
        self.size = size
        self._pages: list[Region] = []
        # By place: the memory, where the cell begins in it, and its size.
        self.small: list[tuple[memoryview, int, int]] = []
        # Free small cells, the last used first, so that only as much memory is bought as
        # there were answers at one time.
        self.free_small: list[int] = []
        self._large: list[Region | None] = []
        self._free_large: list[int] = []
        # Regions between two uses, by their number of pages.
        self._spare: dict[int, list[Region]] = {}

    def reserve(self, room: int) -> int:
        """A place for an answer of up to `room` bytes. Raises OutOfPages."""
        if room <= self.size:
            if not self.free_small:
                self._grow()
            return self.free_small.pop()
        pages = pages_for(room)
        region = self._find_spare(pages) or self._buy(pages)
        if self._free_large:
            index = self._free_large.pop()
            self._large[index] = region
        else:
            index = len(self._large)
            self._large.append(region)
        return _LARGE + index

    def release(self, place: int) -> None:
        """The answer at `place` has been taken: the place may be used again."""
        if place < _LARGE:
            self.free_small.append(place)
            return
        index = place - _LARGE
        region = self._large[index]
        assert region is not None, "a place was released twice"
        self._large[index] = None
        self._free_large.append(index)
        self._spare.setdefault(region.pages, []).append(region)

    def write(self, place: int, frame: bytes) -> None:
        """Write an answer in place. Raises GarbageFrame for a place that does not exist or
        is too small, which only a hostile caller names."""
        try:
            buffer, start, room = self.small[place]
        except IndexError:
            buffer, start, room = self.large(place)
        length = len(frame)
        if length > room:
            raise GarbageFrame(f"place {place:#x} has {room} bytes, the answer {length}")
        buffer[start : start + length] = frame

    def read(self, place: int) -> bytes:
        """A copy of the answer at `place`, which begins with its length in 32 bits.

        Raises GarbageFrame for a length beyond the place.
        """
        try:
            buffer, start, room = self.small[place]
        except IndexError:
            buffer, start, room = self.large(place)
        length = int.from_bytes(buffer[start : start + 4], "little")
        if not 4 <= length <= room:
            raise GarbageFrame(f"an answer of {length} bytes in a place of {room}")
        return buffer[start : start + length].tobytes()

    def large(self, place: int) -> tuple[memoryview, int, int]:
        """Where a large answer lies. Raises GarbageFrame for a place that does not exist."""
        index = place - _LARGE
        if 0 <= index < len(self._large):
            region = self._large[index]
            if region is not None:
                return region.buffer, 0, region.pages * PAGE
        raise GarbageFrame(f"there is no place {place:#x} for an answer")

    def memories(self) -> list[memoryview]:
        """All memory for answers, for whoever wants to see what was written."""
        regions = (*self._pages, *self._large)
        return [region.buffer for region in regions if region is not None]

    def trim(self) -> bool:
        """Give the regions that are between two uses back; whether there were any."""
        found = False
        for regions in self._spare.values():
            for region in regions:
                found = True
                _free(region)
        self._spare.clear()
        return found

    def free(self) -> None:
        """Give all pages back."""
        self.trim()
        for region in (*self._pages, *self._large):
            if region is not None:
                _free(region)
        self.small.clear()
        self._pages.clear()
        self._large.clear()
        self.free_small.clear()
        self._free_large.clear()

    def _grow(self) -> None:
        page = self._buy(1)
        self._pages.append(page)
        first = len(self.small)
        self.small += [(page.buffer, start, self.size) for start in range(0, PAGE, self.size)]
        self.free_small.extend(range(len(self.small) - 1, first - 1, -1))

    def _find_spare(self, pages: int) -> Region | None:
        """The smallest region between two uses that is large enough, if it is not far too
        large: memory that is paid for, and at hand without the kernel."""
        fitting = [size for size, regions in self._spare.items() if regions and size >= pages]
        smallest = min(fitting, default=0)
        return self._spare[smallest].pop() if 0 < smallest <= 4 * pages else None

    def _buy(self, pages: int) -> Region:
        try:
            region = Region(self._bank, pages, "the memory for answers")
        except OutOfPages:
            if not self.trim():
                raise
            region = Region(self._bank, pages, "the memory for answers")
        # The other side writes here: it stays until both have let go, whatever the bank does.
        region.pin()
        return region


def _free(region: Region) -> None:
    region.unpin()
    region.free()
