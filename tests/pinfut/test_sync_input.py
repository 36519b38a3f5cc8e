"""What the primitives between tasks are made with: bad input is refused where it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pinfut import Barrier, Condition, Semaphore, broadcast, channel


@pytest.mark.parametrize("make", [Barrier, Semaphore, broadcast, channel])
@pytest.mark.parametrize("number", [1.5, "2", None])
def test_a_number_of_places_is_a_whole_number(make: Callable[[Any], Any], number: Any) -> None:
    with pytest.raises(TypeError, match="integer"):
        make(number)


@pytest.mark.parametrize("lock", [3, "lock", object()])
def test_a_condition_takes_nothing_but_a_lock(lock: Any) -> None:
    with pytest.raises(TypeError, match=r"pinfut\.Lock"):
        Condition(lock)
