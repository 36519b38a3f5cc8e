"""Events from the serving side: subscriptions, and the sources that post to them.

A subscription writes into the record that its client has opened in an `EventBuffer`; the
layout, and who writes which word, stand in docs/events.md. Its life::

    alive ──close, the client cancels, another takes its place, or the session ends──▶ over
"""

from __future__ import annotations

from itertools import count
from typing import Final, final
from weakref import WeakValueDictionary

from pinfut.rpc import prices
from pinfut.rpc.contract import EventMemory
from pinfut.rpc.errors import NoEventBuffer
from pinfut.rpc.records import (
    ARM,
    BITS,
    END,
    GENERATION,
    MAX_GENERATION,
    MAX_VERSION,
    OWNER,
    SEEN,
    VERSION,
    WORDS,
)
from pinfut.rpc.session.charging import charge, keep
from pinfut.rpc.session.conversation import Conversation
from pinfut.rpc.session.kept import ClientRef
from pinfut.rpc.session.serving import current_session

_MASK: Final = (1 << 64) - 1


@final
class Subscription:
    """The serving side of one record. What it takes is the client's (`prices.SUBSCRIPTION`). It is
    kept for the client, and goes with the session: hold it weakly, or not at all."""

    __slots__ = (
        *("__weakref__", "_at", "_bits", "_buffer", "_fired", "_generation", "_kept"),
        *("_memory", "_place", "_words", "posted", "session", "signals"),
    )

    def __init__(
        self, session: Conversation, buffer: EventMemory, place: int, generation: int
    ) -> None:
        self.session = session
        self._buffer = buffer
        self._place = place
        self._generation = generation
        self._memory = buffer.memory
        self._words = self._memory.cast("Q")
        self._at = at = place * buffer.shape.record >> 3
        self.signals = 0
        # This side's own counts. Who takes a place over goes on where the former stopped; what a
        # client may have written there instead is believed by that client alone.
        again = self._words[at + OWNER] == generation
        self.posted = self._words[at + VERSION] & MAX_VERSION if again else 0
        self._bits = self._words[at + BITS] if again else 0
        # Another value than the client's: the place is armed from the start.
        self._fired = self._words[at + ARM] - 1 & _MASK
        self._kept: ClientRef[Subscription] | None = None
        self._words[at + VERSION] = self.posted
        self._words[at + BITS] = self._bits
        ended, self._words[at + END] = self._words[at + END], 0
        self._words[at + OWNER] = generation
        if ended == generation:
            session.end.post_event(place)  # a last event that the client has not seen is none

    @property
    def alive(self) -> bool:
        """Whether posts still get anywhere."""
        return self._kept is not None and self._kept.alive

    @property
    def size(self) -> int:
        """Bytes of the longest state that the client has room for."""
        size: int = self._buffer.shape.size
        return size

    def post(self, state: bytes, bits: int = 0) -> bool:
        """Put the newest state down, and signal it if the client has asked. Never waits and
        never allocates. False when the subscription is over. Raises ValueError for a state
        longer than the client has room for: tell it by `bits`, or cut it."""
        shape = self._buffer.shape
        if len(state) > shape.size:
            raise ValueError(
                f"a state of {len(state)} bytes, and the client has room for {shape.size}"
            )
        if not self.alive:
            return False
        words, at = self._words, self._at
        if words[at + GENERATION] != self._generation:
            self.release()  # the client has cancelled it
            return False
        if words[at + SEEN] == self.posted:
            self._bits = 0
        self._bits |= bits & _MASK
        self.posted = version = self.posted + 1
        start = self._place * shape.record + 8 * WORDS + version % shape.keep * shape.length
        words[start >> 3] = len(state)
        self._memory[start + 8 : start + 8 + len(state)] = state
        words[at + BITS] = self._bits
        words[at + VERSION] = version
        self._signal()
        return True

    def _signal(self) -> None:
        arm = self._words[self._at + ARM]
        if arm != self._fired:
            self._fired = arm
            self.signals += 1
            self.session.end.post_event(self._place)

    def close(self) -> None:
        """There are no more events here: the client is told by a last one, and what the
        subscription took is its own again. Idempotent."""
        if self.alive:
            if self._words[self._at + GENERATION] == self._generation:
                self._words[self._at + END] = self._generation
                self._signal()
            self.release()

    def release(self) -> None:
        """Let go of the place, which is the client's or another's. Idempotent."""
        kept, self._kept = self._kept, None
        if kept is not None:
            if self.session.subscriptions.get(self._place) is self:
                del self.session.subscriptions[self._place]
            kept.drop()


def subscribe(key: int, session: Conversation | None = None) -> Subscription:
    """A subscription for the place that a client names by `key`. `session`: the one whose call
    is being served, by default.

    Raises NoEventBuffer for a client that brought no memory for events, or a key that names no
    open place of it, OutOfPages when the client cannot pay, and RuntimeError outside of a
    handler. Who subscribes a place anew takes it over."""
    if session is None:
        session = current_session()
    buffer = session.end.events()
    if buffer is None:
        raise NoEventBuffer(
            f"session {session.name} has no memory for events: connect(..., events=EventBuffer("
            "bank)) brings it"
        )
    place, generation = key & 0xFFFF, key >> 16
    if not (
        place < buffer.shape.places
        and 0 < generation <= MAX_GENERATION
        and buffer.memory.cast("Q")[place * (buffer.shape.record >> 3) + GENERATION] == generation
    ):
        raise NoEventBuffer(f"{key} is the key of no open place: pass what `EventBuffer.open` gave")
    with charge(session):
        made = Subscription(session, buffer, place, generation)
        made._kept = keep(made, prices.SUBSCRIPTION)
    former = session.subscriptions.get(place)
    if former is not None:
        former.release()
    session.subscriptions[place] = made
    return made


@final
class EventSource:
    """Something that happens, for any number of subscribers: ``source.post(state)`` tells all. Who
    leaves changes nobody's charge, and who never looks delays nobody. The source itself keeps
    nothing for a subscriber: all of that is kept with its session."""

    __slots__ = ("_numbers", "_subscriptions")

    def __init__(self) -> None:
        self._numbers = count()
        self._subscriptions: WeakValueDictionary[int, Subscription] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._subscriptions)

    def subscribe(self, key: int, session: Conversation | None = None) -> Subscription:
        """One more subscriber, by the key of its place; raises as `pinfut.rpc.subscribe` does."""
        made = subscribe(key, session)
        self._subscriptions[next(self._numbers)] = made
        return made

    def post(self, state: bytes, bits: int = 0) -> int:
        """Post to everybody; to how many. A state that is too long for a subscriber's record is
        cut for that one, so that nobody's choice of sizes stops the others."""
        told = 0
        for one in list(self._subscriptions.values()):
            told += one.post(state[: one.size], bits)
        return told

    def close(self) -> None:
        """The source has ended: everybody gets a last event. Who subscribes later starts anew."""
        for one in list(self._subscriptions.values()):
            one.close()
        self._subscriptions.clear()
