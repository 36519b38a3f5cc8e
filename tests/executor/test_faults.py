"""Wherever a call fails or Ctrl-C comes, the run ends, the next one works and nothing is left."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

import pytest

from tests import faults
from tests.covered import covered, require

STRIDE: Final = 211
"""Of the instructions every 211th is hit; ``python -m tests.faults`` hits each."""

# A coroutine that was made and not yet spawned when an interrupt came was never awaited.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What the runs report is not of interest here, and it is much."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("way", faults.WAYS)
@pytest.mark.parametrize("program", faults.PROGRAMS)
def test_after_each_call_that_fails_nothing_is_left_and_the_next_run_works(
    program: str, way: str
) -> None:
    outcomes = faults.every(faults.PROGRAMS[program], way, faults.Failing)
    counts = covered("calls that fail", hit=outcomes["hit"], raised=outcomes["OSError"])
    require(counts, "hit", "raised")
    # How often a child has to be waited for is up to the child.
    assert outcomes["hit"] == outcomes["places"] or program == "process"


@pytest.mark.parametrize("way", faults.WAYS[::3])
@pytest.mark.parametrize("program", faults.PROGRAMS)
@pytest.mark.parametrize("kind", [kind for kind in faults.KINDS if kind != "calls that fail"])
def test_wherever_an_interrupt_comes_nothing_is_left_and_the_next_run_works(
    kind: str, program: str, way: str
) -> None:
    outcomes = faults.every(faults.PROGRAMS[program], way, faults.KINDS[kind], STRIDE)
    interrupted = outcomes["KeyboardInterrupt"]
    counts = covered("interrupts", hit=outcomes["hit"], interrupted=interrupted)
    require(counts, "hit", "interrupted")
    assert interrupted == outcomes["hit"], "no Ctrl-C is lost"
