"""The child of `benches.count`: runs benches so that callgrind can count them.

    python -m benches.counted benches.systems.on_pinfut yield=20000 spawn=5000

It imports the system, and forks once for each bench, so that each is run by a process that has
imported and nothing more, whichever benches are asked for. It prints a line for each that the
system has: its name, and the id of its process, by which callgrind names its files.

The bench warms up, and then runs its operations between two marks. A mark is a call
of `getppid`: callgrind writes down and forgets what it has counted whenever that begins. Nothing
else here calls it, and it needs neither a header of valgrind's nor a compiler.
"""

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module

from benches.probe import Probe, Suite
from benches.worker import take_stdout

# The function, as callgrind knows it by its symbol in libc.
MARK = "getppid"


class CountedProbe(Probe):
    """Has the bench's loop turn twice, with marks about the second turn."""

    def timed(self) -> Iterator[int]:
        """As by the clock: a warm-up with a fifth of the operations, then those that count.

        By then the interpreter has specialised its code, and pools and free lists have grown.
        Garbage is collected before; during the round the collector stays on with its default
        thresholds. It runs by the number of allocations, and so at the same places each time.
        """
        yield max(1, self.ops // 5)
        gc.collect()
        os.getppid()
        yield self.ops
        os.getppid()


def main(module: str, orders: Sequence[str]) -> int:
    """0, or 1 when a bench has failed; its traceback is on standard error."""
    lines = take_stdout()
    suite: Suite = import_module(module).SUITE
    gc.collect()
    failed = False
    for order in orders:
        bench, ops = order.split("=")
        if bench not in suite.benches:
            continue
        if child := os.fork():
            failed |= os.waitpid(child, 0)[1] != 0
        else:
            print(bench, os.getpid(), file=lines, flush=True)
            suite.run(suite.benches[bench], CountedProbe(int(ops)))
            return 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
