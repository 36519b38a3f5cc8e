"""uvloop's own tests, those that it runs on asyncio's loop too, on pinfut's.

    python -m tests.hosts.uvloop_suite                # fetches uvloop's source distribution
    python -m tests.hosts.uvloop_suite --path DIR     # it is unpacked there already
    python -m tests.hosts.uvloop_suite test_tcp

The version is the one that is installed, for the tests use its test base. Without a way to the
package index they are not run, which is said, and is no failure.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.hosts.compare import compare

# A name that is nobody else's: the tests of the house are called `tests`, too.
PACKAGE = "uvloop_tests"


def fetch(folder: Path) -> Path | None:
    """The source of the installed uvloop, unpacked in `folder`; None where it cannot be had."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", "uvloop", "--dest", str(folder), f"uvloop=={version('uvloop')}"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = list(folder.glob("uvloop-*.tar.gz"))
    if done.returncode or not found:
        print(f"uvloop's source cannot be fetched: {done.stderr.strip().splitlines()[-1:]}")
        return None
    with tarfile.open(found[0]) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"uvloop-{version('uvloop')}"


def main() -> int:
    cli = argparse.ArgumentParser(prog="python -m tests.hosts.uvloop_suite", description=__doc__)
    cli.add_argument("modules", nargs="*", metavar="MODULE")
    cli.add_argument("--checked", action="store_true", help="pinfut's loop in checked mode")
    cli.add_argument("--path", type=Path, help="where the source distribution is unpacked")
    args = cli.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source: Path | None = args.path or fetch(folder)
        if source is None:
            return 0
        shutil.copytree(source / "tests", folder / PACKAGE)
        names = args.modules or sorted(
            path.stem
            for path in (folder / PACKAGE).glob("test_*.py")
            if "AIOTestCase" in path.read_text("utf-8")
        )
        return compare([f"{PACKAGE}.{name}" for name in names], args.checked, folder)


if __name__ == "__main__":
    sys.exit(main())
