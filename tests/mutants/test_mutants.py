"""Each planted fault is seen by the test that is named beside it.

A test of a mutant is a process of its own, so `make test` runs a few and `make soak` all. What
is cheap is looked at always: that no rule and no trap is without a mutant, and that each
mutant's text still stands where it says.
"""

from __future__ import annotations

import ast
import os
from collections import Counter
from pathlib import Path

import pytest

from pinfut.rpc.lab.rows import ROWS
from tests.covered import covered
from tests.mutants.copy import ROOT, Copy
from tests.mutants.table import MUTANTS, RULES, TRAPS, Mutant

SOAK = os.environ.get("PINFUT_SOAK") == "1"

FEW = 6

# Spread over the table, the same in each run.
CHOSEN = MUTANTS if SOAK else MUTANTS[3 :: len(MUTANTS) // FEW][:FEW]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("mutants"))


def test_every_rule_every_trap_and_each_row_has_a_mutant() -> None:
    rows = {row.mutant for row in ROWS if row.mutant}
    wanted = {f"rule {n}" for n in RULES} | {f"T{n}" for n in TRAPS} | rows
    counts = Counter(one for mutant in MUTANTS for one in mutant.breaks)
    assert not wanted - counts.keys(), "these have no mutant"
    assert not counts.keys() - wanted, "these are no rule, no trap and nothing that a row names"
    covered("mutants", rules=len(RULES), traps=len(TRAPS), rows=len(rows), planted=len(MUTANTS))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_stands_where_it_says_and_its_test_is_there(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert source.count(mutant.old) == 1, f"its text stands {source.count(mutant.old)} times"
    assert mutant.new != mutant.old
    compile(source.replace(mutant.old, mutant.new), mutant.file, "exec")
    path, _, name = mutant.test.partition("::")
    assert name.split("[")[0] in functions(ROOT / path), f"{path} has no test {name}"


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}


def test_without_a_mutant_the_tests_pass(copy: Copy) -> None:
    """Otherwise a test would be killing what is whole. In one process: what counts is the copy."""
    tests = sorted({mutant.test for mutant in CHOSEN})
    outcome = copy.test(*tests)
    assert outcome.code == 0, outcome.output
    assert outcome.passed >= len(tests)
    # And it was the copy that ran, not the tree.
    where = copy.folder / "tests" / "test_where.py"
    where.write_text(
        "from pathlib import Path\n"
        "import pinfut, pinfut.rpc, pinfut.executor, tests.covered\n\n"
        "def test_where():\n"
        "    here = Path(__file__).resolve().parents[1]\n"
        "    for one in (pinfut, pinfut.rpc, pinfut.executor, tests.covered):\n"
        "        assert here in Path(one.__file__).resolve().parents\n",
        encoding="utf-8",
    )
    seen = copy.test(str(where))
    assert (seen.code, seen.passed) == (0, 1), seen.output


@pytest.mark.parametrize("mutant", CHOSEN, ids=lambda mutant: mutant.name)
def test_a_mutant_is_killed_by_its_test(mutant: Mutant, copy: Copy) -> None:
    outcome = copy.run(mutant)
    assert outcome.killed, f"it lives: {outcome.failures or outcome.output}"
    covered("mutants", killed=1)


def test_a_mutant_that_changes_nothing_lives(copy: Copy) -> None:
    """The judge can say no: a fault that nobody sees, and a program that does not run."""
    whole = next(one for one in MUTANTS if one.breaks == ("rule 17",))
    assert not copy.run(whole._replace(new=whole.old + "        pass\n")).killed
    dead = copy.run(whole._replace(new="        no_such_name_is_here\n"))
    assert dead.code == 1
    assert not dead.killed, dead.failures
