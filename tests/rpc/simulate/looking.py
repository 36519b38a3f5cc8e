"""Looking for a planted fault: the simulator runs in a broken copy, seed after seed.

``python -m tests.rpc.simulate.looking`` prints the rows of the table in docs/reliability.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from tests.mutants.copy import Copy
from tests.rpc.simulate.planted import PLANTED, Planted

SEEDS: Final = 200
"""So many seeds a fault may take."""

PATIENCE: Final = 300
"""Seconds after which looking is given up; the fault counts as not found."""

LOOK: Final = """
import sys
from pinfut.rpc.lab.simulate.draws import draw
from pinfut.rpc.lab.simulate.run import simulate

for seed in range(int(sys.argv[1])):
    for ops in (300, 1000):
        outcome = simulate(draw(seed, ops))
        if outcome.failure is not None:
            again = simulate(draw(seed, ops))
            print(seed, ops, outcome.digest == again.digest, outcome.failure, sep="|")
            raise SystemExit
"""


class Found(NamedTuple):
    """How a fault was found. `repeated`: whether the same seed gave the same history again."""

    seed: int
    ops: int
    repeated: bool
    invariant: str


def look(copy: Copy, planted: Planted, seeds: int = SEEDS) -> Found | None:
    """Where the fault is found first, by histories of 300 and of 1,000 operations of each seed."""
    with copy.broken(planted.file, planted.old, planted.new):
        done = subprocess.run(
            [sys.executable, "-B", "-c", LOOK, str(seeds)],
            cwd=copy.folder,
            env=os.environ
            | {"PYTHONPATH": str(copy.folder), "PINFUT_CHECKED": "0", "PINFUT_PURE": "1"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
    if not done.stdout:
        return None
    seed, ops, repeated, invariant = done.stdout.strip().split("|")
    return Found(int(seed), int(ops), repeated == "True", invariant)


def row(planted: Planted, found: Found | None) -> str:
    """The line of the table."""
    if found is None:
        return f"| {planted.trap} | {planted.what} | nothing | - |"
    return f"| {planted.trap} | {planted.what} | {found.invariant} | {found.seed} |"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        for planted in PLANTED:
            print(row(planted, look(copy, planted)), flush=True)


if __name__ == "__main__":
    main()
