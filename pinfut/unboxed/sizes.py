"""How large frames are: known from code objects, before there is a frame."""

from __future__ import annotations

import sys
from types import CellType, CodeType
from typing import TYPE_CHECKING, Any, Final
from weakref import getweakrefs

if TYPE_CHECKING:
    from pinfut.unboxed.unit import Unit

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


def called_size(unit: Unit) -> int:
    """Bytes of the coroutine that a call of `unit` makes, and of what it makes in turn."""
    if unit.called is None:
        generated = unit.generated()
        further = max((called_size(each) for each in generated.further), default=0)
        unit.called = object_size(generated.code) + generated.cells * CELL + further
    return unit.called


def frame_size(unit: Unit) -> int:
    """Bytes of a frame of `unit` in a pool, everything included."""
    if unit.size is None:
        from pinfut.unboxed.frame import Frame

        generated = unit.generated_frame()
        further = max((called_size(each) for each in generated.further), default=0)
        frame: Frame[Any] = Frame(0)
        generator: Any = frame.prepare(unit)
        args: list[Any] = [None]
        step = generator.asend(args)
        args.clear()
        parts = [frame, getweakrefs(frame)[0], generator, step, step.__next__, args]
        unit.size = sum(sys.getsizeof(part) for part in parts)
        unit.size += generated.cells * CELL + further
        step.close()
    return unit.size
