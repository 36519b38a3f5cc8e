"""PortablePoller: the standard library's `selectors`.

A selector reports again and again what is ready, and sources count on being told once: so a report
disarms what it reported, and the next wait arms it anew. In a browser, without sockets, only time
passes."""

from __future__ import annotations

import errno
import os
import select
import selectors
import stat
import time
from selectors import EVENT_READ, EVENT_WRITE
from typing import Final, final

from pinfut.executor.contract import Runner, Source
from pinfut.executor.lacking import lacking
from pinfut.executor.pollers.base import BasePoller
from pinfut.executor.source import IN, OUT, READ, WRITE

_LONGEST: Final = 3_600.0
"""Seconds of one park: every system's selector can count that. A longer wait is several."""

_SLICE: Final = 0.05
"""Seconds after which a sleep without a selector looks whether a signal handler has ended it."""

_WINDOWS: Final = os.name == "nt"  # there `select` sleeps through Ctrl-C, and takes sockets only
_SELECT_TAKES: Final = 512 if _WINDOWS else 1024
"""What `select` can take: so many descriptors on Windows, and elsewhere numbers below it."""

_CLOSED: Final = (errno.EBADF, errno.ENOTSOCK)


@final
class PortablePoller(BasePoller):
    """Runs wherever `selectors` do."""

    __slots__ = ("_rung", "_selector")

    def __init__(self, runner: Runner) -> None:
        self._selector: selectors.BaseSelector | None = None  # None where there are no sockets
        self._rung = False  # Invariant, without a selector: True from `_signal` to `_drain`
        super().__init__(runner)

    def _begin(self) -> None:
        if self._receive is not None:
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._receive, EVENT_READ, None)

    def park(self, timeout: float | None) -> bool:
        timeout = _LONGEST if timeout is None else min(timeout, _LONGEST)
        if self._selector is None:
            return self._sleep(timeout)
        try:
            events = self._selector.select(timeout)
        except OSError as error:
            if error.errno not in _CLOSED:
                raise
            return self._drop_closed(error)
        fired: list[tuple[Source | None, int]] = []
        for key, event in events:
            mask = (IN if event & EVENT_READ else 0) | (OUT if event & EVENT_WRITE else 0)
            source: Source | None = key.data
            if source is not None:
                left = source.mask & ~(READ if mask & IN else 0) & ~(WRITE if mask & OUT else 0)
                try:
                    self._arm(source, left)
                except (OSError, ValueError):
                    mask = READ | WRITE  # closed unseen
            fired.append((source, mask))
        self._fire(fired)
        return bool(fired)

    def _sleep(self, timeout: float) -> bool:
        """Let time pass; only a signal handler can end it."""
        end = time.monotonic() + timeout
        while not self._rung:
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, _SLICE))
        self._take_over()
        return True

    def _drop_closed(self, error: OSError) -> bool:
        """Some descriptor was closed unseen, and `select` does not say which."""
        fired: list[tuple[Source | None, int]] = []
        for source in self._sources.values():
            try:
                select.select([source.fd], [], [], 0)
            except (OSError, ValueError):
                if source.mask:
                    self._arm(source, 0)
                    fired.append((source, READ | WRITE))
        if not fired:
            raise error
        self._fire(fired)
        return True

    def fileno(self) -> int:
        fileno = getattr(self._selector, "fileno", None)
        if fileno is None:
            raise lacking(
                "a descriptor for everything", "epoll, kqueue or devpoll", "call turn often"
            )
        return int(fileno())

    def watch(self, source: Source, mask: int) -> None:
        selector, fd = self._selector, source.fd
        if selector is None:
            raise lacking("waiting for a descriptor", "sockets", "let tasks wait for one another")
        if fd < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if fd not in self._sources and not _WINDOWS:
            # What epoll refuses, the others would call ready, or not ready at its end.
            kind = os.fstat(fd).st_mode
            if stat.S_ISREG(kind) or stat.S_ISDIR(kind):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        if (
            isinstance(selector, selectors.SelectSelector)
            and (len(selector.get_map()) if _WINDOWS else fd) >= _SELECT_TAKES
        ):
            # In the park it would fail, too, and be nobody's error.
            raise OSError(
                errno.EMFILE, f"select, all there is here, takes {_SELECT_TAKES} descriptors"
            )
        try:
            self._arm(source, mask)
        except BaseException:
            known = self._sources.get(fd)
            if known is not None:
                # It is not armed any more: who waits for it tries again.
                known.mask = 0
                self.external -= known.fire(READ | WRITE, self.tell)
            raise
        self._enter(source, mask)

    def _arm(self, source: Source, mask: int) -> None:
        """Have the selector report `mask` of a source, and nothing else of it."""
        selector = self._selector
        assert selector is not None, "it watches nothing without one"
        events = (EVENT_READ if mask & IN else 0) | (EVENT_WRITE if mask & OUT else 0)
        # Not `modify`, which trusts a number that was closed unseen and is another's now.
        self._unwatch(source.fd)
        source.mask = 0
        if events:
            selector.register(source.fd, events, source)
            source.mask = mask

    def _signal(self) -> None:
        if self._selector is None:
            self._rung = True
        else:
            super()._signal()

    def _drain(self) -> None:
        if self._selector is None:
            self._rung = False
        else:
            super()._drain()

    def _unwatch(self, fd: int) -> None:
        assert self._selector is not None, "it watches nothing without one"
        try:
            self._selector.unregister(fd)
        except KeyError:
            return  # not armed

    def _release(self) -> None:
        if self._selector is not None:
            self._selector.close()
