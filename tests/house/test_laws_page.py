"""docs/laws.md: each program there breaks its law, and is told what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pinfut.laws import LAWS, LawError
from tests.house.imports import ROOT
from tests.house.readme import Block, runnable_blocks

PAGE = (ROOT / "docs" / "laws.md").read_text("utf-8")
BLOCKS = runnable_blocks(PAGE, ("# broken.py",))


def errors() -> list[str]:
    found, todo = set(), [LawError]
    while todo:
        for kind in todo.pop().__subclasses__():
            if kind.__module__ == "pinfut.laws":
                found.add(kind.__name__)
                todo.append(kind)
    return sorted(found)


def told(stderr: str, blocks: bool) -> str:
    """What a program was told, without what differs from run to run.

    On a busy machine any step may seem to block; that is heard only where the program `blocks`.
    """
    if not blocks:
        stderr = re.sub(r"^BlockedInPoll: .*\n", "", stderr, flags=re.MULTILINE)
    stderr = re.sub(r"0x[0-9a-f]+", "0x…", stderr)
    stderr = re.sub(r"\S*/broken\.py", "broken.py", stderr)
    stderr = re.sub(r"took [\d.]+ s", "took 0.2 s", stderr)
    raised = stderr.rpartition("\npinfut.")[2].partition(".")[2]
    if "Traceback" not in stderr:
        return stderr
    return raised if "pinfut.laws." in stderr else stderr.splitlines()[-1] + "\n"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"line {block.line}")
def test_a_program_that_breaks_a_law_is_told_what_the_page_says(
    block: Block, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text(block.code, "utf-8")
    done = subprocess.run(
        [sys.executable, "broken.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PINFUT_CHECKED": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,  # only so that a hang ends
    )
    assert block.expected_output
    blocks = "BlockedInPoll" in block.expected_output
    assert told(done.stderr, blocks) == block.expected_output


def test_the_page_has_every_law_and_every_error() -> None:
    rows = [int(n) for n in re.findall(r"^\| \[(\d)\]", PAGE, re.MULTILINE)]
    assert rows == [int(n) for n in re.findall(r"^## (\d)\.", PAGE, re.MULTILINE)] == list(LAWS)
    shown = "".join(block.expected_output or "" for block in BLOCKS)
    for error in errors():
        assert f"`{error}`" in PAGE
        assert f"{error}: " in shown, f"no program of the page gets a {error}"
    for number in LAWS:
        part = PAGE.partition(f"\n## {number}.")[2].partition("\n## ")[0]
        assert "# broken.py" in part


def test_links_of_the_table_lead_to_the_parts() -> None:
    anchors = {
        re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-")
        for head in re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    }
    links = re.findall(r"\(#([^)]*)\)", PAGE)
    assert links
    assert set(links) <= anchors
