"""docs/banks.md against the tests: each rule is held by a test that names it, in its words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "banks.md"

ROW = re.compile(r"^\| (\d+) \| (.+?) \| `(.+?)` \| `(.+?)::(.+?)` \|$", re.MULTILINE)
NAMED = re.compile(r"Bank rule (\d+): ([^.\n]+)")


def rows() -> list[tuple[int, str, str, str, str]]:
    found = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return [(int(number), *rest) for number, *rest in found]


def docstrings(path: Path) -> dict[str, str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name: " ".join((ast.get_docstring(node) or "").split())
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def test_every_rule_of_banks_is_listed_once() -> None:
    assert [row[0] for row in rows()] == [*range(1, 26), 42]


def test_each_rule_names_a_test_that_names_the_rule_and_a_file_that_is_there() -> None:
    for number, _, where, path, test in rows():
        assert (ROOT / where).is_file(), f"rule {number}: {where} is not there"
        docs = docstrings(ROOT / path)
        assert test in docs, f"rule {number}: {path} has no {test}"
        assert f"Bank rule {number}:" in docs[test], f"{test} does not name rule {number}"


def test_no_test_names_a_rule_that_the_page_does_not_have() -> None:
    known = {row[0] for row in rows()}
    for path in (ROOT / "tests" / "rpc").rglob("test_*.py"):
        for doc in docstrings(path).values():
            for number, _ in NAMED.findall(doc):
                assert int(number) in known or int(number) > 25, f"{path}: rule {number}"
