"""Runs Python with the core, and without."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pinfut import core

ROOT = Path(__file__).parents[2]

needs_pure = pytest.mark.skipif(
    core.ABSENT is None, reason="about what the Python does: for a run without the core"
)
needs_core = pytest.mark.skipif(find_spec("pinfut._core") is None, reason="it was not built")


def python(*args: str, pure: bool = False, checked: bool = False) -> str:
    """What a process of its own prints. Fails when that fails, with what it said."""
    env = {**os.environ, "PINFUT_PURE": str(int(pure)), "PINFUT_CHECKED": str(int(checked))}
    done = subprocess.run(
        [sys.executable, *args], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
