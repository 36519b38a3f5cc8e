"""Faults in the C, one at a time, and what finds them.

python -m tests.core.planted [NAME ...]     # builds each, and runs the tests: minutes
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

from tests.core.both import ROOT
from tests.core.faults import FAULTS, Fault

# A checked executor among them turns some short ways off for good: `leaks` go these, before.
TESTS: Final = (
    *("tests/executor/test_tasks.py", "tests/executor/test_cancel.py", "tests/core/test_same.py"),
    *("tests/executor/test_turns.py", "tests/executor/test_priorities.py"),
    *("tests/executor/test_two_loops.py", "tests/pinfut/test_channel.py"),
    *(
        "tests/pinfut/test_oneshot.py",
        "tests/pinfut/test_permits.py",
        "tests/executor/test_entries.py",
    ),
    *("tests/executor/test_deadlock.py", "tests/executor/test_elsewhere.py"),
    *("tests/executor/test_timers.py", "tests/executor/test_timeout.py"),
    *("tests/executor/test_blocks.py", "tests/executor/test_shield.py"),
    "tests/executor/test_beside.py",
    *(
        "tests/pinfut/test_slots.py",
        "tests/rpc/memory/test_ring.py",
        "tests/rpc/memory/test_lane.py",
    ),
    *("tests/rpc/test_calls.py", "tests/rpc/test_hostile.py", "tests/rpc/test_order.py"),
)


def compiler() -> str:
    """The one that Python was built with, or nothing."""
    return (sysconfig.get_config_var("CC") or "").split(" ")[0]


def build(tree: Path, *flags: str) -> None:
    """Build the core of a tree in its place."""
    command = [compiler(), "-std=c11", "-O1", "-g", "-fPIC", "-shared", *flags]
    target = tree / "pinfut" / ("_core" + sysconfig.get_config_var("EXT_SUFFIX"))
    source = tree / "pinfut" / "native" / "core.c"
    include = f"-I{sysconfig.get_path('include')}"
    subprocess.run([*command, include, source, "-o", target], check=True)


def copy_tree(target: Path) -> None:
    """What is needed to run tests, with links as they are."""
    for name in ("pinfut", "executor", "rpc", "tests", "benches", "docs", "examples"):
        shutil.copytree(
            ROOT / name, target / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "Makefile"):
        shutil.copy(ROOT / name, target / name)


def found_by(tree: Path) -> str | None:
    """What finds the fault of a tree whose core is built: the end of what it says, or None."""
    env = {**os.environ, "PINFUT_PURE": "0", "PINFUT_CHECKED": "0"}
    for command in (("-m", "tests.core.leaks"), ("-m", "pytest", "-n0", "-q", "-x", *TESTS)):
        try:
            done = subprocess.run(
                [sys.executable, *command],
                cwd=tree, env=env, capture_output=True, text=True, timeout=300,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "it hangs"
        lines = done.stdout.strip().splitlines()
        if done.returncode or (command[1] == "tests.core.leaks" and len(lines) != 1):
            return f"{command[1]}: {(lines or [f'ended with {done.returncode}'])[-1]}"
    return None


def plant(fault: Fault, tree: Path) -> None:
    """Put the fault into the sources of a tree. Raises ValueError unless it fits in one place."""
    source = tree / "pinfut" / "native" / fault.file
    text = source.read_text("utf-8")
    if text.count(fault.old) != 1:
        raise ValueError(
            f"{fault.name}: its text stands {text.count(fault.old)} times in {fault.file}"
        )
    source.write_text(text.replace(fault.old, fault.new), "utf-8")


def main(names: list[str]) -> int:
    unknown = set(names) - {fault.name for fault in FAULTS}
    if unknown:
        raise SystemExit(f"no such fault: {', '.join(sorted(unknown))}")
    survived = 0
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        copy_tree(tree)
        for fault in FAULTS:
            if names and fault.name not in names:
                continue
            source = tree / "pinfut" / "native" / fault.file
            was = source.read_text("utf-8")
            plant(fault, tree)
            build(tree, "-w")
            told = found_by(tree)
            survived += told is None
            print(f"{fault.name}: {told or 'NOT FOUND'}", flush=True)
            source.write_text(was, "utf-8")
    return survived


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 125))
