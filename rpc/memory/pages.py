"""Regions: whole pages, bought from a bank, that two processes can map."""

from __future__ import annotations

from typing import final

from pinfut.rpc import prices
from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.bank.owned import STACK, Owned
from pinfut.rpc.errors import SessionDead
from pinfut.stack import require_stack


@final
class Region(Owned):
    """`pages` contiguous pages, zeroed, paid by `bank` until `free`. However many pages it has, it
    is one mapping. While it is pinned it can be neither freed, cut nor given away. Raises
    OutOfPages when the bank cannot pay; then there is no region."""

    __slots__ = ("buffer", "generation", "holds", "mappings", "pages", "sharers")

    def __init__(self, bank: Bank, pages: int, why: str = "a region") -> None:
        require_stack(STACK)
        bank.acquire(pages, why=why)
        try:
            memory = bytearray(pages * PAGE)
        except MemoryError:
            bank.refund(pages)
            raise
        self._begin(bank, pages, memory)

    def _begin(self, bank: Bank, pages: int, memory: bytearray) -> None:
        super().__init__(bank)
        # Invariant: 0 once freed.
        self.pages = pages
        # Counts up when the pages go; what was made of an older generation names nothing.
        self.generation = 0
        # How many processes have it in their address space: one entry each.
        self.mappings = 0
        # How many capabilities to it were handed out and not dropped, this one among them.
        self.sharers = 1
        # Invariant: by bank, who pays for these pages beside their owner; None before the first.
        self.holds: dict[Bank, Hold] | None = None
        # New memory is zeroed by the interpreter, so nothing of a former owner shows.
        self.buffer = memoryview(memory)

    def view(self) -> memoryview:
        """The pages for one more process: nothing is shared with other views but the bytes."""
        return memoryview(self.buffer.obj)

    def share(self) -> PageCap:
        """Another capability to these pages; it dies with them."""
        self.sharers += 1
        return PageCap(self)

    def map(self, mapper: Bank) -> Mapping:
        """Put the region into an address space: one entry for all of its pages, which the bank
        of the one who maps it pays. Raises OutOfPages and BankDead."""
        return Mapping(self, mapper)

    def hold(self, bank: Bank) -> Hold:
        """These pages for `bank` too, which pays for all of them, once however often it takes
        hold. Raises SessionDead for pages that are gone, OutOfPages and BankDead."""
        if not self.pages:
            raise SessionDead("these pages were taken back; nobody can take hold of them")
        hold = self.holds.get(bank) if self.holds else None
        if hold is None:
            hold = Hold(self, bank)
        hold.count += 1
        return hold

    def extract(self, first: int, count: int) -> Region:
        """Take `count` pages out of the region as one of their own, with what is in them. The
        bank pays for the same pages as before; capabilities to the region die, since what they
        named is two things now.

        Raises Pinned while anybody uses the region, and ValueError for pages that it has not,
        or for all of them."""
        self.require_unpinned()
        require_stack(STACK)
        if not (0 <= first and 1 <= count < self.pages and first + count <= self.pages):
            raise ValueError(f"pages {first} to {first + count} of a region of {self.pages}")
        bank = self.bank
        start, end = first * PAGE, (first + count) * PAGE
        part = bytearray(self.buffer[start:end])
        rest = bytearray(self.buffer[:start]) + self.buffer[end:]
        taken = object.__new__(Region)
        taken._begin(bank, count, part)
        self.pages -= count
        self._renew(memoryview(rest))
        return taken

    def move(self, to: Bank) -> None:
        """Another bank owns and pays for the region from now on; the first is refunded. Raises
        Pinned, OutOfPages and BankDead; then nothing has changed."""
        self.require_unpinned()
        move_batch([self], to)

    def free(self) -> None:
        """Give the pages back, once; the buffer is empty afterwards and every capability to
        them is dead. Raises Pinned while somebody uses them."""
        if self.pages:
            self.require_unpinned()
            require_stack(STACK)
            self._reclaim()

    def change_owner(self, to: Bank) -> None:
        """Stand in the list of another bank, which has been debited for it."""
        self.leave_bank()
        self._bank = to
        to.objects.add(self)
        self._renew(self.buffer)

    def _renew(self, buffer: memoryview) -> None:
        self.generation += 1
        self.sharers = 1
        self.buffer = buffer

    def _reclaim(self) -> None:
        pages, self.pages = self.pages, 0
        bank = self.bank
        self.leave_bank()
        self._renew(memoryview(b""))
        bank.refund(pages)

    def __repr__(self) -> str:
        return f"<Region of {self.pages} pages, paid by {self._bank.name!r}>"


