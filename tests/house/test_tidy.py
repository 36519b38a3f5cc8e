"""What serves nobody is seen: files, public names, long functions, notes to oneself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from pinfut.command.main import SUBCOMMANDS
from tests.house.imports import BESIDE, FLOORS, ROOT, imports, sources

FOLDERS = (*FLOORS, "benches", "examples")
LONGEST = 70

# Written out flat, where a helper's call would cost; and a table of fields with their meaning.
LONG = {
    "executor/loop.py: run_turns",
    "rpc/session/calls_in.py: on_call",
    "rpc/session/calls_out.py: call",
    "rpc/bank/bank.py: __init__",
    "benches/cli.py: main",
}

# Started by their names, and imported by nobody.
STARTED = {"pinfut.__main__", "pinfut.executor.testing.plugin", "pinfut.learn.both"}
COMMAND = "pinfut.command"

PUBLIC = ("pinfut", "pinfut.executor", "pinfut.executor.io", "pinfut.rpc", "pinfut.unboxed")


def trees(*folders: str) -> Iterator[tuple[str, str]]:
    """The name and the text of each Python file, once."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            if not name.startswith(("pinfut/executor/", "pinfut/rpc/")):
                yield name, file.read_text("utf-8")


def long_functions(name: str, text: str) -> set[str]:
    return {
        f"{name}: {node.name}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST
    }


def test_functions_can_be_read_at_a_glance() -> None:
    found = set().union(*(long_functions(name, text) for name, text in trees(*FOLDERS)))
    assert found == LONG


def test_a_planted_long_function_is_seen() -> None:
    body = "    pass\n" * LONGEST
    assert long_functions("a.py", f"def f():\n{body}") == {"a.py: f"}
    assert long_functions("a.py", f"def f():\n{body[:-9]}") == set()


def test_nobody_has_left_a_note_to_himself() -> None:
    note = re.compile(r"\b(TODO|FIXME|XXX)\b")
    here = Path(__file__).relative_to(ROOT).as_posix()
    files = [*trees(*FOLDERS, "tests")]
    files += [(str(file), file.read_text("utf-8")) for file in ROOT.glob("pinfut/native/*.[ch]")]
    assert len(files) > 600
    assert [name for name, text in files if note.search(text) and name != here] == []


def test_each_module_is_imported_by_somebody() -> None:
    floors = {name for name, _ in sources(FLOORS)}
    named = {
        target
        for name, file in sources(FLOORS | BESIDE)
        for one in imports(file.read_text("utf-8"))
        for target in (one.module, one.target)
        if target != name
    }
    named |= {f"{COMMAND}.{name}" for name in SUBCOMMANDS} | STARTED
    assert len(floors) > 300
    assert sorted(floors - named - {one.rpartition(".")[0] for one in floors}) == []


@pytest.mark.parametrize("module", PUBLIC)
def test_each_public_name_serves_somebody(module: str) -> None:
    """A page, an example or a test of what it does."""
    there = (("docs", "*.md"), ("examples", "*.py"), ("tests", "*.py"), ("pinfut/learn", "*.md"))
    words = {
        word
        for folder, kind in there
        for file in (ROOT / folder).rglob(kind)
        for word in re.findall(r"\w+", file.read_text("utf-8"))
    }
    names = import_module(module).__all__
    assert len(names) > 1
    assert [name for name in names if name not in words] == []
