"""Rings against a deque: order, wrap-around, publishing, and a hostile other side."""

from __future__ import annotations

import struct
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.rpc.errors import GarbageFrame
from pinfut.rpc.memory.ring import HEAD_BYTES, RingReader, RingWriter, ring_bytes
from tests.covered import covered, require
from tests.rpc.memory.interleave import Run, Stuck, Watched, explore

NAME = "ring equals a deque"
HOSTILE_WRITER = "ring with a hostile writer"
HOSTILE_READER = "ring with a hostile reader"
MARGIN = 64
"""Bytes around a ring in which nothing may change."""

capacities = st.sampled_from([64, 128, 256, 1024])


def aligned(length: int) -> int:
    return -(-length // 8) * 8


def frame_of(length: int, fill: int = 0) -> bytes:
    """A frame: its length, then bytes that tell it from the others."""
    return struct.pack("<I", length) + bytes((fill + i) % 251 for i in range(length - 4))


def memory_of(capacity: int) -> tuple[bytearray, memoryview]:
    memory = bytearray(b"\xee" * MARGIN + bytes(ring_bytes(capacity)) + b"\xee" * MARGIN)
    return memory, memoryview(memory)[MARGIN:-MARGIN]


def margins_hold(memory: bytearray) -> bool:
    return set(memory[:MARGIN]) == set(memory[-MARGIN:]) == {0xEE}


class Oracle:
    """What a ring of `capacity` does, with positions in plain numbers."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tail = self.head = 0
        self.written: deque[bytes] = deque()
        self.visible: deque[bytes] = deque()
        self.ends: deque[int] = deque()
        self.read_to = 0
        self.wraps = 0

    def write(self, frame: bytes) -> bool:
        at = self.tail % self.capacity
        skip = 0 if at + len(frame) <= self.capacity else self.capacity - at
        end = self.tail + skip + aligned(len(frame))
        if end - self.head > self.capacity:
            return False
        self.wraps += skip > 0
        self.tail = end
        self.written.append(frame)
        self.ends.append(end)
        return True

    def publish(self) -> None:
        self.visible.extend(self.written)
        self.written.clear()

    def read(self, limit: int) -> list[bytes]:
        frames = [self.visible.popleft() for _ in range(min(limit, len(self.visible)))]
        for _ in frames:
            self.read_to = self.ends.popleft()
        return frames

    def release(self) -> None:
        self.head = self.read_to


def test_a_ring_gives_what_was_published_in_order_and_as_it_was_written() -> None:
    follow_a_ring()
    require(
        covered(NAME),
        *("wraps", "full", "hidden", "bounded", "frames", "waits_told", "unaligned", "put_back"),
    )


@given(
    capacity=capacities,
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(8, 600)),
            st.tuples(st.just("write"), st.integers(8, 40)),
            st.tuples(st.just("write"), st.integers(8, 40)),
            st.tuples(st.just("publish"), st.just(0)),
            st.tuples(st.just("read"), st.integers(0, 9)),
            st.tuples(st.just("read"), st.just(99)),
            st.tuples(st.just("release"), st.just(0)),
            st.tuples(st.just("pass on"), st.integers(8, 40)),
            st.tuples(st.just("pass on"), st.integers(8, 300)),
            st.tuples(st.just("two, read one"), st.integers(8, 30)),
        ),
        min_size=25,
        max_size=60,
    ),
)
def follow_a_ring(capacity: int, steps: list[tuple[str, int]]) -> None:
    memory, view = memory_of(capacity)
    writer, reader, oracle = RingWriter(view), RingReader(view), Oracle(capacity)
    counts: Counter[str] = Counter()
    waiting = False
    # Some steps stand for several: with these most histories go round the ring.
    single: list[tuple[str, int]] = []
    for step, size in steps:
        if step == "pass on":
            single += [("write", size), ("publish", 0), ("read", 99), ("release", 0)]
        elif step == "two, read one":
            single += [("write", size), ("write", size + 1), ("publish", 0), ("read", 1)]
        else:
            single.append((step, size))
    for number, (step, size) in enumerate(single):
        if step == "write":
            frame = frame_of(size, number)
            accepted = writer.submit(frame)
            assert accepted == oracle.write(frame)
            waiting = waiting or not accepted
            counts["full"] += not accepted and size <= writer.largest
            counts["unaligned"] += accepted and size % 8 > 0
        elif step == "publish":
            writer.publish()
            oracle.publish()
        elif step == "read":
            counts["hidden"] += not oracle.visible and bool(oracle.written)
            counts["bounded"] += len(oracle.visible) > size
            frames = reader.receive(size)
            assert frames == oracle.read(size)
            assert reader.more == bool(oracle.visible)
            counts["frames"] += len(frames)
            back = frames[number % 4 :]
            reader.put_back(back)
            assert reader.more == bool(back or oracle.visible)
            assert reader.receive(len(back)) == back
            counts["put_back"] += len(back)
        else:
            moved = oracle.head < oracle.read_to
            told = reader.release()
            oracle.release()
            assert told or not (waiting and moved), "a writer that waits was not told"
            waiting = waiting and not told
            counts["waits_told"] += told
        assert margins_hold(memory)
    covered(NAME, wraps=oracle.wraps, **counts)


@pytest.mark.parametrize("capacity", [64, 128, 512])
def test_the_largest_frame_fits_into_an_empty_ring_wherever_it_stands(capacity: int) -> None:
    for position in range(0, capacity, 8):
        for length in (largest_of(capacity), largest_of(capacity) - 3):
            memory, view = memory_of(capacity)
            writer, reader = RingWriter(view), RingReader(view)
            for _ in range(position // 8):
                assert writer.submit(frame_of(8))
                writer.publish()
                assert reader.receive(1) == [frame_of(8)]
                reader.release()
            assert writer.submit(frame_of(length, position)), (position, length)
            writer.publish()
            assert reader.receive(9) == [frame_of(length, position)]
            assert margins_hold(memory)


def largest_of(capacity: int) -> int:
    return RingWriter(memory_of(capacity)[1]).largest


def test_nothing_is_visible_before_it_is_published() -> None:
    _, view = memory_of(256)
    writer, reader = RingWriter(view), RingReader(view)
    assert writer.submit(frame_of(16))
    assert reader.receive(9) == []
    assert not reader.more
    writer.publish()
    assert reader.receive(9) == [frame_of(16)]


def test_room_is_free_only_when_the_reader_has_said_so() -> None:
    _, view = memory_of(64)
    writer, reader = RingWriter(view), RingReader(view)
    for _ in range(2):
        assert writer.submit(frame_of(32))
    writer.publish()
    assert len(reader.receive(9)) == 2
    assert not writer.submit(frame_of(8))
    assert reader.release(), "the writer waits and is told"
    assert not reader.release(), "and told once"
    assert writer.submit(frame_of(8))


def two_laps() -> tuple[memoryview, RingReader, list[bytes], int]:
    """A ring with frames at its end, a skip behind them, and frames at its beginning; the
    reader; the frames; where the skip stands."""
    _, view = memory_of(128)
    writer, reader = RingWriter(view), RingReader(view)
    for size in (40, 40):
        assert writer.submit(frame_of(size))
    writer.publish()
    assert len(reader.receive(9)) == 2
    reader.release()
    frames = [frame_of(size, size) for size in (8, 16, 32, 8, 8)]
    for frame in frames:
        assert writer.submit(frame)
    writer.publish()
    return view, reader, frames, 80 + 8 + 16


@pytest.mark.parametrize("count", range(6))
def test_what_was_put_back_is_read_again_also_where_it_goes_round_the_end(count: int) -> None:
    _, reader, frames, _ = two_laps()
    assert reader.receive(9) == frames
    end, read = reader.consumed, reader.frames
    reader.put_back(frames[5 - count :])
    assert reader.more == (count > 0)
    assert reader.frames == read - count
    assert reader.receive(9) == frames[5 - count :]
    assert (reader.consumed, reader.frames) == (end, read)


@pytest.mark.parametrize("limit", range(7))
def test_a_read_is_bounded_also_where_it_goes_round_the_end(limit: int) -> None:
    _, reader, frames, _ = two_laps()
    read = []
    while part := reader.receive(limit):
        assert len(part) <= limit
        read += part
        if len(read) > 9:
            break
    assert read == (frames if limit else [])


@pytest.mark.parametrize("mark", [0, 5, 7, 25, 1 << 16, (1 << 31) - 8, (1 << 31) + 8, 0xFFFFFFFF])
def test_only_the_mark_of_a_skip_is_a_skip(mark: int) -> None:
    view, reader, _, skip = two_laps()
    assert struct.unpack_from("<I", view, HEAD_BYTES + skip)[0] == 1 << 31
    struct.pack_into("<I", view, HEAD_BYTES + skip, mark)
    with pytest.raises(GarbageFrame):
        reader.receive(9)


@pytest.mark.parametrize("capacity", [0, 1, 32, 63, 65, 96, -64, 1000])
def test_a_capacity_that_is_no_power_of_two_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        ring_bytes(capacity)


# ---- the handshake of a full ring, in every order ----


def handshake(run: Run, needed: int) -> list[Callable[[], None]]:
    """A writer that needs the room of `needed` frames in a full ring, and a reader."""
    _, view = memory_of(64)
    watched: Any = Watched(view, run.step)
    writer, reader = RingWriter(watched), RingReader(watched)
    for _ in range(8):
        assert writer.submit(frame_of(8))
    writer.publish()
    notified = [False]

    def write() -> None:
        while not writer.submit(frame_of(8 * needed)):
            run.until(lambda: notified[0])
            notified[0] = False

    def read() -> None:
        for _ in range(2):
            assert len(reader.receive(1)) == 1
            if reader.release():
                notified[0] = True

    return [write, read]


@pytest.mark.parametrize("needed", [1, 2])
def test_no_order_of_steps_loses_the_wake_up_of_a_writer(needed: int) -> None:
    orders = explore(lambda run: handshake(run, needed))
    require(covered("ring handshake, orders of steps", orders=orders), "orders")
    assert orders > 50


def test_the_exploration_finds_the_writer_that_does_not_look_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hasty(self: Any, end: int) -> bool:
        if end <= self._read_limit():
            return True
        self._words[2] = 1
        return False

    monkeypatch.setattr(RingWriter, "_has_room", hasty)
    with pytest.raises(Stuck):
        explore(lambda run: handshake(run, 1))


# ---- a hostile other side ----


class Fetched:
    """A memoryview whose bytes change as soon as they were fetched; it counts how often each
    was."""

    def __init__(self, view: memoryview, at: int, counts: Counter[int]) -> None:
        self._view, self._at, self._counts = view, at, counts

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, key: slice) -> Fetched:
        start, stop, _ = key.indices(len(self._view))
        return Fetched(self._view[start:stop], self._at + start, self._counts)

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self.tobytes())

    def cast(self, kind: str) -> memoryview:
        return self._view.cast(kind)  # type: ignore[call-overload,no-any-return]

    def tobytes(self) -> bytes:
        data = self._view.tobytes()
        self._counts.update(range(self._at, self._at + len(data)))
        self._view[:] = bytes(byte ^ 0xFF for byte in data)
        return data


FETCHED = "ring, each byte fetched once"


def test_a_body_is_copied_once_and_what_was_copied_is_what_is_used() -> None:
    """Row 16 and trap T15: the other side writes into a message while it is read."""
    read_while_it_changes()
    require(covered(FETCHED), "frames", "several_in_a_copy", "wraps", "left_over", "looked_again")


@given(
    capacity=capacities,
    rounds=st.lists(
        st.tuples(st.lists(st.integers(8, 60), min_size=1, max_size=6), st.integers(1, 4)),
        min_size=2,
        max_size=12,
    ),
)
def read_while_it_changes(capacity: int, rounds: list[tuple[list[int], int]]) -> None:
    _, view = memory_of(capacity)
    fetches: Counter[int] = Counter()
    watched: Any = Fetched(view, 0, fetches)
    writer, reader = RingWriter(view), RingReader(watched)
    oracle = Oracle(capacity)
    counts: Counter[str] = Counter()
    for number, (sizes, limit) in enumerate(rounds):
        for size in sizes:
            frame = frame_of(size, number)
            assert writer.submit(frame) == oracle.write(frame)
        writer.publish()
        oracle.publish()
        counts["looked_again"] += len(oracle.visible) > len(sizes)
        was = bytes(view[HEAD_BYTES:])
        fetches.clear()
        frames = reader.receive(limit)
        assert max(fetches.values(), default=0) <= 1, "a byte was fetched twice"
        assert frames == oracle.read(limit), "what was used is not what was copied"
        view[HEAD_BYTES:] = was
        counts["frames"] += len(frames)
        counts["several_in_a_copy"] += len(frames) > 1
        counts["left_over"] += reader.more
        reader.release()
        oracle.release()
    covered(FETCHED, wraps=oracle.wraps, **counts)


edits = st.lists(
    st.one_of(
        st.tuples(st.just("word"), st.integers(0, 3), st.integers(0, (1 << 64) - 1)),
        st.tuples(st.just("near"), st.integers(0, 1), st.integers(-80, 80)),
        st.tuples(
            st.just("length"),
            st.integers(0, 127),
            st.one_of(
                st.integers(0, 80),
                st.integers(0, (1 << 32) - 1),
                st.sampled_from([1 << 31, (1 << 31) + 8, (1 << 32) - 1, (1 << 31) - 8]),
            ),
        ),
    ),
    max_size=4,
)


def edit(view: memoryview, changes: list[tuple[str, int, int]]) -> None:
    words = view[:HEAD_BYTES].cast("Q")
    lengths = view[HEAD_BYTES:].cast("I")
    for what, at, value in changes:
        if what == "word":
            words[at] = value
        elif what == "near":
            words[at] = (words[at] + value) % (1 << 64) % (1 << 64)
        else:
            lengths[at % len(lengths)] = value


rounds = st.lists(st.tuples(edits, st.integers(0, 6), st.integers(8, 40)), min_size=1, max_size=12)


def test_a_hostile_writer_gets_garbage_refused_and_nothing_else() -> None:
    read_from_a_hostile_writer()
    require(covered(HOSTILE_WRITER), "refused", "read_all_the_same")


@given(capacity=st.sampled_from([64, 128, 256]), rounds=rounds)
def read_from_a_hostile_writer(
    capacity: int, rounds: list[tuple[list[tuple[str, int, int]], int, int]]
) -> None:
    memory, view = memory_of(capacity)
    writer, reader = RingWriter(view), RingReader(view)
    words, body = view[:HEAD_BYTES].cast("Q"), view[HEAD_BYTES:]
    claimed = delivered = reads = 0
    try:
        for changes, limit, size in rounds:
            try:
                writer.submit(frame_of(size))
                writer.publish()
            except GarbageFrame:
                pass  # the edits changed what the honest part of the writer reads
            edit(view, changes)
            before = bytes(body)
            tail = words[0]
            claimed = tail
            frames = reader.receive(limit)
            assert len(frames) <= limit
            assert reader.more == (reader.consumed < tail)
            for frame in frames:
                assert len(frame) == struct.unpack_from("<I", frame)[0]
                assert frame in before, "read outside of the ring"
                delivered += aligned(len(frame))
            assert delivered <= claimed, "more than was written"
            assert sum(map(len, frames)) <= capacity
            assert bytes(body) == before, "a reader writes nothing but its own count"
            reads += bool(changes)
            reader.release()
        refused = 0
    except GarbageFrame:
        refused = 1
    assert margins_hold(memory)
    covered(HOSTILE_WRITER, refused=refused, read_all_the_same=reads)


def test_a_hostile_reader_makes_the_writer_write_nowhere_else() -> None:
    write_to_a_hostile_reader()
    require(covered(HOSTILE_READER), "refused", "written_all_the_same")


@given(capacity=st.sampled_from([64, 128, 256]), rounds=rounds)
def write_to_a_hostile_reader(
    capacity: int, rounds: list[tuple[list[tuple[str, int, int]], int, int]]
) -> None:
    memory, view = memory_of(capacity)
    writer = RingWriter(view)
    words = view[:HEAD_BYTES].cast("Q")
    written = refused = 0
    for number, (changes, _, size) in enumerate(rounds):
        edit(view, changes)
        head, before = words[1], writer.tail
        try:
            accepted = writer.submit(frame_of(size, number))
        except GarbageFrame:
            refused = 1
            break
        if accepted:
            written += 1
            assert before + aligned(size) <= writer.tail <= before + aligned(size) + capacity
            assert frame_of(size, number) in bytes(view[HEAD_BYTES:])
        else:
            assert writer.tail == before
            assert head <= writer.tail, "a count beyond what was written was believed"
        if writer.publish():
            assert words[0] == writer.tail
        assert margins_hold(memory)
    assert margins_hold(memory)
    covered(HOSTILE_READER, refused=refused, written_all_the_same=written)


@pytest.mark.parametrize("tail", [1 << 63, 72, (1 << 64) - 8])
def test_a_tail_that_makes_no_sense_is_refused(tail: int) -> None:
    _, view = memory_of(64)
    reader = RingReader(view)
    view[:HEAD_BYTES].cast("Q")[0] = tail
    with pytest.raises(GarbageFrame, match="writer of a ring"):
        reader.receive(9)


def test_a_tail_that_goes_back_is_refused() -> None:
    _, view = memory_of(64)
    writer, reader = RingWriter(view), RingReader(view)
    assert writer.submit(frame_of(16))
    writer.publish()
    assert len(reader.receive(9)) == 1
    view[:HEAD_BYTES].cast("Q")[0] = 8
    with pytest.raises(GarbageFrame):
        reader.receive(9)


@pytest.mark.parametrize("head", [72, 1 << 63])
def test_a_head_beyond_what_was_written_is_refused(head: int) -> None:
    _, view = memory_of(64)
    writer = RingWriter(view)
    view[:HEAD_BYTES].cast("Q")[1] = head
    for _ in range(8):
        assert writer.submit(frame_of(8))
    with pytest.raises(GarbageFrame, match="reader of a ring"):
        writer.submit(frame_of(8))


@pytest.mark.parametrize("length", [0, 4, 7, 24, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
def test_a_length_that_runs_out_of_what_was_written_is_refused(length: int) -> None:
    _, view = memory_of(64)
    writer, reader = RingWriter(view), RingReader(view)
    assert writer.submit(frame_of(16))
    writer.publish()
    view[HEAD_BYTES:].cast("I")[0] = length
    with pytest.raises(GarbageFrame):
        reader.receive(9)
