"""What is kept of an unboxed function: its source, and what its awaits mean.

States of its code::

    decorated ──first call, or prepare──▶ compiled
        └──pool, Frame.begin, layout──▶ and its frame, too

`decorate` fills it in, and who makes something of it later keeps that here. No tree stays."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, TypeAlias, final

from pinfut.unboxed.source import excerpt, mangle


@dataclass(frozen=True, slots=True)
class Leaf:
    """Something to poll. `boxed`: it may be a coroutine too, the author said so."""

    boxed: bool = False


@dataclass(frozen=True, slots=True)
class Yields:
    """``await yield_now()``."""


@dataclass(frozen=True, slots=True)
class Embed:
    """A call of an unboxed function, whose body goes into this frame."""

    unit: Unit
    bound: bool = False  # what the call looks the callee up on is its first argument
    # The callee is looked up there when it is called, and must be this one.
    guarded: bool = False


Awaited: TypeAlias = Leaf | Yields | Embed


@final
class Unit:
    """One unboxed function."""

    __slots__ = (
        "activations", "binder", "called", "code", "compiled", "direct", "excerpt", "file", "frame",
        "function", "nesting", "plain", "public", "size", "targets",
    )  # fmt: skip

    def __init__(self, function: FunctionType) -> None:
        """Raises Refused when its source cannot be read."""
        self.function = function
        self.code: CodeType = function.__code__
        self.file = self.code.co_filename
        self.excerpt = excerpt(self.code)
        # Invariant: what each await means, in the order in which a plan meets them; or None.
        self.targets: tuple[Awaited, ...] | None = None
        # Whether its value may stand where the caller wants it (see `Plan.direct`).
        self.direct = False
        self.nesting = 0  # how deep its own blocks (loops, try, with) nest, once it is lowered
        # How many functions its chain has, itself included, each as often as it is called.
        self.activations = 1
        self.plain = 0  # bytes that the plain coroutines of its longest chain take
        # The function that @unboxed gives for it; whether its code is the generated one.
        self.public: Any = None
        self.compiled = False
        # Made when first needed: what binds the arguments, and the generator function of the frame.
        self.binder: FunctionType | None = None
        self.frame: FunctionType | None = None
        self.size: int | None = None  # bytes of a frame of a pool, once somebody has asked
        self.called: int | None = None  # bytes of what a call makes, likewise

    def tree(self) -> ast.AsyncFunctionDef:
        """Its syntax tree, made anew, with private names as its class has them."""
        node = self.excerpt.parse(self.file)
        if self.excerpt.owner is not None:
            mangle(node, self.excerpt.owner.name)
        return node


def unit_behind(function: object) -> Unit | None:
    """What stands behind an unboxed function; None for any other thing."""
    unit = getattr(function, "__unboxed__", None)
    return unit if isinstance(unit, Unit) else None


def is_unboxed(function: object) -> bool:
    """Whether `function` is unboxed, so that it has a layout."""
    return unit_behind(function) is not None


def unit_of(function: object) -> Unit:
    """What stands behind an unboxed function. Raises TypeError for anything else."""
    unit = unit_behind(function)
    if unit is None:
        raise TypeError(f"{function!r} is not unboxed; decorate it with @unboxed")
    return unit
