"""Tests of payers run in processes of their own: hooking the allocators is for good."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import pytest

from pinfut import checked, payers
from tests.house.imports import ROOT

SOAK = os.environ.get("PINFUT_SOAK") == "1"


def python(
    *arguments: str, before: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run this Python with what the tests run with; `before` stands in front of the command."""
    return subprocess.run(
        [*before, sys.executable, "-X", "faulthandler", "-W", "error", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=3600 if SOAK or before else 300,  # only so that a hang ends
    )


def apart(test: Callable[[], None]) -> Callable[[], None]:
    """Run the test in a fresh process in which payers are installed."""

    @functools.wraps(test)
    def outside() -> None:
        done = python("-m", "tests.payers.apart", test.__module__, test.__name__)
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        assert "passed inside" in done.stdout

    skip = pytest.mark.skipif(payers.why_not() is not None, reason=str(payers.why_not()))
    return skip(outside)


def main(module: str, name: str) -> None:
    checked.patience = float("inf")  # as in the tests around it
    payers.install()
    getattr(import_module(module), name).__wrapped__()
    print("passed inside")


if __name__ == "__main__":
    main(*sys.argv[1:])
