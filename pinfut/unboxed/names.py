"""Names of one activation: from what the source calls a thing to where it lives in the frame."""

from __future__ import annotations

import ast
import builtins
from types import CellType
from typing import Any, TypeVar

from pinfut.unboxed import support
from pinfut.unboxed.frameplan import SHIFT, Activation, FramePlan, Var
from pinfut.unboxed.plan import Plan

N = TypeVar("N", bound=ast.AST)

_COLUMNS = (1 << SHIFT) - 1


class Naming:
    """Clones names, with the place they have in the source and the number of their activation."""

    def __init__(self, frame: FramePlan, plan: Plan, activation: Activation) -> None:
        self.frame = frame
        self.plan = plan
        self.activation = activation
        self.shift = activation.number << SHIFT
        self.globals: dict[str, Any] = plan.function.__globals__
        self.home = self.globals is frame.root.function.__globals__
        self.vars: dict[str, Var] = {}
        # Sorted, so that the same source gives the same frame.
        for name in [*plan.parameters, *sorted(plan.names.own - set(plan.parameters))]:
            self.vars[name] = activation.var(name, name in plan.names.captured)
        code = plan.function.__code__
        self.free: dict[str, CellType] = dict(
            zip(code.co_freevars, plan.function.__closure__ or (), strict=True)
        )
        # Names that an inline comprehension binds for itself, innermost last.
        self.shadows: list[set[str]] = []

    # ---- places ----

    def at(self, node: N, source: Any) -> N:
        """`node`, standing where `source` stands."""
        made: Any = node
        shift, line = self.shift, source.lineno
        made.lineno = line
        made.end_lineno = getattr(source, "end_lineno", line) or line
        made.col_offset = min(source.col_offset, _COLUMNS) + shift
        end = getattr(source, "end_col_offset", 0) or 0
        made.end_col_offset = max(min(end, _COLUMNS) + shift, made.col_offset)
        return node

    def helper(self, name: str) -> ast.Attribute:
        """One of the functions in `support`."""
        return self.frame.link(name, getattr(support, name))

    def call(self, name: str, *args: ast.expr) -> ast.Call:
        """A call of one of them."""
        return ast.Call(self.helper(name), list(args), [])

    # ---- names ----

    def cell(self, name: str) -> ast.expr | None:
        """The cell in which `name` lives, if it lives in one."""
        var = self.vars.get(name)
        if var is not None:
            return var.load() if var.captured else None
        if name in self.free:
            return self.frame.link(f"cell_{name}", self.free[name])
        return None

    def load(self, name: str) -> ast.expr:
        if any(name in bound for bound in self.shadows):
            return ast.Name(name, ast.Load())
        var = self.vars.get(name)
        if var is not None:
            if not var.captured:
                return var.load()
            if name in self.plan.parameters:
                return ast.Attribute(var.load(), "cell_contents", ast.Load())
            return self.call("read_own", var.load(), ast.Constant(name))
        if name in self.free:
            cell = self.frame.link(f"cell_{name}", self.free[name])
            try:
                self.free[name].cell_contents  # noqa: B018
            except ValueError:
                return self.call("read", cell, ast.Constant(name))
            return ast.Attribute(cell, "cell_contents", ast.Load())
        return self.load_global(name)

    def load_global(self, name: str) -> ast.expr:
        if self._plain(name):
            return ast.Name(name, ast.Load())
        unknown = name not in self.globals and name not in self.plan.module_names
        if unknown and hasattr(builtins, name):
            return ast.Attribute(self.frame.link("builtins", builtins), name, ast.Load())
        return ast.Attribute(self._namespace(), name, ast.Load())

    def _plain(self, name: str) -> bool:
        return self.home and name not in self.frame.root.names.own

    def _namespace(self) -> ast.Attribute:
        name = self.globals.get("__name__", "module").replace(".", "_")
        for known, thing in self.frame.linked.items():
            if isinstance(thing, support.Globals) and thing.__dict__ is self.globals:
                return self.frame.link(known, thing)
        return self.frame.link(name, support.Globals(self.globals))

    def target(self, name: str, context: ast.expr_context) -> ast.expr:
        """Where `name` is stored, or deleted."""
        if any(name in bound for bound in self.shadows):
            return ast.Name(name, context)
        cell = self.cell(name)
        if cell is not None:
            return ast.Attribute(cell, "cell_contents", context)
        var = self.vars.get(name)
        if var is not None:
            return var.node(context)
        if self._plain(name):
            self.frame.globals.add(name)
            return ast.Name(name, context)
        return ast.Attribute(self._namespace(), name, context)

    def plain_var(self, name: str) -> Var | None:
        """The variable that `name` is, if it is one of the frame's own and in no cell."""
        var = self.vars.get(name)
        return None if var is None or var.captured else var
