"""The client: walk a tree and read every file of it, many calls at a time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from examples.files.digest import Contents
from examples.files.interface import LIST_COUNT, Directory, Entry, File
from pinfut import FutureBase
from pinfut.executor import scope
from pinfut.sync import OneshotSender, oneshot

Job: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class Parts:
    """A file that comes in pieces, in any order."""

    __slots__ = ("_left", "_pieces", "chunk", "size")

    def __init__(self, size: int, chunk: int) -> None:
        self.size = size
        self.chunk = chunk
        # Invariant: None where the piece has not come.
        self._pieces: list[bytes | None] = [None] * -(-size // chunk)
        self._left = len(self._pieces)

    @property
    def offsets(self) -> range:
        """Where the pieces begin."""
        return range(0, self.size, self.chunk)

    def length(self, offset: int) -> int:
        """How long the piece at `offset` is."""
        return min(self.chunk, self.size - offset)

    def put(self, offset: int, data: bytes) -> bytes | None:
        """A piece has come; the whole file when it was the last."""
        self._pieces[offset // self.chunk] = data
        self._left -= 1
        return None if self._left else b"".join(piece or b"" for piece in self._pieces)


class Fetch:
    """Reads a tree with `workers` tasks, in pieces of `chunk` bytes; `run` once.

    What is found goes on a stack: the walk goes deep first, and the directories that are
    open at one time are those beside the way down.
    """

    def __init__(self, root: Directory, *, workers: int, chunk: int) -> None:
        self.contents = Contents()
        self.calls = 0
        self._chunk = chunk
        self._workers = workers
        self._jobs: list[Job] = [partial(self._list, root, "", "")]
        # Jobs that wait or run: when there is none, there will be none.
        self._unfinished = 1
        # Invariant: workers wait only while no job does.
        self._idle: list[OneshotSender[Job | None]] = []

    async def run(self) -> Contents:
        """Read everything. Raises an ExceptionGroup with what the workers ended with."""
        async with scope() as workers:
            for _ in range(self._workers):
                workers.spawn(self._work())
        return self.contents

    async def _work(self) -> None:
        while self._unfinished:
            if self._jobs:
                job = self._jobs.pop()
            else:
                ends: tuple[OneshotSender[Job | None], FutureBase[Job | None]] = oneshot()
                sender, receiver = ends
                self._idle.append(sender)
                given = await receiver
                if given is None:
                    return
                job = given
            await job()
            self._unfinished -= 1
        for idle in self._idle:
            idle.send(None)
        self._idle.clear()

    def _add(self, job: Job) -> None:
        self._unfinished += 1
        if self._idle:
            self._idle.pop().send(job)
        else:
            self._jobs.append(job)

    async def _list(self, directory: Directory, inside: str, after: str) -> None:
        """List a directory from `after` on. `inside`: its path, with a slash at the end."""
        self.calls += 1
        entries = await directory.list(after)
        if len(entries) == LIST_COUNT:
            self._add(partial(self._list, directory, inside, entries[-1].name))
        for entry in entries:
            if entry.kind == "directory":
                self._add(partial(self._enter, directory, inside, entry.name))
            elif entry.kind == "file":
                self._add(partial(self._open, directory, inside, entry))

    async def _enter(self, directory: Directory, inside: str, name: str) -> None:
        self.calls += 1
        # Not awaited: the first list is sent behind it at once.
        await self._list(directory.enter(name), f"{inside}{name}/", "")

    async def _open(self, directory: Directory, inside: str, entry: Entry) -> None:
        path = inside + entry.name
        if not entry.size:
            self.contents.add(path, b"")
            return
        self.calls += 1
        file = directory.open(entry.name)
        parts = Parts(entry.size, self._chunk)
        for offset in reversed(parts.offsets[1:]):
            self._add(partial(self._read, file, path, parts, offset))
        await self._read(file, path, parts, 0)

    async def _read(self, file: File, path: str, parts: Parts, offset: int) -> None:
        self.calls += 1
        whole = parts.put(offset, await file.read(offset, parts.length(offset)))
        if whole is not None:
            self.contents.add(path, whole)


def locate(root: Directory, path: str) -> File:
    """The file at `path`, without waiting for anything on the way there."""
    *folders, name = path.split("/")
    for folder in folders:
        root = root.enter(folder)
    return root.open(name)


async def read_whole(file: File, size: int, chunk: int) -> bytes:
    """The first `size` bytes of a file, a piece after the other."""
    parts = Parts(size, chunk)
    whole: bytes | None = b""
    for offset in parts.offsets:
        whole = parts.put(offset, await file.read(offset, parts.length(offset)))
    return whole or b""
