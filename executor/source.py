"""Source: what is known of one descriptor, and who waits for it.

A source is registered with epoll once, edge-triggered, and stays so between waits: a wait
makes no system call. That is sound because whoever waits has tried first. `readable` says
whether a try is worth while; a try that would block clears it, and the next edge sets it::

    readable ──a try that would block, or a short read of a stream──▶ not readable
        ▲                                                                  │
        └──────────── an edge from epoll; also an end or an error ─────────┘
"""

from __future__ import annotations

from select import EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP
from typing import TYPE_CHECKING, Final, Protocol, final

from pinfut.executor.current import current_executor, running
from pinfut.future import FutureBase
from pinfut.laws import describe
from pinfut.poll import PENDING, Context, Poll, Waker
from pinfut.sync.closed import Closed

if TYPE_CHECKING:
    from pinfut.executor.reactor import Reactor
    from pinfut.executor.trace.instrument import Instruments

READ: Final = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET
"""What a reader asks epoll for."""

WRITE: Final = EPOLLOUT | EPOLLET
"""What a writer asks epoll for."""

WAKES_READER: Final = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR
WAKES_WRITER: Final = EPOLLOUT | EPOLLHUP | EPOLLERR

NOT_DRAINED: Final = EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR
"""After one of these a short read says nothing about what is left: an end or an error makes
no further edge, and a read stops in front of urgent data."""


class Busy(RuntimeError):
    """Two tasks wait for the same thing that only one can have."""


class Waiting(Protocol):
    """A future that waits for a source."""

    waker: Waker | None
    """The newest waker; not None while it waits."""


