"""Places for answers and completions against their oracles, and under a hostile other side."""

from __future__ import annotations

import struct
from collections import Counter, deque
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.errors import GarbageFrame, OutOfPages
from pinfut.rpc.memory import lane
from pinfut.rpc.memory.lane import LARGE, Completions, RingRequests, RingSubmissions
from pinfut.rpc.memory.lane_pages import LanePages
from pinfut.rpc.memory.pages import pages_for
from tests.core.both import needs_pure
from tests.covered import covered, require
from tests.stack import with_room

NAME = "places equal their oracle"
HOSTILE = "places with a hostile other side"


def answer(length: int, fill: int) -> bytes:
    return struct.pack("<I", length) + bytes([fill]) * (length - 4)


class Answers:
    """The memory for answers of one lane, with both its sides; ring and slots take two pages."""

    def __init__(self, bank: Bank, size: int) -> None:
        self.bank = bank
        bank.refill(pages=1)  # for the slots
        self.size = size
        self.pages = LanePages(bank, SessionSpec(4, 64, size))
        self.caller = RingSubmissions(lambda: self.pages, size, 1 << 20)
        self.callee = RingRequests(lambda: self.pages, size)
        self.reserve = self.caller.reserve
        self.read = self.caller.read
        self.release = self.caller.release
        self.trim = self.caller.trim
        self.free = self.pages.free

    @property
    def used(self) -> int:
        """Pages that were bought for answers."""
        return self.bank.pages_used - 2

    def write(self, place: int, frame: bytes) -> None:
        self.callee.complete(place, 0, frame)

    def pages_at(self, place: int) -> int:
        """The pages of a large answer's region, as the callee sees it."""
        region = self.pages.region(place - LARGE)
        assert region is not None
        return len(region) // PAGE


