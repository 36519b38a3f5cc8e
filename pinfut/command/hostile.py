"""Play each hostile client beside a victim, and print: bytes charged, traced, uncharged for a
session and left behind; the victim's calls, its worst wait in simulated ns, alone and beside it,
and the longest that others were served in a turn of it; and the marks that were missed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from pinfut.command.options import add_json, add_memory, add_only, chosen, memories, seed
from pinfut.command.output import Row, show
from pinfut.command.progress import progress
from pinfut.rpc.contract import Memory
from pinfut.rpc.lab.hostile import SCENARIOS, Scenario, play

BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}


def add_arguments(parser: ArgumentParser) -> None:
    """`--json`, `--only`, `--memory`, `--seed`."""
    add_json(parser)
    add_only(parser, BY_NAME)
    add_memory(parser)
    parser.add_argument("--seed", type=seed, default=0, help="draws the order of wakes (default 0)")


def run(options: Namespace) -> int:
    """Play, and print; 1 when a mark was missed."""
    pairs: list[tuple[str, Memory]] = [
        (name, mode) for name in chosen(options, BY_NAME) for mode in memories(options)
    ]
    work = (_row(BY_NAME[name], options.seed, mode) for name, mode in pairs)
    rows = list(progress(work, len(pairs), "hostile clients"))
    show(options, rows)
    return int(any(row["missed"] for row in rows))


def _row(scenario: Scenario, seed: int, mode: Memory) -> Row:
    found = play(scenario, seed, mode)
    return {
        "scenario": found.name,
        "memory": mode,
        "charged": found.charged,
        "traced": found.traced,
        "uncharged": found.uncharged // found.sessions,
        "left": found.left,
        "answered": found.answered,
        "lost": found.lost,
        "alone_ns": found.alone,
        "worst_ns": found.worst,
        "beside_ns": found.beside,
        "missed": "; ".join(found.failures),
    }
