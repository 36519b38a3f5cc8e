"""What is nested as deep as the stack holds a poll of it is dropped whole."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.pinfut.nests import KINDS, MOST


@pytest.mark.parametrize("checked", ["0", "1"])
def test_what_can_be_polled_can_be_dropped_however_deep(checked: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.pinfut.nests"],
        env=os.environ | {"PINFUT_CHECKED": checked},
        capture_output=True,
        text=True,
    )
    kinds: list[str] = []
    for line in ran.stdout.splitlines():
        kind, _, rest = line.partition(": ")
        levels, polled, deadlines, clean_ups = rest.split()
        assert 100 < int(levels) < MOST - 1, "the stack is the bound"
        assert (polled, deadlines, clean_ups) == ("True", "0", "0"), line
        kinds.append(kind)
    assert kinds == list(KINDS), ran.stderr
