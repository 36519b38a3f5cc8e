"""A service that tells when files change: ``python -m examples.watch_files``.

The source is real: a folder on disk, looked at in a thread, on real time. A client has one event
for each time that it asks, however often the file was written in between.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Protocol

import msgspec

from pinfut import executor
from pinfut.executor import scope, sleep, to_thread
from pinfut.rpc import EventBuffer, EventSource, Interface, SimKernel, connect, method, serve

PERIOD = 0.02
"""Seconds between two looks at the folder."""


class Seen(msgspec.Struct, array_like=True):
    """A file as it was; a size of -1 when it is not there."""

    size: int
    changed: int


class Watcher(Interface, Protocol):
    """What both sides know."""

    @method
    async def watch(self, name: str, key: int) -> None: ...


class FolderWatcher(Watcher):
    """Watches files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # One for each file that somebody watches; empty ones go at the next look.
        self.files: dict[str, tuple[Seen, EventSource]] = {}

    @method
    async def watch(self, name: str, key: int) -> None:
        if os.sep in name or name in ("", ".", ".."):
            raise ValueError(f"{name!r} is no name of a file in this folder")
        if name not in self.files:
            now = await to_thread(look, self.folder / name)
            self.files.setdefault(name, (now, EventSource()))
        self.files[name][1].subscribe(key)

    async def run(self) -> None:
        """Look at every file that somebody watches, again and again."""
        while True:
            for name, (before, source) in list(self.files.items()):
                if not len(source):
                    del self.files[name]
                    continue
                now = await to_thread(look, self.folder / name)
                if now != before:
                    self.files[name] = now, source
                    source.post(msgspec.msgpack.encode(now))
            await sleep(PERIOD)


def look(path: Path) -> Seen:
    """The file as it is."""
    try:
        found = path.stat()
    except OSError:
        return Seen(-1, 0)
    return Seen(found.st_size, found.st_mtime_ns)


async def main(folder: Path) -> list[int]:
    """The sizes that the client was told of."""
    kernel, watcher = SimKernel(), FolderWatcher(folder)
    bank = kernel.bank("client", pages=32)
    told = []
    async with scope() as tasks:
        tasks.spawn(watcher.run())
        with EventBuffer(bank, places=1, size=32) as events:
            async with (
                serve(kernel, "watcher", watcher),
                connect(kernel, "watcher", Watcher, bank, events=events) as remote,
            ):
                await remote.watch("notes", events.open())
                path = folder / "notes"
                path.write_text("first")
                async for event in events:
                    seen = msgspec.msgpack.decode(event.state, type=Seen)
                    told.append(seen.size)
                    print("is not there" if seen.size < 0 else f"has {seen.size} bytes")
                    if seen.size < 0:
                        break
                    if len(told) == 1:
                        for times in range(1, 4):  # three writes, and nobody looks meanwhile
                            path.write_text("much more " * times)
                            await sleep(3 * PERIOD)
                    else:
                        path.unlink(missing_ok=True)
        tasks.cancel()
    return told


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        executor.run(main(Path(folder)))
