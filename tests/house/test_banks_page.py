"""The rules of banks: each is held by a test that names it, and the page shows them all."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pinfut.rpc.lab.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "banks.md"

NAMED = re.compile(r"Bank rule (\d+): ([^.\n]+)")


def docstrings(path: Path) -> dict[str, str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name: " ".join((ast.get_docstring(node) or "").split())
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def test_every_rule_is_listed_once_and_the_page_shows_the_list() -> None:
    assert [rule.number for rule in RULES] == [*range(1, 53)]
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if re.match(r"\| \d", line)]
    assert rows == [rule.row() for rule in RULES]


def test_each_rule_names_a_test_that_names_the_rule_and_a_file_that_is_there() -> None:
    for number, _, where, test in RULES:
        assert (ROOT / where).is_file(), f"rule {number}: {where} is not there"
        path, _, name = test.partition("::")
        docs = docstrings(ROOT / path)
        assert name in docs, f"rule {number}: {path} has no {name}"
        assert f"Bank rule {number}:" in docs[name], f"{name} does not name rule {number}"


def test_no_test_names_a_rule_that_there_is_not() -> None:
    known = {rule.number for rule in RULES}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for doc in docstrings(path).values():
            for number, _ in NAMED.findall(doc):
                assert int(number) in known, f"{path}: rule {number}"
