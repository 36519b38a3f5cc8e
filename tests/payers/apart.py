"""Tests of payers run in processes of their own: hooking the allocators is for good."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from pinfut import checked, payers
from tests.house.imports import ROOT
from tests.payers import tooled

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


@functools.cache
def audited() -> Path:
    """The extension, built once so that `audit` can look into it."""
    place = tempfile.TemporaryDirectory(prefix="pinfut-payers-")
    atexit.register(place.cleanup)
    return tooled.build(Path(place.name))


@functools.cache
def auditor() -> Callable[[payers.Payer], bytes | None]:
    library = ctypes.PyDLL(vars(payers)["_payers"].__file__)
    return ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("audit", library))


def audit(payer: payers.Payer) -> None:
    """Count all of it. Raises AssertionError where the accounts say something else. Inside."""
    wrong = auditor()(payer)
    assert wrong is None, wrong.decode()


def apart(test: Callable[[], None]) -> Callable[[], None]:
    """Run the test in a fresh process in which payers are installed."""

    @functools.wraps(test)
    def outside() -> None:
        names = test.__module__, test.__name__
        done = python("-m", "tests.payers.tooled", "apart", str(audited()), *names)
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        assert "passed inside" in done.stdout

    skip = pytest.mark.skipif(payers.why_not() is not None, reason=str(payers.why_not()))
    return skip(outside)


def main(module: str, name: str) -> None:
    checked.patience = float("inf")  # as in the tests around it
    payers.install()
    getattr(import_module(module), name).__wrapped__()
    print("passed inside")
