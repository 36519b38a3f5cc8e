"""``python -m tests.mutants [--sample 0.13] [--only FILE] [--list] [--one KEY]``: make mutants
of the bank, the account, the session and the executor, and see which the tests kill.

Exit code 1: fewer than 95 % are killed of those that are not listed as equivalent, a survivor is
not in `survivors.py`, or one that is listed there was killed or is not made any more.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Final

SEED: Final = "pinfut"

SAMPLE: Final = 0.13

WANTED: Final = 0.95

TESTS: Final = ("tests/rpc", "tests/executor", "tests/pinfut")

LEFT_OUT: Final = (
    # Other files are what these are about.
    *("tests/rpc/simulate", "tests/pinfut/unboxed", "tests/executor/io"),
    "tests/rpc/wire/test_codec.py",
    # Long, and cheaper tests see the same.
    "tests/rpc/memory/test_lane.py",
    *("tests/rpc/bank/test_prices.py", "tests/rpc/bank/test_bank_prices.py"),
    *("tests/rpc/memory/test_ring.py", "tests/executor/test_unclaimed.py"),
)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--seed", default=SEED, help="any text: another one draws other mutants")
    parser.add_argument(
        "--sample", type=float, default=SAMPLE, metavar="PART", help="how many, of 1 for all"
    )
    parser.add_argument("--only", action="append", metavar="FILE", help="of this file; repeatable")
    parser.add_argument("--one", action="append", metavar="KEY", help="this one; repeatable")
    parser.add_argument("--list", action="store_true", help="print what is drawn, and run nothing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    parser.add_argument(
        "--budget", type=float, default=30, help="CPU seconds of tests for each mutant, at most"
    )
    parser.add_argument(
        "--tests", action="append", metavar="PATH", help="judge by these only; repeatable"
    )
    parser.add_argument("--map", type=Path, help="keep in this file which test reaches what")
    parser.add_argument("--verbose", action="store_true", help="say of each what killed it")
    return parser


def main() -> int:
    from tests.mutants.made import FILES, all_mutants

    options = parser().parse_args()
    # A map that is kept is one of all files.
    sources = all_mutants(tuple(options.only) if options.only and not options.map else FILES)
    drawn = [
        mutant
        for source in sources
        for mutant in source.mutants
        if (
            mutant.key in options.one if options.one else mutant.drawn(options.sample, options.seed)
        )
    ]
    chosen = [one for one in drawn if not options.only or one.file in options.only]
    if options.list:
        for mutant in chosen:
            print(mutant.what)
        print(f"{len(chosen)} of {sum(len(one.mutants) for one in sources)}")
        return 0
    if not chosen:
        print("no such mutant")
        return 2

    import pytest

    from tests.mutants.judge import Judge
    from tests.mutants.report import tell

    begin = time.monotonic()
    # Ended from outside, it takes its forks along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def progress(said: str) -> None:
        print(f"[{time.monotonic() - begin:5.0f} s] {said}", flush=True)

    judge = Judge(
        sources,
        chosen,
        width=max(1, options.jobs),
        budget=options.budget,
        kept=options.map,
        progress=progress,
    )
    code = pytest.main(
        [
            *("-qq", "-s", "--no-header", "--no-summary", "-p", "no:cacheprovider"),
            *("-p", "no:xdist", "-o", "faulthandler_timeout=0", "--hypothesis-profile=mutants"),
            *(f"--ignore={one}" for one in LEFT_OUT),
            *(options.tests or TESTS),
        ],
        plugins=[judge],
    )
    if not judge.verdicts:
        return int(code) or 1
    if options.verbose:
        for one in judge.verdicts:
            print(f"{one.outcome}: {one.mutant.what}\n    {one.by or f'{one.tests} tests'}")
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in usage)
    good = tell(judge.verdicts, sources, WANTED)
    print(f"{len(judge.unusable)} tests were of no use: skipped, or failing alone")
    print(f"{cpu:.0f} s of CPU in {time.monotonic() - begin:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    wanted = {"PYTHONHASHSEED": "0", "PINFUT_PURE": "1"}
    if not wanted.items() <= os.environ.items() or "PINFUT_SOAK" in os.environ:
        # Sets in one order, Python alone, and property tests with their everyday examples.
        environment = {k: v for k, v in os.environ.items() if k != "PINFUT_SOAK"}
        arguments = [sys.executable, "-m", "tests.mutants", *sys.argv[1:]]
        os.execve(sys.executable, arguments, environment | wanted)
    sys.exit(main())
