"""Compiling at the first call: a chain once, not once for each function on the way up."""

from __future__ import annotations

import functools
from types import FunctionType
from typing import Any, Final

from pinfut.unboxed.generate import Generated, called
from pinfut.unboxed.sizes import CELL, object_size
from pinfut.unboxed.trees import with_constants
from pinfut.unboxed.unit import Unit

_COROUTINE: Final = 0x80


def uncompiled(unit: Unit) -> FunctionType:
    """The function of `unit` as it is before its first call: that compiles it."""

    def first(*args: Any, **kwargs: Any) -> Any:
        if not unit.compiled:
            generated(unit)
        return unit.public(*args, **kwargs)

    code = unit.code
    stub = with_constants(_stub.__code__, {_FIRST: first}).replace(
        co_name=code.co_name,
        co_qualname=code.co_qualname,
        co_filename=code.co_filename,
        co_firstlineno=code.co_firstlineno,
        # What it gives is a coroutine, and `inspect` says so.
        co_flags=_stub.__code__.co_flags | _COROUTINE,
    )
    function = unit.function
    made = FunctionType(stub, function.__globals__, function.__name__)
    functools.update_wrapper(made, function)
    made.__defaults__ = function.__defaults__
    made.__kwdefaults__ = function.__kwdefaults__
    made.__unboxed__ = unit  # type: ignore[attr-defined]
    return made


_FIRST: Final = "first·"


def _stub(*args: Any, **kwargs: Any) -> Any:
    first: Any = "first·"
    return first(*args, **kwargs)


def generated(unit: Unit) -> Generated:
    """The function with its tree and slots, made anew. Its code alone is kept, the first time."""
    made = called(unit)
    if not unit.compiled:
        unit.public.__code__ = made.code
        unit.compiled = True
    return made


def called_size(unit: Unit) -> int:
    """Bytes of the coroutine that a call of `unit` makes, and of what it makes in turn."""
    if unit.called is None:
        made = generated(unit)
        unit.called = object_size(made.code) + made.cells * CELL + further_size(made)
    return unit.called


def further_size(made: Generated) -> int:
    """Bytes of the largest frame that `made` makes when it comes to it."""
    return max((called_size(each) for each in made.further), default=0)
