"""The decorator."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from types import FrameType, FunctionType
from typing import Any, Final, TypeVar, cast

from pinfut.unboxed.analysis import analysed
from pinfut.unboxed.compiled import uncompiled
from pinfut.unboxed.errors import Refused
from pinfut.unboxed.resolve import ClassBody

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])

BOXED: Final = os.environ.get("PINFUT_BOXED", "0") not in ("", "0")
"""Whether the environment asks for the source as it stands (``PINFUT_BOXED=1``)."""


def unboxed(function: F) -> F:
    """Compile `function` and every callee that it awaits into one frame, when it is first
    called.

    The result is called, awaited and spawned as before. Raises Refused, when it is decorated,
    for what cannot live in one sized frame, and says what to write instead.
    """
    if not isinstance(function, FunctionType) or not (
        inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    ):
        what = type(function).__name__
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        raise Refused(
            getattr(code, "co_filename", "?"),
            getattr(code, "co_firstlineno", 0),
            f"@unboxed was given a {what}, {function!r}, and no async def",
            "put @unboxed right above the async def, beneath @staticmethod and @classmethod",
        )
    if BOXED:
        return cast(F, function)
    unit = analysed(function, _class_body(function, sys._getframe(1)))
    unit.public = uncompiled(unit)
    return cast(F, unit.public)


def _class_body(function: FunctionType, frame: FrameType) -> ClassBody | None:
    """The class whose body `frame` runs, if `function` is its method."""
    names = frame.f_locals
    around = names.get("__qualname__")
    if "__module__" not in names or f"{around}.{function.__name__}" != function.__qualname__:
        return None
    outside: dict[str, Any] = {}
    outer = frame.f_back
    # The scope of type parameters is a function between the class and what is around it.
    while outer is not None and outer.f_code.co_name.startswith("<generic parameters"):
        outside = {**outer.f_locals, **outside}
        outer = outer.f_back
    if outer is not None:
        outside = {**outer.f_locals, **outside}
    return ClassBody(dict(names), outside)
