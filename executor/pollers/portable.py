"""PortablePoller: the standard library's `selectors`, and a socket pair that other threads
write to.

A selector reports again and again what is ready, and the sources count on being told once. So a
report disarms what it reported: the next wait of that source arms it anew, which is one system
call a wait more than `EpollPoller` needs. A source whose wait was cancelled stays armed until its
next report.

Where a process can have no sockets of its own (in a browser) only time passes: descriptors
are refused, and there are no threads that could hand anything over.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from selectors import EVENT_READ, EVENT_WRITE
from typing import Final, final

from pinfut.executor.contract import Runner, Source
from pinfut.executor.pollers.base import BasePoller
from pinfut.executor.source import IN, OUT, READ, WRITE

_LONGEST: Final = 3_600.0
"""Seconds of one park: every system's selector can count that. A longer wait is several."""

_REFUSED: Final = "descriptors and threads cannot be waited for here: this system has no sockets"


@final
class PortablePoller(BasePoller):
    """Runs wherever `selectors` do."""

    __slots__ = ("_receive", "_selector", "_send")

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        # None, all three, where there are no sockets.
        self._selector: selectors.BaseSelector | None = None
        try:
            self._receive, self._send = socket.socketpair()
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            return
        try:
            self._receive.setblocking(False)
            self._send.setblocking(False)
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._receive, EVENT_READ, None)
        except BaseException:
            self._release()
            raise

    def park(self, timeout: float | None) -> bool:
        timeout = _LONGEST if timeout is None else min(timeout, _LONGEST)
        if self._selector is None:
            # Nothing but a signal handler can hand over here.
            time.sleep(0 if self._handed else timeout)
            came = bool(self._handed)
            self._take_over()
            return came
        try:
            events = self._selector.select(timeout)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return self._drop_closed()
        fired: list[tuple[Source | None, int]] = []
        for key, event in events:
            mask = (IN if event & EVENT_READ else 0) | (OUT if event & EVENT_WRITE else 0)
            source: Source | None = key.data
            if source is not None:
                self._arm(
                    source,
                    source.mask & ~(READ if mask & IN else 0) & ~(WRITE if mask & OUT else 0),
                )
            fired.append((source, mask))
        self._fire(fired)
        return bool(fired)

    def _drop_closed(self) -> bool:
        """Some descriptor was closed unseen, and the system does not say which."""
        fired: list[tuple[Source | None, int]] = []
        for fd, source in list(self._sources.items()):
            try:
                os.fstat(fd)
            except OSError:
                self._arm(source, 0)
                fired.append((source, READ | WRITE))
        self._fire(fired)
        return True

    def fileno(self) -> int:
        fileno = getattr(self._selector, "fileno", None)
        if fileno is None:
            raise OSError(
                errno.EOPNOTSUPP,
                "no descriptor says when something is ready on this system: call turn often",
            )
        return int(fileno())

    def watch(self, source: Source, mask: int) -> None:
        if self._selector is None:
            raise OSError(errno.EOPNOTSUPP, _REFUSED)
        if source.fd < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._arm(source, mask)
        self._enter(source, mask)

    def _arm(self, source: Source, mask: int) -> None:
        """Have the selector report `mask` of a source, and nothing else of it."""
        selector = self._selector
        assert selector is not None, "it watches nothing without one"
        fd = source.fd
        events = (EVENT_READ if mask & IN else 0) | (EVENT_WRITE if mask & OUT else 0)
        self._unwatch(fd)
        if events:
            selector.register(fd, events, source)
        source.mask = mask

    def _signal(self) -> None:
        if self._selector is None:
            return
        try:
            self._send.send(b"\0")
        except BlockingIOError:
            return  # there are enough of them already

    def _drain(self) -> None:
        if self._selector is None:
            return
        try:
            while len(self._receive.recv(4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def _unwatch(self, fd: int) -> None:
        if self._selector is None:
            return
        try:
            self._selector.unregister(fd)
        except (KeyError, ValueError, OSError):
            return  # not armed, or closed already

    def _release(self) -> None:
        if self._selector is not None:
            self._selector.close()
        if hasattr(self, "_receive"):
            self._receive.close()
            self._send.close()
