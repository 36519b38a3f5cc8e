"""One direction of a session that grows and shrinks: every order of what its two sides do.

Each side is what it is in a session, without the rest of one: the caller gives the lowest free slot
to a call and takes answers; the callee reads one frame at a time and answers in any order. There
are so many calls and changes of size, so all ends::

    caller   call, resize, publish, take
    callee   receive, answer, publish
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterable, Sequence

from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.errors import OutOfPages
from pinfut.rpc.memory.lane import RingRequests, RingSubmissions
from pinfut.rpc.memory.lane_pages import LanePages, tables_of
from tests.explore.states import REST, Operation

SMALL, LARGE = (1, 64), (2, 128)
SPEC = SessionSpec(slots=2, ring=128, cell=PAGE, least=SMALL)
_FRAME = struct.Struct("<IIQQ")


class Growing:
    """A lane of up to two slots, in a bank of so many pages."""

    def __init__(self, calls: int, changes: int, pages: int) -> None:
        self.bank = Bank("bank", pages, 0)
        self.pages = LanePages(self.bank, SPEC)
        self.caller = RingSubmissions(lambda: self.pages, SPEC.cell, 1 << 20)
        self.callee = RingRequests(lambda: self.pages, SPEC.cell)
        self.callee.watch(self._resized)
        self.calls, self.changes = calls, changes
        self.last = -1
        # What was submitted and not read: calls, and sizes.
        self.under_way: list[tuple[int, int] | int] = []
        # By id of a call that is open: its place. And those that were read and have no answer.
        self.open: dict[int, int] = {}
        self.read: list[tuple[int, int]] = []
        self.happened: set[str] = set()

    def _resized(self, slots: int) -> None:
        size = self.under_way.pop(0)
        assert isinstance(size, tuple), "a size before what was submitted before it"
        assert slots == size[0]
        assert all(x % SPEC.slots < slots for x, _ in self.read), "a slot in use was given up"

    def operations(self) -> Sequence[Operation]:
        found: list[Operation] = [("caller", "publish"), ("caller", "take")]
        free = {*range(self.caller.slots)} - {x % SPEC.slots for x in self.open}
        if self.calls and free:
            found.append(("caller", "call", min(free)))
        for slots, ring in (SMALL, LARGE) if self.changes else ():
            fits = all(x % SPEC.slots < slots for x in self.open)
            if fits and (slots, ring) != (self.caller.slots, self.caller.capacity):
                found.append(("caller", "resize", slots, ring))
        found += [("callee", "receive"), ("callee", "publish")]
        found += [("callee", "answer", n) for n in range(len(self.read))]
        return found

    def apply(self, operation: Operation, /) -> None:
        self.happened.clear()
        _, what, *how = operation
        getattr(self, f"_{what}" if operation[0] == "caller" else f"_callee_{what}")(*how)

    def _call(self, slot: int) -> None:
        x = self.last + 1
        x += (slot - x) % SPEC.slots
        try:
            place = self.caller.reserve(SPEC.cell)
        except OutOfPages:
            self.happened.add("no place")
            return
        if not self.caller.submit(_FRAME.pack(_FRAME.size, 0, x, place)):
            self.caller.release(place)
            self.happened.add("no room")
            return
        self.calls -= 1
        self.last = x
        self.open[x] = place
        self.under_way.append(x)

    def _resize(self, slots: int, ring: int) -> None:
        before = self.caller.slots, self.caller.capacity, self.bank.pages_used
        self.changes -= 1
        try:
            self.caller.resize(slots, ring)
        except OutOfPages:
            assert before == (self.caller.slots, self.caller.capacity, self.bank.pages_used)
            self.happened.add("refused")
            return
        self.under_way.append((slots, ring))
        self.happened.add("grows" if slots > before[0] else "shrinks")

    def _publish(self) -> None:
        self.caller.publish()

    def _take(self) -> None:
        for x in self.caller.completed():
            place = self.open.pop(x)  # once, and none that was not asked
            assert self.caller.read(place) == _FRAME.pack(_FRAME.size, 1, x, place)
            self.caller.release(place)

    def _callee_receive(self) -> None:
        for frame in self.callee.receive(1, 1 << 40):
            _, _, x, place = _FRAME.unpack(frame)
            assert self.under_way.pop(0) == x, "not the call that was submitted next"
            assert x % SPEC.slots < self.callee.slots, "a call in a slot that is not there"
            self.read.append((x, place))

    def _callee_answer(self, which: int) -> None:
        x, place = self.read.pop(which)
        self.callee.complete(place, x, _FRAME.pack(_FRAME.size, 1, x, place))

    def _callee_publish(self) -> None:
        self.callee.publish()

    def check(self) -> None:
        kept = self.pages._tables.pages
        assert kept >= tables_of(max(self.caller.slots, self.callee.slots)), "slots unpaid"
        regions = {id(memory.obj) for memory in self.pages.memories}
        for words in (self.caller._words, self.callee._words, self.callee.completions._words):
            assert id(words.obj) in regions, "a side writes to what was given back"
        for x, place in self.read:
            assert self.pages.page(place) is not None, f"the place of {x} was given back"

    def form(self) -> Hashable:
        caller, callee = self.caller, self.callee
        takes = caller.completed.__self__  # type: ignore[attr-defined]
        posts = callee.completions
        return (
            (self.calls, self.changes, self.last, tuple(self.under_way)),
            (tuple(self.open.items()), tuple(self.read), tuple(caller.places)),
            (caller.tail, caller._published, caller._limit, len(caller._left), caller.slots),
            (callee.consumed, callee._seen, callee.slots, tuple(self.pages._at)),
            (posts._posted, tuple(posts.posted), len(posts._left), takes._head, takes.capacity),
            tuple(bytes(memory) for memory in self.pages.memories[: len(self.pages._generations)]),
            self.bank.pages_used,
        )

    def kinds(self) -> Iterable[str]:
        yield from self.happened
        count = len(self.pages._generations)
        over = not (self.open or self.under_way or self.callee.completions._left)
        if over and count == 1:
            yield REST
        if count > 2:
            yield "three generations"
        if self.pages._at[0] > self.pages._at[1]:
            yield "the callee is ahead"
        if self.read and self.callee.slots < self.caller.slots:
            yield "calls of before are open"
