"""What is kept of an unboxed function: its source, and what its awaits mean.

States of its code::

    decorated ──first call, or prepare──▶ compiled
        └──pool, Frame.begin, layout──▶ and its frame, too

A chain is compiled when it is first used, not once for each function on the way up. All that
can be refused is refused before, at decoration. Trees live while a frame is generated only.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final, final

from pinfut.unboxed.errors import Refused
from pinfut.unboxed.nesting import LIMIT, OUTERMOST, nesting
from pinfut.unboxed.plan import Plan, mangle
from pinfut.unboxed.resolve import Awaited, Embed
from pinfut.unboxed.sizes import plain_size
from pinfut.unboxed.source import excerpt

if TYPE_CHECKING:
    from pinfut.unboxed.generate import Generated

_MANY: Final = 1_000_000
_COROUTINE: Final = 0x80


@final
class Unit:
    """One unboxed function."""

    __slots__ = (
        "_binder",
        "_frame",
        "blocks",
        "called",
        "code",
        "direct",
        "excerpt",
        "file",
        "function",
        "nesting",
        "plain",
        "public",
        "size",
        "targets",
    )

    def __init__(self, function: FunctionType, namespace: Mapping[str, Any] | None) -> None:
        """`namespace`: that of the class whose body is being run, for its method. Raises
        Refused."""
        self.function = function
        self.code: CodeType = function.__code__
        self.file = self.code.co_filename
        self.excerpt = excerpt(self.code)
        # Invariant: what each await of the source means, in the order in which a plan meets
        # them; None until that is known.
        self.targets: tuple[Awaited, ...] | None = None
        plan = Plan(self, namespace)
        self.targets = tuple(plan.targets)
        self.direct = plan.direct
        # How deep its own blocks (loops, try, with) nest, once it is lowered.
        self.nesting = nesting(plan)
        if OUTERMOST + self.nesting > LIMIT:
            raise Refused(
                self.file,
                plan.node.lineno,
                f"the blocks of {self.code.co_name} nest {self.nesting} deep as they are "
                f"compiled, and the interpreter allows {LIMIT - OUTERMOST} here (an async with "
                "counts 3, another with or try 2)",
                "move the inner ones into an unboxed function of their own",
            )
        # How many functions its chain has, itself included, each as often as it is called.
        callees = [each.unit for each in self.targets if isinstance(each, Embed)]
        self.blocks: int = min(_MANY, 1 + sum(each.blocks for each in callees))
        # Bytes that the plain coroutines of its longest chain take.
        self.plain: int = plain_size(self.code) + max((each.plain for each in callees), default=0)
        self._binder: FunctionType | None = None
        self._frame: FunctionType | None = None
        # Bytes of a frame of a pool, once somebody has asked.
        self.size: int | None = None
        # Bytes of what a call makes, likewise.
        self.called: int | None = None
        # The function that @unboxed gives for it.
        self.public: Any = self._not_compiled()

    def _not_compiled(self) -> FunctionType:
        """The function as it is before its first call: that compiles it."""
        code = self.code
        stub = _stub.__code__.replace(
            co_name=code.co_name,
            co_qualname=code.co_qualname,
            co_filename=code.co_filename,
            co_firstlineno=code.co_firstlineno,
            # What it gives is a coroutine, and whoever asks is told so.
            co_flags=_stub.__code__.co_flags | _COROUTINE,
            co_consts=tuple(
                self._first if const == _FIRST else const for const in _stub.__code__.co_consts
            ),
        )
        function = self.function
        made = FunctionType(stub, function.__globals__, function.__name__)
        functools.update_wrapper(made, function)
        made.__defaults__ = function.__defaults__
        made.__kwdefaults__ = function.__kwdefaults__
        made.__unboxed__ = self  # type: ignore[attr-defined]
        return made

    def _first(self, *args: Any, **kwargs: Any) -> Any:
        self.prepare()
        return self.public(*args, **kwargs)

    def prepare(self) -> None:
        """Compile the function, if that has not been done."""
        if not self._compiled:
            self.generated()

    @property
    def _compiled(self) -> bool:
        consts = self.public.__code__.co_consts
        return not any(getattr(const, "__func__", None) is Unit._first for const in consts)

    def generated(self) -> Generated:
        """The function with its tree and slots, made anew. Its code alone is kept, the first
        time."""
        from pinfut.unboxed.generate import called

        made = called(self)
        if not self._compiled:
            self.public.__code__ = made.code
        return made

    def generated_frame(self) -> Generated:
        """The same for the frame that is used again."""
        from pinfut.unboxed.generate import looping

        made = looping(self)
        if self._frame is None:
            self._frame = made.function
        return made

    def tree(self) -> ast.AsyncFunctionDef:
        """Its syntax tree, made anew, with private names as its class has them."""
        node = self.excerpt.parse(self.file)
        if self.excerpt.owner is not None:
            mangle(node, self.excerpt.owner)
        return node

    @property
    def frame(self) -> FunctionType:
        """The generator function of the frame that is used again."""
        return self._frame or self.generated_frame().function

    @property
    def binder(self) -> FunctionType:
        """A function with this signature that gives its arguments as a list."""
        if self._binder is None:
            from pinfut.unboxed.calls import binder

            self._binder = binder(self)
        return self._binder

    def starter(self, start: Any, shelf: Any) -> Any:
        """A function with this signature that gives ``start(shelf, [...])``."""
        from pinfut.unboxed.calls import binder

        return binder(self, start, shelf)


_FIRST: Final = "first·"


def _stub(*args: Any, **kwargs: Any) -> Any:
    first: Any = "first·"
    return first(*args, **kwargs)


def is_unboxed(function: object) -> bool:
    """Whether `function` is unboxed, so that it has a layout."""
    return isinstance(getattr(function, "__unboxed__", None), Unit)


def unit_of(function: object) -> Unit:
    """What stands behind an unboxed function. Raises TypeError for anything else."""
    unit = getattr(function, "__unboxed__", None)
    if not isinstance(unit, Unit):
        raise TypeError(f"{function!r} is not unboxed; decorate it with @unboxed")
    return unit
