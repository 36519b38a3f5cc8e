"""``python -m tests.mutants.prove [NUMBER ...]``: plant the mutants of rows of the design notes,
and see the test of each row kill them. Exit code 1 where one lives."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pinfut.rpc.lab.rows import ROWS
from pinfut.rpc.lab.rows.row import Row
from tests.mutants.copy import Copy
from tests.mutants.table import MUTANTS, Mutant


def mutants_of(row: Row) -> list[Mutant]:
    """The faults that the row's test kills: those that break what the row says, and name it."""
    return [
        mutant
        for mutant in MUTANTS
        if row.mutant in mutant.breaks and mutant.test.partition("[")[0] == row.test
    ]


def prove(rows: Iterable[Row], copy: Copy) -> list[tuple[Row, int, int]]:
    """Each row with how many of its mutants died, of how many; those without one are left out."""
    killed: dict[Mutant, bool] = {}
    proofs: list[tuple[Row, int, int]] = []
    for row in rows:
        mutants = mutants_of(row)
        for mutant in mutants:
            if mutant not in killed:
                killed[mutant] = copy.run(mutant).killed
        if mutants:
            dead = sum(killed[mutant] for mutant in mutants)
            proofs.append((row, dead, len(mutants)))
            print(f"{row.number:>3}. {dead} of {len(mutants)} mutants killed", flush=True)
    return proofs


def main(numbers: Sequence[str]) -> int:
    rows = [row for row in ROWS if not numbers or str(row.number) in numbers]
    with TemporaryDirectory() as folder:
        proofs = prove(rows, Copy(Path(folder) / "copy"))
    lives = [row.number for row, dead, planted in proofs if dead < planted]
    print(f"{len(proofs)} of {len(rows)} rows have mutants; alive in {lives or 'none'}")
    return 1 if lives else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
