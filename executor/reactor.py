"""Reactor: the one place where the executor's thread sleeps.

One wait covers everything that can wake a task: descriptors, the time of the next timer,
and other threads. Inside the executor's thread rings and events wake tasks directly.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from select import EPOLLIN
from typing import TYPE_CHECKING, Any, Final, final

from pinfut.executor.source import READ, WRITE, Readiness, Source
from pinfut.executor.trace.instrument import OUTSIDE, Instruments

if TYPE_CHECKING:
    from pinfut.executor.core import Executor
    from pinfut.executor.threads import Relay, Threads

_LONGEST: Final = 1_000_000.0
"""Seconds of one park: what epoll can count in milliseconds. A longer wait is several."""

_EVENTS: Final = 128
"""The most events of one look. The kernel reports the others at the next, in turn."""

_log = logging.getLogger("pinfut.executor")


@final
class Reactor:
    """Descriptors, and what other threads hand over, for one run of an executor.

    `park`, `readable` and the like are for the executor's thread; `hand_over` and `unpark`
    may be called from any thread and from signal handlers.
    """

    __slots__ = (
        "_epoll",
        "_handed",
        "_lock",
        "_notified",
        "_sources",
        "_wake",
        "executor",
        "home",
        "owed",
        "tell",
        "threads",
        "working",
    )

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        # Whom waits and what fires are told to; None where nobody watches.
        self.tell: Instruments | None = executor.instruments or None
        # The executor where a wait of a known source need only be counted; None where it is
        # also told, so that the everyday wait has no test for that.
        self.home: Executor | None = executor if self.tell is None else None
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, EPOLLIN)
        # Invariant: what is registered with epoll, by descriptor; at most one each.
        self._sources: dict[int, Source] = {}
        # Calls from other threads, oldest first; each thread waits for its own, or is one
        # of a bounded pool, so that their number is bounded.
        self._handed: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        # Invariant: True only while a wake for what is in `_handed` is in the counter.
        self._notified = False
        # Guards `_wake` against a write after the close. Reentrant, because a signal handler
        # may come while its own thread holds it.
        self._lock = threading.RLock()
        # Invariant: the tasks that a thread waits for in `from_thread`.
        self.owed: set[Relay] = set()
        # The threads of `to_thread`, from the first use on.
        self.threads: Threads | None = None
        # How many of them are at work. They will end, so simulated time waits for them.
        self.working = 0

    # ---- sleeping ----

    def park(self, timeout: float | None) -> bool:
        """Sleep for at most `timeout` seconds (None: without end), or until something comes.

        Wakes who waits for the descriptors that are ready, and runs what other threads have
        handed over. Whether anything had come.
        """
        events = self._epoll.poll(None if timeout is None else min(timeout, _LONGEST), _EVENTS)
        if not events:
            return False
        if self.tell is not None:
            return self._tell_events(events, self.tell)
        sources = self._sources
        woken = 0
        for fd, mask in events:
            source = sources.get(fd)
            if source is not None:
                if mask == EPOLLIN and source.reader is not None:
                    # As `Source.fire`, for what comes most: bytes that a task waits for.
                    source.readable = True
                    future, source.reader = source.reader, None
                    woken += 1
                    future.waker.wake()  # type: ignore[union-attr]  # set while it waits
                else:
                    woken += source.fire(mask)
            elif fd == self._wake:
                self._take_over()
        if woken:
            self.executor.external -= woken
        return True

    def _tell_events(self, events: list[tuple[int, int]], tell: Instruments) -> bool:
        """What `park` does with events, each put down to its descriptor."""
        for fd, mask in events:
            tell.cause = OUTSIDE
            source = self._sources.get(fd)
            if source is not None:
                self.executor.external -= source.fire(mask, tell)
            elif fd == self._wake:
                self._take_over()
        tell.cause = OUTSIDE
        return True

    def unpark(self) -> None:
        """End the present park, or the next one. For any thread or signal handler."""
        with self._lock:
            if self._wake >= 0:
                try:
                    os.eventfd_write(self._wake, 1)
                except BlockingIOError:
                    return  # it counts 2**64 - 2 unparks already

    def hand_over(self, call: Callable[..., object], *args: Any) -> bool:
        """Have ``call(*args)`` run in the executor's thread. For any thread or handler.

        False, and nothing is done, when the run is over.
        """
        with self._lock:
            if self._wake < 0:
                return False
            self._handed.append((call, args))
            # One write for as many as come until `_take_over`.
            if not self._notified:
                self._notified = True
                os.eventfd_write(self._wake, 1)
        return True

    def _take_over(self) -> None:
        # First the counter and the flag, then the calls: what comes in between wakes again.
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            pass
        self._notified = False
        self._run_handed()

    def _run_handed(self) -> None:
        # One by one, for a signal handler may hand over in the midst of it; and as many as
        # there are now, so that threads cannot hold the turn.
        handed = self._handed
        for _ in range(len(handed)):
            call, args = handed.popleft()
            try:
                call(*args)
            except Exception as error:
                _log.error("%r, handed over by a thread, failed", call, exc_info=error)

    # ---- descriptors ----

    def fileno(self) -> int:
        """A descriptor that is readable when `park` would find something, timers apart."""
        return self._epoll.fileno()

    def readable(self, fd: int) -> Readiness:
        """``await reactor.readable(fd)``: until a read would not block, or would fail.

        The descriptor stays the caller's. Call `closing` before it is closed while somebody
        waits: the kernel would tell nobody. Raises Busy while another task waits to read.
        """
        return Readiness(fd, READ)

    def writable(self, fd: int) -> Readiness:
        """As `readable`, for a write."""
        return Readiness(fd, WRITE)

    def closing(self, fd: int) -> None:
        """`fd` is about to be closed: who waits for it gets Closed."""
        source = self._sources.get(fd)
        if source is not None:
            source.close()

    def source(self, fd: int) -> Source:
        """What is known of `fd`; a new source when nothing is."""
        return self._sources.get(fd) or Source(fd)

    def watch(self, source: Source, mask: int) -> None:
        """Have epoll report `mask` of a source from here on, and what is ready already.

        Raises PermissionError for regular files and OSError for a descriptor that is none.
        """
        fd = source.fd
        known = self._sources.get(fd)
        try:
            if known is None:
                self._epoll.register(fd, mask)
            else:
                self._epoll.modify(fd, mask)
        except FileExistsError:
            self._epoll.modify(fd, mask)
        except FileNotFoundError:
            self._epoll.register(fd, mask)  # closed unseen; the number is another's now
        self._sources[fd] = source
        source.reactor = self
        source.mask = mask
        if known is not None and known is not source:
            # Two wrap one descriptor, or it was closed unseen and is another's now.
            known.tell_cancelled()
            known.reactor = None
            woken = known.fire(READ | WRITE)
            self.executor.external -= woken

    def forget(self, source: Source) -> None:
        """Have epoll report nothing more of a source. For `Source.close`."""
        if self._sources.get(source.fd) is source:
            del self._sources[source.fd]
            try:
                self._epoll.unregister(source.fd)
            except OSError:
                return  # closed already; the kernel has forgotten it

    # ---- the end ----

    @property
    def is_closed(self) -> bool:
        """Whether the run is over."""
        return self._wake < 0

    def close(self) -> None:
        """Take nothing more from threads, wait for those at work, give the descriptors back."""
        with self._lock:
            wake, self._wake = self._wake, -1
        self._run_handed()
        for relay in list(self.owed):
            relay.give_up()
        if self.threads is not None:
            self.threads.shutdown()
            self.threads = None
        for source in self._sources.values():
            source.tell_cancelled()
            source.reactor = None
            source.mask = 0
            source.readable = source.writable = True
            source.reader = source.writer = None
        self._sources.clear()
        self._epoll.close()
        os.close(wake)
