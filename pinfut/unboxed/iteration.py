"""What goes round while it waits: async for, and comprehensions written out as loops."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

from pinfut.unboxed.calls import Calls
from pinfut.unboxed.frameplan import Var
from pinfut.unboxed.nesting import LOOP, TRY
from pinfut.unboxed.scopes import Comprehension
from pinfut.unboxed.unit import Awaited, Embed

_LOAD: Final = ast.Load()


class Iteration(Calls):
    """Lowers async loops, and the comprehensions that wait or make functions."""

    def async_loop(
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
        self.assign(going.store(), ast.Constant(True), place)
        step = self.plan.entered[node][1]
        with self.into() as loop:
            with self.into() as attempt, self.nested(LOOP + TRY, catches=True):
                self.special(step, iterator, "__anext__", "following", item, [], node, place)
            with self.into() as ended:
                self.assign(going.store(), ast.Constant(False), place)
                self.emit(ast.Continue(), place)
            handler = self.at(ast.ExceptHandler(self.helper("AsyncStop"), None, ended), place)
            self.emit(ast.Try(attempt, [handler], [], []), place)
            self.store(target, item.load(), place)
            self.emit(ast.Assign([item.store(), self.leaf.store()], ast.Constant(None)), place)
            body()
        rest = [] if orelse is None else orelse()
        self.emit(ast.While(going.load(), loop, rest), place)

    def special(
        self,
        target: Awaited,
        receiver: Var,
        name: str,
        helper: str,
        result: Var | None,
        extra: list[ast.expr],
        node: ast.AST,
        place: ast.AST,
    ) -> None:
        """Await a special method of what is in `receiver`."""
        if isinstance(target, Embed):
            method = self.frame.link(target.unit.code.co_name, target.unit.public)
            check = self.call("expect", receiver.load(), ast.Constant(name), method)
            self.emit(ast.Expr(check), place)
            self.embed(target.unit, [receiver.load(), *extra], result, node, place)
            return
        here = node if hasattr(node, "lineno") else place
        value = self.wait_for(self.call(helper, receiver.load(), *extra), target, here)
        self.give(result, value, place)

    # ---- comprehensions that wait, or that make functions: loops ----

    def _expanded(self, node: Comprehension) -> ast.expr:
        result = self.temp()
        empty: ast.expr
        if isinstance(node, ast.ListComp):
            empty = ast.List([], _LOAD)
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
                method = ast.Attribute(result.load(), add, _LOAD)
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
            self.async_loop(each, source, each.target, body, node)
            return
        with self.into() as inner, self.nested(LOOP):
            item = self.temp()
            self.assign(self.expr(each.target), item.load(), node)
            body()
        self.emit(ast.For(item.store(), source, inner, []), node)
