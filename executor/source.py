"""EdgeSource: what is known of one descriptor, and who waits for it.

Who waits has tried first, so a source may stay registered and be told of each change once.
`readable` says whether a try is worth while::

    readable ──a try that would block, or a short read of a stream──▶ not readable
        ▲                                                                  │
        └──────────── a report of the poller; also an end or an error ─────┘
"""

from __future__ import annotations

from typing import Final, cast, final

from pinfut.executor.contract import Hooks, Poller, Waiting
from pinfut.executor.current import current_poller, report_call, running
from pinfut.forgotten import tell_if_forgotten
from pinfut.future import FutureBase
from pinfut.laws import describe
from pinfut.poll import PENDING, Context, Poll, Waker
from pinfut.sync.closed import Closed

# The bits of Linux's epoll (``man epoll_ctl``); pollers of other systems speak in them, too.
IN: Final = 0x001
PRI: Final = 0x002
OUT: Final = 0x004
ERR: Final = 0x008
HUP: Final = 0x010
RDHUP: Final = 0x2000
ET: Final = 1 << 31

READ: Final = IN | RDHUP | PRI | ET
"""What a reader asks a poller for."""

WRITE: Final = OUT | ET
"""What a writer asks a poller for."""

WAKES_READER: Final = IN | RDHUP | PRI | HUP | ERR
WAKES_WRITER: Final = OUT | HUP | ERR

NOT_DRAINED: Final = RDHUP | PRI | HUP | ERR
"""After one of these a short read says nothing about what is left: an end or an error makes
no further edge, and a read stops in front of urgent data."""


class Busy(RuntimeError):
    """Two tasks wait for the same thing that only one can have."""


