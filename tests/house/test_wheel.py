"""The wheel works outside this checkout, beside a program's own `rpc` and `executor`."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

from pinfut.command.main import SUBCOMMANDS
from tests.house.imports import FLOORS, ROOT, sources
from tests.house.readme import runnable_blocks

# Neither the checkout nor the mode of the tests reaches the programs run here.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("PYTHON", "PINFUT_")) and name != "VIRTUAL_ENV"
}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,  # only so that a hang ends
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"exit {done.returncode}: {command}\n{output}"
    return output


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    place = tmp_path_factory.mktemp("build")
    # A copy, with links kept as links: building writes into the tree, and what an
    # earlier build left there would get into the wheel.
    copy = place / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    for folder in FLOORS:
        ignore = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=ignore)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", place / "dist", cwd=copy)
    return place / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment: the wheel, what the wheel requires, no more."""
    place = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=place)
    python = place / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "--python", python, "install", "--no-index", "--no-deps", wheel, cwd=place)
    (site,) = place.glob("lib/python*/site-packages")
    # Copied from where the tests run, so that no network is needed.
    for name in requirements(wheel):
        for file in distribution(name).files or ():
            if ".." not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), site / file)
    return python


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """The folder of a program that has its own `rpc` and its own `executor`."""
    for name in ("rpc", "executor"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("OWNER = 'the service'\n")
    return tmp_path


def requirements(wheel: Path) -> list[str]:
    """The names of what a plain install of the wheel brings along."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        lines = archive.read(metadata).decode("utf-8").partition("\n\n")[0].splitlines()
    found = (
        Requirement(line.removeprefix("Requires-Dist: "))
        for line in lines
        if line.startswith("Requires-Dist: ")
    )
    return [one.name for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]


STATIC = (".js", ".css", ".html", ".md", ".json")


def has_compiler() -> bool:
    command = sysconfig.get_config_var("CC") or "cc"
    return sys.platform == "linux" and shutil.which(command.split()[0]) is not None


def modules_of_the_house() -> set[PurePosixPath]:
    """Each source file, where it has to be in an installed package, and what the pages of
    `pinfut.learn` are made of."""
    found = {PurePosixPath("pinfut/py.typed"), PurePosixPath("pinfut/_payers.pyi")}
    found.add(PurePosixPath("pinfut/_core.pyi"))
    static = [path for path in (ROOT / "pinfut/learn").rglob("*") if path.suffix in STATIC]
    assert static
    found.update(PurePosixPath(path.relative_to(ROOT).as_posix()) for path in static)
    for folder, package in FLOORS.items():
        for _, path in sources({folder: package}):
            found.add(PurePosixPath(*package.split("."), *path.relative_to(ROOT / folder).parts))
    return found


def test_the_wheel_holds_every_module_once_and_no_other_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert not [info for info in archive.infolist() if info.external_attr >> 28 == 0o12], (
            "the wheel holds a symbolic link"
        )
        names = {PurePosixPath(name) for name in archive.namelist()}
    files = {name for name in names if not name.parts[0].endswith(".dist-info")}
    built_of = ("pinfut/_payers", "pinfut/_core")
    extensions = {PurePosixPath(name + EXTENSION_SUFFIXES[0]) for name in built_of}
    assert (extensions <= files) == has_compiler()
    # The editor is bundled where npm is: see docs/learn.md.
    editor = PurePosixPath("pinfut/learn/page/editor.js")
    expected = modules_of_the_house() - {editor}
    assert files - extensions - {editor} == expected, "see [tool.setuptools] packages in pyproject"


def test_the_sdist_holds_every_module_and_no_link(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    assert all(member.isfile() or member.isdir() for member in members)
    files = {PurePosixPath(*PurePosixPath(member.name).parts[1:]) for member in members}
    assert modules_of_the_house() <= files
    sources = [path.relative_to(ROOT) for path in (ROOT / "pinfut" / "native").iterdir()]
    assert sources
    assert {PurePosixPath(path) for path in sources} <= files


def test_the_installed_wheel_leaves_a_programs_own_rpc_and_executor_alone(
    python: Path, service: Path
) -> None:
    program = service / "main.py"
    program.write_text(
        "import pinfut, pinfut.executor, pinfut.rpc\n"
        "import executor, rpc\n"
        "assert executor.OWNER == rpc.OWNER == 'the service'\n"
        "print(pinfut.__file__, pinfut.rpc.__file__)\n"
    )
    output = run(python, program.name, cwd=service)
    assert str(ROOT) not in output, "this imported the checkout, not the wheel"


def test_the_first_service_of_the_readme_runs_on_the_installed_wheel(
    python: Path, service: Path
) -> None:
    block = next((block for block in runnable_blocks() if block.is_service), None)
    assert block is not None, "README.md has no ```python block that begins with # service.py"
    (service / "service.py").write_text(block.code, "utf-8")
    run(python, "service.py", cwd=service)


# A program's own module, and a quick run of each subcommand: all of the figures as JSON.
SHOP = "from pinfut.unboxed import unboxed\n\n@unboxed\nasync def handle():\n    pass\n"
QUICK = {
    "info": ("--json", "-"),
    "laws": (),
    "rules": ("--json", "-"),
    "rows": ("--json", "-"),
    "prices": ("--only", "HANDLE", "--json", "-"),
    "slopes": ("--only", "sessions", "--many", "128", "--json", "-"),
    "hostile": ("--only", "frames of zero length", "--json", "-"),
    "simulate": ("--seeds", "0:2", "--ops", "20", "--json", "-"),
    "learn": ("check", "--only", "03", "--json", "-"),
    "record": ("ping.py", "-o", "trace.json"),
    "show": ("trace.json", "-o", "trace.html"),
    "layout": ("shop:handle", "--json", "-"),
    "source": ("shop:handle",),
}

# In one process, for the interpreter takes longer to begin than most of them to run.
ALL_OF_IT = """
import contextlib, io, json, sys
from importlib.metadata import entry_points
main = entry_points(name="pinfut", group="console_scripts")["pinfut"].load()
for name, words in json.loads(sys.argv[1]).items():
    try:
        main([name, "--help"])
    except SystemExit as ended:
        assert ended.code == 0
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([name, *words]) == 0, name
    assert json.loads(out.getvalue()) if "-" in words else out.getvalue() or name == "show"
    print("ran", name)
"""


def test_each_subcommand_of_the_installed_command_runs(python: Path, service: Path) -> None:
    (service / "shop.py").write_text(SHOP)
    (service / "ping.py").write_text("async def main():\n    print('ping')\n")
    command = python.parent / "pinfut"
    assert run(command, "source", "shop:handle", cwd=service).startswith("def handle")
    output = run(python, "-c", ALL_OF_IT, json.dumps(QUICK), cwd=service)
    ran = [line.split()[1] for line in output.splitlines() if line.startswith("ran ")]
    assert ran == [*QUICK]
    assert set(QUICK) == set(SUBCOMMANDS)