@final
class Source:
    """The readiness of one descriptor. It does not own the descriptor.

    `close` before the descriptor is closed: the kernel tells nobody of a close.
    """

    __slots__ = (
        "closed",
        "drains",
        "fd",
        "mask",
        "reactor",
        "readable",
        "reader",
        "spree",
        "writable",
        "writer",
        "writing",
    )

    def __init__(self, fd: int, *, drains: bool = False) -> None:
        self.fd = fd
        # Where it is registered, from the first wait to `close` or the reactor's end.
        self.reactor: Reactor | None = None
        # Invariant: what epoll was asked for. It only grows.
        self.mask = 0
        # Invariant: False only while an edge will come when that changes.
        self.readable = True
        self.writable = True
        # Whether a read that gives less than was asked for has taken all there is. True for
        # TCP until an end, an error or urgent data was seen; never for datagrams, nor for
        # Unix sockets, where a read stops at a message with descriptors.
        self.drains = drains
        # Invariant: not None while that future waits; each of them is counted in
        # `executor.external`.
        self.reader: Waiting | None = None
        self.writer: Waiting | None = None
        # Invariant: the operation that has written a part of its bytes, until the rest is
        # written or it gives up; nobody else writes in between.
        self.writing: object = None
        # Operations that did not have to wait, since the others were let run.
        self.spree = 0
        self.closed = False

    def wait_read(self, future: Waiting) -> None:
        """Have `future` woken at the next edge; `leave` is the undo, and idempotent.

        Raises Busy while another future waits to read.
        """
        other = self.reader
        if other is not None:
            if other is future:
                return
            raise self.busy("read", other)
        reactor = self.reactor
        if reactor is None or reactor.home is not running.executor or not self.mask & EPOLLIN:
            reactor = self._arm(READ, EPOLLIN, "read")
        self.reader = future
        reactor.executor.external += 1

    def wait_write(self, future: Waiting) -> None:
        """As `wait_read`, for writing."""
        other = self.writer
        if other is not None:
            if other is future:
                return
            raise self.busy("write", other)
        reactor = self.reactor
        if reactor is None or reactor.home is not running.executor or not self.mask & EPOLLOUT:
            reactor = self._arm(WRITE, EPOLLOUT, "write")
        self.writer = future
        reactor.executor.external += 1

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

    def fire(self, mask: int, tell: Instruments | None = None) -> int:
        """Epoll has reported `mask`: wake who waits for it. How many were woken."""
        woken = 0
        if mask & NOT_DRAINED:
            self.drains = False
        if mask & WAKES_READER:
            self.readable = True
            future = self.reader
            if future is not None:
                self.reader = None
                woken = 1
                if tell is not None:
                    tell.io(self.fd, "read", "fired")
                future.waker.wake()  # type: ignore[union-attr]  # set while it waits
        if mask & WAKES_WRITER:
            self.writable = True
            future = self.writer
            if future is not None:
                self.writer = None
                woken += 1
                if tell is not None:
                    tell.io(self.fd, "write", "fired")
                future.waker.wake()  # type: ignore[union-attr]
        return woken

    def close(self) -> None:
        """The descriptor is about to be closed: forget it, and wake who waits for it.

        They find `closed` set. Idempotent.
        """
        self.closed = True
        reactor = self.reactor
        if reactor is not None:
            reactor.forget(self)
            self.tell_cancelled()
            self.reactor = None
            woken = self.fire(EPOLLERR)
            reactor.executor.external -= woken

    def _arm(self, events: int, edge: int, event: str) -> Reactor:
        """Have epoll tell of `events` from here on, besides what it tells of already, and
        tell whoever watches that a wait for `event` begins. `edge`: what says that epoll has
        been asked."""
        reactor = current_reactor()
        if self.reactor is not reactor:
            if self.reactor is not None:
                raise RuntimeError(
                    f"descriptor {self.fd} is in use in another thread's executor; a socket or "
                    "pipe belongs to the executor that used it first: hand the work over with "
                    "from_thread, or detach the descriptor and wrap it anew"
                )
            self.mask = 0
        if not self.mask & edge:
            reactor.watch(self, self.mask | events)
        if reactor.tell is not None:
            reactor.tell.io(self.fd, event, "set")
        return reactor

    def _waits_less(self, event: str) -> None:
        reactor = self.reactor
        if reactor is not None:
            reactor.executor.external -= 1
            if reactor.tell is not None:
                reactor.tell.io(self.fd, event, "cancelled")

    def tell_cancelled(self) -> None:
        """Nothing will fire here any more: tell whoever watches so, for each wait."""
        if self.reactor is not None and self.reactor.tell is not None:
            for event, future in (("read", self.reader), ("write", self.writer)):
                if future is not None:
                    self.reactor.tell.io(self.fd, event, "cancelled")

    def busy(self, verb: str, other: object) -> Busy:
        """The error of whoever comes while `other` is at it."""
        return Busy(
            f"{describe(other)} waits to {verb} from or to descriptor {self.fd} already; one task "
            f"at a time may {verb}: have one task own it, or guard it with a mutex"
        )


def current_reactor() -> Reactor:
    """The reactor of the executor that runs in this thread. Raises NoExecutor."""
    reactor = current_executor().reactor
    assert reactor is not None, "a running executor has a reactor"
    return reactor


@final
class Readiness(FutureBase[None]):
    """Ready when a descriptor is: what `Reactor.readable` and `writable` give.

    It asks epoll anew at its first poll, so it needs no try before it; that is one system
    call for each wait, which the sockets and pipes of `pinfut.executor.io` save.
    """

    __slots__ = ("_events", "_fd", "_source", "waker")

    def __init__(self, fd: int, events: int) -> None:
        self._fd = fd
        self._events = events
        self._source: Source | None = None
        self.waker: Waker | None = None

    def poll(self, cx: Context, /) -> Poll[None]:
        source = self._source
        if source is None:
            reactor = current_reactor()
            source = reactor.source(self._fd)
            try:
                reactor.watch(source, source.mask | self._events)
            except PermissionError:
                return None  # a regular file: it never keeps anybody waiting
            if self._events & EPOLLIN:
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

    def registrations(self) -> int:
        return 0 if self._source is None else self._source.registrations(self)

    def drop(self) -> None:
        if self._source is not None:
            self._source.leave(self)
