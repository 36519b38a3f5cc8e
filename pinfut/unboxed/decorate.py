"""The decorator. All that can be refused of a function is refused here."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from types import FrameType, FunctionType
from typing import Any, Final, TypeVar, cast

from pinfut.unboxed.compiled import uncompiled
from pinfut.unboxed.errors import Refused
from pinfut.unboxed.nesting import LIMIT, OUTERMOST, nesting
from pinfut.unboxed.plan import Plan
from pinfut.unboxed.resolve import ClassBody
from pinfut.unboxed.sizes import plain_size
from pinfut.unboxed.unit import Embed, Unit

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])

_MANY: Final = 1_000_000

BOXED: Final = os.environ.get("PINFUT_BOXED", "0") not in ("", "0")
"""Whether the environment asks for the source as it stands (``PINFUT_BOXED=1``)."""


def unboxed(function: F) -> F:
    """Compile `function` and every callee that it awaits into one frame, when it is first called.
    It is called, awaited and spawned as before. Raises Refused, when it is decorated, for what
    cannot live in one sized frame, and says what to write instead."""
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


def analysed(function: FunctionType, body: ClassBody | None) -> Unit:
    """The unit of `function`, a method of the class whose `body` is run. Raises Refused."""
    unit = Unit(function)
    plan = Plan(unit, body)
    unit.targets = tuple(plan.targets)
    unit.direct = plan.direct
    unit.nesting = nesting(plan)
    if OUTERMOST + unit.nesting > LIMIT:
        raise Refused(
            unit.file,
            plan.node.lineno,
            f"the blocks of {unit.code.co_name} nest {unit.nesting} deep as they are "
            f"compiled, and the interpreter allows {LIMIT - OUTERMOST} here (an async with "
            "counts 3, another with or try 2)",
            "move the inner ones into an unboxed function of their own",
        )
    callees = [each.unit for each in unit.targets if isinstance(each, Embed)]
    unit.activations = min(_MANY, 1 + sum(each.activations for each in callees))
    unit.plain = plain_size(unit.code) + max((each.plain for each in callees), default=0)
    return unit


def _class_body(function: FunctionType, frame: FrameType) -> ClassBody | None:
    """The class whose body `frame` runs, if `function` is its method."""
    names = frame.f_locals
    around = names.get("__qualname__")
    if "__module__" not in names or f"{around}.{function.__name__}" != function.__qualname__:
        return None
    outside: dict[str, Any] = {}
    outer = frame.f_back
    # The scope of type parameters is a function between the class and what is around it.
    while outer is not None:
        outside = {**outer.f_locals, **outside}
        generic = outer.f_code.co_name.startswith("<generic parameters")
        outer = outer.f_back if generic else None
    return ClassBody(dict(names), outside)
