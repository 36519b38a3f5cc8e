"""``python -m pinfut.rpc.simulate``: run many seeds, replay one, shrink one."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from pinfut.executor import Recorder
from pinfut.executor.trace.chrome import chrome_trace
from pinfut.rpc.simulate.draws import FAULTS, WORK, Plan, draw
from pinfut.rpc.simulate.run import Outcome, simulate
from pinfut.rpc.simulate.shrink import shrink

SOMETIMES = (*WORK, *FAULTS, "refused", "pipelined", "cancelled", "introduced", "ended: value")
"""What a run of many seeds has to meet, or it has shown nothing about it."""

MANY = 200
"""From so many seeds on, meeting something never is a failure."""


def main(argv: list[str] | None = None) -> int:
    """The command; its exit code."""
    args = _parser().parse_args(argv)
    faults = frozenset(args.faults.split(",") if args.faults else FAULTS)
    faults -= frozenset(args.without.split(",") if args.without else ())
    how = f"--ops {args.ops} --faults {','.join(sorted(faults))}"
    try:
        if args.replay is not None:
            return _replay(draw(args.replay, args.ops, faults), args.trace)
        if args.shrink is not None:
            plan = shrink(draw(args.shrink, args.ops, faults))
            print(f"{len(plan.ops)} operations break the same:")
            return _replay(plan, args.trace)
        first, last = (int(part) for part in args.seeds.split(":"))
        draw(first, 0, faults)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return _many(range(first, last), args, faults, how)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m pinfut.rpc.simulate", description=__doc__)
    parser.add_argument("--seeds", default="0:100", metavar="A:B", help="from A up to below B")
    parser.add_argument("--ops", type=int, default=1000, help="operations of each seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary there")
    parser.add_argument("--replay", type=int, metavar="SEED", help="print one history")
    parser.add_argument("--shrink", type=int, metavar="SEED", help="print a shorter one")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write a trace for viewers")
    parser.add_argument("--faults", help="only these, with commas between")
    parser.add_argument("--without", help="all faults but these")
    return parser


def _replay(plan: Plan, trace: Path | None) -> int:
    recorder = Recorder(limit=1_000_000)
    outcome = simulate(plan, instruments=[recorder] if trace is not None else ())
    print("\n".join(outcome.history))
    print(f"history {outcome.digest}")
    if trace is not None:
        trace.write_text(json.dumps(chrome_trace(recorder)))
    return int(outcome.failure is not None)


def once(job: tuple[int, int, frozenset[str]]) -> Outcome:
    """Run one seed twice; a second history that differs is a failure."""
    seed, ops, faults = job
    plan = draw(seed, ops, faults)
    outcome = simulate(plan)
    again = simulate(plan)
    if again.digest != outcome.digest and outcome.failure is None:
        outcome.failure = "one seed, one history"
        outcome.text = f"{outcome.digest}, and then {again.digest}"
    outcome.history.clear()
    return outcome


def never(counts: Counter[str], faults: frozenset[str]) -> list[str]:
    """What was switched on and never happened."""
    off = FAULTS.keys() - faults
    if "refuse" in off:
        off = off | {"refused"}
    return [name for name in SOMETIMES if name not in off and not counts[name]]


def _many(seeds: range, args: argparse.Namespace, faults: frozenset[str], how: str) -> int:
    jobs = [(seed, args.ops, faults) for seed in seeds]
    start = time.perf_counter()
    outcomes: list[Outcome] = []
    results: Iterable[Outcome]
    if args.jobs > 1:
        with ProcessPoolExecutor(args.jobs) as pool:
            for outcome in pool.map(once, jobs, chunksize=4):
                outcomes.append(outcome)
                _progress(len(outcomes), len(jobs))
    else:
        results = map(once, jobs)
        for outcome in results:
            outcomes.append(outcome)
            _progress(len(outcomes), len(jobs))
    seconds = time.perf_counter() - start
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.counts)
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    missing = never(counts, faults) if len(jobs) >= MANY else []
    # Each seed runs twice.
    ops = 2 * sum(outcome.ops for outcome in outcomes)
    print(f"\n{len(jobs)} seeds, {ops} checked operations in {seconds:.1f} s", end="")
    print(f", {ops / seconds:,.0f}/s")
    for name, count in sorted(counts.items()):
        print(f"  {name:<28}{count:>10}")
    for outcome in failed:
        print(f"seed {outcome.seed} fails: {outcome.text}")
        print(f"  python -m pinfut.rpc.simulate --replay {outcome.seed} {how}")
    if missing:
        print(f"never happened: {', '.join(missing)}")
    if args.json is not None:
        args.json.write_text(
            json.dumps(
                {
                    "seeds": [seeds.start, seeds.stop],
                    "operations": ops,
                    "seconds": seconds,
                    "counts": dict(sorted(counts.items())),
                    "failed": {outcome.seed: outcome.text for outcome in failed},
                    "never": missing,
                    "digests": {outcome.seed: outcome.digest for outcome in outcomes},
                },
                indent=1,
            )
        )
    return int(bool(failed or missing))


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        width = 40 * done // total
        end = "\n" if done == total else ""
        print(f"\r[{'#' * width:<40}] {done}/{total}", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
