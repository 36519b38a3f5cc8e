"""LanePages: the pages of one direction of a session, as the kernel has them.

A generation of the lane is one region; small answers take a page each, bought as concurrency
rises, and larger ones a region. Those between two uses are kept, and go back when the bank runs
short. What both sides keep for each slot is paid here too, for the most slots of the generations
that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from pinfut.rpc import prices
from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.bank.owned import STACK
from pinfut.rpc.bank.share import Share
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.errors import OutOfPages
from pinfut.rpc.memory.pages import Region, pages_for
from pinfut.rpc.memory.ring import LAST, ring_bytes
from pinfut.stack import require_stack


def lane_bytes(slots: int, ring: int) -> int:
    """Bytes of the completions and the ring. Raises ValueError for a ring whose capacity is no
    power of two."""
    return 8 * (1 + slots) + ring_bytes(ring)


def tables_of(slots: int) -> int:
    """Pages that what both sides keep for so many slots is paid with."""
    return pages_for(slots * prices.SLOT)


@final
class _Generation:
    """Completions and ring; and the pages for answers that go with it."""

    __slots__ = ("gone", "region", "size", "slots")

    def __init__(self, region: Region, slots: int, size: int) -> None:
        self.region = region
        self.slots = slots
        self.size = size
        self.gone: list[Region] = []

    def view(self) -> memoryview:
        return self.region.view()[: self.size]


@final
class LanePages:
    """All memory of one direction, paid by `bank`: a `pinfut.rpc.memory.lane.LaneMemory`. `spec`:
    the most slots, the largest ring, and bytes of a small answer. `on_short`: gives up what is not
    in use elsewhere, too; whether there was any. Raises OutOfPages, and ValueError for sizes that
    make no sense; then nothing was bought."""

    __slots__ = (
        *("_at", "_bank", "_generations", "_large", "_numbers", "_on_short", "_pages", "_spare"),
        *("_spec", "_tables"),
    )

    def __init__(
        self, bank: Bank, spec: SessionSpec, on_short: Callable[[], bool] | None = None
    ) -> None:
        if spec.cell < 64 or PAGE % spec.cell:
            raise ValueError(f"a cell's size divides {PAGE} and is at least 64, not {spec.cell}")
        ring_bytes(spec.ring)
        self._bank = bank
        self._spec = spec
        self._on_short = on_short
        self._pages: list[Region] = []
        # By number: the regions in use, and the numbers of those that are in none.
        self._large: list[Region | None] = []
        self._numbers: list[int] = []
        # Regions between two uses, by their number of pages.
        self._spare: dict[int, list[Region]] = {}
        # Oldest first, the newest being written to; and at which the callee is, and the caller.
        self._generations: list[_Generation] = []
        self._at = [0, 0]
        # What the slots are paid with.
        self._tables = Share(bank)
        self._tables.on_short = self._give_up
        self._tables.pin()
        try:
            self._begin(*spec.first)
        except BaseException:
            self.free()
            raise

    # ---- what the two sides ask for ----

    def lane(self) -> tuple[memoryview, int]:
        first = self._generations[0]
        return first.view(), first.slots

    def resize(self, slots: int, ring: int, pages: int, /) -> memoryview:
        if not (1 <= slots <= self._spec.slots and ring <= self._spec.ring):
            raise ValueError(f"{slots} slots and a ring of {ring} bytes: more than asked for")
        require_stack(2 * STACK)
        left = self._generations[-1]
        memory = self._begin(slots, ring)
        left.gone, self._pages[pages:] = self._pages[pages:], []
        return memory

    def _begin(self, slots: int, ring: int) -> memoryview:
        size = lane_bytes(slots, ring)
        self._pay(slots)
        try:
            region = self._buy(pages_for(size), "the ring of a session")
        except BaseException:
            self._pay()
            raise
        self._generations.append(_Generation(region, slots, size))
        return self._generations[-1].view()

    def _pay(self, slots: int = 0) -> None:
        """Have as much paid as so many slots take, and those of all generations. Raises
        OutOfPages; nothing has changed then."""
        most = max(slots, 0, *(one.slots for one in self._generations))
        more = tables_of(most) - self._tables.pages
        if more > 0:
            self._tables.buy(more, 0, "the slots of a session")
        else:
            self._tables.sell(-more, 0)

    def follow(self, caller: bool, /) -> tuple[memoryview, int] | None:
        at = self._at[caller] + 1
        if at == len(self._generations):
            return None
        require_stack(2 * STACK)
        self._at[caller] = at
        here = self._generations[at]
        left = min(self._at)
        if left:
            for one in self._generations[:left]:
                for region in (one.region, *one.gone):
                    _free(region)
            del self._generations[:left]
            self._at = [at - left for at in self._at]
            self._pay()
        return here.view(), here.slots

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
        if spares:
            require_stack(2 * STACK)
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
        counts = []
        for one in self._generations:
            words = one.view()[: 8 * (3 + one.slots)].cast("Q")
            counts.append([words[at] & ~LAST for at in (1 + one.slots, 2 + one.slots, 0)])
        written, read, given = map(max, zip(*counts, strict=True))
        return written, read, given

    @property
    def slots(self) -> int:
        """How many the newest generation has."""
        return self._generations[-1].slots

    @property
    def memories(self) -> list[memoryview]:
        """All shared bytes, to see what was written: the newest generation first."""
        lanes = [one.region for one in reversed(self._generations)]
        regions = (*lanes, *self._pages, *self._large)
        return [region.buffer for region in regions if region is not None]

    def free(self) -> None:
        """Give all pages back. Idempotent."""
        self._on_short = None
        self.trim()
        for one in self._generations:
            self._pages += (one.region, *one.gone)
        for region in (*self._pages, *self._large):
            if region is not None:
                _free(region)
        self._generations.clear()
        self._pages.clear()
        self._large.clear()
        self._numbers.clear()
        self._tables.seize()

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
            if not self._give_up():
                raise
            region = Region(self._bank, pages, why)
        # Both sides read and write here: it stays until both have let go, whatever the bank does.
        region.pin()
        return region

    def _give_up(self) -> bool:
        """Give up what is not in use; whether there was any."""
        return (self._on_short or self.trim)()


def _free(region: Region) -> None:
    region.unpin()
    region.free()
