"""No operation leaves a block of memory, or a reference to what all of them share."""

from __future__ import annotations

from tests.core.both import needs_core, python
from tests.core.leaks import OPERATIONS


@needs_core
def test_no_operation_leaves_anything() -> None:
    assert python("-m", "tests.core.leaks") == f"{len(OPERATIONS)} operations\n"


def test_nor_does_the_python() -> None:
    assert python("-m", "tests.core.leaks", pure=True) == f"{len(OPERATIONS)} operations\n"


@needs_core
def test_nothing_that_stands_in_a_slot_crashes_what_reads_it() -> None:
    said = python("-m", "tests.core.slots").split()
    assert said[1:] == ["cases"]
    assert int(said[0]) > 300
