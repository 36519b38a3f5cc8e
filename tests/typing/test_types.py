"""The static types hold through a chain of calls, for two type checkers.

What has to be accepted stands in accepted.py, what has to be refused in refused.txt, each
line of which says with which errors. Both lists are compared exactly: an error that is
missing fails as well as one that is not expected.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

Errors = dict[str, list[tuple[int, str]]]
"""By file: the line and the code of each error, sorted."""


@pytest.fixture(scope="module")
def checked_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both files as modules, outside of the project."""
    folder = tmp_path_factory.mktemp("types")
    shutil.copy(HERE / "accepted.py", folder / "accepted.py")
    shutil.copy(HERE / "refused.txt", folder / "refused.py")
    return folder


def mypy(folder: Path) -> Errors:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-pretty"]
    command += ["--python-version", "3.11", "--explicit-package-bases", "--no-error-summary"]
    command += ["--show-error-codes", "--hide-error-context"]
    command += ["--cache-dir", str(ROOT / ".mypy_cache" / "typing-tests")]
    done = subprocess.run(
        [*command, "accepted.py", "refused.py"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    errors: Errors = {"accepted.py": [], "refused.py": []}
    for line in done.stdout.splitlines():
        match = re.match(r"(\S+?):(\d+): error: .*\[([a-z-]+)\]$", line)
        if match:
            errors.setdefault(match[1], []).append((int(match[2]), match[3]))
        else:
            assert ": note: " in line, line
    return errors


def basedpyright(folder: Path) -> Errors:
    settings = {
        "include": ["."],
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "standard",
        "pythonVersion": "3.11",
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    program = Path(sys.executable).parent / "basedpyright"
    done = subprocess.run(
        [str(program), "-p", str(folder), "--pythonpath", sys.executable, "--outputjson"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 2
    errors: Errors = {"accepted.py": [], "refused.py": []}
    for each in report["generalDiagnostics"]:
        if each["severity"] == "error":
            name, line = Path(each["file"]).name, each["range"]["start"]["line"] + 1
            errors[name].append((line, each["rule"]))
    return errors


CHECKERS: list[tuple[str, Callable[[Path], Errors]]] = [("E", mypy), ("P", basedpyright)]

_cache: dict[tuple[str, Path], Errors] = {}


def found(checker: Callable[[Path], Errors], folder: Path) -> Errors:
    """What a checker finds in the folder; each runs once."""
    key = checker.__name__, folder
    if key not in _cache:
        _cache[key] = checker(folder)
    return _cache[key]


def expected(mark: str) -> list[tuple[int, str]]:
    """The errors that refused.txt announces for one checker."""
    wanted = []
    for number, line in enumerate((HERE / "refused.txt").read_text().splitlines(), 1):
        match = re.search(rf"  # {mark}: ([\w, -]+?)(?:  #|$)", line)
        if match:
            wanted += [(number, code) for code in match[1].split(", ")]
    return sorted(wanted)


each_checker = pytest.mark.parametrize(
    ("mark", "checker"), CHECKERS, ids=[checker.__name__ for _, checker in CHECKERS]
)


@each_checker
def test_accepted_code_has_no_error_and_every_type_that_it_asserts(
    checked_files: Path, mark: str, checker: Callable[[Path], Errors]
) -> None:
    assert found(checker, checked_files)["accepted.py"] == []


@each_checker
def test_refused_code_has_exactly_the_errors_that_are_marked(
    checked_files: Path, mark: str, checker: Callable[[Path], Errors]
) -> None:
    wanted = expected(mark)
    assert len(wanted) > 40
    assert sorted(found(checker, checked_files)["refused.py"]) == wanted


def test_mypy_says_nothing_about_the_interfaces_themselves(checked_files: Path) -> None:
    assert not [name for name in found(mypy, checked_files) if name.endswith("house.py")]
