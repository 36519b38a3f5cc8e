"""Loops, and how a return leaves them."""

from __future__ import annotations

import ast

from pinfut.unboxed.definitions import Definitions
from pinfut.unboxed.nesting import LOOP
from pinfut.unboxed.plan import returns


class Loops(Definitions):
    """Lowers while, for and async for."""

    def _loop_body(self, body: list[ast.stmt]) -> list[ast.stmt]:
        self.depth += 1
        try:
            with self.nested(LOOP):
                return self.inner(body)
        finally:
            self.depth -= 1

    def _after_loop(self, node: ast.AST, body: list[ast.stmt]) -> None:
        """A return inside has left the loop: go on leaving."""
        if self.native or self.returned is None or not any(returns(each) for each in body):
            return
        self.emit(ast.If(self.returned.load(), [self.at(ast.Break(), node)], []), node)

    def _While(self, node: ast.While) -> None:
        if node.test not in self.plan.hoisted:
            test = self.expr(node.test)
            leafy, self.leafy = self.leafy, False
            body = self._loop_body(node.body)
            orelse = self.inner(node.orelse) if node.orelse else []
            self.leafy = leafy
            self.emit(ast.While(test, body, orelse), node)
            self._after_loop(node, node.body)
            return
        # The test needs statements: they stand at the top of the loop.
        going = self.temp()
        self.assign(going.store(), ast.Constant(True), node)
        with self.into() as body:
            outer, self.temps = self.temps, []
            with self.nested(LOOP):
                test = self.expr(node.test)
            self.assign(going.store(), test, node)
            self.clear(node)
            with self.into() as done:
                self.assign(going.store(), ast.Constant(False), node)
                self.emit(ast.Continue(), node)
            self.emit(ast.If(ast.UnaryOp(ast.Not(), going.load()), done, []), node)
            self.assign(going.store(), ast.Constant(True), node)
            body += self._loop_body(node.body)
            self.temps = outer
        orelse = self.inner(node.orelse) if node.orelse else []
        self.emit(ast.While(going.load(), body, orelse), node)
        self._after_loop(node, node.body)

    def _For(self, node: ast.For) -> None:
        source = self.expr(node.iter)
        leafy, self.leafy = self.leafy, False
        if node.target in self.plan.hoisted:
            item = self.temp()
            target: ast.expr = item.store()
            with self.into() as body:
                with self.nested(LOOP):
                    self.store(node.target, item.load(), node)
                body += self._loop_body(node.body)
        else:
            target = self.expr(node.target)
            body = self._loop_body(node.body)
        orelse = self.inner(node.orelse) if node.orelse else []
        self.leafy = leafy
        self.emit(ast.For(target, source, body, orelse), node)
        self._after_loop(node, node.body)

    def _AsyncFor(self, node: ast.AsyncFor) -> None:
        source = self.expr(node.iter)

        def body() -> None:
            self.out += self._loop_body(node.body)

        orelse = (lambda: self.inner(node.orelse)) if node.orelse else None
        self.async_loop(node, source, node.target, body, node, orelse)
        self._after_loop(node, node.body)
