"""Reactor: how the executor's thread sleeps, and how a signal handler or thread wakes it."""

from __future__ import annotations

import os
import select
from typing import Final, final

_LONGEST: Final = 1_000_000.0
"""Seconds of one park: what `poll` can count in milliseconds. A longer wait is several."""


@final
class Reactor:
    """A pipe to sleep on. An unpark that comes before the park is not lost: its byte is
    in the pipe, so the park returns at once."""

    __slots__ = ("_poll", "_read", "_write")

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._poll = select.poll()
        self._poll.register(self._read, select.POLLIN)

    def park(self, timeout: float | None) -> None:
        """Sleep for at most `timeout` seconds (None: without end) or until unparked."""
        # Rounded up: waking a little early would spin until the timer is due.
        milliseconds = None if timeout is None else int(min(timeout, _LONGEST) * 1000) + 1
        if self._poll.poll(milliseconds):
            try:
                os.read(self._read, 4096)
            except BlockingIOError:
                return

    def unpark(self) -> None:
        """End the present park, or the next one. Callable from any thread or handler."""
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # the pipe is full of wakes already

    def close(self) -> None:
        """Give the two descriptors back."""
        os.close(self._read)
        os.close(self._write)
