"""EventBuffer: where events of a session come to, in memory that the client has paid for.

A record for each place; its layout and who writes which word stand in docs/events.md. The
client's side of it is here, and so is the one thing that the kernel does: the notification."""

from __future__ import annotations

from collections import deque
from copy import copy
from typing import Final, NamedTuple, final

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.handle import BankHandle
from pinfut.rpc.errors import GarbageFrame, SessionClosed
from pinfut.rpc.memory.notification import Notification
from pinfut.rpc.memory.pages import Region, pages_for
from pinfut.rpc.records import (
    ARM,
    BITS,
    END,
    GENERATION,
    MAX_GENERATION,
    OWNER,
    SEEN,
    VERSION,
    WORDS,
    Shape,
)

_MASK: Final = (1 << 64) - 1
_TRIES: Final = 8


class SourceEvent(NamedTuple):
    """What has happened at one source since it was looked at last.

    `states`: the newest ones that were kept, oldest first. `version`: how many there ever were.
    `lost`: how many of those since the last look are not among `states`. `bits`: what happened,
    ORed. `last`: the source has ended; after this event its place is free and its key is over.
    Only a last event may come without a state."""

    key: int
    states: tuple[bytes, ...]
    version: int
    lost: int
    bits: int
    last: bool

    @property
    def state(self) -> bytes:
        """The newest state. Raises LookupError for a last event that brings none."""
        if not self.states:
            raise LookupError("this event says that its source has ended and brings no state")
        return self.states[-1]


