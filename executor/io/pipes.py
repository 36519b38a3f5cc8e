"""Pipes and event counters: descriptors with `os.read` and `os.write`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from io import FileIO
from typing import Self, final

from pinfut.executor.interrupt import InterruptsHeld
from pinfut.executor.io.operations import ReadOperation, Receive, WriteAll, WriteOperation
from pinfut.executor.lacking import lacking
from pinfut.executor.source import EdgeSource
from pinfut.future import FutureBase


class _Descriptor:
    """Owns one descriptor, non-blocking, until `close`; ResourceWarning if thrown away."""

    __slots__ = ("_fd", "_file", "_source")

    def __init__(self, fd: int | FileIO) -> None:
        _require_pipes()
        # The owner, which is made and closed in one call each, where no interrupt comes in.
        self._file = fd if isinstance(fd, FileIO) else FileIO(fd)
        fd = self._file.fileno()
        try:
            os.set_blocking(fd, False)
        except BaseException:
            self._file.close()
            raise
        self._fd = fd  # Invariant: -1 once it is closed
        self._source = EdgeSource(fd)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Close the descriptor; who waits for it gets Closed. Idempotent."""
        self._source.close()
        self._fd = -1
        self._file.close()

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
    with ExitStack() as undo:
        read, write = map(undo.enter_context, raw_pipe())
        ends = PipeReader(read), PipeWriter(write)
        undo.pop_all()
    return ends


def raw_pipe() -> tuple[FileIO, FileIO]:
    """The owners of a pipe's ends, to read and to write. Raises OSError where none can wait."""
    _require_pipes()
    with InterruptsHeld():
        read, write = os.pipe()
        return FileIO(read), FileIO(write)


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
        """A new counter, or that behind `fd`. Raises OSError (ENOSYS) but on Linux."""
        if not hasattr(os, "eventfd"):
            raise lacking("EventFd", "Linux's eventfd", "use pipe(), or a RemoteWaker for threads")
        with InterruptsHeld():
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
