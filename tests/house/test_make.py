"""What the pages tell a reader to make can be made, and `make help` lists it."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.house.imports import ROOT

PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "benches").glob("*.md"),
    *(ROOT / "examples").glob("*.md"),
]
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
NAMED = re.compile(r"^`?make ([a-z][a-z-]*)", re.MULTILINE)
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


def targets() -> set[str]:
    return set(TARGET.findall((ROOT / "Makefile").read_text("utf-8")))


def test_every_target_that_a_page_names_is_there() -> None:
    named = {
        (page.name, target)
        for page in PAGES
        for code in CODE.findall(page.read_text("utf-8"))
        for target in NAMED.findall(code)
    }
    assert {
        ("README.md", "test"),
        ("CONTRIBUTING.md", "lint"),
        ("CONTRIBUTING.md", "soak"),
    } <= named
    assert not [one for one in sorted(named) if one[1] not in targets()]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_help_lists_every_target_once_and_lines_them_up() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [re.fullmatch(r"([a-z-]+ +)\S.*", line) for line in done.stdout.splitlines()]
    names = [line[1] for line in lines if line is not None]
    assert len(names) == len(lines)
    assert len({len(name) for name in names}) == 1
    assert sorted(name.strip() for name in names) == sorted(targets())