@final
class EventBuffer:
    """Memory for events of `places` sources, paid by `bank`: each keeps the last `keep` states of
    at most `size` bytes. ``connect(..., events=buffer)`` hands it over; one session may have it.

    ``with EventBuffer(bank) as buffer:`` frees it at the end of the block. Raises OutOfPages.

    A place is closed, open or armed::

        closed ──open──▶ armed ──next gives its event──▶ open ──arm──▶ armed
          ▲                └──── cancel, or a last event ─┘
          └──────────────────────────────┘
    """

    __slots__ = (
        "_armed", "_arms", "_free", "_generations", "_ready", "_region", "_seen", "_waits",
        "_words", "armings", "delivered", "error", "name", "notification", "shape",
    )  # fmt: skip

    def __init__(
        self, bank: Bank | BankHandle, *, places: int = 16, size: int = 64, keep: int = 1
    ) -> None:
        self.shape = shape = Shape(places, size, keep)
        payer = bank.bank() if isinstance(bank, BankHandle) else bank
        self.name = f"events of {payer.name}"
        # The records, and the bits of the notification.
        bytes_ = places * shape.record + 8 * -(-places // 64) + 8
        self._region = Region(payer, pages_for(bytes_), "a buffer for events")
        self._words = self._region.buffer[: places * shape.record].cast("Q")
        self.notification = Notification(self.name)
        # By place, as this side knows it: what the other side writes is compared with it.
        self._generations = [0] * places
        self._arms = [0] * places
        self._seen = [0] * places
        # Invariant: a place is in at most one of these two; closed ones are in neither.
        self._armed: list[bool] = [False] * places
        self._free: deque[int] = deque(range(places))
        # Places that were signalled and not looked at, each once, oldest first.
        self._ready: dict[int, None] = {}
        self._waits = False  # whether somebody waits in `next`
        # Why nothing comes any more; None while the session is there, or was not yet.
        self.error: BaseException | None = None
        # How often places were armed, and how many events came of it.
        self.armings = 0
        self.delivered = 0

    # ---- places ----

    def open(self) -> int:
        """A free place, armed; its key is for the method that subscribes. Raises ValueError when
        all are in use."""
        self._require_memory()
        if not self._free:
            raise ValueError(
                f"all {self.shape.places} places are in use: cancel one, or make a buffer of more"
            )
        place = self._free.popleft()
        self._generations[place] += 1
        self._seen[place] = 0
        at = self._at(place)
        self._words[at + SEEN] = 0
        self._words[at + GENERATION] = self._generations[place]
        self._arm(place)
        return self._generations[place] << 16 | place

    def arm(self, key: int) -> None:
        """Ask for one more event of this source. If something has happened since the last one it
        is there at once. Arming twice is arming once. Raises KeyError for a key that is over."""
        place = self._place(key)
        if self._armed[place]:
            return
        self._words[self._at(place) + SEEN] = self._seen[place]
        self._arm(place)
        # Only now: a state that came before the arming was not signalled.
        if self._version(place) > self._seen[place] or self._ended(place):
            self.notification.signal(place)
            self.notification.wake()

    def cancel(self, key: int) -> None:
        """No more events of this source: what is signalled goes too, and the place is free.
        Raises KeyError for a key that is over."""
        self._close(self._place(key))

    def _close(self, place: int) -> None:
        self._armed[place] = False
        # A key of this place that is over is never valid again.
        self._generations[place] += 1
        self._words[self._at(place) + GENERATION] = self._generations[place]
        if self._generations[place] < MAX_GENERATION:
            self._free.append(place)

    @property
    def opened(self) -> int:
        """How many places are open."""
        return sum(generation & 1 for generation in self._generations)

    def _arm(self, place: int) -> None:
        self._armed[place] = True
        self.armings += 1
        self._arms[place] = arm = self._arms[place] + 1 & _MASK
        self._words[self._at(place) + ARM] = arm

    def _place(self, key: int) -> int:
        self._require_memory()
        place, generation = key & 0xFFFF, key >> 16
        # Of a closed place the generation is even.
        if place < self.shape.places and generation == self._generations[place] and generation & 1:
            return place
        raise KeyError(f"{key} names no place of this buffer that is open")

    def _at(self, place: int) -> int:
        return place * self.shape.record >> 3

    # ---- looking ----

    def next(self) -> FutureBase[SourceEvent]:
        """A future of the next event of any armed place. A cancelled wait has taken none. Raises
        the session's error when that has ended, RuntimeError when somebody waits here already,
        and GarbageFrame when the server wrote what cannot be."""
        return _Next(self)

    def __aiter__(self) -> _Stream:
        """``async for event in buffer``: arms the source of each event for the next. Ends when an
        event was the last and no other place is open."""
        return _Stream(self)

    def take(self) -> SourceEvent | None:
        """The next event, if there is one, without waiting. Raises GarbageFrame, and SessionClosed
        for a buffer without memory."""
        self._require_memory()
        for place in self.notification.take():
            self._ready[place] = None
        while self._ready:
            place = next(iter(self._ready))
            del self._ready[place]
            if place < self.shape.places and self._armed[place]:
                event = self._look(place)
                if event is not None:
                    self._armed[place] = False
                    self.delivered += 1
                    if event.last:
                        self._close(place)
                    return event
        return None

    def _ended(self, place: int) -> bool:
        """Whether its source has ended. Read before the version, which then is the last."""
        return self._words[self._at(place) + END] == self._generations[place]

    def _version(self, place: int) -> int:
        """How many states there are. Raises GarbageFrame."""
        at = self._at(place)
        if self._words[at + OWNER] != self._generations[place]:
            return self._seen[place]  # not subscribed yet
        version = self._words[at + VERSION]
        if version < self._seen[place]:
            raise GarbageFrame(
                f"a source of events claims to be at {version} after {self._seen[place]}"
            )
        return version

    def _look(self, place: int) -> SourceEvent | None:
        shape, seen = self.shape, self._seen[place]
        for _ in range(_TRIES):
            ended = self._ended(place)
            version = self._version(place)
            if version == seen and not ended:
                return None
            first = max(seen, version - shape.keep)
            states = [self._copy(place, number) for number in range(first + 1, version + 1)]
            bits = self._words[self._at(place) + BITS] if states else 0
            # What was written over while it was copied is not what it says.
            over = self._version(place) - shape.keep - first
            if over > 0:
                del states[:over]
            if states or version == seen:
                self._seen[place] = version
                key = self._generations[place] << 16 | place
                lost = version - seen - len(states)
                return SourceEvent(key, tuple(states), version, lost, bits, ended)
        raise GarbageFrame("a source of events writes faster than its states can be copied")

    def _copy(self, place: int, number: int) -> bytes:
        shape = self.shape
        start = place * shape.record + 8 * WORDS + number % shape.keep * shape.length
        length = self._words[start >> 3]
        if length > shape.size:
            raise GarbageFrame(f"a state of {length} bytes, where {shape.size} is the most")
        return bytes(self._region.buffer[start + 8 : start + 8 + length])

    # ---- the other side, and the end ----

    @property
    def memory(self) -> memoryview:
        """The records, as the other side maps them."""
        return self._region.view()[: self.shape.places * self.shape.record]

    def require_unused(self) -> None:
        """Raises ValueError for a buffer that a session has or had, and SessionClosed for one that
        has no memory any more."""
        self._require_memory()
        if self._region.pins or self.error is not None:
            raise ValueError("an event buffer is for one session; make another one")

    def attach(self) -> None:
        """The kernel hands the buffer over: its pages stay until `detach`."""
        self.require_unused()
        self._region.pin()

    def detach(self) -> None:
        """The server has let go of it."""
        self._region.unpin()
        self.end(SessionClosed("the session of this event buffer has ended"))

    def end(self, error: BaseException) -> None:
        """The session is over: who waits is told."""
        if self.error is None:
            self.error = error
            self.notification.signal(0)
            self.notification.wake()

    def free(self) -> None:
        """Give the pages back. Raises Pinned while a session has it. Idempotent."""
        self._region.free()

    def _require_memory(self) -> None:
        if not self._region.pages:
            raise SessionClosed("this event buffer was freed, or its bank has taken it back")

    def __enter__(self) -> EventBuffer:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.free()


@final
class _Next(FutureBase[SourceEvent]):
    __slots__ = ("_buffer", "_parked")

    def __init__(self, buffer: EventBuffer) -> None:
        self._buffer = buffer
        self._parked = False

    def poll(self, cx: Context, /) -> Poll[SourceEvent]:
        buffer = self._buffer
        if not self._parked and buffer._waits:
            raise RuntimeError("a task waits for these events already; one at a time may")
        while True:
            try:
                event = buffer.take()
            except BaseException:
                self.drop()
                raise
            if event is not None:
                self.drop()
                return event
            if buffer.error is not None:
                self.drop()
                raise copy(buffer.error)
            buffer._waits = self._parked = True
            if buffer.notification.park(cx.waker):
                return PENDING

    def drop(self) -> None:
        if self._parked:
            self._parked = self._buffer._waits = False
            self._buffer.notification.unpark()


@final
class _Stream:
    """Arms what has come for the next round."""

    __slots__ = ("_buffer", "_last")

    def __init__(self, buffer: EventBuffer) -> None:
        self._buffer = buffer
        self._last: int | None = None

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> SourceEvent:
        last, self._last = self._last, None
        if last is not None:
            try:
                self._buffer.arm(last)
            except KeyError:  # the last event of its source, or cancelled meanwhile
                if not self._buffer.opened:
                    raise StopAsyncIteration from None
        event = await self._buffer.next()
        self._last = event.key
        return event
