"""The stopwatch and the scales: where a bench is timed or weighed, the same way for everyone.

A bench is an async function that loops over its probe. The loop body does `ops` operations;
the probe hands out the number and looks at the clock between two turns of the loop:

    async def spawn(probe: Probe) -> None:
        for ops in probe.timed():
            for _ in range(ops):
                await asyncio.create_task(trivial())

So what must be set up stands before the loop, what is measured stands inside, and nothing is
awaited between the two: the bench runs at the same await depth as if it were not measured.
"""

import gc
import resource
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any


class Probe:
    """Measures one round of one bench. Its answer is `per_op`, once the loop has ended."""

    def __init__(self, ops: int) -> None:
        self.ops = ops
        self.per_op: float | None = None

    def timed(self) -> Iterator[int]:
        """Two turns: a warm-up with a fifth of the operations, then the round that counts.

        Garbage is collected before the clock starts, on every system; during the round the
        collector stays on with its default thresholds, as a user's program has it.
        """
        yield max(1, self.ops // 5)
        gc.collect()
        start = perf_counter_ns()
        yield self.ops
        self.per_op = (perf_counter_ns() - start) / self.ops

    def billed(self) -> Iterator[int]:
        """As `timed`, but what counts is the user CPU time of this process, not the clock.

        For a server whose clients are another process: waiting for them costs nothing.
        """
        yield max(1, self.ops // 5)
        gc.collect()
        start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        yield self.ops
        used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - start
        # The kernel tells user from system by its ticks: a short round may have seen none.
        self.per_op = max(used, 1e-6) * 1e9 / self.ops

    def weighed(self) -> Iterator[int]:
        """Two turns: one object first, for what is made only once, then the ones that count.

        The loop body leaves `ops` objects alive; their weight is what `tracemalloc` has seen
        come and not go, with garbage collected on both sides.
        """
        yield 1
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        yield self.ops
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.per_op = (after - before) / self.ops


def shares(total: int, workers: int) -> list[int]:
    """`total` operations split over the workers as evenly as they go: shares(5, 2) == [3, 2]."""
    each, left = divmod(total, workers)
    return [each + 1] * left + [each] * (workers - left)


BenchFunction = Callable[[Probe], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Suite:
    """What a system's module offers to its worker."""

    # Runs the async function with this probe, in a fresh event loop, to its end.
    run: Callable[[BenchFunction, Probe], None]
    benches: Mapping[str, BenchFunction]

    def measure(self, bench: str, ops: int) -> float:
        probe = Probe(ops)
        self.run(self.benches[bench], probe)
        if probe.per_op is None:
            raise RuntimeError(f"bench {bench!r} left its probe's loop before the end")
        return probe.per_op
