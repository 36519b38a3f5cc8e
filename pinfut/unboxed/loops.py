"""Loops, how a return leaves them, and comprehensions that are written out as loops."""

from __future__ import annotations

import ast
from collections.abc import Callable

from pinfut.unboxed.frameplan import Var
from pinfut.unboxed.nesting import LOOP, TRY
from pinfut.unboxed.plan import returns
from pinfut.unboxed.scopes import Comprehension
from pinfut.unboxed.statements import Statements


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

        def body() -> None:
            self.out += self._loop_body(node.body)

        orelse = (lambda: self.inner(node.orelse)) if node.orelse else None
        self._async_loop(node, source, node.target, body, node, orelse)
        self._after_loop(node, node.body)

    def _async_loop(
        self,
        node: ast.AST,
        source: ast.expr,
        target: ast.expr,
        body: Callable[[], None],
        place: ast.AST,
        orelse: Callable[[], list[ast.stmt]] | None = None,
    ) -> None:
        """``async for target in source: body()``."""
        iterator, going, item = self.temp(), self.temp(), self.temp()
        self.assign(iterator.store(), self.call("iterating", source), place)
        self.flag(going, True, place)
        step = self.plan.entered[node][1]
        with self.into() as loop:
            with self.into() as attempt, self.nested(LOOP + TRY, catches=True):
                self.special(step, iterator, "__anext__", "following", item, [], node, place)
            with self.into() as ended:
                self._leave_loop(going, place)
            self.attempt(attempt, "AsyncStop", ended, place)
            self.store(target, item.load(), place)
            self.empty([item, self.leaf], place)
            body()
        rest = [] if orelse is None else orelse()
        self.emit(ast.While(going.load(), loop, rest), place)

    # ---- comprehensions that wait, or that make functions: loops ----

    def _expanded(self, node: Comprehension) -> ast.expr:
        result = self.temp()
        empty: ast.expr
        if isinstance(node, ast.ListComp):
            empty = ast.List([], ast.Load())
        elif isinstance(node, ast.DictComp):
            empty = ast.Dict([], [])
        else:
            empty = self.call("set_")
        own = sorted(self.plan.names.scopes[node].own)
        captured = self.plan.names.captured_in(node)
        first = self.expr(node.generators[0].iter)
        first = self.save(first, node)
        self.assign(result.store(), empty, node)
        before = {name: self.vars.get(name) for name in own}
        mine = [self.activation.var(name, name in captured) for name in own]
        inner, self.shadows = self.shadows, []
        for var in mine:
            self.vars[var.name] = var
            if var.captured:
                self.assign(var.store(), self.call("CellType"), node)
        self._generator(node, 0, first, result)
        for name, old in before.items():
            if old is None:
                del self.vars[name]
            else:
                self.vars[name] = old
        self.shadows = inner
        for var in mine:
            self.unbind(var, node)
        return self.at(result.load(), node)

    _before_ListComp = _before_SetComp = _before_DictComp = _expanded

    def _generator(
        self, node: Comprehension, index: int, first: ast.expr | None, result: Var
    ) -> None:
        if index == len(node.generators):
            if isinstance(node, ast.DictComp):
                key, value = self.ordered([node.key, node.value])
                place = ast.Subscript(result.load(), key, ast.Store())
                if key is not None and not isinstance(key, ast.Constant | ast.Name):
                    place.slice = self.save(key, node.key)
                self.assign(place, value, node)
            else:
                add = "append" if isinstance(node, ast.ListComp) else "add"
                method = ast.Attribute(result.load(), add, ast.Load())
                self.emit(ast.Expr(ast.Call(method, [self.expr(node.elt)], [])), node.elt)
            return
        each = node.generators[index]
        source = self.expr(each.iter) if first is None else first

        def body() -> None:
            def tests(left: list[ast.expr]) -> None:
                if not left:
                    self._generator(node, index + 1, None, result)
                    return
                test = self.expr(left[0])
                with self.into() as inner:
                    tests(left[1:])
                self.emit(ast.If(test, inner, []), left[0])

            tests(each.ifs)

        if each.is_async:
            self._async_loop(each, source, each.target, body, node)
            return
        with self.into() as inner, self.nested(LOOP):
            item = self.temp()
            self.assign(self.expr(each.target), item.load(), node)
            body()
        self.emit(ast.For(item.store(), source, inner, []), node)
