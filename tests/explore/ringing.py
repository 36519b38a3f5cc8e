"""A ring, its writer and its reader, who both sleep: every order of their accesses.

Both run forever. Positions stand in a form relative to the lap that the reader is in, so
that the states are finitely many; the bytes of the frames do not, and are compared with
what was written at each read::

    writer   idle ──▶ write ──▶ publish ──▶ tell ──▶ idle
                        └▶ publish ──▶ tell ──▶ park ──▶ asleep ──▶ write
    reader   park ──▶ asleep ──▶ park ──▶ read ──▶ release ──▶ read or park
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, cast

from pinfut.rpc.memory.notification import Notification
from pinfut.rpc.memory.ring import HEAD_BYTES, RingReader, RingWriter, ring_bytes
from tests.explore.states import REST, Operation
from tests.explore.steps import Accesses, Stopped, Watched

CAPACITY = 64
_TAIL, _HEAD, _WANT = 0, 1, 2


class Sleeper:
    """One who sleeps at a notification until it is woken."""

    def __init__(self) -> None:
        self.notification = Notification()
        self.woken = False

    def wake(self) -> None:
        self.woken = True

    def park(self) -> bool:
        """As a vat does: wait for a signal, or take one that is there. Whether to wait."""
        if self.notification.park(self):
            return True
        self.notification.take()
        return False

    def tell(self) -> None:
        """As the kernel does: one transition, that signals and wakes."""
        self.notification.signal(0)
        self.notification.wake()

    def save(self) -> tuple[bool, bool, bool]:
        return self.woken, self.notification.ready, self.notification._waker is not None

    def load(self, saved: tuple[bool, bool, bool]) -> None:
        self.woken, ready, waits = saved
        self.notification = Notification()
        if waits:
            self.notification.park(self)
        if ready:
            self.notification.signal(0)


class Ringing:
    """A writer of frames of the given sizes, and a reader of some or all at a time."""

    def __init__(
        self, sizes: tuple[int, ...], limits: tuple[int, ...], batches: bool = True
    ) -> None:
        self.memory = memoryview(bytearray(ring_bytes(CAPACITY)))
        self.words = self.memory[:HEAD_BYTES].cast("Q")
        self.sizes, self.limits, self.batches = sizes, limits, batches
        self.writes, self.reads = Accesses(), Accesses()
        self.writer = RingWriter(cast(memoryview, Watched(self.memory, self.writes)))
        self.reader = RingReader(cast(memoryview, Watched(self.memory, self.reads)))
        self.room, self.frames = Sleeper(), Sleeper()
        self.writing, self.reading = "idle", "park"
        # What was written and not read, what waits to be written, and how many there were.
        self.under_way: tuple[bytes, ...] = ()
        self.pending = b""
        self.count = 0
        # The next frame is published together with the one behind it.
        self.batch = False

    def operations(self) -> Sequence[Operation]:
        found: list[Operation] = []
        if self.writing == "idle":
            found += [("writer", size) for size in self.sizes]
            if self.batches and not self.batch:
                found += [("writer", size, "and more") for size in self.sizes]
        elif self.writing != "asleep" or self.room.woken:
            found.append(("writer",))
        if self.reading == "read":
            found += [("reader", limit) for limit in self.limits]
        elif self.reading != "asleep" or self.frames.woken:
            found.append(("reader",))
        return found

    def apply(self, operation: Operation, /) -> None:
        who, *choice = operation
        if who == "writer":
            private = self.writer.tail, self.writer._published, self.writer._limit
            self.writes.begin()
            try:
                self.writing = self._write(self.writing, choice)
            except Stopped:
                self.writer.tail, self.writer._published, self.writer._limit = private
            else:
                self.writes.end()
        else:
            reader = self.reader
            begun = reader.consumed, reader._seen, reader.more
            self.reads.begin()
            try:
                self.reading = self._read(self.reading, choice)
            except Stopped:
                reader.consumed, reader._seen, reader.more = begun
            else:
                self.reads.end()

    def _write(self, at: str, choice: list[Any]) -> str:
        """One step of the writer; where it stands then."""
        if at == "idle":
            self.batch = len(choice) == 2
            self.count += 1
            body = (self.count * 0x9E3779B9 & 0xFFFFFFFF).to_bytes(4, "little")
            self.pending = struct.pack("<I", choice[0]) + body * (choice[0] // 4 - 1)
            return "write"
        if at == "write":
            if self.writer.submit(self.pending):
                self.under_way += (self.pending,)
                self.pending = b""
                return "idle" if self.batch else "publish"
            return "publish"
        if at == "publish":
            self.writer.publish()
            return "tell"
        if at == "tell":
            self.frames.tell()
            return "park" if self.pending else "idle"
        if at == "park":
            return "asleep" if self.room.park() else "write"
        self.room.woken = False
        return "park"

    def _read(self, at: str, choice: list[Any]) -> str:
        """One step of the reader; where it stands then."""
        if at == "park":
            return "asleep" if self.frames.park() else "read"
        if at == "asleep":
            self.frames.woken = False
            return "park"
        if at == "read":
            frames = self.reader.receive(choice[0])
            for frame in frames:
                assert self.under_way, "a frame that nobody wrote"
                first, *rest = self.under_way
                self.under_way = tuple(rest)
                assert frame == first, "not the frame that was written"
            return "release" if frames else "park"
        if at == "release":
            if self.reader.release():
                return "tell"
        else:
            self.room.tell()
        return "read" if self.reader.more else "park"

    def check(self) -> None:
        words, writer = self.words, self.writer
        assert words[_HEAD] <= words[_TAIL] <= writer.tail <= words[_HEAD] + CAPACITY, (
            "what is not read yet is written over"
        )
        reader_asleep = self.reading == "asleep" and not self.frames.woken
        writer_asleep = self.writing == "asleep" and not self.room.woken
        if reader_asleep and (self.writing == "idle" or writer_asleep):
            assert words[_TAIL] == self.reader.consumed, "it sleeps, and there are frames to read"
            assert not writer_asleep, "both sleep, and the writer waits for room"

    def form(self) -> Hashable:
        writer, reader, words = self.writer, self.reader, self.words
        base = reader.consumed - reader.consumed % CAPACITY

        return (
            writer.tail - base,
            writer._published - base,
            writer._limit - base,
            reader.consumed - base,
            reader._seen - base,
            words[_TAIL] - base,
            words[_HEAD] - base,
            words[_WANT],
            tuple(map(len, self.under_way)),
            len(self.pending),
            self.batch,
            self.writing,
            tuple(None if value is None else value - base for value in self.writes.log),
            self.reading,
            # Flags: the reader looks at a position only where that ends a section.
            tuple(self.reads.log),
            self.room.save(),
            self.frames.save(),
        )

    def save(self) -> object:
        writer, reader = self.writer, self.reader
        return (
            bytes(self.memory),
            (writer.tail, writer._published, writer._limit),
            (reader.consumed, reader._seen, reader.more),
            (self.under_way, self.pending, self.count, self.batch, self.writing, self.reading),
            (list(self.writes.log), list(self.reads.log), self.room.save(), self.frames.save()),
        )

    def load(self, saved: Any) -> None:
        writer, reader = self.writer, self.reader
        self.memory[:], written, read, own, rest = saved
        writer.tail, writer._published, writer._limit = written
        reader.consumed, reader._seen, reader.more = read
        (self.under_way, self.pending, self.count, self.batch, self.writing, self.reading) = own
        self.writes.log, self.reads.log = list(rest[0]), list(rest[1])
        self.room.load(rest[2])
        self.frames.load(rest[3])

    def kinds(self) -> Iterable[str]:
        asleep = self.reading == "asleep" and not self.frames.woken
        unread = self.words[_TAIL] != self.reader.consumed
        if self.writing == "idle" and asleep and not self.writer.unpublished:
            yield REST
        if self.writing == "asleep":
            yield "writer woken" if self.room.woken else "writer sleeps"
        if asleep and unread:
            yield "published, not told"
        if self.reading == "release" and self.reads.log == [None] and self.words[_WANT]:
            yield "wanted while it releases"
        if self.writing == "write" and len(self.writes.log) == 2:
            yield "looks again"
        if self.frames.notification.ready and self.reading != "park":
            yield "told while awake"
        if len(self.under_way) == 4:
            yield "four frames"
        if self.writer.tail - self.reader.consumed > sum(map(len, self.under_way)):
            yield "skips the end"
