"""A copy of the project to break: mutants are never applied to the tree itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.table import Mutant

ROOT: Final = Path(__file__).resolve().parents[2]

COPIED: Final = ("benches", "docs", "examples", "executor", "pinfut", "rpc", "tests")

PATIENCE: Final = 300
"""Seconds after which a test of a mutant is ended. That is no kill: a mutant that only hangs has
to be written as one that is seen."""

BROKEN: Final = (
    *("ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError"),
    *("NameError", "UnboundLocalError", "AttributeError"),
)
"""What a program raises that is no program any more: a mutant that dies of these shows nothing."""


@dataclass(frozen=True)
class Outcome:
    """What became of a run. `failures`: the first line of each; `passed`: how many tests."""

    code: int
    passed: int
    failures: tuple[str, ...]
    output: str

    @property
    def killed(self) -> bool:
        """Whether a test failed for what it saw, and not for a program that does not run."""
        return (
            self.code == 1
            and bool(self.failures)
            and not any(one.startswith(BROKEN) for one in self.failures)
        )


class Copy:
    """The project in a folder of its own, unbroken except inside of `broken(...)`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            shutil.copytree(
                ROOT / name,
                folder / name,
                symlinks=True,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        shutil.copy(ROOT / "pyproject.toml", folder)

    @contextmanager
    def broken(self, file: str, old: str, new: str) -> Iterator[None]:
        """A fault is in place. Raises ValueError unless `old` stands once in the file."""
        path = self.folder / file
        source = path.read_text(encoding="utf-8")
        if source.count(old) != 1:
            raise ValueError(f"{file}: {old!r} stands {source.count(old)} times")
        broken = source.replace(old, new)
        compile(broken, file, "exec")
        path.write_text(broken, encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(source, encoding="utf-8")

    def run(self, mutant: Mutant) -> Outcome:
        """Run the mutant's test with the mutant in place."""
        with self.broken(mutant.file, mutant.old, mutant.new):
            return self.test(mutant.test, "-x")

    def test(self, *arguments: str) -> Outcome:
        """Run tests of the copy, as they are, in a process that sees nothing but the copy."""
        report = self.folder / "report.xml"
        report.unlink(missing_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PINFUT_")}
        environment["PYTHONPATH"] = str(self.folder)
        command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--hypothesis-profile=mutants", f"--junitxml={report}", *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        failures: list[str] = []
        passed = 0
        if report.exists():
            for case in ET.parse(report).iter("testcase"):
                found = [one.get("message", "") for one in case if one.tag in ("failure", "error")]
                failures += found
                passed += not found
        return Outcome(done.returncode, passed, tuple(failures), done.stdout[-4000:] + done.stderr)
