"""Step 4: a client that fires calls and takes no answer, beside one that behaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

from examples.files.audit import Account
from examples.files.client import locate, read_whole
from examples.files.interface import HEAD, Directory
from examples.files.tree import Tree
from pinfut.executor import scope, yield_now
from pinfut.rpc import PAGE, BankError, Promise, SimKernel, connect

PAGES: Final = 96
"""In the greedy client's bank."""

WELL_PAGES: Final = 256
"""In the bank of the one that behaves."""

SIZE: Final = 512
"""Bytes that each of the greedy calls asks for."""

BURST: Final = 16
"""Calls that the greedy client makes before it lets others run."""

CHUNK: Final = 4 * PAGE - HEAD
"""Bytes that the other one reads at once."""

FILES: Final = 64
"""Files that the other one reads, at most."""


@dataclass(slots=True)
class Greed:
    """What became of the two."""

    # What stopped the greedy client, how many calls it had made, what its bank paid then.
    error: BankError | None = None
    calls: int = 0
    pages: int = 0
    # Files that the other one read while it fired, and when it was stopped and still held
    # everything; and how many of both were not as they are on disk.
    during: int = 0
    after: int = 0
    wrong: int = 0


class Encounter:
    """A greedy and a well-behaved client of one service. `files`: each with its size."""

    def __init__(
        self,
        kernel: SimKernel,
        tree: Tree,
        files: Mapping[str, int],
        greedy: Account,
        well: Account,
    ) -> None:
        self._kernel = kernel
        self._tree = tree
        self._files = dict(sorted(files.items())[:FILES])
        self._greedy = greedy
        self._well = well
        self._result = Greed()

    async def run(self) -> Greed:
        """Let both work, until one is stopped and the other has read its files after that."""
        async with (
            connect(self._kernel, "files", Directory, self._greedy.bank) as theirs,
            connect(self._kernel, "files", Directory, self._well.bank) as ours,
        ):
            # The promises that are never awaited. To drop one would be to give its call up.
            held: list[Promise[bytes]] = []
            async with scope() as both:
                both.spawn(self._fire(theirs, held))
                both.spawn(self._behave(ours))
        return self._result

    async def _fire(self, root: Directory, held: list[Promise[bytes]]) -> None:
        """Call without end, and keep every promise."""
        result = self._result
        file = await locate(root, next(iter(self._files)))
        try:
            while True:
                held.append(file.read(0, SIZE))
                if len(held) % BURST == 0:
                    await yield_now()
        except BankError as error:
            result.error = error
            result.calls = len(held)
            result.pages = self._greedy.bank.pages_used

    async def _behave(self, root: Directory) -> None:
        """Read files until the other one is stopped, and then all of them."""
        result = self._result
        paths = cycle(self._files)
        while result.error is None:
            await self._read(root, next(paths))
            result.during += 1
        for path in self._files:
            await self._read(root, path)
            result.after += 1

    async def _read(self, root: Directory, path: str) -> None:
        data = await read_whole(locate(root, path), self._files[path], CHUNK)
        if data != Path(self._tree.root, *path.split("/")).read_bytes():
            self._result.wrong += 1
