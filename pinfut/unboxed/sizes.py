"""How large frames are: known from code objects, before there is a frame."""

from __future__ import annotations

import sys
from types import CellType, CodeType
from typing import Final

REFERENCE: Final = 8
"""Bytes of a slot."""


async def _empty() -> None:
    pass


def _places(code: CodeType) -> int:
    cells = set(code.co_cellvars) - set(code.co_varnames)
    return len(code.co_varnames) + len(cells) + len(code.co_freevars) + code.co_stacksize


def _base() -> int:
    empty = _empty()
    size = sys.getsizeof(empty)
    empty.close()
    return size - _places(_empty.__code__) * REFERENCE


_BASE: Final = _base()

CELL: Final = sys.getsizeof(CellType())
"""Bytes of the cell of a local that a function inside holds on to."""


def plain_size(code: CodeType) -> int:
    """Bytes of a plain coroutine of `code`, its cells included."""
    return object_size(code) + len(code.co_cellvars) * CELL


def object_size(code: CodeType) -> int:
    """Bytes of a coroutine or generator of `code`, as `sys.getsizeof` gives them."""
    return _BASE + _places(code) * REFERENCE