@final
class Hold(Owned):
    """The pages of a region for one more bank, which pays for all of them. They stay, with what is
    in them, until it has released them as often as it took hold: whatever their owner does."""

    __slots__ = ("_keeper", "_memory", "_pages", "_region", "count")

    def __init__(self, region: Region, bank: Bank) -> None:
        require_stack(STACK)
        bank.keep(prices.HOLD, "a hold on pages")
        try:
            bank.acquire(region.pages, why="pages that are held")
        except BaseException:
            bank.forget(prices.HOLD)
            raise
        super().__init__(bank)
        self._keeper = bank
        self._memory = region.buffer
        self._pages = region.pages
        self._region = region
        self.count = 0  # how often it was taken and not released
        if region.holds is None:
            region.holds = {}
        region.holds[bank] = self

    def get(self) -> memoryview:
        """The memory. Raises SessionDead once it was released, or its bank destroyed."""
        if not self.count:
            raise SessionDead("this hold is over")
        return self._memory

    def release(self) -> None:
        """One hold is over; with the last one all is refunded. Raises ValueError for more than
        were taken, and Pinned for the last while somebody uses it."""
        if not self.count:
            raise ValueError("a hold was released more often than taken")
        if self.count == 1:
            self.require_unpinned()
            require_stack(STACK)
            self._reclaim()
        else:
            self.count -= 1

    def _reclaim(self) -> None:
        holds = self._region.holds
        assert holds is not None
        del holds[self._keeper]
        self.count = 0
        self._memory = memoryview(b"")
        bank = self.bank
        self.leave_bank()
        bank.refund(self._pages)
        self._keeper.forget(prices.HOLD)

    def __repr__(self) -> str:
        return f"<Hold on {self._pages} pages, paid by {self._bank.name!r}>"


@final
class Mapping:
    """A region in an address space, until `unmap`; it shows nothing once its pages are gone."""

    __slots__ = ("_cap", "_mapper")

    def __init__(self, region: Region, mapper: Bank) -> None:
        require_stack(STACK)
        mapper.keep(prices.MAPPING, "a mapping")
        region.mappings += 1
        self._mapper: Bank | None = mapper
        self._cap = PageCap(region)

    @property
    def memory(self) -> memoryview:
        """What is mapped. Raises SessionDead once it is not, or its pages are gone."""
        if self._mapper is None:
            raise SessionDead("this was unmapped")
        return self._cap.get()

    def unmap(self) -> None:
        """Take it out of the address space again, and refund its entry. Idempotent."""
        require_stack(STACK)
        mapper, self._mapper = self._mapper, None
        if mapper is not None:
            self._cap.region.mappings -= 1
            mapper.forget(prices.MAPPING)


@final
class PageCap:
    """A capability to the pages of a region: a region and a generation. It names nothing once
    these pages were freed, cut or given away, also when others stand in their place."""

    __slots__ = ("generation", "region")

    def __init__(self, region: Region) -> None:
        self.region = region
        self.generation = region.generation

    @property
    def alive(self) -> bool:
        """Whether the pages are still those that it was made for."""
        return self.region.generation == self.generation and self.region.pages > 0

    def get(self) -> memoryview:
        """The memory. Raises SessionDead when it is gone."""
        if not self.alive:
            raise SessionDead("these pages were taken back; what they held is gone")
        return self.region.buffer

    def drop(self) -> None:
        """Give the capability up. Idempotent."""
        if self.alive:
            self.region.sharers -= 1
        self.generation = -1


def move_batch(regions: list[Region], to: Bank) -> None:
    """Another bank owns these regions from now on, all of them or none; nothing is copied, and no
    page is paid twice in the end. Raises Pinned, OutOfPages, BankDead, and ValueError for a region
    twice or a freed one."""
    if len({id(one) for one in regions}) < len(regions) or not all(r.pages for r in regions):
        raise ValueError("each region is moved once, and has pages")
    for one in regions:
        one.require_unpinned()
    require_stack(STACK)
    # Sold first: between banks with one ancestor the machine need not have them twice.
    before = [(one.bank, one.pages) for one in regions]
    for bank, pages in before:
        bank.refund(pages)
    try:
        to.acquire(sum(pages for _, pages in before), why="memory that is handed over")
    except BaseException:
        for bank, pages in before:
            bank.take_back(pages)
        raise
    for one in regions:
        one.change_owner(to)


def pages_for(count: int) -> int:
    """How many pages `count` bytes take."""
    return -(-count // PAGE)
