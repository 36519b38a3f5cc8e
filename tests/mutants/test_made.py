"""Mutants that are made: they are what they say, and the judge knows the dead from the living.

What all of them show about the tests is for `python -m tests.mutants`, which `make soak` runs.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from textwrap import dedent

import pytest

from tests.covered import covered
from tests.mutants.__main__ import SAMPLE, SEED
from tests.mutants.copy import ROOT
from tests.mutants.judge import HUNG, KILLED, SURVIVED, Verdict
from tests.mutants.made import Made, Source, all_mutants, differing
from tests.mutants.report import complaints, table
from tests.mutants.survivors import CLASSES, SURVIVORS, Survivor


def afters(body: str) -> set[tuple[str, str]]:
    """Operator and changed statement of each mutant of a function."""
    lines = "\n".join("    " + line for line in dedent(body).strip().splitlines())
    source = Source("f.py", f"def f(a, b, *, c=1):\n{lines}\n")
    return {(one.operator, one.after) for one in source.mutants}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("g(a < b)", {
            ("comparison", "g(a <= b)"),
            ("comparison", "g(a >= b)"),
            ("delete", "pass"),
        }),
        ("return a is None", {
            ("comparison", "return a is not None"),
            ("return None", "return None"),
        }),
        ("a.x = b + 2", {
            ("arithmetic", "a.x = b - 2"),
            ("constant", "a.x = b + 3"),
            ("constant", "a.x = b + 1"),
            ("delete", "pass"),
        }),
        ("a.x -= b", {("arithmetic", "a.x += b"), ("delete", "pass")}),
        ("g(a and b)", {
            ("and/or", "g(a or b)"),
            ("operand", "g(a)"),
            ("operand", "g(b)"),
            ("delete", "pass"),
        }),
        ("if not a:\n    return", {
            ("negation", "if a:"),
            ("condition true", "if True:"),
            ("condition false", "if False:"),
            ("delete", "pass"),
        }),
        ("while a:\n    break", {("condition false", "while False:"), ("break", "continue")}),
        ("return max(a, b)", {
            ("min/max", "return min(a, b)"),
            ("clamp", "return a"),
            ("clamp", "return b"),
            ("return None", "return None"),
        }),
        ("g(a, b, k=c)", {
            ("arguments swapped", "g(b, a, k=c)"),
            ("argument dropped", "g(a, b)"),
            ("delete", "pass"),
        }),
        ("return [x for x in a if x]", {
            ("condition true", "return [x for x in a if True]"),
            ("condition false", "return [x for x in a if False]"),
            ("return None", "return None"),
        }),
        ("return False", {("constant", "return True")}),
        # A local name keeps a value: only the second of two is deleted, or both.
        ("x = a\nreturn x", {("return None", "return None")}),
        ("x = a\nx = b\nreturn x", {("delete", "pass"), ("return None", "return None")}),
    ],
)  # fmt: skip
def test_an_operator_makes_what_it_says_and_nothing_else(
    body: str, wanted: set[tuple[str, str]]
) -> None:
    assert afters(body) == wanted


@pytest.mark.parametrize(
    "body",
    [
        '"""A docstring."""\npass',
        "assert a > 0",
        "x: int",
        "yield",
        "pass",
        'return f"{a + 1}"',
        "from os import path",
    ],
)
def test_texts_annotations_and_what_is_for_the_type_checker_stay(body: str) -> None:
    assert {one for one in afters(body) if one[0] != "return None"} == set()


def test_of_an_error_that_is_raised_only_the_raising_is_deleted() -> None:
    assert afters('raise ValueError(f"{a} < {b}", a + 1)') == {("delete", "pass")}


def test_an_edit_is_undone() -> None:
    source = Source("rpc/bank/account.py")
    before, text = ast.dump(source.tree, include_attributes=True), ast.unparse(source.tree)
    for mutant in source.mutants:
        with mutant.edit.applied():
            compile(source.tree, source.file, "exec")
            assert ast.unparse(source.tree) != text
    assert ast.dump(source.tree, include_attributes=True) == before
    covered("made mutants", compiled=len(source.mutants))


def keys(text: str) -> dict[str, str]:
    return {one.key: one.after for one in Source("f.py", text).mutants}


def test_a_change_elsewhere_moves_no_mutant_and_draws_no_other() -> None:
    one = "def f(a):\n    g(a + 1)\n    return a > 3\n"
    moved = "import os\n\n\ndef e(a):\n    return a - 1\n\n\n" + one.replace("a + 1", "a + 2")
    before, after = keys(one), keys(moved)
    of_the_same_line = {key for key, text in before.items() if ">" in text or "<" in text}
    assert of_the_same_line
    assert of_the_same_line <= after.keys()
    drawn = {m.key: m.drawn(0.5, SEED) for m in Source("f.py", one).mutants}
    again = {m.key: m.drawn(0.5, SEED) for m in Source("f.py", moved).mutants}
    assert all(drawn[key] == again[key] for key in drawn.keys() & again.keys())
    assert len(set(drawn.values())) == 2


@pytest.fixture(scope="module")
def everything() -> list[Source]:
    return all_mutants()


def test_each_key_is_of_one_mutant_and_enough_are_drawn(everything: list[Source]) -> None:
    made = [mutant for source in everything for mutant in source.mutants]
    assert len({mutant.name for mutant in made}) == len(made)
    drawn = [mutant for mutant in made if mutant.drawn(SAMPLE, SEED)]
    assert len(drawn) >= 500
    assert {mutant.file for mutant in drawn} >= {"rpc/bank/bank.py", "executor/loop.py"}
    assert any(mutant.drawn(SAMPLE, "another") for mutant in made if mutant not in drawn)
    covered("made mutants", made=len(made), drawn=len(drawn))


def test_the_list_of_survivors_is_about_mutants_that_are_made(everything: list[Source]) -> None:
    assert complaints([], everything, SURVIVORS, 0) == []
    for survivor in SURVIVORS:
        assert survivor.kind in CLASSES
        assert survivor.because
    assert len({one.name for one in SURVIVORS}) == len(SURVIVORS)


# ---- the judge ----


def listed(mutant: Made) -> Survivor:
    change = differing(mutant.before, mutant.after)
    return Survivor(mutant.name, change, "equivalent", "a test says so")


def test_a_run_complains_of_all_that_is_not_as_it_should_be() -> None:
    source = Source("f.py", "def f(a):\n    return a > 3\n")
    first, second, *_ = source.mutants
    killed, hung = Verdict(first, KILLED, "t"), Verdict(second, HUNG, "t")
    alive = Verdict(second, SURVIVED)
    whole = [source]
    assert complaints([killed, hung], whole, (), 1.0) == []
    assert complaints([killed, alive], whole, (listed(second),), 0.95) == [], "nobody can kill it"
    blind = (listed(second)._replace(kind="blind"),)
    assert complaints([killed, alive], whole, blind, 0.5) == []
    [few] = complaints([killed, alive], whole, blind, 0.95)
    assert few.startswith("1 of 2 that can be are killed")
    [unknown] = complaints([killed, alive], whole, (), 0.5)
    assert unknown.startswith(f"not classified: {second.what}")
    [dead] = complaints([killed, hung], whole, (listed(first),), 0.95)
    assert dead.startswith("listed as a survivor, and killed")
    [gone] = complaints([killed], whole, (listed(first)._replace(name="f.py f 00000000"),), 0.95)
    assert gone.startswith("listed as a survivor, and not made any more")
    [other] = complaints([], whole, (listed(first)._replace(change="`a` -> `b`"),), 0.95)
    assert first.key in other
    assert table([killed, alive])[-1].split() == ["total", "2", "1", "0", "1", "0", "0"]


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PINFUT_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_few_are_killed_and_who_is_not_tested_survives() -> None:
    """The same mutants twice: before the tests of their file, and before tests of another."""
    few = ["--only", "rpc/kernel/sim/capset.py", "--sample", "0.2", "--jobs", "1"]
    done = run("tests.mutants", *few, "--tests", "tests/rpc/kernel/test_capset.py")
    total = next(line for line in done.stdout.splitlines() if line.startswith("total")).split()
    made, killed, hung, survived = map(int, total[1:5])
    assert killed + hung >= 5, done.stdout + done.stderr
    assert survived < killed
    blind = run("tests.mutants", *few, "--tests", "tests/rpc/memory/test_notification.py")
    total = next(line for line in blind.stdout.splitlines() if line.startswith("total")).split()
    assert total[1:4] == [str(made), "0", "0"], blind.stdout + blind.stderr
    assert blind.returncode == 1
    assert blind.stdout.count("not classified: rpc/kernel/sim/capset.py") >= killed
    covered("made mutants", killed=killed, missed=int(total[4]))


FORKS = """
import signal
from tests.mutants import forks
from tests.mutants.forks import bound_cpu, in_forks

forks.WAIT = 0.2

def speaks(report): report("one"); report("two")
def breaks(report): raise ValueError
def spins(report):
    bound_cpu(0.05)
    while True: pass
def waits(report): signal.pause()
def eats(report): report("begun"); bytearray(forks.MEMORY)

ends = dict(in_forks([speaks, breaks, spins, waits, eats], 2))
for number in range(5):
    one = ends[number]
    print(one.said, one.code, one.signal == signal.SIGPROF, one.stood_still)
"""


def test_a_fork_is_bounded_in_cpu_memory_and_patience() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        "['one', 'two'] 0 False False",
        "[] 1 False False",
        "[] 0 True False",
        "[] 0 False True",
        "['begun'] 1 False False",
    ], done.stderr