class PlacesMachine(RuleBasedStateMachine):
    """Reserve, write, read, release and trim, in a bank that is now and then short."""

    @initialize(
        size=st.sampled_from([64, 256, 1024, 4096]), pages=st.sampled_from([0, 4, 5, 6, 7, 9, 24])
    )
    def begin(self, size: int, pages: int) -> None:
        self.bank = Bank("bank", 1 + pages, 0)
        self.cells = Answers(self.bank, size)
        # place -> (room, what stands there)
        self.held: dict[int, tuple[int, bytes]] = {}
        self.peak_small = 0
        self.peaks: Counter[int] = Counter()
        self.counts: Counter[str] = Counter()
        self.number = 0

    def small(self) -> int:
        return sum(room <= self.cells.size for room, _ in self.held.values())

    def large(self) -> Counter[int]:
        """The regions that hold an answer, by their pages. One between two uses may serve a
        smaller answer, but none that is far too large."""
        return Counter(
            self.cells.pages_at(place)
            for place, (room, _) in self.held.items()
            if room > self.cells.size
        )

    def small_pages(self) -> int:
        return -(-self.peak_small // (PAGE // self.cells.size))

    @rule(
        room=st.one_of(
            st.integers(4, 64),
            st.integers(4, PAGE),
            st.sampled_from([PAGE + 1, 2 * PAGE, 2 * PAGE, 3 * PAGE]),
        )
    )
    def reserve(self, room: int) -> None:
        self.try_to_reserve(room)

    @rule()
    def reserve_more_than_the_bank_has_left(self) -> None:
        self.try_to_reserve((self.bank.balance.pages + 1) * PAGE)

    def try_to_reserve(self, room: int) -> None:
        before = self.cells.used
        is_small = room <= self.cells.size
        try:
            place = self.cells.reserve(room)
        except OutOfPages:
            self.counts["refused"] += 1
            assert self.cells.used <= before
            # It is refused only when what is between two uses would not have been enough.
            need = 1 if is_small else pages_for(room)
            assert self.small_pages() + sum((self.large()).elements()) + need > (
                self.bank.page_limit - 2
            )
            if is_small:
                assert self.small() % (PAGE // self.cells.size) == 0
            return
        assert place not in self.held, "two answers in one place"
        self.counts["reused_a_spare"] += not is_small and self.cells.used == before
        bought = 0 if self.cells.used == before else 1 if is_small else pages_for(room)
        self.counts["gave_spares_back"] += self.cells.used < before + bought
        self.number += 1
        self.held[place] = room, b""
        if not is_small:
            pages = self.cells.pages_at(place)
            assert pages_for(room) <= pages <= 4 * pages_for(room)
            self.counts["in_a_larger_one"] += pages > pages_for(room)
        self.write(place, room)
        self.peak_small = max(self.peak_small, self.small())
        self.peaks |= self.large()
        self.counts["small" if is_small else "large"] += 1

    def write(self, place: int, length: int) -> None:
        frame = answer(length, self.number % 251 + 1)
        self.cells.write(place, frame)
        self.held[place] = self.held[place][0], frame

    @rule(pick=st.integers(0, 1 << 16), data=st.data())
    def write_again(self, pick: int, data: st.DataObject) -> None:
        if self.held:
            place = list(self.held)[pick % len(self.held)]
            self.number += 1
            self.write(place, data.draw(st.integers(4, self.held[place][0])))

    @rule(pick=st.integers(0, 1 << 16))
    def release(self, pick: int) -> None:
        if self.held:
            place = list(self.held)[pick % len(self.held)]
            if pick & 1:
                assert self.cells.read(place) == self.held[place][1]
                self.cells.release(place)
                self.counts["taken"] += 1
            else:
                self.cells.release(place)
                self.counts["released"] += 1
            del self.held[place]

    @rule()
    def trim(self) -> None:
        self.cells.trim()
        assert self.cells.used == self.small_pages() + sum(self.large().elements())
        self.peaks = self.large()
        self.counts["trimmed"] += 1

    @invariant()
    def each_answer_stands_where_it_was_written(self) -> None:
        for place, (_, frame) in self.held.items():
            assert self.cells.read(place) == frame

    @invariant()
    def pages_are_bought_only_for_answers_at_one_time(self) -> None:
        most = self.small_pages() + sum(self.peaks.elements())
        least = self.small_pages() + sum(self.large().elements())
        assert least <= self.cells.used <= min(most, max(self.bank.page_limit - 1, least))

    def teardown(self) -> None:
        if hasattr(self, "cells"):
            self.cells.free()
            assert self.bank.pages_used == 0
            covered(NAME, **self.counts)


def test_answers_stand_in_places_of_their_own_and_pages_follow_concurrency() -> None:
    many = settings(max_examples=max(150, settings().max_examples))
    run_state_machine_as_test(PlacesMachine, settings=many)
    require(
        covered(NAME), "small", "large", "released", "taken", "refused", "trimmed", "reused_a_spare"
    )
    require(covered(NAME), "gave_spares_back", "in_a_larger_one")


def test_calls_one_after_the_other_need_one_page_however_many_they_are() -> None:
    bank = Bank("bank", 100, 0)
    cells = Answers(bank, 1024)
    for _ in range(1000):
        cells.release(cells.reserve(1024))
    assert cells.used == 1
    for _ in range(100):
        cells.release(cells.reserve(3 * PAGE))
    assert cells.used == 1 + 3


def test_spare_memory_is_given_back_when_the_bank_is_short() -> None:
    bank = Bank("bank", 11, 0)
    cells = Answers(bank, 1024)
    cells.release(cells.reserve(8 * PAGE))
    assert cells.used == 8
    place = cells.reserve(9 * PAGE)
    assert cells.used == 9
    cells.release(place)
    for _ in range(8):
        cells.reserve(1024)  # small ones want it as well
    assert cells.used == 2


def test_spare_memory_is_given_back_when_an_ancestor_is_short() -> None:
    root = Bank("root", 11, 0)
    cells = Answers(root.child("bank", pages=100, caps=0), 1024)
    cells.release(cells.reserve(8 * PAGE))
    cells.reserve(9 * PAGE)
    assert cells.used == 9


def test_a_reserve_that_is_refused_leaves_what_is_there_usable() -> None:
    bank = Bank("bank", 2, 0)
    cells = Answers(bank, 2048)
    first, second = cells.reserve(2048), cells.reserve(100)
    for room in (2048, 5000):
        with pytest.raises(OutOfPages, match="answers"):
            cells.reserve(room)
    cells.write(first, answer(2048, 1))
    cells.write(second, answer(100, 2))
    assert cells.read(first) == answer(2048, 1)
    cells.release(first)
    assert cells.reserve(2000) == first


@pytest.mark.parametrize("size", [0, 32, 63, 65, 100, 4095, 8192, -64])
def test_a_cell_size_that_does_not_divide_a_page_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="cell's size"):
        Answers(Bank("bank", 10, 0), size)


def test_hostile_places_and_lengths_are_refused_or_stay_in_their_place() -> None:
    hostile_places()
    require(covered(HOSTILE), "no_such_place", "too_small", "lies_refused", "lies_inside")


@given(
    place=st.one_of(
        st.integers(0, 20), st.integers(1 << 31, (1 << 31) + 5), st.integers(0, (1 << 32) - 1)
    ),
    length=st.integers(4, 3 * PAGE),
    lie=st.one_of(st.integers(0, 300), st.integers(0, 3 * PAGE), st.integers(0, (1 << 32) - 1)),
)
def hostile_places(place: int, length: int, lie: int) -> None:
    cells = Answers(Bank("bank", 100, 0), 256)
    rooms = {cells.reserve(room): room for room in (256, 256, 256, 2 * PAGE, 3 * PAGE)}
    freed = cells.reserve(PAGE)
    cells.release(freed)
    for one, room in rooms.items():
        cells.write(one, answer(room, 7))
    frame = struct.pack("<I", lie) + bytes(length - 4)
    counts: Counter[str] = Counter()
    try:
        cells.write(place, frame)
    except GarbageFrame:
        counts["too_small" if place in rooms else "no_such_place"] += 1
        assert place not in rooms or length > rooms[place]
        assert all(cells.read(one) == answer(room, 7) for one, room in rooms.items())
    else:
        assert place in rooms or place < PAGE // 256, "a place that was never bought"
        room = rooms.get(place, 256)
        assert length <= room
        try:
            read = cells.read(place)
        except GarbageFrame:
            counts["lies_refused"] += 1
            assert not 4 <= lie <= room
        else:
            counts["lies_inside"] += 1
            assert len(read) == lie <= room
            assert read[: min(lie, length)] == frame[:lie]
        others = [one for one in rooms if one != place]
        assert all(cells.read(one) == answer(rooms[one], 7) for one in others)
    covered(HOSTILE, **counts)


def test_a_place_that_was_released_is_no_place_for_a_large_answer() -> None:
    cells = Answers(Bank("bank", 100, 0), 256)
    place = cells.reserve(2 * PAGE)
    cells.release(place)
    with pytest.raises(GarbageFrame, match="no place"):
        cells.write(place, answer(8, 1))
    with pytest.raises(KeyError):  # its own side knows which it has released
        cells.read(place)


# ---- plain answers, taken by their head ----


PLAIN = "plain answers equal their oracle"
HEAD = struct.Struct("<IIQ")
WORD = 0xABCD_0005
CELL = 256


def plain(x: int, payload: bytes, word: int = WORD) -> bytes:
    return HEAD.pack(HEAD.size + len(payload), word, x) + payload


def test_a_plain_answer_is_taken_by_its_head_and_its_place_is_free() -> None:
    cells = Answers(Bank("bank", 100, 0), CELL)
    for payload in (b"", b"value", bytes(CELL - HEAD.size)):
        place = cells.reserve(CELL)
        cells.write(place, plain(7, payload))
        assert place not in cells.caller.places.copy()
        assert cells.caller.take_plain(place, 7, WORD) == payload
        assert cells.caller.places.count(place) == 1
    again = [cells.reserve(CELL) for _ in range(PAGE // CELL)]
    assert len(set(again)) == len(again), "a place is lost, or of two answers"
    assert cells.used == 1


def test_an_answer_with_another_head_is_left_where_it_is() -> None:
    take_by_the_head()
    require(covered(PLAIN), "taken", "word", "x", "too_short", "too_long", "beyond_a_page")


near = st.one_of(st.integers(0, CELL + 16), st.sampled_from([15, 16, CELL, CELL + 1]))


@given(
    length=st.one_of(near, near, st.integers(PAGE - 20, PAGE + 20), st.integers(0, (1 << 32) - 1)),
    word=st.sampled_from([*[WORD] * 6, WORD ^ 1, WORD ^ 1 << 16, 0]),
    x=st.sampled_from([*[9] * 6, 8, 9 + (1 << 32), 0]),
    before=st.integers(0, PAGE // CELL - 1),
)
@example(length=HEAD.size - 1, word=WORD, x=9, before=0)
@example(length=HEAD.size, word=WORD, x=9, before=3)
@example(length=CELL, word=WORD, x=9, before=3)
@example(length=CELL + 1, word=WORD, x=9, before=3)
def take_by_the_head(length: int, word: int, x: int, before: int) -> None:
    """What a hostile callee writes, in the first or in a later place of its page."""
    cells = Answers(Bank("bank", 100, 0), CELL)
    for _ in range(before):
        cells.write(cells.reserve(CELL), answer(CELL, 1))
    place = cells.reserve(CELL)
    body = bytes(number % 251 for number in range(CELL - HEAD.size))
    cells.write(place, HEAD.pack(length, word, x) + body)
    free = cells.caller.places.copy()
    found = cells.caller.take_plain(place, 9, WORD)
    if word == WORD and x == 9 and HEAD.size <= length <= CELL:
        assert found == body[: length - HEAD.size]
        assert list(cells.caller.places) == [*free, place]
        covered(PLAIN, taken=1)
        return
    assert found is None
    assert cells.caller.places == free, "a place was freed whose answer is still there"
    covered(
        PLAIN,
        word=word != WORD,
        x=x != 9,
        too_short=length < HEAD.size,
        too_long=CELL < length,
        beyond_a_page=PAGE < length,
    )
    if 4 <= length <= CELL:
        assert cells.read(place) == (HEAD.pack(length, word, x) + body)[:length]
    else:
        with pytest.raises(GarbageFrame):
            cells.read(place)


def test_an_answer_in_a_place_of_its_own_is_left_for_a_read() -> None:
    cells = Answers(Bank("bank", 100, 0), CELL)
    small, large = cells.reserve(CELL), cells.reserve(2 * PAGE)
    cells.write(large, plain(3, b"large"))
    assert cells.caller.take_plain(large, 3, WORD) is None
    assert cells.read(large) == plain(3, b"large")
    assert small not in cells.caller.places.copy()
    assert large not in cells.caller.places.copy()


@needs_pure
def test_a_head_that_changes_after_it_was_looked_at_is_not_believed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The callee may write while its caller reads: what was checked is what is used."""
    cells = Answers(Bank("bank", 100, 0), CELL)
    place = cells.reserve(CELL)
    cells.write(place, plain(5, b"honest"))
    looks = 0

    def change_behind(page: memoryview, start: int) -> tuple[int, int, int]:
        nonlocal looks
        looks += 1
        found: tuple[int, int, int] = HEAD.unpack_from(page, start)
        cells.write(place, HEAD.pack(PAGE, 0, 6))
        return found

    monkeypatch.setattr(lane, "_unpack_head", change_behind)
    assert cells.caller.take_plain(place, 5, WORD) == b"honest"
    assert looks == 1


def test_a_head_that_changes_between_two_calls_is_checked_by_each() -> None:
    cells = Answers(Bank("bank", 100, 0), CELL)
    place = cells.reserve(CELL)
    cells.write(place, plain(5, b"first", word=0))
    assert cells.caller.take_plain(place, 5, WORD) is None
    cells.write(place, HEAD.pack(CELL + 1, WORD, 5))
    with pytest.raises(GarbageFrame, match="257 bytes in a place of 256"):
        cells.read(place)
    assert cells.caller.take_plain(place, 5, WORD) is None
    cells.write(place, plain(5, b"second"))
    assert cells.caller.take_plain(place, 5, WORD) == b"second"
    cells.write(place, plain(4, b"an answer to another"))
    assert cells.caller.take_plain(place, 5, WORD) is None


# ---- completions ----


def test_completions_come_once_in_order_and_only_when_published() -> None:
    follow_completions()
    require(covered("completions equal a deque"), "taken", "spans", "hidden")


@given(
    capacity=st.integers(1, 9),
    steps=st.lists(
        st.sampled_from(["post", "post", "publish", "take", "batch", "batch"]),
        min_size=15,
        max_size=60,
    ),
)
def follow_completions(capacity: int, steps: list[str]) -> None:
    memory = memoryview(bytearray(8 * (1 + capacity)))
    completions = Completions(memory, capacity)
    posted: deque[int] = deque()
    visible: deque[int] = deque()
    number = taken = hidden = published = spans = 0
    single: list[str] = []
    for step in steps:  # "batch" stands for several: the others seldom go round the end
        single += ["post", "post", "post", "publish", "take"] if step == "batch" else [step]
    for step in single:
        if step == "post" and len(posted) + len(visible) < capacity:
            number += 1 << 40
            completions.post(number)
            posted.append(number)
        elif step == "publish":
            assert completions.publish() == bool(posted)
            spans += published % capacity + len(posted) > capacity
            published += len(posted)
            visible.extend(posted)
            posted.clear()
        elif step == "take":
            hidden += bool(posted)
            assert completions.take() == list(visible)
            taken += len(visible)
            visible.clear()
    covered("completions equal a deque", taken=taken, spans=spans, hidden=hidden)


def test_a_hostile_count_of_completions_is_refused_or_bounded() -> None:
    hostile_completions()
    require(covered("completions with a hostile callee"), "refused", "bounded")


@given(
    capacity=st.integers(1, 9),
    honest=st.integers(0, 9),
    count=st.one_of(st.integers(0, 30), st.integers(0, (1 << 64) - 1)),
)
def hostile_completions(capacity: int, honest: int, count: int) -> None:
    memory = memoryview(bytearray(8 * (1 + capacity)))
    completions = Completions(memory, capacity)
    for x in range(min(honest, capacity)):
        completions.post(x)
    completions.publish()
    head = len(completions.take())
    memory.cast("Q")[0] = count
    try:
        xs = completions.take()
    except GarbageFrame:
        assert not head <= count <= head + capacity
        covered("completions with a hostile callee", refused=1)
    else:
        assert len(xs) == count - head <= capacity
        covered("completions with a hostile callee", bounded=1)


@pytest.mark.parametrize("operation", ["resize", "completed", "trim"])
def test_with_little_stack_memory_is_changed_and_left_whole_or_not_at_all(operation: str) -> None:
    bank = Bank("client", 100, 100)
    pages = LanePages(bank, SessionSpec(8, 1024, 1024, least=(8, 512)))
    caller = RingSubmissions(lambda: pages, 1024, 1 << 20)
    callee = RingRequests(lambda: pages, 1024)
    callee.watch(lambda slots: None)
    caller.release(caller.reserve(9000))
    for step in range(3 if operation != "resize" else 0):
        caller.resize(8, 512 if step % 2 else 1024)
        callee.complete(caller.reserve(64), step, answer(64, 1))
        callee.publish()
        caller.publish()
        callee.receive(64)
        callee.publish()
    used, refused = bank.pages_used, 0
    calls: dict[str, Callable[[], object]] = {
        "resize": lambda: caller.resize(8, 1024),
        "completed": caller.completed,
        "trim": caller.trim,
    }
    for room in range(1, 300):
        try:
            given = with_room(room, calls[operation])
        except RecursionError:
            refused += 1
            assert bank.pages_used == used, room
        else:
            assert given == ([0, 1, 2] if operation == "completed" else None)
            break
    assert refused > 40
    assert bank.pages_used != used
    pages.free()
    assert bank.pages_used == 0
