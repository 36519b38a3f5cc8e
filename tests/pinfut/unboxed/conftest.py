"""What a test module here has made goes with it."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator

import pytest

from tests.pinfut.unboxed.programs import released


def _trees() -> int:
    gc.collect()
    return sum(isinstance(each, ast.AST) for each in gc.get_objects())


@pytest.fixture(scope="module", autouse=True)
def _released() -> Iterator[None]:
    """The texts of its programs are let go of, and no syntax tree has stayed anywhere."""
    before = sum(isinstance(each, ast.AST) for each in gc.get_objects())
    with released():
        yield
    stayed = _trees() - before
    assert stayed < 500, f"{stayed} nodes of syntax trees have stayed alive"
