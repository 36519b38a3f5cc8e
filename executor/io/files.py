"""Files: `open` and what it gives, with every call in a thread.

A regular file is always "ready", so waiting for its descriptor would tell nothing."""

from __future__ import annotations

import os
from functools import partial
from typing import IO, Any, Generic, TypeAlias, TypeVar, final

from pinfut.executor.block import shield
from pinfut.executor.threads import to_thread
from pinfut.future import FutureBase

S = TypeVar("S", str, bytes)

Path: TypeAlias = str | os.PathLike[str]


@final
class File(Generic[S]):
    """An open file, of text or of bytes; one call at a time. Cancelled, a call that has begun goes
    on in its thread: the position in the file is unknown then."""

    __slots__ = ("raw",)

    def __init__(self, raw: IO[S]) -> None:
        self.raw: IO[S] = raw  # the file itself, for what does not block

    def read(self, size: int = -1) -> FutureBase[S]:
        """At most `size` characters or bytes; all that is left below 0; empty at the end."""
        return to_thread(self.raw.read, size)

    def read_line(self, limit: int = -1) -> FutureBase[S]:
        """The next line with its end, at most `limit` long; empty at the end."""
        return to_thread(self.raw.readline, limit)

    def write(self, data: S) -> FutureBase[int]:
        """Write all of `data`; how much that was."""
        return to_thread(self.raw.write, data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> FutureBase[int]:
        """Go to a position; the new one."""
        return to_thread(self.raw.seek, offset, whence)

    def flush(self) -> FutureBase[None]:
        """Give the system what is buffered."""
        return to_thread(self.raw.flush)

    def sync(self) -> FutureBase[None]:
        """Flush, and wait until the disk has it."""
        return to_thread(self._sync)

    def _sync(self) -> None:
        self.raw.flush()
        os.fsync(self.raw.fileno())

    async def close(self) -> None:
        """Flush and close. Not cancelled in the middle of it."""
        with shield():
            await to_thread(self.raw.close)

    async def __aenter__(self) -> File[S]:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if issubclass(type(error), GeneratorExit):
            self.raw.close()  # nothing can be awaited
        else:
            await self.close()


async def open_file(path: Path, mode: str = "r", **options: Any) -> File[Any]:
    """`open` in a thread: ``async with await open_file("a.txt") as f: await f.read()``. Takes and
    raises what `open` does. A cancel arrives where the caller waits next."""
    with shield():
        raw: IO[Any] = await to_thread(partial(open, path, mode, **options))
    return File(raw)
