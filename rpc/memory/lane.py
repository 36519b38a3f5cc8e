"""Lane: one direction of a session in shared memory: calls one way, their answers back.

The caller (`RingSubmissions`) writes calls into the ring and reserves places for the answers.
The callee (`RingRequests`) reads the calls, writes each answer into its place and posts the
call's id to the completions, a ring of as many ids as there are slots, which therefore cannot
overflow. Each has views of its own of what both see, and nothing else of the other.

Completions and ring are one memory, a *generation*, which is never moved. For more slots or a
larger ring, or for less, the caller buys the next generation and writes on there; the callee goes
there when it has read all before, and posts from then on there; and the caller, when it has taken
all ids before. What both have left goes back to the bank.

Small answers lie in cells of one size, a page of them at a time; a larger one gets a region of
its own. A place is an integer that travels with the call."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Final, Protocol, cast, final

from pinfut.core import accelerate
from pinfut.rpc.bank.account import PAGE
from pinfut.rpc.errors import GarbageFrame
from pinfut.rpc.memory.ring import LAST, RingReader, RingWriter
from pinfut.stack import require_stack

_HEAD: Final = Struct("<IIQ")  # How an answer begins; `pinfut.rpc.contract.Submissions.take_plain`
_unpack_head = _HEAD.unpack_from

LARGE: Final = 1 << 31
"""Places from here on are regions of their own."""

_FOLLOWS: Final = 96  # Frames of stack that `LaneMemory.follow` takes
_FEW: Final = 4  # So many places are remembered of who has fewer slots, and takes them in turn
_STARTS: Final = tuple(range(0, PAGE, 64))  # Where cells of the smallest size begin in a page


class LaneMemory(Protocol):
    """What a kernel gives the two sides of a lane, who ask for it anew for each use. The caller
    buys; the callee looks up what the caller has named, and believes nothing of it."""

    def lane(self) -> tuple[memoryview, int]:
        """The first completions, and the ring behind them; and for how many slots."""
        ...

    def resize(self, slots: int, ring: int, pages: int, /) -> memoryview:
        """The caller: the next generation, with so many pages for small answers kept of what is
        there. Raises OutOfPages and ValueError; then nothing has changed."""
        ...

    def follow(self, caller: bool, /) -> tuple[memoryview, int] | None:
        """As `lane`, the generation behind the one that this side is at, which it leaves; None
        when there is none."""
        ...

    def grow(self) -> memoryview:
        """The caller: one more page for small answers. Raises OutOfPages."""
        ...

    def reserve(self, pages: int, /) -> tuple[int, memoryview]:
        """The caller: a region of so many pages or more, and its number. Raises OutOfPages."""
        ...

    def release(self, number: int, /) -> None:
        """The caller: a region is not needed for the moment."""

    def trim(self) -> object:
        """The caller: give back what is between two uses."""

    def page(self, number: int, /) -> memoryview | None:
        """The callee: the page for small answers of that number; None when there is none."""

    def region(self, number: int, /) -> memoryview | None:
        """The callee: the region of that number; None when there is none in use."""


@final
class Completions:
    """Ids of the calls that are answered, oldest first."""

    __slots__ = ("_head", "_left", "_posted", "_words", "capacity", "follow", "post", "posted")

    def __init__(self, memory: memoryview, capacity: int) -> None:
        # Word 0 counts what was posted; the ids follow.
        self._words = memory[: 8 * (1 + capacity)].cast("Q")
        self.capacity = capacity
        self._posted = 0
        self._head = 0
        # The words that were left since the last `publish`, and how many had been posted.
        self._left: list[tuple[memoryview, int]] = []
        # Where the ids go on that are taken, and how many there may be.
        self.follow: Callable[[], tuple[memoryview, int] | None] = _nowhere
        # Ids to publish. The callee posts each call once, so there is room for what an honest
        # caller asks.
        self.posted: list[int] = []
        self.post = self.posted.append

    @property
    def total(self) -> int:
        """How many were posted in all."""
        return self._posted + len(self.posted)

    def publish(self) -> bool:
        """Make what was posted visible. False when nothing is new. Raises GarbageFrame for more
        answers than there can be calls: the caller used ids again before it had their answers."""
        words, posted, left = self._words, self.posted, self._left
        if not posted and not left:
            return False
        if len(posted) > self.capacity:
            raise GarbageFrame(
                f"{len(posted)} calls were made and answered at once with {self.capacity} slots"
            )
        # Room for all of them behind the last, or the rest goes on at the beginning.
        begin = 1 + self._posted % self.capacity
        room = 1 + self.capacity - begin
        if len(posted) == 1:
            words[begin] = posted[0]
        else:
            words[begin : begin + len(posted[:room])] = array("Q", posted[:room])
        if len(posted) > room:
            words[1 : 1 + len(posted) - room] = array("Q", posted[room:])
        self._posted += len(posted)
        words[0] = self._posted
        posted.clear()
        while left:
            words, total = left.pop()
            words[0] = total | LAST
        return True

    def go_on(self, memory: memoryview, capacity: int) -> None:
        """Post in other memory from now on."""
        self._left.append((self._words, self._posted))
        self._words = memory[: 8 * (1 + capacity)].cast("Q")
        self.capacity = capacity

    def take(self) -> list[int]:
        """The ids published since the last time. Raises GarbageFrame for a count that
        makes no sense."""
        xs: list[int] = []
        while True:
            head = self._head
            posted = self._words[0]
            ends = False
            if not head <= posted <= head + self.capacity:
                posted, ends = posted & ~LAST, posted >= LAST
                if not (ends and head <= posted <= head + self.capacity):
                    raise GarbageFrame(f"completions go from {head} to {posted}")
                require_stack(_FOLLOWS)  # or what is taken here would be lost
            self._head = posted
            begin = 1 + head % self.capacity
            end = begin + posted - head
            over = end - 1 - self.capacity
            if over <= 0:
                some = self._words[begin:end].tolist()
            else:
                some = self._words[begin:].tolist() + self._words[1 : 1 + over].tolist()
            if not ends:
                return xs + some if xs else some
            xs += some
            following = self.follow()
            if following is None:
                raise GarbageFrame("completions go on where there is no memory")
            memory, self.capacity = following
            self._words = memory[: 8 * (1 + self.capacity)].cast("Q")


def _nowhere() -> None:
    """Ids that do not go on."""


@final
class RingSubmissions(RingWriter):
    """The caller's end (`pinfut.rpc.contract.Submissions`): small answers of `cell` bytes, and
    messages of at most `message`."""

    __slots__ = (
        *("_cells", "_large", "_memory", "_message", "behind", "completed", "places", "slots"),
        "small",
    )

    def __init__(self, memory: Callable[[], LaneMemory], cell: int, message: int) -> None:
        lane, self.slots = memory().lane()
        super().__init__(lane[8 * (1 + self.slots) :])
        completions = Completions(lane, self.slots)
        completions.follow = self._follow
        self.completed = completions.take
        self.behind = 0
        self._memory = memory
        self._message = message
        self.largest = min(self.largest, message)
        self.small = cell
        # By place: the page, and where the cell begins.
        self._cells: list[tuple[memoryview, int]] = []
        # Free small places. More are bought when there is none, so only as many as there were
        # answers at one time.
        self.places: deque[int] = cast("deque[int]", ())  # until there are any
        self._large: dict[int, memoryview] = {}  # by number: the regions in use

    def _follow(self) -> tuple[memoryview, int] | None:
        following = self._memory().follow(True)
        if following is not None:
            self.behind -= 1
        return following

    @property
    def spare(self) -> bool:
        return len(self._cells) >= self.slots + PAGE // self.small

    def resize(self, slots: int, ring: int, /) -> None:
        # Pages at the end in which no place is in use go, unless as many slots fill them.
        count, top, free = PAGE // self.small, len(self._cells), set(self.places)
        while top > slots and top - 1 in free:
            top -= 1
        pages = -(-top // count)
        memory = self._memory().resize(slots, ring, pages)
        self.behind += 1
        del self._cells[pages * count :]
        # The lowest are used first, so that the others are free the next time.
        self.places = deque(sorted(free.intersection(range(len(self._cells)))))
        self.slots = slots
        self.go_on(memory[8 * (1 + slots) :])
        self.largest = min(self.largest, self._message)

    def reserve(self, room: int, /) -> int:
        if room <= self.small and self.places:
            return self.places.popleft()
        return self._buy(room)

    def _buy(self, room: int) -> int:
        if room > self.small:
            number, memory = self._memory().reserve(-(-room // PAGE))
            self._large[number] = memory.toreadonly()
            return LARGE + number
        page, first = self._memory().grow().toreadonly(), len(self._cells)
        self._cells += [(page, start) for start in range(0, PAGE, self.small)]
        self.places = deque(range(first + 1, len(self._cells)))
        return first

    def read(self, place: int, /) -> bytes:
        try:
            page, start = self._cells[place]
            room = self.small
        except IndexError:
            page = self._large[place - LARGE]
            start, room = 0, len(page)
        length = int.from_bytes(page[start : start + 4], "little")
        if not 4 <= length <= room:
            raise GarbageFrame(f"an answer of {length} bytes in a place of {room}")
        return page[start : start + length].tobytes()

    def take_plain(self, place: int, x: int, word: int, /) -> bytes | None:
        try:
            page, start = self._cells[place]
        except IndexError:
            return None
        # The numbers are copied once and then checked; so is the rest.
        length, said, number = _unpack_head(page, start)
        if said != word or number != x or not _HEAD.size <= length <= self.small:
            return None
        self.places.append(place)
        return page[start + _HEAD.size : start + length].tobytes()

    def peek(self, place: int, x: int, /) -> int | None:
        page, start = (self._large[place - LARGE], 0) if place & LARGE else self._cells[place]
        _, word, number = _unpack_head(page, start)
        return int(word) if number == x else None

    def release(self, place: int, /) -> None:
        if not place & LARGE:
            self.places.append(place)
        else:
            del self._large[place - LARGE]
            self._memory().release(place - LARGE)

    def trim(self) -> None:
        self._memory().trim()


@final
class RingRequests(RingReader):
    """The callee's end (`pinfut.rpc.contract.Requests`)."""

    __slots__ = ("_cell", "_cells", "_memory", "_post", "_resized", "completions", "slots")

    def __init__(self, memory: Callable[[], LaneMemory], cell: int) -> None:
        lane, self.slots = memory().lane()
        super().__init__(lane[8 * (1 + self.slots) :])
        self.completions = Completions(lane, self.slots)
        self._post = self.completions.post
        self._resized: Callable[[int], None]
        self._memory = memory
        self._cell = cell
        # By place, as far as places were looked up: the page, and where the cell begins. At most
        # one for each slot, which pays for it, in a page for every four: the caller buys as many
        # as it likes.
        self._cells: list[tuple[memoryview, int]] = []

    def _go_on(self) -> None:
        following = self._memory().follow(False)
        if following is None:
            raise GarbageFrame("the caller goes on in memory that it has not bought")
        memory, self.slots = following
        self._read_from(memory[8 * (1 + self.slots) :])
        self.completions.go_on(memory, self.slots)
        # Pages may have gone, and their numbers to others.
        self._cells.clear()
        self._resized(self.slots)

    def watch(self, resized: Callable[[int], None], /) -> None:
        self._resized = resized

    def complete(self, place: int, x: int, frame: bytes, /) -> None:
        length = len(frame)
        try:
            page, start = self._cells[place]
            room = self._cell
        except IndexError:
            page, start, room = self._look_up(place)
        if length > room:
            raise GarbageFrame(f"place {place:#x} has {room} bytes, the answer {length}")
        page[start : start + length] = frame
        self._post(x)

    def _look_up(self, place: int) -> tuple[memoryview, int, int]:
        """Where a place lies that is not known here."""
        if place >= LARGE:
            # Asked each time: a number may stand for another region by now.
            region = self._memory().region(place - LARGE)
            if region is not None:
                return region, 0, len(region)
        else:
            number, start = divmod(place * self._cell, PAGE)
            page = self._memory().page(number)
            if page is not None:
                known = self._cells
                if number <= self.slots >> 2 and number * PAGE == len(known) * self._cell:
                    known += [(page, at) for at in _STARTS[:: self._cell // 64]]
                    del known[max(self.slots, _FEW) :]
                return page, start, self._cell
        raise GarbageFrame(f"there is no place {place:#x} for an answer")

    def publish(self) -> bool:
        """Make the answers visible, and say what was read; whether the caller wants to hear of
        it. Raises GarbageFrame for more answers than there can be calls."""
        news = self.completions.publish()
        return self.release() or news


accelerate(globals())
