"""EpollPoller: Linux's epoll, edge-triggered."""

from __future__ import annotations

import select
from typing import Any, Final, final

from pinfut.executor.contract import Runner, Source
from pinfut.executor.current import report_call
from pinfut.executor.pollers.base import BasePoller
from pinfut.executor.source import IN

_LONGEST: Final = 1_000_000.0
"""Seconds of one park: what epoll can count in milliseconds. A longer wait is several."""

_EVENTS: Final = 128
"""The most events of one look. The kernel reports the others at the next, in turn."""


@final
class EpollPoller(BasePoller):
    """A source stays registered from its first wait: between waits it costs no call."""

    __slots__ = ("_epoll", "_ready", "_wake")

    def __init__(self, runner: Runner) -> None:
        self._epoll = select.epoll()
        self._ready: Any = runner.ready
        super().__init__(runner)

    def _begin(self) -> None:
        assert self._receive is not None, "where epoll is, sockets are"
        self._wake = self._receive.fileno()
        self._epoll.register(self._wake, IN)

    def park(self, timeout: float | None) -> bool:
        events = self._epoll.poll(None if timeout is None else min(timeout, _LONGEST), _EVENTS)
        if not events:
            return False
        self._ready.asleep = False  # the sleep is over: what it wakes needs no look at threads
        sources = self._sources
        if self.tell is not None:
            wake = self._wake
            self._fire(
                [(sources.get(fd), mask) for fd, mask in events if fd == wake or fd in sources]
            )
            return True
        woken = 0
        for fd, mask in events:
            source = sources.get(fd)
            if source is not None:
                if mask == IN and source.reader is not None:
                    # As `EdgeSource.fire`, for what comes most: bytes that a task waits for.
                    source.readable = True
                    future, source.reader = source.reader, None
                    woken += 1
                    try:
                        future.waker.wake()  # type: ignore[union-attr]  # set while it waits
                    except BaseException as error:
                        report_call(future.waker.wake, error)  # type: ignore[union-attr]
                else:
                    woken += source.fire(mask)
            elif fd == self._wake:
                self._take_over()
        if woken:
            self.external -= woken
        return True

    def fileno(self) -> int:
        return self._epoll.fileno()

    def watch(self, source: Source, mask: int) -> None:
        fd = source.fd
        try:
            if fd in self._sources:
                self._epoll.modify(fd, mask)
            else:
                self._epoll.register(fd, mask)
        except FileExistsError:
            self._epoll.modify(fd, mask)
        except FileNotFoundError:
            self._epoll.register(fd, mask)  # closed unseen; the number is another's now
        self._enter(source, mask)

    def _unwatch(self, fd: int) -> None:
        try:
            self._epoll.unregister(fd)
        except OSError:
            return  # closed already; the kernel has forgotten it

    def _release(self) -> None:
        self._epoll.close()