class EdgeSource:
    """The readiness of one descriptor: a `contract.Source`. `close` before the descriptor is
    closed: the kernel tells nobody of a close."""

    __slots__ = (
        "closed", "displaced", "drains", "fd", "mask", "poller", "readable", "reader", "spree",
        "writable", "writer", "writing",
    )  # fmt: skip

    def __init__(self, fd: int, *, drains: bool = False) -> None:
        self.fd = fd
        # Where it is registered, from the first wait to `close` or the poller's end.
        self.poller: Poller | None = None
        # Invariant: what the poller is asked for; the portable one takes out what it reports.
        self.mask = 0
        # Invariant: False only while a report will come, now or once a wait has asked for it.
        self.readable = True
        self.writable = True
        # Whether a short read has taken all there is: of TCP, until an end, error or urgent data.
        self.drains = drains
        # Invariant: not None while that future waits, and is counted in `Poller.external`.
        self.reader: Waiting | None = None
        self.writer: Waiting | None = None
        # Invariant: who has written a part of its bytes; nobody else writes in between.
        self.writing: object = None
        self.spree = 0  # operations that did not have to wait, since the others were let run
        self.closed = False
        # Whether another source of the descriptor has taken its place in the poller.
        self.displaced = False

    def wait_read(self, future: Waiting) -> None:
        """Have `future` woken at the next edge; `leave` undoes it. Raises Busy."""
        other = self.reader
        if other is not None:
            if other is future:
                return
            raise self.busy("read", other)
        poller = self.poller
        if poller is None or poller.home is not running.executor or not self.mask & IN:
            poller = self._arm(READ, IN, "read")
        poller.external += 1  # first: an interrupt between the two must not count one too few
        self.reader = future

    def wait_write(self, future: Waiting) -> None:
        """As `wait_read`, for writing."""
        other = self.writer
        if other is not None:
            if other is future:
                return
            raise self.busy("write", other)
        poller = self.poller
        if poller is None or poller.home is not running.executor or not self.mask & OUT:
            poller = self._arm(WRITE, OUT, "write")
        poller.external += 1
        self.writer = future

    def registrations(self, future: Waiting) -> int:
        """How many references to `future` stand here."""
        return (self.reader is future) + (self.writer is future) + (self.writing is future)

    def leave(self, future: Waiting) -> None:
        """`future` waits no more: the undo of both waits, and a no-op when it does not wait."""
        if self.reader is future:
            self.reader = None
            self._waits_less("read")
        if self.writer is future:
            self.writer = None
            self._waits_less("write")

    def fire(self, mask: int, tell: Hooks | None = None) -> int:
        woken = 0
        if mask & NOT_DRAINED:
            self.drains = False
        if mask & WAKES_READER:
            self.readable = True
            reader, self.reader = self.reader, None
            woken += self._wake(reader, "read", tell)
        if mask & WAKES_WRITER:
            self.writable = True
            writer, self.writer = self.writer, None
            woken += self._wake(writer, "write", tell)
        return woken

    def _wake(self, future: Waiting | None, event: str, tell: Hooks | None) -> bool:
        """Wake who waits, if anybody does. A waker that fails is reported."""
        if future is None:
            return False
        if tell is not None:
            tell.io(self.fd, event, "fired")
        waker = cast(Waker, future.waker)
        try:
            waker.wake()
        except BaseException as error:
            report_call(waker.wake, error)
        return True

    def close(self) -> None:
        """As `contract.Source.close`: those that it wakes find `closed` set. Idempotent."""
        self.closed = True
        poller = self.poller
        if poller is not None:
            poller.forget(self)
            self.tell_cancelled()
            self.poller = None
            poller.external -= self.fire(ERR)

    def attach(self, poller: Poller, mask: int) -> None:
        self.poller = poller
        self.mask = mask

    def detach(self, displaced: bool = False) -> None:
        self.poller = None
        self.displaced = displaced
        self.mask = 0
        self.readable = self.writable = True
        self.reader = self.writer = None

    def _arm(self, events: int, edge: int, event: str) -> Poller:
        """Have the poller tell of `events` from here on, besides what it tells of already, and tell
        who watches that a wait for `event` begins. `edge`: what says that it has been asked."""
        poller = current_poller()
        if self.poller is not poller:
            if self.poller is not None:
                raise RuntimeError(
                    f"descriptor {self.fd} is in use in another thread's executor; a socket or "
                    "pipe belongs to the executor that used it first: hand the work over with "
                    "from_thread, or detach the descriptor and wrap it anew"
                )
            other = poller.known(self.fd) if self.displaced else None
            if other is not None and (other.reader is not None or other.writer is not None):
                # It has tried, and would wait as the other does: they would displace each other.
                raise Busy(
                    f"descriptor {self.fd} is waited for through two wrappers of it (sockets, "
                    "pipes): wrap it once, or give each an os.dup()"
                )
            self.mask = 0
        if not self.mask & edge:
            poller.watch(self, self.mask | events)
        if poller.tell is not None:
            poller.tell.io(self.fd, event, "set")
        return poller

    def _waits_less(self, event: str) -> None:
        poller = self.poller
        if poller is not None:
            poller.external -= 1
            if poller.tell is not None:
                poller.tell.io(self.fd, event, "cancelled")

    def tell_cancelled(self) -> None:
        if self.poller is not None and self.poller.tell is not None:
            for event, future in (("read", self.reader), ("write", self.writer)):
                if future is not None:
                    self.poller.tell.io(self.fd, event, "cancelled")

    def busy(self, verb: str, other: object) -> Busy:
        """The error of the one who comes while `other` is at it."""
        return Busy(
            f"{describe(other)} waits to {verb} from or to descriptor {self.fd} already; one task "
            f"at a time may {verb}: have one task own it, or guard it with a mutex"
        )


@final
class Readiness(FutureBase[None]):
    """Ready when a descriptor is: what a poller's `readable` and `writable` give. It asks the
    poller anew at its first poll, so it needs no try before it; that is one system call for each
    wait, which the sockets and pipes of `pinfut.executor.io` save."""

    __slots__ = ("_events", "_fd", "_source", "waker")

    def __init__(self, fd: int, events: int) -> None:
        self._fd = fd
        self._events = events
        self._source: EdgeSource | None = None
        self.waker: Waker | None = None

    def poll(self, cx: Context, /) -> Poll[None]:
        source = self._source
        if source is None:
            poller = current_poller()
            known = poller.known(self._fd)
            source = known if type(known) is EdgeSource else EdgeSource(self._fd)
            try:
                poller.watch(source, source.mask | self._events)
            except PermissionError:
                return None  # a regular file: it never keeps anybody waiting
            if self._events & IN:
                source.wait_read(self)
            else:
                source.wait_write(self)
            self._source = source
        elif source.closed:
            raise Closed(f"descriptor {self._fd} was closed here while a task waited for it")
        elif self is not source.reader and self is not source.writer:
            return None
        self.waker = cx.waker
        return PENDING

    def __del__(self) -> None:
        if self._source is None:
            tell_if_forgotten(self)

    def registrations(self) -> int:
        return 0 if self._source is None else self._source.registrations(self)

    def drop(self) -> None:
        if self._source is not None:
            self._source.leave(self)
