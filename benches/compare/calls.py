"""What a call has to do, wherever it lies: the contract of the designs that are compared.

A client starts calls, a server takes them and answers, in any order. Both are in one thread here,
so that whoever drives them decides the order; what a transition into a kernel would be is counted.

The rules that each design keeps:

- A call names itself by an id that is never used again. A call that waits for another's answer
  names that one's id, and is sent before the answer is there.
- Every byte that the other side can write is copied once, then checked, then used.
- A cancelled call takes no answer. Its place is used again only when the server has let go of it.
- Memory for `slots` open calls is set aside in the beginning. Nothing grows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

Handler = Callable[[int, bytes], bytes | None]
"""Gets a token and the data; gives the answer, or None: `Calls.finish` brings it later."""


class Refused(Exception):
    """What the other side has written makes no sense."""


@dataclass
class Counts:
    """What has happened so far, on both sides together."""

    transitions: int = 0
    """Entries into the kernel: a signal, a wait, a send, a receive."""
    copied: int = 0
    """Bytes of data and answers, each time that they were copied."""
    written: int = 0
    """Bytes beside them that a call, an answer or a cancel took to say."""


@dataclass(frozen=True)
class Held:
    """Bytes that are set aside, by whose they are; as they would be in C."""

    shared: int
    kernel: int
    server: int
    client: int

    @property
    def all(self) -> int:
        return self.shared + self.kernel + self.server + self.client


class Calls(Protocol):
    """A client, a server, and what lies between them, for `slots` open calls at most, each with
    `size` bytes of data and as many of an answer."""

    counts: Counts

    def __init__(self, slots: int, size: int, handler: Handler) -> None: ...

    def held(self) -> Held: ...

    def start(self, data: bytes, on: int | None = None, /) -> int | None:
        """The client begins a call; its id, or None when there is no room now. `on`: a call
        whose answer the server puts before the data, once it has it; a call on one that is over
        or was cancelled is answered with nothing. Nobody sees it before `submit`."""

    def submit(self) -> None:
        """The client has the server see what it has written."""

    def cancel(self, x: int, /) -> None:
        """The client wants no answer of `x` any more."""

    def serve(self) -> None:
        """The server takes what has come, each call once, in the order in which it was begun."""

    def finish(self, token: int, answer: bytes, /) -> None:
        """The server has an answer, or drops it if nobody wants it. Nobody sees it before
        `publish`."""

    def publish(self) -> None:
        """The server has the client see what it has written."""

    def collect(self) -> list[int]:
        """The ids of the calls whose answers have come since the last time."""

    def take(self, x: int, /) -> bytes:
        """The answer of a call that `collect` gave; its place is free afterwards."""

    def open(self) -> tuple[int, int]:
        """How many calls the client and the server know."""


def expect(sound: bool, why: str) -> None:
    """Raises Refused unless it is sound."""
    if not sound:
        raise Refused(why)


@dataclass
class Entry:
    """A call as the server keeps it, in memory of its own, until its place is used again."""

    x: int
    data: bytes
    answer: bytes | None = None
    done: bool = False
    waiting: list[Entry] = field(default_factory=list)


class Serving:
    """The server's array of calls, which every design needs: a call is found by x mod N, and what
    the client wrote is not trusted again. `answered` writes an answer, None for a cancelled call,
    where the client will look."""

    ENTRY: Final = 32
    """Bytes that an entry would take in C: id, state, answer, length."""

    def __init__(
        self, places: int, handler: Handler, answered: Callable[[int, bytes | None], None]
    ) -> None:
        self._handler = handler
        self._answered = answered
        self._entries: list[Entry | None] = [None] * places
        self.open = 0

    def begin(self, x: int, data: bytes, on: int | None) -> None:
        entries = self._entries
        index = x % len(entries)
        old = entries[index]
        expect(old is None or old.done, "a call in a place that is taken")
        entries[index] = entry = Entry(x, data)
        self.open += 1
        if on is None:
            self._run([entry])
            return
        base = entries[on % len(entries)]
        if base is None or base.x != on or (base.done and base.answer is None):
            self._end(entry, b"")
        elif base.answer is None:
            base.waiting.append(entry)
        else:
            entry.data = base.answer + data
            self._run([entry])

    def finish(self, x: int, answer: bytes) -> None:
        entry = self._entries[x % len(self._entries)]
        if entry is not None and entry.x == x and not entry.done:
            self._run(self._end(entry, answer))

    def cancel(self, x: int) -> None:
        entry = self._entries[x % len(self._entries)]
        if entry is not None and entry.x == x and not entry.done:
            for waiting in self._end(entry, None):
                self._end(waiting, b"")

    def _run(self, entries: list[Entry]) -> None:
        # Calls on calls are run here one after the other: there are `places` at most.
        for entry in entries:
            if entry.done:
                continue
            answer = self._handler(entry.x, entry.data)
            if answer is not None:
                entries += self._end(entry, answer)

    def _end(self, entry: Entry, answer: bytes | None) -> list[Entry]:
        """Those that waited for it, with their data."""
        self._answered(entry.x, answer)
        entry.answer = answer
        entry.done = True
        self.open -= 1
        waiting, entry.waiting = entry.waiting, []
        if answer is not None:
            for one in waiting:
                one.data = answer + one.data
        return waiting
