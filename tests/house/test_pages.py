"""What the pages in docs/ show is run as a reader would run it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.imports import ROOT
from tests.house.readme import Block, runnable_blocks

PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCKS = [
    pytest.param(page, block, id=f"{page.name}, line {block.line}")
    for page in PAGES
    for block in runnable_blocks(page.read_text("utf-8"))
]
TESTS = [
    pytest.param(page, code, id=page.name)
    for page in PAGES
    for part in page.read_text("utf-8").split("```python\n")[1:]
    if (code := part.partition("```")[0]).startswith("# test_")
]


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    # A reader has not switched checked mode on.
    environment = {name: value for name, value in os.environ.items() if name != "PINFUT_CHECKED"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,  # only so that a hang ends
    )


def test_there_are_pages_with_programs_and_with_tests() -> None:
    assert BLOCKS
    assert TESTS


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_a_program_on_a_page_prints_what_the_page_says(
    page: Path, block: Block, tmp_path: Path
) -> None:
    (tmp_path / "service.py").write_text(block.code, "utf-8")
    done = run(tmp_path, "service.py")
    assert done.returncode == 0, done.stdout + done.stderr
    if block.expected_output is not None:
        assert done.stdout == block.expected_output, f"{page.name}, line {block.line}"


@pytest.mark.parametrize(("page", "code"), TESTS)
def test_a_test_on_a_page_passes_under_the_plugin(page: Path, code: str, tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text(code, "utf-8")
    # On a busy machine any step may seem to block.
    patient = "from pinfut import checked\n\nchecked.patience = float('inf')\n"
    (tmp_path / "conftest.py").write_text(patient)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = run(tmp_path, "-m", "pytest", "-q", "-p", "pinfut.executor.testing.plugin")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
