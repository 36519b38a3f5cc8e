"""Run the whole stack through random histories with faults: each seed twice, and what was promised
looked after at each operation. Or replay one seed, or shrink one that fails."""

from __future__ import annotations

import json
import shlex
import sys
import time
from argparse import ArgumentError, ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from typing import TextIO

from pinfut.command.options import add_json, number, seed, seeds, writable
from pinfut.command.output import table, write, write_json
from pinfut.command.progress import progress
from pinfut.executor import Recorder
from pinfut.learn.explorer.chrome import chrome_trace
from pinfut.rpc.lab.simulate.draws import draw
from pinfut.rpc.lab.simulate.faults import FAULTS
from pinfut.rpc.lab.simulate.many import MANY, Job, never, run_jobs
from pinfut.rpc.lab.simulate.plan import SimulationPlan
from pinfut.rpc.lab.simulate.run import Outcome, simulate
from pinfut.rpc.lab.simulate.shrink import shrink


def add_arguments(parser: ArgumentParser) -> None:
    """Which seeds, how long, with which faults, and where to write."""
    which = parser.add_mutually_exclusive_group()
    add = which.add_argument
    text = "from A up to below B, or one (default 0:100)"
    add("--seeds", type=seeds, default="0:100", metavar="A:B", help=text)
    add("--replay", type=seed, metavar="SEED", help="print one history")
    add("--shrink", type=seed, metavar="SEED", help="print a shorter one that breaks the same")
    add = parser.add_argument
    text = "operations of each seed (default 1000)"
    add("--ops", type=number(1, 1_000_000), default=1000, help=text)
    listed = ",".join(FAULTS)
    add("--faults", type=_faults, default=listed, metavar="LIST", help=f"only these, of {listed}")
    add("--without", type=_faults, default="", metavar="LIST", help="all faults but these")
    text = "processes that run seeds (default 1)"
    add("--jobs", type=number(1, 256), default=1, help=text)
    text = "write what was replayed for trace viewers"
    add("--trace", type=writable, metavar="FILE", help=text)
    add_json(parser)


def _faults(text: str) -> frozenset[str]:
    names = frozenset(filter(None, text.split(",")))
    if names - FAULTS.keys():
        unknown = ", ".join(sorted(names - FAULTS.keys()))
        raise ArgumentTypeError(f"no fault {unknown}; there are {', '.join(FAULTS)}")
    return names


def run(options: Namespace) -> int:
    """Run, and print; 1 when something did not hold, or never happened in many seeds."""
    faults = options.faults - options.without
    if options.replay is not None:
        return _replay(options, draw(options.replay, options.ops, faults))
    if options.shrink is not None:
        try:
            plan = shrink(draw(options.shrink, options.ops, faults))
        except ValueError as error:
            raise ArgumentError(None, f"{error}; give one that fails") from None
        return _replay(options, plan)
    if options.trace is not None:
        raise ArgumentError(None, "--trace is of one history; give --replay SEED with it")
    return _many(options, [Job(seed, options.ops, faults) for seed in options.seeds])


def _replay(options: Namespace, plan: SimulationPlan) -> int:
    recorder = Recorder(limit=1_000_000)
    outcome = simulate(plan, instruments=[] if options.trace is None else [recorder])
    if options.json != "-":
        if options.shrink is not None:
            print(f"{len(plan.ops)} of {options.ops} operations break the same:")
        print("\n".join(outcome.lines))
        print(f"history {outcome.digest}")
    if options.trace is not None:
        write(options.trace, json.dumps(chrome_trace(recorder)))
    told = {
        "seed": plan.seed,
        "operations": len(plan.ops),
        "failed": outcome.text or None,
        "digest": outcome.digest,
        "history": outcome.lines,
    }
    write_json(options, told)
    return int(outcome.failure is not None)


def _many(options: Namespace, jobs: list[Job]) -> int:
    begin = time.perf_counter()
    outcomes: list[Outcome] = []
    processes = min(options.jobs, len(jobs))
    for outcome in progress(run_jobs(jobs, processes), len(jobs), "seeds"):
        outcomes.append(outcome)
        if outcome.failure is not None:
            _tell(outcome, jobs[0], sys.stderr if options.json == "-" else sys.stdout)
    seconds = time.perf_counter() - begin
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.counts)
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    missing = never(counts, jobs[0].faults) if len(jobs) >= MANY else []
    ops = 2 * sum(outcome.ops for outcome in outcomes)
    if options.json != "-":
        rows = [{"what happened": name, "times": counts[name]} for name in sorted(counts)]
        print(table(rows))
        print(
            f"{len(jobs)} seeds twice, {ops:,} checked operations, at least "
            f"{min(outcome.faults for outcome in outcomes)} faults in each, "
            f"{seconds:.1f} s, {ops / seconds / processes:,.0f} operations a second and process"
        )
        if missing:
            print(f"never happened: {', '.join(missing)}")
        print(f"{len(failed)} failed")
    told = {
        "seeds": [jobs[0].seed, jobs[-1].seed + 1],
        "operations": ops,
        "seconds": seconds,
        "counts": dict(sorted(counts.items())),
        "failed": {outcome.seed: outcome.text for outcome in failed},
        "never": missing,
        "digests": {outcome.seed: outcome.digest for outcome in outcomes},
    }
    write_json(options, told)
    return int(bool(failed or missing))


def _tell(outcome: Outcome, job: Job, to: TextIO) -> None:
    """A seed that fails, with the commands that replay it and make it smaller."""
    how = ["--ops", str(job.ops)]
    if job.faults != FAULTS.keys():
        how += ["--faults", ",".join(sorted(job.faults))]
    print(f"seed {outcome.seed} fails: {outcome.text}", file=to)
    for what in ("--replay", "--shrink"):
        command = shlex.join(["pinfut", "simulate", what, str(outcome.seed), *how])
        print(f"  {command}", file=to, flush=True)
