"""Loops, how a return leaves them, and comprehensions that are written out as loops."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

from pinfut.unboxed.frameplan import Var
from pinfut.unboxed.nesting import LOOP, TRY
from pinfut.unboxed.plan import returns
from pinfut.unboxed.scopes import Comprehension
from pinfut.unboxed.statements import Statements

# Names that no source has: the first iterable of a comprehension, and what that gives.
_SOURCE: Final = "source·"
_ITEMS: Final = "items·"


class Loops(Statements):
    """Lowers while, for and async for, and the comprehensions that wait or make functions."""

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

    def _leave_loop(self, going: Var, place: ast.AST) -> None:
        """Its test finds that it is over, and its ``else`` is run."""
        self.flag(going, False, place)
        self.emit(ast.Continue(), place)

    def _loop(
        self,
        node: ast.While | ast.For,
        made: Callable[[list[ast.stmt], list[ast.stmt]], ast.stmt],
    ) -> None:
        """Lower what is in the loop, and emit ``made(body, orelse)``."""
        leafy, self.leafy = self.leafy, False
        body = self._loop_body(node.body)
        orelse = self.inner(node.orelse) if node.orelse else []
        self.leafy = leafy
        self.emit(made(body, orelse), node)
        self._after_loop(node, node.body)

    def _While(self, node: ast.While) -> None:
        if node.test not in self.plan.hoisted:
            test = self.expr(node.test)
            self._loop(node, lambda body, orelse: ast.While(test, body, orelse))
            return
        # The test needs statements: they stand at the top of the loop.
        going = self.temp()
        self.flag(going, True, node)
        with self.into() as tests:
            outer, self.temps = self.temps, []
            with self.nested(LOOP):
                test = self.expr(node.test)
            self.assign(going.store(), test, node)
            self.clear(node)
            with self.into() as done:
                self._leave_loop(going, node)
            self.emit(ast.If(ast.UnaryOp(ast.Not(), going.load()), done, []), node)
            self.flag(going, True, node)
            self.temps = outer
        self._loop(node, lambda body, orelse: ast.While(going.load(), tests + body, orelse))

    def _For(self, node: ast.For) -> None:
        source = self.expr(node.iter)
        with self.into() as stores, self.nested(LOOP):
            if node.target in self.plan.hoisted:
                item = self.temp()
                target: ast.expr = item.store()
                self.store(node.target, item.load(), node)
            else:
                target = self.expr(node.target)
        self._loop(node, lambda body, orelse: ast.For(target, source, stores + body, orelse))

    def _AsyncFor(self, node: ast.AsyncFor) -> None:
        source = self.expr(node.iter)
        iterator, going, item = self.temp(), self.temp(), self.temp()
        self.assign(iterator.store(), self.call("iterating", source), node)
        self.flag(going, True, node)
        step = self.plan.entered[node][1]
        with self.into() as loop:
            with self.into() as attempt, self.nested(LOOP + TRY, catches=True):
                self.special(step, iterator, "__anext__", "following", item, [], node)
            with self.into() as ended:
                self._leave_loop(going, node)
            self.attempt(attempt, "AsyncStop", ended, node)
            self.store(node.target, item.load(), node)
            self.empty([item, self.leaf], node)
            loop += self._loop_body(node.body)
        orelse = self.inner(node.orelse) if node.orelse else []
        self.emit(ast.While(going.load(), loop, orelse), node)
        self._after_loop(node, node.body)

    def _expanded(self, node: Comprehension) -> ast.expr:
        result = self.temp()
        empty: ast.expr
        if isinstance(node, ast.ListComp):
            empty = ast.List([], ast.Load())
        elif isinstance(node, ast.DictComp):
            empty = ast.Dict([], [])
        else:
            empty = self.call("set_")
        names = self.plan.names
        first = self.expr(node.generators[0].iter)
        source = self.temp()
        self.assign(source.store(), first, node)
        self.assign(result.store(), empty, node)
        captured = names.captured_in(node)
        own = [
            self.activation.var(each, each in captured) for each in sorted(names.scopes[node].own)
        ]
        for var in own:
            if var.captured:
                self.assign(var.store(), self.call("CellType"), node)
        outer = self.vars, self.shadows
        self.vars = {**self.vars, **{var.name: var for var in own}, _SOURCE: source, _ITEMS: result}
        self.shadows = []
        self.statement(self._as_loop(node))
        self.vars, self.shadows = outer
        for var in own:
            self.unbind(var, node)
        return self.at(result.load(), node)

    _before_ListComp = _before_SetComp = _before_DictComp = _expanded

    def _as_loop(self, node: Comprehension) -> ast.stmt:
        """The loops that put what a comprehension gives into its items."""
        if isinstance(node, ast.DictComp):
            add, values = "__setitem__", [node.key, node.value]
        else:
            add, values = "append" if isinstance(node, ast.ListComp) else "add", [node.elt]
        method = ast.Attribute(ast.Name(_ITEMS, ast.Load()), add, ast.Load())
        call = ast.Call(method, values, [])
        made: list[ast.stmt] = [ast.Expr(call)]
        for part in reversed(node.generators):
            for test in reversed(part.ifs):
                made.append(ast.If(test, made[-1:], []))
            source = part.iter
            if part is node.generators[0]:
                source = ast.Name(_SOURCE, ast.Load())
            if part.is_async:
                made.append(ast.AsyncFor(part.target, source, made[-1:], []))
                self.plan.entered[made[-1]] = self.plan.entered[part]
            else:
                made.append(ast.For(part.target, source, made[-1:], []))
        self.plan.hoisted.update(made, [call])
        return ast.fix_missing_locations(ast.copy_location(made[-1], node))
