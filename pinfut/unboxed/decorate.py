"""The decorator."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from types import FunctionType
from typing import Any, Final, TypeVar, cast

from pinfut.unboxed.errors import Refused
from pinfut.unboxed.generate import Generated, called, looping
from pinfut.unboxed.plan import Plan

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])

BOXED: Final = os.environ.get("PINFUT_BOXED", "0") not in ("", "0")
"""Whether the environment asks for the source as it stands (``PINFUT_BOXED=1``)."""


class Unit:
    """What stands behind an unboxed function: its plan, and its code in both forms."""

    __slots__ = ("_looping", "called", "layout", "plan")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.called: Generated = called(plan)
        self._looping: Generated | None = None
        # The Layout, once somebody has asked for it.
        self.layout: Any = None

    @property
    def looping(self) -> Generated:
        """The frame that is used again; generated when it is asked for first."""
        if self._looping is None:
            self._looping = looping(self.plan)
        return self._looping


def unit_of(function: object) -> Unit:
    """What stands behind an unboxed function. Raises TypeError for anything else."""
    unit = getattr(function, "__unboxed__", None)
    if not isinstance(unit, Unit):
        raise TypeError(f"{function!r} is not unboxed; decorate it with @unboxed")
    return unit


def unboxed(function: F) -> F:
    """Compile `function` and every callee that it awaits into one frame.

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
    plan = Plan(function, _class_body(function))
    unit = Unit(plan)
    made = unit.called.function
    made.__defaults__ = function.__defaults__
    made.__kwdefaults__ = function.__kwdefaults__
    functools.update_wrapper(made, function)
    made.__unboxed__ = unit  # type: ignore[attr-defined]
    plan.public = made
    return cast(F, made)


def _class_body(function: FunctionType) -> dict[str, Any] | None:
    """The namespace of the class whose body is being run, if `function` is its method."""
    frame = sys._getframe(2)
    names = frame.f_locals
    around = names.get("__qualname__")
    if "__module__" in names and f"{around}.{function.__name__}" == function.__qualname__:
        return dict(names)
    return None
