"""Run a program on simulated time and write what happened, step by step, as a trace."""

from __future__ import annotations

import sys
from argparse import ArgumentError, ArgumentParser, Namespace

from pinfut.command.options import number, seed, writable
from pinfut.learn.explorer.record import LIMIT, STEPS, record_file
from pinfut.learn.explorer.trace import TraceError


def add_arguments(parser: ArgumentParser) -> None:
    """The program, what chooses among its tasks, and the file."""
    add = parser.add_argument
    add("program", metavar="PROGRAM.py", help="a file with an `async def main()`")
    add("-o", "--output", type=writable, required=True, metavar="FILE", help="the trace")
    add("--seed", type=seed, help="choose at random among the ready tasks")
    add("--real", action="store_true", help="on real time, which no seed decides")
    add("--unchecked", action="store_true", help="without the checks of the laws: see it hang")
    add("--no-lines", action="store_true", help="without an event for each line that runs")
    text = f"events that are kept, the last ones (default {LIMIT})"
    add("--limit", type=number(1, 10_000_000), default=LIMIT, help=text)
    text = f"end a run that does not end by itself (default {STEPS})"
    add("--steps", type=number(1, 1_000_000_000), default=STEPS, help=text)


def run(options: Namespace) -> int:
    """Record, and say what came of it; 1 when the program failed."""
    try:
        trace = record_file(
            options.program,
            seed=options.seed,
            real=options.real,
            checked=not options.unchecked,
            lines=not options.no_lines,
            limit=options.limit,
            steps=options.steps,
            echo=sys.stdout,
        )
    except (TraceError, OSError) as error:
        raise ArgumentError(None, str(error)) from None
    trace.save(options.output)
    end = trace.header.get("error")
    failed = f"; it ended with {end['type']}: {end['text'].partition(chr(10))[0]}" if end else ""
    told = f"{len(trace.events)} events, {trace.lost} older ones dropped{failed}"
    sys.stdout.flush()
    print(f"pinfut record: {told}", file=sys.stderr)
    return int(end is not None)
