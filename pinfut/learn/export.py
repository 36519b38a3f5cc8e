"""export: the lessons as a site that needs no server and no installation."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pinfut
from pinfut.learn.lesson import Lesson
from pinfut.learn.pyodide import CannotFetch, fetch
from pinfut.learn.shown import shown

HOUSE: Final = Path(pinfut.__file__).parent

NEEDED: Final = ("msgspec", "typing-extensions")
"""What pinfut needs, in the versions that are installed here."""

PYODIDE_FILES: Final = (
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.js",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
    "pyodide-lock.json",
)
"""Those that a worker loads; which of them there are depends on the version."""

EXPLORER: Final = (".js", ".css")


def export(site: Path, lessons: Sequence[Lesson], home: Path | None = None) -> int:
    """Write the site into a folder, which is made, or holds an older one; its size in bytes.
    `home`: where what is fetched is kept for the next time. Raises OSError, and CannotFetch, for
    a folder that holds something else, too."""
    if site.exists() and any(site.iterdir()) and not (site / "lessons.json").exists():
        raise CannotFetch(f"{site} holds something else; name an empty folder, or one that is none")
    home = cache_folder() if home is None else home
    fetch(home, [f"{name}=={version(name)}" for name in NEEDED])
    for folder in ("page", "explorer", "pyodide"):
        shutil.rmtree(site / folder, ignore_errors=True)
    learn = HOUSE / "learn"
    shutil.copytree(
        learn / "page", site / "page", ignore=shutil.ignore_patterns("*.html", "host-server.js")
    )
    (site / "explorer").mkdir()
    for file in (learn / "explorer").iterdir():
        if file.suffix in EXPLORER:
            shutil.copy(file, site / "explorer")
    (site / "pyodide").mkdir()
    for name in PYODIDE_FILES:
        file = home / "node_modules" / "pyodide" / name
        if file.exists():
            shutil.copy(file, site / "pyodide")
    with zipfile.ZipFile(site / "python.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file, name in python_files(home / "site"):
            archive.write(file, name)
    (site / "lessons.json").write_text(json.dumps(shown(lessons)), "utf-8")
    shutil.copy(learn / "page" / "index.html", site / "index.html")
    return sum(file.stat().st_size for file in site.rglob("*") if file.is_file())


def python_files(wheels: Path) -> Iterator[tuple[Path, str]]:
    """What is imported there, each file with its name in the archive: pinfut's own modules, and
    what was fetched of others."""
    # `executor` and `rpc` may be links here, and are followed.
    for root, base in ((HOUSE, HOUSE.parent), (wheels, wheels)):
        for place, _, names in os.walk(root, followlinks=True):
            for name in sorted(names):
                path = Path(place, name)
                if path.suffix in (".py", ".so", ".typed") or ".dist-info" in place:
                    yield path, path.relative_to(base).as_posix()


def cache_folder() -> Path:
    """Where what was fetched is kept."""
    found = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(found) if os.path.isabs(found) else Path.home() / ".cache"
    return folder / "pinfut"
