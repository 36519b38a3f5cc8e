"""Waiting: what an await of a leaf becomes, and what is live meanwhile."""

from __future__ import annotations

import ast
from typing import Final

from pinfut.coroutine import YIELD
from pinfut.unboxed.closures import Closures
from pinfut.unboxed.frameplan import Suspension, Var
from pinfut.unboxed.support import BRIDGE
from pinfut.unboxed.unit import Awaited, Leaf, Yields

_LOAD: Final = ast.Load()


class Awaits(Closures):
    """Lowers the awaits that are no embedded calls."""

    def await_in_place(self, node: ast.Await) -> ast.expr:
        """An await that needs no statement before it, as an expression."""
        target = self.plan.awaits[node]
        if isinstance(target, Yields):
            return self._yields(node)
        return self.wait_for(self.expr(node.value), target, node)

    def _yields(self, node: ast.AST) -> ast.expr:
        self.suspends(node)
        return self.at(ast.Yield(self.frame.link("YIELD", YIELD)), node)

    def _wait(self, leaf: ast.expr, target: Leaf, node: ast.AST) -> ast.expr:
        """Yield what `leaf` gives if it is a leaf, and delegate to it if it is not."""
        kind = ast.Attribute(ast.Call(self.helper("kind"), [leaf], []), "__await__", _LOAD)
        test = ast.Compare(kind, [ast.Is()], [self.frame.link("bridge", BRIDGE)])
        way = self.call("boxed" if target.boxed else "awaiting", self.leaf.load())
        return self.at(ast.IfExp(test, ast.Yield(self.leaf.load()), ast.YieldFrom(way)), node)

    def await_leaf(self, node: ast.Await, target: Awaited, value: ast.expr) -> ast.expr:
        """An await after a statement of its own that keeps the leaf."""
        if isinstance(target, Yields):
            self.drop(node)
            return self._yields(node)
        assert isinstance(target, Leaf)
        self.assign(self.leaf.store(), self.expr(value), node)
        self.leafy = True
        self.drop(node)
        self.suspends(node)
        return self._wait(self.leaf.load(), target, node)

    def wait_for(self, value: ast.expr, target: Awaited, node: ast.AST) -> ast.expr:
        """Wait for the lowered `value`."""
        assert isinstance(target, Leaf)
        self.leafy = True
        self.suspends(node)
        return self._wait(ast.NamedExpr(self.leaf.store(), value), target, node)

    def drop(self, node: ast.AST) -> None:
        """Let go of the arguments that nobody reads after the await at `node`."""
        for name in self.plan.parameters:
            if name in self.plan.dropped.get(node, ()):
                self.assign(self.vars[name].store(), ast.Constant(None), node)

    def live_vars(self, node: ast.AST) -> list[Var]:
        """The variables of this activation that are live while `node` waits."""
        live = self.plan.live(node)
        return [
            var
            for name, var in self.vars.items()
            if name in live or (var.captured and name in self.plan.names.own)
        ]

    def suspends(self, node: ast.AST) -> None:
        """Note that the frame waits here."""
        live = [*self.held, *self.live_vars(node)]
        line = getattr(node, "lineno", self.activation.line)
        self.frame.suspensions.append(Suspension(self.activation, line, live))
