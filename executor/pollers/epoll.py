"""EpollPoller: Linux's epoll, edge-triggered, and an eventfd that other threads write to."""

from __future__ import annotations

import os
import select
from typing import Final, final

from pinfut.executor.contract import Runner, Source
from pinfut.executor.pollers.base import BasePoller
from pinfut.executor.source import IN

_LONGEST: Final = 1_000_000.0
"""Seconds of one park: what epoll can count in milliseconds. A longer wait is several."""

_EVENTS: Final = 128
"""The most events of one look. The kernel reports the others at the next, in turn."""


@final
class EpollPoller(BasePoller):
    """A source is registered once, at its first wait, and stays so: between waits it costs no
    system call."""

    __slots__ = ("_epoll", "_wake")

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        self._epoll = select.epoll()
        try:
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            try:
                self._epoll.register(self._wake, IN)
            except BaseException:
                os.close(self._wake)
                raise
        except BaseException:
            self._epoll.close()
            raise

    def park(self, timeout: float | None) -> bool:
        events = self._epoll.poll(None if timeout is None else min(timeout, _LONGEST), _EVENTS)
        if not events:
            return False
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
                    future.waker.wake()  # type: ignore[union-attr]  # set while it waits
                else:
                    woken += source.fire(mask)
            elif fd == self._wake:
                self._take_over()
        if woken:
            self.runner.external -= woken
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

    def _signal(self) -> None:
        try:
            os.eventfd_write(self._wake, 1)
        except BlockingIOError:
            return  # it counts 2**64 - 2 unparks already

    def _drain(self) -> None:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            pass

    def _unwatch(self, fd: int) -> None:
        try:
            self._epoll.unregister(fd)
        except OSError:
            return  # closed already; the kernel has forgotten it

    def _release(self) -> None:
        self._epoll.close()
        os.close(self._wake)
