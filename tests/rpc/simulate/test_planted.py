"""Each planted fault is found by the simulator, within few seeds.

Each is planted in a copy of the project and looked for by a process of its own, so `make test`
plants some that are found soon, and `make soak` all. That each stands where it says is looked at
always.
"""

from __future__ import annotations

import os
import re

import pytest

from pinfut.rpc.lab.simulate.broken import INVARIANTS
from tests.covered import covered
from tests.mutants.copy import ROOT, Copy
from tests.rpc.simulate.looking import SEEDS, look, row
from tests.rpc.simulate.planted import PLANTED, Planted

SOAK = os.environ.get("PINFUT_SOAK") == "1"

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines()

# The page's rows: trap, what is planted, and the seed that finds it.
ROWS = [
    (match[1], match[2], int(match[3]))
    for line in PAGE
    if (match := re.fullmatch(r"\| ([^|]+) \| ([^|]+) \| [^|]+ \| (\d+) \|", line)) is not None
]

FEW = 6

# Spread over the table, the same in each run.
SOON = [one for one, row in zip(PLANTED, ROWS, strict=False) if row[2] <= 5]
CHOSEN = PLANTED if SOAK else SOON[2 :: len(SOON) // FEW][:FEW]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("planted"))


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_fault_stands_where_it_says(planted: Planted) -> None:
    source = (ROOT / planted.file).read_text(encoding="utf-8")
    assert source.count(planted.old) == 1, f"its text stands {source.count(planted.old)} times"
    compile(source.replace(planted.old, planted.new), planted.file, "exec")


def test_there_are_enough_and_the_page_lists_them_all() -> None:
    assert [row[:2] for row in ROWS] == [(one.trap, one.what) for one in PLANTED]
    assert len(PLANTED) >= 40
    assert all(seed < SEEDS for _, _, seed in ROWS)


def test_the_page_lists_every_invariant() -> None:
    for name, text in INVARIANTS.items():
        assert f"| {name} | {text} |" in PAGE


@pytest.mark.parametrize("planted", CHOSEN, ids=lambda planted: planted.name)
def test_a_planted_fault_is_found(planted: Planted, copy: Copy) -> None:
    found = look(copy, planted)
    assert found is not None, f"nothing broke within {SEEDS} seeds"
    assert found.repeated, "the same seed gave another history"
    assert found.invariant in INVARIANTS or found.invariant.startswith("no "), found.invariant
    if SOAK:
        assert row(planted, found) in PAGE, "make the table anew: tests/rpc/simulate/looking.py"
    covered("planted faults found", within_200_seeds=1)


def test_where_nothing_is_planted_nothing_is_found(copy: Copy) -> None:
    assert look(copy, PLANTED[0]._replace(new=PLANTED[0].old), seeds=5) is None
