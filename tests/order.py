"""Another order of the tests: `--order reversed` or `--order SEED`.

A test that fails in one order and passes in another leans on a test, or was hit by one.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Protocol, TypeVar


class Placed(Protocol):
    """A test, as far as its place matters."""

    @property
    def path(self) -> Path: ...


T = TypeVar("T", bound=Placed)


def put_in_order(tests: list[T], order: str | None) -> None:
    """Reverse the tests, or shuffle the files and the tests of each. Those of a file stay
    together: they share what is costly to set up."""
    if order == "reversed":
        tests.reverse()
    elif order is not None:
        chance = Random(int(order))
        files = {path: chance.random() for path in dict.fromkeys(test.path for test in tests)}
        tests.sort(key=lambda test: (files[test.path], chance.random()))
