"""LanePages: the pages of one direction of a session, as the kernel has them.

A lane is one region; small answers take a page each, bought as concurrency rises, and larger
ones a region. Those between two uses are kept, and go back when the bank runs short.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.errors import OutOfPages
from pinfut.rpc.memory.pages import Region, pages_for
from pinfut.rpc.memory.ring import ring_bytes


def lane_bytes(slots: int, ring: int) -> int:
    """Bytes of the completions and the ring. Raises ValueError for a ring whose capacity is no
    power of two."""
    return 8 * (1 + slots) + ring_bytes(ring)


@final
class LanePages:
    """All memory of one direction, paid by `bank`: a `pinfut.rpc.memory.lane.LaneMemory`.

    `slots`: how many calls may be open at once. `ring`: capacity in bytes, a power of two.
    `cell`: bytes of a small answer. `on_short`: gives up what is not in use elsewhere, too;
    whether there was any. Raises OutOfPages; then nothing was bought.
    """

    __slots__ = (
        "_bank", "_large", "_numbers", "_on_short", "_pages", "_ring", "_size", "_slots", "_spare",
    )  # fmt: skip

    def __init__(
        self,
        bank: Bank,
        slots: int,
        ring: int,
        cell: int,
        on_short: Callable[[], bool] | None = None,
    ) -> None:
        if cell < 64 or PAGE % cell:
            raise ValueError(f"a cell's size divides {PAGE} and is at least 64, not {cell}")
        self._bank = bank
        self._on_short = on_short
        self._size = lane_bytes(slots, ring)
        self._slots = slots
        self._pages: list[Region] = []
        # By number: the regions in use, and the numbers of those that are in none.
        self._large: list[Region | None] = []
        self._numbers: list[int] = []
        # Regions between two uses, by their number of pages.
        self._spare: dict[int, list[Region]] = {}
        self._ring = self._buy(pages_for(self._size), "the ring of a session")

    # ---- what the two sides ask for ----

    def lane(self) -> memoryview:
        return self._ring.view()[: self._size]

    def grow(self) -> memoryview:
        page = self._buy(1)
        self._pages.append(page)
        return page.view()

    def reserve(self, pages: int, /) -> tuple[int, memoryview]:
        region = self._find_spare(pages) or self._buy(pages)
        if self._numbers:
            number = self._numbers.pop()
            self._large[number] = region
        else:
            number = len(self._large)
            self._large.append(region)
        return number, region.view()

    def release(self, number: int, /) -> None:
        """A region is between two uses."""
        region = self._large[number]
        assert region is not None, "a place was released twice"
        self._large[number] = None
        self._numbers.append(number)
        self._spare.setdefault(region.pages, []).append(region)

    def trim(self) -> bool:
        """Give the regions that are between two uses back; whether there were any."""
        spares = [region for regions in self._spare.values() for region in regions]
        self._spare.clear()
        for region in spares:
            _free(region)
        return bool(spares)

    def page(self, number: int, /) -> memoryview | None:
        return self._pages[number].view() if 0 <= number < len(self._pages) else None

    def region(self, number: int, /) -> memoryview | None:
        region = self._large[number] if 0 <= number < len(self._large) else None
        return None if region is None else region.view()

    # ---- for the kernel ----

    @property
    def counts(self) -> tuple[int, int, int]:
        """What its shared words say: bytes written, bytes read, answers given."""
        words = self._ring.buffer[: self._size & -8].cast("Q")
        return words[1 + self._slots], words[2 + self._slots], words[0]

    @property
    def memories(self) -> list[memoryview]:
        """All shared bytes, the lane first, to see what was written."""
        regions = (self._ring, *self._pages, *self._large)
        return [region.buffer for region in regions if region is not None]

    def free(self) -> None:
        """Give all pages back. Idempotent."""
        self._on_short = None
        self.trim()
        for region in (self._ring, *self._pages, *self._large):
            if region is not None and region.pages:
                _free(region)
        self._pages.clear()
        self._large.clear()
        self._numbers.clear()

    def _find_spare(self, pages: int) -> Region | None:
        """The smallest region between two uses that is large enough, if it is not far too
        large: memory that is paid for, and at hand without buying."""
        fitting = [size for size, regions in self._spare.items() if regions and size >= pages]
        smallest = min(fitting, default=0)
        return self._spare[smallest].pop() if 0 < smallest <= 4 * pages else None

    def _buy(self, pages: int, why: str = "the memory for answers") -> Region:
        try:
            region = Region(self._bank, pages, why)
        except OutOfPages:
            if not (self._on_short or self.trim)():
                raise
            region = Region(self._bank, pages, why)
        # Both sides read and write here: it stays until both have let go, whatever the bank does.
        region.pin()
        return region


def _free(region: Region) -> None:
    region.unpin()
    region.free()
