"""Builds of the extension that can be audited; and random allocations under memcheck or
AddressSanitizer, on one that tells them of blocks.

python -m tests.payers.tooled memcheck
python -m tests.payers.tooled address
"""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

from tests.house.imports import ROOT

SOURCE = ROOT / "tests" / "payers" / "audited.c"
NAME = "pinfut._payers"
FLAGS = ["-std=c11", "-g", "-O1", "-fPIC", "-shared"]


def missing(tool: str) -> str | None:
    """What is not here that the tool needs."""
    if not compiler():
        return "no C compiler"
    if not Path("/usr/include/valgrind/memcheck.h").exists():
        return "no header of valgrind"
    if tool == "memcheck":
        return None if shutil.which("valgrind") else "no valgrind"
    return None if Path(runtime()).is_absolute() else "no runtime of AddressSanitizer"


def compiler() -> str:
    return (sysconfig.get_config_var("CC") or "").split(" ")[0]


def runtime() -> str:
    asked = [compiler(), "-print-file-name=libasan.so"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def build(place: Path, tool: str = "") -> Path:
    target = place / "_payers.so"
    more = ["-DPINFUT_ANNOTATE"] if tool else []
    more += ["-fsanitize=address"] if tool == "address" else []
    include = sysconfig.get_path("include")
    subprocess.run([compiler(), *FLAGS, *more, f"-I{include}", SOURCE, "-o", target], check=True)
    return target


def run(tool: str, steps: int, *, use_after_free: bool = False) -> subprocess.CompletedProcess[str]:
    """Random allocations and refused handlers; exits with 9 where the tool complains."""
    from tests.payers.apart import python  # not inside, where it would load the other extension

    with tempfile.TemporaryDirectory() as place:
        extension = build(Path(place), tool)
        inside = (
            "-m",
            "tests.payers.tooled",
            "inside",
            str(extension),
            str(steps),
            str(int(use_after_free)),
        )
        if tool == "memcheck":
            # Who wrote nothing where is left out: stock Python is not clean of that. Where a block
            # begins and ends, and that nobody touches it when it was freed, is what is asked.
            before = ("valgrind", "--error-exitcode=9", "-q", "--undef-value-errors=no")
            return python(*inside, before=before, PYTHONMALLOC="malloc")
        options = "detect_leaks=0:exitcode=9"
        return python(*inside, LD_PRELOAD=runtime(), ASAN_OPTIONS=options)


def load(extension: str) -> None:
    """In place of the extension that is installed: this one."""
    loader = ExtensionFileLoader(NAME, extension)
    spec = importlib.util.spec_from_file_location(NAME, extension, loader=loader)
    assert spec is not None
    sys.modules[NAME] = module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)

    import pinfut

    vars(pinfut)["_payers"] = module


def inside(extension: str, steps: int, use_after_free: bool) -> None:
    load(extension)
    from pinfut import payers

    payers.install()
    assert vars(payers)["_payers"].__file__ == extension

    from tests.payers import crowd
    from tests.payers.test_accounts import fuzz, raw

    if use_after_free:
        malloc, _, _, free = raw()[0]
        p = payers.Payer(100)
        address = p.soft_call(malloc, 200)
        free(address)
        ctypes.memset(address + 100, 1, 8)
    print("fuzz", fuzz(1, steps))
    print("crowd", sum(crowd.run(steps // 100, 1).ends.values()))


def main(tool: str, *arguments: str) -> int:
    if tool == "inside":
        inside(arguments[0], int(arguments[1]), arguments[2] == "1")
        return 0
    if tool == "apart":
        load(arguments[0])
        from tests.payers import apart

        apart.main(*arguments[1:])
        return 0
    done = run(tool, 4_000 if tool == "address" else 300)
    print(done.stdout, done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
