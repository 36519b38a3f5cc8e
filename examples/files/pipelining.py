"""Step 1: one file, some levels down, in one round trip and in one for each call."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from examples.files.audit import Account
from examples.files.client import locate
from examples.files.interface import READ_MAX, Directory
from pinfut.rpc import SimKernel, connect, session_of

LEVELS: Final = 4

PAGES: Final = 128
"""In the bank that pays for both ways: enough for the largest read and a long way."""


@dataclass(slots=True)
class Cost:
    """What one way of reading the file took, and what it brought."""

    data: bytes = b""
    calls: int = 0
    round_trips: int = 0
    transitions: Counter[str] = field(default_factory=Counter)
    clock_ns: int = 0


@dataclass(slots=True)
class Chain:
    """The file, and the cost of either way."""

    path: str
    on_disk: bytes
    pipelined: Cost
    stepwise: Cost

    @property
    def levels(self) -> int:
        """How many components the path has."""
        return self.path.count("/") + 1


def choose(paths: Iterable[str]) -> str:
    """The file to read: the first of those LEVELS down; if there is none, of those that
    are nearest to it below, and then above. Raises ValueError for no files at all."""

    def rank(path: str) -> tuple[int, int, str]:
        levels = path.count("/") + 1
        return (0 if levels >= LEVELS else 1, abs(levels - LEVELS), path)

    return min(paths, key=rank)


async def compare(kernel: SimKernel, path: str, on_disk: bytes, account: Account) -> Chain:
    """Read the file in both ways, each over a session of its own."""
    pipelined, stepwise = Cost(), Cost()
    async with (
        connect(kernel, "files", Directory, account.bank) as root,
        _counted(kernel, root, pipelined),
    ):
        pipelined.calls = path.count("/") + 2
        pipelined.data = await locate(root, path).read(0, READ_MAX)

    async with (
        connect(kernel, "files", Directory, account.bank) as root,
        _counted(kernel, root, stepwise),
    ):
        *folders, name = path.split("/")
        # Each directory is kept until the end, so that neither way has to release any.
        way = [root]
        for folder in folders:
            way.append(await way[-1].enter(folder))
        file = await way[-1].open(name)
        stepwise.calls = len(folders) + 2
        stepwise.data = await file.read(0, READ_MAX)

    return Chain(path, on_disk, pipelined, stepwise)


@asynccontextmanager
async def _counted(kernel: SimKernel, root: Directory, cost: Cost) -> AsyncIterator[None]:
    session = session_of(root)
    transitions, clock, trips = kernel.transitions.copy(), kernel.clock_ns, session.round_trips
    yield
    cost.round_trips = session.round_trips - trips
    cost.transitions = kernel.transitions - transitions
    cost.clock_ns = kernel.clock_ns - clock
