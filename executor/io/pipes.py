"""Pipes and event counters: descriptors with `os.read` and `os.write`."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import Self, final

from pinfut.closing import closed_on_error
from pinfut.executor.io.operations import ReadOperation, Receive, WriteAll, WriteOperation
from pinfut.executor.lacking import lacking
from pinfut.executor.source import EdgeSource
from pinfut.future import FutureBase


class _Descriptor:
    """Owns one descriptor, non-blocking, until `close` or `detach`."""

    __slots__ = ("_fd", "_source")

    def __init__(self, fd: int) -> None:
        _require_pipes()
        try:
            os.set_blocking(fd, False)
        except BaseException:
            with suppress(OSError):  # as when it is none
                os.close(fd)
            raise
        # Invariant: -1 once it is closed.
        self._fd = fd
        self._source = EdgeSource(fd)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Close the descriptor; who waits for it gets Closed. Idempotent."""
        if self._fd >= 0:
            os.close(self.detach())

    def detach(self) -> int:
        """Give the open descriptor away; this object is closed afterwards."""
        self._source.close()
        fd, self._fd = self._fd, -1
        return fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        return os.read(self._fd, size)

    def _write(self, data: bytes | bytearray | memoryview) -> int:
        return os.write(self._fd, data)


@final
class PipeReader(_Descriptor):
    """The reading end of a pipe; it owns its descriptor."""

    __slots__ = ()

    def recv(self, size: int) -> FutureBase[bytes]:
        """At most `size` bytes, ``b""`` at the end. Cancelled, it has taken nothing."""
        return Receive(self._source, self._read, size)


@final
class PipeWriter(_Descriptor):
    """The writing end of a pipe; it owns its descriptor."""

    __slots__ = ()

    def sendall(self, data: bytes | bytearray | memoryview) -> FutureBase[None]:
        """Write all of `data`; waits while nobody reads. Raises BrokenPipeError when nobody
        can. Cancelled, it may have written a part."""
        return WriteAll(self._source, self._write, data)


def pipe() -> tuple[PipeReader, PipeWriter]:
    """A pipe: ``reader, writer = pipe()``."""
    read, write = raw_pipe()
    try:
        reader = PipeReader(read)
    except BaseException:
        os.close(write)
        raise
    with closed_on_error(reader):
        return reader, PipeWriter(write)


def raw_pipe() -> tuple[int, int]:
    """The descriptors of a pipe, to read and to write; raises OSError where none can be waited
    for."""
    _require_pipes()
    return os.pipe()


def _require_pipes() -> None:
    if os.name == "nt":
        raise lacking(
            "waiting for a pipe", "a select that takes pipes", "use socketpair(), or to_thread"
        )


@final
class EventFd(_Descriptor):
    """A counter in the kernel that other processes can add to; it owns its descriptor."""

    __slots__ = ()

    def __init__(self, initial: int = 0, *, fd: int | None = None) -> None:
        """A new counter, or the one behind `fd`, which was received from elsewhere.

        Linux only: raises OSError (ENOSYS) elsewhere.
        """
        if not hasattr(os, "eventfd"):
            raise lacking("EventFd", "Linux's eventfd", "use pipe(), or a RemoteWaker for threads")
        super().__init__(os.eventfd(initial, os.EFD_CLOEXEC) if fd is None else fd)

    def take(self) -> FutureBase[int]:
        """Wait until the counter is not zero; its value, and it is zero again."""
        return ReadOperation(self._source, self._take)

    def add(self, count: int = 1) -> FutureBase[None]:
        """Add to the counter; waits while there is no room for `count`."""
        return WriteOperation(self._source, partial(self._add, count))

    def _take(self) -> int:
        return os.eventfd_read(self._fd)

    def _add(self, count: int) -> None:
        os.eventfd_write(self._fd, count)
