"""``python -m pinfut.rpc.simulate``: run many seeds, replay one, shrink one."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final, NamedTuple

from pinfut.executor import Recorder
from pinfut.executor.trace.chrome import chrome_trace
from pinfut.rpc.simulate.draws import draw
from pinfut.rpc.simulate.faults import FAULTS
from pinfut.rpc.simulate.plan import Plan
from pinfut.rpc.simulate.run import Outcome, simulate
from pinfut.rpc.simulate.shrink import shrink
from pinfut.rpc.simulate.work import WORK

SOMETIMES: Final = (
    *WORK,
    *FAULTS,
    "refused",
    "delayed",
    "a ring was full",
    "slots were full",
    "in a turn",
    "pipelined",
    "cancelled",
    "dropped",
    "introduced",
    "clients died",
    "told at once",
    "posted",
    "events",
    "events lost",
    "events cancelled",
    "last events",
    "newest event seen",
    "subscribed beside others",
    "left beside others",
    "signals: at once",
    "signals: turn",
    "signals: later",
    "signals: announced",
    "ended: value",
    "ended: cancelled",
    "ended: too late",
    "ended: PeerDied",
    "ended: SessionDead",
    "ended: OutOfPages",
    "ended: NestedShortage",
    "ended: RemoteError",
)
"""What has to happen in a run of many seeds, or it has shown nothing about it."""

NEEDS: Final = {
    "refused": "refuse",
    "delayed": "delay",
    "in a turn": "cut",
    "clients died": "crash-client",
    "ended: PeerDied": "crash-server",
    "ended: SessionDead": "destroy",
    "ended: RemoteError": "raise",
}
"""Of these, what only a fault brings about."""

MANY: Final = 200
"""From so many seeds on, what never happened is a failure."""


class Job(NamedTuple):
    """One seed to run."""

    seed: int
    ops: int
    faults: frozenset[str]


def main(argv: list[str] | None = None) -> int:
    """The command; its exit code: 0 when all held, 1 when something did not, 2 for bad
    arguments."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        faults = _faults(args.faults, frozenset(FAULTS)) - _faults(args.without, frozenset())
        if args.replay is not None:
            return _replay(draw(args.replay, args.ops, faults), args.trace)
        if args.shrink is not None:
            plan = shrink(draw(args.shrink, args.ops, faults))
            print(f"{len(plan.ops)} of {args.ops} operations break the same:")
            return _replay(plan, args.trace)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    how = f"--ops {args.ops}"
    if faults != FAULTS.keys():
        how += f" --faults {','.join(sorted(faults))}"
    return _many([Job(seed, args.ops, faults) for seed in args.seeds], args.jobs, how, args.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m pinfut.rpc.simulate", description=__doc__)
    add = parser.add_argument
    add("--seeds", type=_seeds, default="0:100", metavar="A:B", help="from A up to below B")
    add("--ops", type=_count, default=1000, help="operations of each seed")
    add("--jobs", type=_count, default=1, help="processes")
    add("--json", type=Path, metavar="FILE", help="write the summary there")
    add("--replay", type=int, metavar="SEED", help="print one history")
    add("--shrink", type=int, metavar="SEED", help="print a shorter one that breaks the same")
    add("--trace", type=Path, metavar="FILE", help="write the replay for trace viewers")
    add("--faults", metavar="LIST", help=f"only these, of {','.join(FAULTS)}")
    add("--without", metavar="LIST", help="all faults but these")
    return parser


def _faults(text: str | None, otherwise: frozenset[str]) -> frozenset[str]:
    """The faults that are listed. Raises ValueError for one that there is not."""
    names = otherwise if text is None else frozenset(text.split(","))
    if names - FAULTS.keys():
        unknown = ", ".join(sorted(names - FAULTS.keys()))
        raise ValueError(f"no fault {unknown}; there are {', '.join(FAULTS)}")
    return names


def _seeds(text: str) -> range:
    first, colon, last = text.partition(":")
    if not (first.isdecimal() and (last.isdecimal() or not colon)):
        raise argparse.ArgumentTypeError(f"give seeds as 0:2000 or as one number, not {text!r}")
    return range(int(first), int(last) if colon else int(first) + 1)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"give a number from 1, not {text!r}")
    return int(text)


def _replay(plan: Plan, trace: Path | None) -> int:
    recorder = Recorder(limit=1_000_000)
    outcome = simulate(plan, instruments=[recorder] if trace is not None else ())
    print("\n".join(outcome.lines))
    print(f"history {outcome.digest}")
    if trace is not None:
        trace.write_text(json.dumps(chrome_trace(recorder)))
    return int(outcome.failure is not None)


def once(job: Job) -> Outcome:
    """Run one seed twice; a second history that differs is a failure."""
    plan = draw(*job)
    outcome = simulate(plan)
    again = simulate(plan)
    if again.digest != outcome.digest and outcome.failure is None:
        outcome.failure = "one seed, one history"
        outcome.text = f"{outcome.failure}: {outcome.digest}, and then {again.digest}"
    outcome.history.clear()
    return outcome


def never(counts: Counter[str], faults: frozenset[str]) -> list[str]:
    """What was switched on and never happened."""
    off = FAULTS.keys() - faults
    return [
        name
        for name in SOMETIMES
        if name not in off and NEEDS.get(name) not in off and not counts[name]
    ]


def _many(jobs: list[Job], processes: int, how: str, report: Path | None) -> int:
    start = time.perf_counter()
    outcomes: list[Outcome] = []
    with _progress(len(jobs)) as step:
        for outcome in _run(jobs, processes):
            step()
            outcomes.append(outcome)
            if outcome.failure is not None:
                print(f"seed {outcome.seed} fails: {outcome.text}")
                print(f"  python -m pinfut.rpc.simulate --replay {outcome.seed} {how}")
                print(f"  python -m pinfut.rpc.simulate --shrink {outcome.seed} {how}", flush=True)
    seconds = time.perf_counter() - start
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.counts)
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    missing = never(counts, jobs[0].faults) if len(jobs) >= MANY else []
    ops = 2 * sum(outcome.ops for outcome in outcomes)
    _show(counts)
    print(
        f"{len(jobs)} seeds twice, {ops:,} checked operations, at least "
        f"{min((outcome.faults for outcome in outcomes), default=0)} faults in each, "
        f"{seconds:.1f} s, {ops / seconds / processes:,.0f} operations a second and process"
    )
    if missing:
        print(f"never happened: {', '.join(missing)}")
    print(f"{len(failed)} failed")
    if report is not None:
        told = {
            "seeds": [jobs[0].seed, jobs[-1].seed + 1] if jobs else [],
            "operations": ops,
            "seconds": seconds,
            "counts": dict(sorted(counts.items())),
            "failed": {outcome.seed: outcome.text for outcome in failed},
            "never": missing,
            "digests": {outcome.seed: outcome.digest for outcome in outcomes},
        }
        report.write_text(json.dumps(told, indent=1))
    return int(bool(failed or missing))


def _run(jobs: list[Job], processes: int) -> Iterator[Outcome]:
    with ProcessPoolExecutor(processes) if processes > 1 else nullcontext() as pool:
        yield from map(once, jobs) if pool is None else pool.map(once, jobs, chunksize=4)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal, where rich is installed."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield lambda: None
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("seeds", total=total)
        yield lambda: progress.advance(task)


def _show(counts: Counter[str]) -> None:
    rows = [(name, f"{count:,}") for name, count in sorted(counts.items())]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        for name, count in rows:
            print(f"{name:<24}{count:>12}")
        return
    table = Table("what happened", title="simulated histories")
    table.add_column("how often", justify="right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
