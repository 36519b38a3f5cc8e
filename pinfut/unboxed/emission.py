"""What every part of the lowering does: emit statements, and keep things between them."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pinfut.unboxed.frameplan import Activation, FramePlan, Var
from pinfut.unboxed.names import Naming
from pinfut.unboxed.plan import Plan


class Emission(Naming, ABC):
    """Collects the statements of one activation; `out` takes them.

    The parts of the lowering stand on one another as subclasses, `body.Body` at the top. What
    they need of those above them they ask for by the kind of the node: an expression of `expr`,
    a statement of `statement`, and the body of a callee of another one of these.
    """

    def __init__(
        self,
        frame: FramePlan,
        plan: Plan,
        activation: Activation,
        leaf: Var | None = None,
        held: list[Var] | None = None,
    ) -> None:
        super().__init__(frame, plan, activation)
        self.out: list[ast.stmt] = []
        # Holds the future that is being yielded; one for the whole frame.
        self.leaf = activation.var("leaf·", temporary=True) if leaf is None else leaf
        # What is live further up in the chain while this activation waits.
        self.held = held or []
        self.idle: list[Var] = []
        self._count = 0
        # Temporaries that the present statement uses.
        self.temps: list[Var] = []
        # Whether the leaf is held by the present statement.
        self.leafy = False
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
        """In here, statements stand in so many blocks more, and somebody may catch what an
        embedded call raises."""
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
