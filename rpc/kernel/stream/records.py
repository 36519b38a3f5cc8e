"""Event records of a session over a stream: the server writes its own, and posts them as bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

from pinfut.rpc.errors import GarbageFrame
from pinfut.rpc.kernel.stream.parts import PLACE, pack
from pinfut.rpc.memory.event_buffer import EventBuffer
from pinfut.rpc.records import ARM, BITS, GENERATION, OWNER, SEEN, VERSION, Shape

SERVERS: Final = 8 * OWNER
"""Where the words of the server begin in a record of an event buffer; the states follow."""


@final
class Records:
    """The server's records (`pinfut.rpc.contract.EventMemory`). Each is sent when it can be, with
    all that was posted until then; of the client's words only the generation comes back."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.memory = memoryview(bytearray(shape.places * shape.record))
        self._words = self.memory.cast("Q")
        self.waiting: dict[int, None] = {}  # places that were posted and not sent

    def open(self, place: int, generation: int) -> None:
        """The client has opened or closed a place. Raises GarbageFrame for none of its own."""
        if place >= self.shape.places:
            raise GarbageFrame(f"place {place} of an event buffer of {self.shape.places}")
        self._words[(place * self.shape.record >> 3) + GENERATION] = generation

    def post(self, place: int) -> None:
        """The next state is asked for at once: it is the client's side that arms."""
        at = place * self.shape.record >> 3
        self._words[at + ARM] = self._words[at + ARM] + 1 & (1 << 64) - 1
        self.waiting[place] = None

    def take(self) -> Iterator[tuple[int, bytes]]:
        """Copies of what was posted. What `BITS` says from then on is new."""
        record, words = self.shape.record, self._words
        for place in self.waiting:
            start = place * record
            words[(start >> 3) + SEEN] = words[(start >> 3) + VERSION]
            yield place, bytes(self.memory[start + SERVERS : start + record])
        self.waiting.clear()


@final
class Posted:
    """The client's event buffer, into which its side writes what the server has posted."""

    def __init__(self, buffer: EventBuffer) -> None:
        self._buffer = buffer
        self._words = buffer.memory.cast("Q")
        self.length = buffer.shape.record - SERVERS  # bytes of what is posted
        places = buffer.shape.places
        # By place: the arming that was signalled last, and the generation that was told.
        self._fired = [0] * places
        self._told = [0] * places

    def changes(self) -> list[bytes]:
        """What the server has to know before the next calls: places that were opened or closed."""
        words, record, parts = self._words, self._buffer.shape.record >> 3, []
        for place, told in enumerate(self._told):
            generation = words[place * record + GENERATION]
            if generation != told:
                self._told[place] = generation
                parts.append(pack(PLACE, place, generation))
        return parts

    def write(self, place: int, data: bytes) -> None:
        """Write what was posted, unless the place is the poster's no more, and signal it if that
        was asked for. Raises GarbageFrame for what is no record."""
        buffer, words = self._buffer, self._words
        if place >= len(self._told) or len(data) != self.length:
            raise GarbageFrame(f"an event of {len(data)} bytes for place {place}")
        start = place * buffer.shape.record
        at = start >> 3
        new = memoryview(data).cast("Q")
        if words[at + GENERATION] != new[0]:
            return
        bits = 0
        if words[at + OWNER] == new[0] and words[at + SEEN] != words[at + VERSION]:
            bits = words[at + BITS]  # nobody has looked at these
        buffer.memory[start + SERVERS : start + buffer.shape.record] = data
        words[at + BITS] |= bits
        if self._fired[place] != words[at + ARM]:
            self._fired[place] = words[at + ARM]
            buffer.notification.signal(place)
            buffer.notification.wake()

    def detach(self) -> None:
        """The session has let go of it."""
        self._words.release()
        self._buffer.detach()
