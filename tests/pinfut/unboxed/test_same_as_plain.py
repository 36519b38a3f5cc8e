"""Every construct does the same unboxed as it does in plain coroutines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.covered import covered, require
from tests.pinfut.unboxed.corpus import PROGRAMS
from tests.pinfut.unboxed.programs import Cancelled, same

# Close raises GeneratorExit; a callee in these waits on, or swallows it (see docs/unboxed.md).
KEEPS_ON = {"return in finally", "return in try", "with", "async with", "try", "except*"}


def _answers(waits: int) -> list[list[Any]]:
    """Every leaf in turn is answered with an error, a cancel, a close."""
    found: list[list[Any]] = [[]]
    for at in range(min(waits, 5)):
        for answer in (ValueError("thrown"), Cancelled(), "close"):
            found.append([None] * at + [answer])
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_does_the_same_unboxed(name: str) -> None:
    text = PROGRAMS[name]
    outcome = same(text)
    waits = sum(isinstance(each, tuple) and each[0] == "waits" for each in outcome.log)
    runs = _answers(waits)
    for answers in runs[1:]:
        if answers[-1] == "close" and name in KEEPS_ON:
            continue
        same(text, answers)
    counts = covered("unboxed constructs", **{name.replace(" ", "_"): waits})
    covered("unboxed corpus", programs=1, runs=len(runs), awaits=waits)
    require(counts, name.replace(" ", "_"))
