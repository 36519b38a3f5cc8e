"""Step 2: every file of the tree, with many calls in flight; and the same over streams."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

from examples.files import streams
from examples.files.audit import Account, Auditor, InFlight
from examples.files.client import Fetch
from examples.files.digest import Contents
from examples.files.interface import Directory
from examples.files.server import TreeDirectory
from examples.files.tree import Tree
from pinfut import executor
from pinfut.rpc import SimKernel, connect, serve


@dataclass(slots=True)
class Times:
    """The rounds of one way to fetch the tree."""

    contents: Contents
    in_flight: int = 0
    calls: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds for the whole job."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """Calls in a second."""
        return self.calls / self.median


@dataclass(slots=True)
class Comparison:
    """Both ways, in rounds that took turns, and the kernel transitions of one round."""

    ours: Times
    theirs: Times
    transitions: Counter[str]


async def fetch(
    kernel: SimKernel, tree: Tree, account: Account, *, in_flight: int, chunk: int
) -> tuple[Fetch, float, Counter[str]]:
    """Serve the tree, read all of it, and say how long that took, and what transitions."""
    async with (
        serve(kernel, "files", TreeDirectory(tree)),
        connect(kernel, "files", Directory, account.bank, slots=in_flight) as root,
    ):
        # Most jobs are two calls that are sent together, so half as many workers keep all
        # slots taken; where there is one slot too few, the second call waits.
        job = Fetch(root, workers=(in_flight + 1) // 2, chunk=chunk)
        before = kernel.transitions.copy()
        begin = time.perf_counter()
        await job.run()
        seconds = time.perf_counter() - begin
        return job, seconds, kernel.transitions - before


def observe(
    kernel: SimKernel, tree: Tree, auditor: Auditor, account: Account, *, in_flight: int, chunk: int
) -> int:
    """Read the tree once while the auditor looks on; how many calls were in flight at most.

    Raises BankError or an ExceptionGroup.
    """
    work = fetch(kernel, tree, account, in_flight=in_flight, chunk=chunk)
    watch = InFlight()
    executor.run(work, instruments=[auditor, watch])
    return watch.peak


def compare(
    kernel: SimKernel, tree: Tree, account: Account, *, in_flight: int, chunk: int, rounds: int
) -> Comparison:
    """Read the tree `rounds` times in each way, in turns, with nobody looking on."""
    ours, theirs = Times(Contents()), Times(Contents())
    transitions: Counter[str] = Counter()
    for _ in range(rounds):
        job, seconds, transitions = executor.run(
            fetch(kernel, tree, account, in_flight=in_flight, chunk=chunk)
        )
        ours.contents, ours.calls = job.contents, job.calls
        ours.seconds.append(seconds)
        done = asyncio.run(streams.fetch(tree, in_flight=in_flight, chunk=chunk))
        theirs.contents, theirs.calls = done.contents, done.calls
        theirs.in_flight = max(theirs.in_flight, done.in_flight)
        theirs.seconds.append(done.seconds)
    return Comparison(ours, theirs, transitions)
