"""What every part of the lowering does: emit statements, keep things between them, and find where
what the source calls by a name lives in the frame."""

from __future__ import annotations

import ast
import builtins
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import CellType
from typing import Any, TypeVar

from pinfut.unboxed import support
from pinfut.unboxed.frameplan import SHIFT, Activation, FramePlan, Var
from pinfut.unboxed.plan import Plan

N = TypeVar("N", bound=ast.AST)

_COLUMNS = (1 << SHIFT) - 1


class Emission(ABC):
    """Collects the statements of one activation; `out` takes them. The parts of the lowering stand
    on one another as subclasses, `generate.Body` at the top; what they need of those above them
    they ask for by the kind of the node."""

    def __init__(
        self,
        frame: FramePlan,
        plan: Plan,
        activation: Activation,
        leaf: Var | None = None,
        held: list[Var] | None = None,
    ) -> None:
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
        self.free: dict[str, CellType] = dict(
            zip(plan.code.co_freevars, plan.function.__closure__ or (), strict=True)
        )
        # Names that an inline comprehension binds for itself, innermost last.
        self.shadows: list[set[str]] = []
        self.out: list[ast.stmt] = []
        # Holds the future that is being yielded; one for the whole frame.
        self.leaf = activation.var("leaf·", temporary=True) if leaf is None else leaf
        # What is live further up in the chain while this activation waits.
        self.held = held or []
        self.idle: list[Var] = []
        self._count = 0
        self.temps: list[Var] = []  # temporaries that the present statement uses
        self.leafy = False  # whether the leaf is held by the present statement
        # How many statements of this function that look at errors the statement is in.
        self.guards = 0

    @abstractmethod
    def expr(self, node: ast.expr) -> ast.expr:
        """The clone of `node`; what has to run before it has been emitted."""

    def emit(self, node: ast.stmt, source: ast.AST) -> None:
        self.out.append(self.at(node, source))

    def assign(self, target: ast.expr, value: ast.expr, source: ast.AST) -> None:
        self.emit(ast.Assign([target], value), source)

    @contextmanager
    def into(self) -> Iterator[list[ast.stmt]]:
        """Collect the statements that are emitted in here."""
        outer, self.out = self.out, []
        try:
            yield self.out
        finally:
            self.out = outer

    @contextmanager
    def nested(self, blocks: int, catches: bool = False) -> Iterator[None]:
        """In here, statements stand in so many blocks more, of which some may catch."""
        self.frame.nest += blocks
        self.guards += catches
        try:
            yield
        finally:
            self.frame.nest -= blocks
            self.guards -= catches

    def temp(self) -> Var:
        """A temporary; free again when the statement is over."""
        if self.idle:
            var = self.idle.pop()
        else:
            self._count += 1
            var = self.activation.var(f"t·{self._count}", temporary=True)
        self.temps.append(var)
        return var

    def save(self, value: ast.expr, source: ast.AST) -> ast.expr:
        """`value`, evaluated here and kept."""
        var = self.temp()
        self.assign(var.store(), value, source)
        return self.at(var.load(), source)

    def give(self, result: Var | None, value: ast.expr, source: ast.AST) -> None:
        """Put `value` into `result`, or evaluate it for nobody."""
        if result is None:
            self.emit(ast.Expr(value), source)
        else:
            self.assign(result.store(), value, source)

    def empty(self, kept: Iterable[Var], source: ast.AST) -> None:
        """Let go of what is in these variables, if there are any."""
        stores: list[ast.expr] = [var.store() for var in kept]
        if stores:
            self.emit(ast.Assign(stores, ast.Constant(None)), source)

    def flag(self, var: Var, value: bool, source: ast.AST) -> None:
        self.assign(var.store(), ast.Constant(value), source)

    def attempt(
        self, body: list[ast.stmt], kind: str, handler: list[ast.stmt], source: ast.AST
    ) -> None:
        """``try: body``, and for an error of `kind`, which `support` has, the `handler`."""
        caught = self.at(ast.ExceptHandler(self.helper(kind), None, handler), source)
        self.emit(ast.Try(body, [caught], [], []), source)

    def unbind(self, var: Var, source: ast.AST) -> None:
        """Make a variable that may be bound unbound."""
        self.empty([var], source)
        if not var.temporary:
            self.emit(ast.Delete([var.node(ast.Del())]), source)

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
            return self.call("read", var.load(), ast.Constant(name), ast.Constant(True))
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
