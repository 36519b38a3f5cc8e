"""What every poller does: calls from other threads, signals, sources by descriptor, and the end.

One end of a socket pair wakes its sleep: threads write a zero to the other, and the system writes
the numbers of signals."""

from __future__ import annotations

import os
import socket
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from pinfut.executor.contract import Hooks, Runner, Source
from pinfut.executor.current import report_call
from pinfut.executor.layers import WAKEUP_FD
from pinfut.executor.source import READ, WRITE, Readiness
from pinfut.executor.trace.instrument import OUTSIDE

SOCKETS: Final = hasattr(socket, "socketpair") and sys.platform not in ("emscripten", "wasi")
"""Whether a process can have sockets of its own. Emscripten knows the names only."""


class BasePoller(ABC):
    """Descriptors, and what other threads hand over: a `contract.Poller`."""

    __slots__ = (
        "_handed", "_hears", "_lock", "_receive", "_send", "_sources", "external", "home",
        "is_closed", "notified", "owed", "runner", "tell", "threads", "working",
    )  # fmt: skip

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.tell: Hooks | None = runner.instruments or None
        # None where it is also told, so that the everyday wait has no test for that.
        self.home: Runner | None = runner if self.tell is None else None
        # Of this opening alone: who gives up late, of a run before, counts here no more.
        self.external = 0
        # Invariant: what is watched, by descriptor; at most one each.
        self._sources: dict[int, Source] = {}
        # Oldest first; each thread waits for its own, or is one of a pool: bounded.
        self._handed: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        # Invariant: True only while a wake for what is in `_handed` is under way.
        self.notified = False
        # Guards the wake against one after the close; a signal handler may come while it is held.
        self._lock = threading.RLock()
        self.is_closed = False
        # The socket pair that ends the sleep: None where there are no sockets.
        self._receive: socket.socket | None = None
        self._send: socket.socket | None = None
        self._hears = False  # whether signals write to it
        try:
            if SOCKETS:
                self._receive, self._send = socket.socketpair()
                self._receive.setblocking(False)
                self._send.setblocking(False)
            self._begin()
        except BaseException:
            self._give_back()
            raise
        self.owed: set[Any] = set()
        self.threads: Any = None
        self.working = 0

    # ---- what a system has of its own ----

    @abstractmethod
    def park(self, timeout: float | None) -> bool: ...
    @abstractmethod
    def watch(self, source: Source, mask: int) -> None: ...
    @abstractmethod
    def fileno(self) -> int: ...

    @abstractmethod
    def _unwatch(self, fd: int) -> None:
        """Report nothing more of a descriptor; it may be closed already."""

    @abstractmethod
    def _begin(self) -> None:
        """Have what can be read from the socket pair end the sleep. May fail midway."""

    @abstractmethod
    def _release(self) -> None:
        """Give the descriptors back that the system's way to sleep has taken. Idempotent."""

    # ---- what ends a sleep ----

    def _signal(self) -> None:
        """End the present park, or the next one. With the lock held, not closed."""
        assert self._send is not None, "another way to sleep has another way to end it"
        try:
            self._send.send(b"\0")
        except BlockingIOError:
            return  # there are enough of them already

    def _drain(self) -> None:
        """Take back what `_signal` has done, and tell others of the signals that came."""
        assert self._receive is not None, "as above"
        assert self._send is not None, "as above"
        try:
            signals = self._receive.recv(4096).replace(b"\0", b"")  # what is left ends the next
        except BlockingIOError:
            return
        if signals:
            # Python's handlers run in the main thread, which this wake has seen to. A loop
            # below this one, as asyncio's, learns of its signals by their numbers.
            for fd in WAKEUP_FD.below(self._send.fileno()):
                try:
                    os.write(fd, signals)
                except OSError:
                    pass  # it is full, so that its owner wakes, or closed

    def hear_signals(self) -> None:
        if self._send is not None and threading.current_thread() is threading.main_thread():
            self._hears = True
            WAKEUP_FD.take(self._send.fileno())

    # ---- from other threads ----

    def unpark(self) -> None:
        with self._lock:
            if not self.is_closed:
                self._signal()

    def hand_over(self, call: Callable[..., object], *args: Any) -> bool:
        with self._lock:
            if self.is_closed:
                return False
            self._handed.append((call, args))
            # One wake for as many as come until `_take_over`.
            if not self.notified:
                self.notified = True
                try:
                    self._signal()
                except BaseException:
                    self.notified = False
                    raise
        return True

    def _take_over(self) -> None:
        # First the signal and the flag, then the calls: what comes in between wakes again.
        self._drain()
        self.notified = False
        try:
            self._run_handed()
        finally:
            if self._handed and not self.notified:
                # A KeyboardInterrupt came in the middle: the others are for the next park.
                self.notified = True
                self.unpark()

    def _run_handed(self) -> None:
        # One by one, for handlers may hand over meanwhile; no more, so that threads hold no turn.
        handed = self._handed
        for _ in range(len(handed)):
            call, args = handed.popleft()
            try:
                call(*args)
            except BaseException as error:
                report_call(call, error)
            del call, args  # an error that the thread got has this frame below its own

    # ---- descriptors ----

    def readable(self, fd: int) -> Readiness:
        """``await poller.readable(fd)``: until a read would not block, or would fail. Call
        `closing` before `fd`, which stays the caller's, is closed. Raises Busy while another task
        waits to read."""
        return Readiness(fd, READ)

    def writable(self, fd: int) -> Readiness:
        return Readiness(fd, WRITE)

    def closing(self, fd: int) -> None:
        source = self._sources.get(fd)
        if source is not None:
            source.close()

    def known(self, fd: int) -> Source | None:
        return self._sources.get(fd)

    def _enter(self, source: Source, mask: int) -> None:
        """`source` is watched for `mask` now, in place of another of the same descriptor."""
        known = self._sources.get(source.fd)
        self._sources[source.fd] = source
        source.attach(self, mask)
        if known is not None and known is not source:
            # Two wrap one descriptor, or it was closed unseen and is another's now.
            known.tell_cancelled()
            self.external -= known.fire(READ | WRITE)
            known.detach(displaced=True)

    def forget(self, source: Source) -> None:
        if self._sources.get(source.fd) is source:
            del self._sources[source.fd]
            self._unwatch(source.fd)

    def _fire(self, fired: list[tuple[Source | None, int]]) -> None:
        """Wake who waits for each source; None stands for what threads have handed over."""
        tell = self.tell
        for source, mask in fired:
            if tell is not None:
                tell.cause = OUTSIDE
            if source is None:
                self._take_over()
            else:
                self.external -= source.fire(mask, tell)
        if tell is not None:
            tell.cause = OUTSIDE

    # ---- the end ----

    def finish(self, wait: bool = True) -> None:
        """As `contract.Poller.finish`; Ctrl-C ends it, and the threads then end by themselves."""
        with self._lock:
            self.is_closed = True
        self._run_handed()
        for owed in list(self.owed):
            owed.give_up()
        if self.threads is not None:
            self.threads.shutdown(wait)

    def close(self) -> None:
        self.finish(wait=False)
        self.threads = None
        for source in self._sources.values():
            source.tell_cancelled()
            source.detach()
        self._sources.clear()
        self._give_back()

    def leave(self) -> None:
        """As `contract.Poller.leave`: the copies watch nothing here."""
        self._lock = threading.RLock()  # a thread that is not here may hold the other
        self.is_closed = True
        self.threads = None
        self._give_back()

    def _give_back(self) -> None:
        if self._send is not None and self._send.fileno() >= 0:
            if self._hears:
                WAKEUP_FD.give_back(self._send.fileno())
            self._send.close()
        if self._receive is not None:
            self._receive.close()
        self._release()
