"""pyodide: Python for browsers, and the wheels that run on it, fetched once into a folder.

Pyodide comes by npm, the wheels by pip. `make web` runs tests in the same one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pinfut.learn.editor import CannotBuild, call

PYODIDE: Final = "314.0.7"
WHEELS_FOR: Final = ("--python-version=314", "--platform=pyemscripten_2026_0_wasm32")
"""What this Pyodide takes, besides pure Python."""


class CannotFetch(Exception):
    """Something could not be fetched. The message says what, and what to do."""


def fetch(home: Path, wheels: Sequence[str]) -> None:
    """Put Pyodide into ``node_modules/pyodide`` of `home`, and the wheels, each with its version,
    into ``site``, unless they are there. Raises CannotFetch."""
    wanted = f"{PYODIDE} {WHEELS_FOR} {wheels}"
    ready = home / "ready"
    if ready.exists() and ready.read_text("utf-8") == wanted:
        return
    home.mkdir(parents=True, exist_ok=True)
    ready.unlink(missing_ok=True)
    (home / "package.json").write_text("{}\n", "utf-8")  # or npm looks for one above
    words = ("install", "--no-audit", "--no-fund", "--prefix", str(home), f"pyodide@{PYODIDE}")
    try:
        call("npm", *words, cwd=home)
    except CannotBuild as error:
        raise CannotFetch(f"Pyodide could not be fetched: {error}") from error
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--target", str(home / "site"), "--upgrade", "--no-deps", "--only-binary=:all:"]
    pip += ["--implementation=cp", *WHEELS_FOR, *wheels]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotFetch(f"the wheels for Pyodide could not be fetched: {done.stderr[-2_000:]}")
    ready.write_text(wanted, "utf-8")
