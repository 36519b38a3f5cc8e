"""Expressions of an embedded function, in the frame that it is embedded in.

Most are cloned with their names changed. What stands to the left of an embedded call is kept in
temporaries, so that everything is evaluated in the order of the source."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from typing import Any, Final

from pinfut.coroutine import YIELD
from pinfut.unboxed.closures import Closures
from pinfut.unboxed.emission import N
from pinfut.unboxed.frameplan import Suspension, Var
from pinfut.unboxed.scopes import Comprehension
from pinfut.unboxed.support import BRIDGE
from pinfut.unboxed.unit import Awaited, Leaf, Yields

_LOAD: Final = ast.Load()


class Expressions(Closures):
    """Clones expressions. What to do about a kind says a handler named after it, here or in a
    part above: `_before_...` for one that needs statements before it, `_plain_...` for others."""

    # Whether the present statement has a walrus in it, so that a name may change under way.
    rebinds = False

    def expr(self, node: ast.expr) -> ast.expr:
        """The clone of `node`; what has to run before it has been emitted."""
        hoisted = node in self.plan.hoisted
        way = "_before_" if hoisted else "_plain_"
        special: Callable[[Any], ast.expr] | None = getattr(self, way + type(node).__name__, None)
        if special is not None:
            return special(node)
        return self._in_order(node) if hoisted else self.clone(node)

    def clone(self, node: N) -> N:
        """A copy of `node`, its parts lowered."""
        kind: Any = type(node)
        new: N = kind(*[self._part(getattr(node, field, None)) for field in node._fields])
        return self.at(new, node) if hasattr(node, "lineno") else new

    def _part(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._part(each) for each in node]
        if isinstance(node, ast.expr):
            return self.expr(node)
        # An operator or a context has no fields.
        return self.clone(node) if isinstance(node, ast.AST) and node._fields else node

    def _plain_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load):
            return self.at(self.load(node.id), node)
        return self.at(self.target(node.id, node.ctx), node)

    def _plain_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        value = self.expr(node.value)
        target = self.target(node.target.id, ast.Store())
        if isinstance(target, ast.Name):
            return self.at(ast.NamedExpr(self.at(target, node), value), node)
        assert isinstance(target, ast.Attribute)
        holder = target.value
        return self.at(self.call("put", holder, ast.Constant(target.attr), value), node)

    def _plain_Call(self, node: ast.Call) -> ast.expr:
        func = node.func
        if not (isinstance(func, ast.Name) and func.id == "super" and "__class__" in self.free):
            return self.clone(node)
        if node.args or node.keywords or not self.plan.parameters:
            return self.clone(node)
        own = [self.load("__class__"), self.load(self.plan.parameters[0])]
        return self.at(ast.Call(self.expr(func), own, []), node)

    def _inline(self, node: Comprehension) -> ast.expr:
        # Runs to its end at once, so its names stay its own; the first iterable does not see them.
        first, *others = node.generators
        outside = self.expr(first.iter)
        inner, inner_first = copy.copy(node), copy.copy(first)
        inner_first.iter = ast.Constant(None)
        inner.generators = [inner_first, *others]
        self.shadows.append(self.plan.names.scopes[node].own)
        try:
            new = self.clone(inner)
        finally:
            self.shadows.pop()
        new.generators[0].iter = outside
        return new

    _plain_ListComp = _plain_SetComp = _plain_DictComp = _inline
    _plain_Lambda = _plain_GeneratorExp = Closures.closure

    def store(self, target: ast.expr, value: ast.expr, node: ast.AST) -> None:
        """Store into a target that holds an embedded call."""
        if isinstance(target, ast.Tuple | ast.List) and target in self.plan.hoisted:
            temps = [self.temp() for _ in target.elts]
            elements: list[ast.expr] = []
            for temp, element in zip(temps, target.elts, strict=True):
                store: ast.expr = temp.store()
                if isinstance(element, ast.Starred):
                    store = ast.Starred(store, ast.Store())
                elements.append(store)
            self.assign(ast.Tuple(elements, ast.Store()), value, node)
            for temp, element in zip(temps, target.elts, strict=True):
                inner = element.value if isinstance(element, ast.Starred) else element
                self.store(inner, temp.load(), node)
            return
        self.assign(self.expr(target), value, node)

    def ordered(self, nodes: list[ast.expr]) -> list[ast.expr]:
        """The clones of `nodes`, which are evaluated one after the other."""
        last = max((i for i, node in enumerate(nodes) if node in self.plan.hoisted), default=-1)
        found: list[ast.expr] = []
        for index, node in enumerate(nodes):
            if isinstance(node, ast.Starred):
                value = self.expr(node.value)
                if index < last:
                    stars = ast.List([ast.Starred(value, _LOAD)], _LOAD)
                    value = self.save(stars, node)
                found.append(self.at(ast.Starred(value, node.ctx), node))
                continue
            value = self.expr(node)
            if index < last and not self._stable(node):
                value = self.save(value, node)
            found.append(value)
        return found

    def _stable(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Constant):
            return True
        if not isinstance(node, ast.Name) or self.plain_var(node.id) is None:
            return False
        return not self.rebinds

    def _in_order(self, node: ast.expr) -> ast.expr:
        new: Any = self.at(copy.copy(node), node)
        # Where each part stands: (attributes, name) or (list, index).
        places: list[tuple[Any, Any]] = []
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                places.append((vars(new), field))
            elif isinstance(value, list):
                parts = list(value)
                setattr(new, field, parts)
                for index, each in enumerate(parts):
                    if isinstance(each, ast.keyword):
                        parts[index] = word = self.at(copy.copy(each), each)
                        places.append((vars(word), "value"))
                    elif isinstance(each, ast.expr):
                        places.append((parts, index))
        if isinstance(node, ast.Dict):
            places.sort(key=lambda place: place[1])  # each key right before its value
        values = self.ordered([holder[key] for holder, key in places])
        for (holder, key), value in zip(places, values, strict=True):
            holder[key] = value
        return new  # type: ignore[no-any-return]

    def _before_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        parts: list[ast.expr] = []
        for each in node.values:
            if isinstance(each, ast.FormattedValue):
                text = ast.JoinedStr([self._formatted(each)])
                saved = self.save(self.at(text, each), each)
                parts.append(self.at(ast.FormattedValue(saved, -1, None), each))
            else:
                parts.append(self.expr(each))
        return self.at(ast.JoinedStr(parts), node)

    def _formatted(self, node: ast.FormattedValue) -> ast.expr:
        parts = [node.value] + ([node.format_spec] if node.format_spec is not None else [])
        values = self.ordered(parts)
        spec = values[1] if len(values) > 1 else None
        if isinstance(spec, ast.Name):
            spec = ast.JoinedStr([ast.FormattedValue(spec, -1, None)])
        return self.at(ast.FormattedValue(values[0], node.conversion, spec), node)

    def _before_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        value = self.save(self.expr(node.value), node)
        self.assign(self.target(node.target.id, ast.Store()), value, node)
        return self.at(self.load(node.target.id), node)

    def _before_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        result = self.temp()

        def rest(values: list[ast.expr]) -> None:
            self.assign(result.store(), self.expr(values[0]), values[0])
            if len(values) == 1:
                return
            with self.into() as inner:
                rest(values[1:])
            test: ast.expr = result.load()
            if isinstance(node.op, ast.Or):
                test = ast.UnaryOp(ast.Not(), test)
            self.emit(ast.If(test, inner, []), values[0])

        rest(node.values)
        return self.at(result.load(), node)

    def _before_IfExp(self, node: ast.IfExp) -> ast.expr:
        result = self.temp()
        test = self.expr(node.test)
        with self.into() as body:
            self.assign(result.store(), self.expr(node.body), node.body)
        with self.into() as orelse:
            self.assign(result.store(), self.expr(node.orelse), node.orelse)
        self.emit(ast.If(test, body, orelse), node)
        return self.at(result.load(), node)

    def _before_Compare(self, node: ast.Compare) -> ast.expr:
        if len(node.ops) == 1:
            return self._in_order(node)
        result = self.temp()

        def rest(left: ast.expr, index: int) -> None:
            right = self.save(self.expr(node.comparators[index]), node.comparators[index])
            value = self.at(ast.Compare(left, [node.ops[index]], [right]), node)
            self.assign(result.store(), value, node)
            if index + 1 == len(node.ops):
                return
            with self.into() as inner:
                rest(right, index + 1)
            self.emit(ast.If(result.load(), inner, []), node)

        rest(self.save(self.expr(node.left), node.left), 0)
        return self.at(result.load(), node)

    _before_Lambda = _before_GeneratorExp = Closures.closure

    def _plain_Await(self, node: ast.Await) -> ast.expr:
        target = self.plan.awaits[node]
        if isinstance(target, Yields):
            return self._yields(node)
        return self.wait_for(self.expr(node.value), target, node)

    def _yields(self, node: ast.expr) -> ast.expr:
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

    def wait_for(self, value: ast.expr, target: Awaited, node: ast.expr | ast.stmt) -> ast.expr:
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

    def suspends(self, node: ast.expr | ast.stmt) -> None:
        """Note that the frame waits here."""
        live = [*self.held, *self.live_vars(node)]
        self.frame.suspensions.append(Suspension(self.activation, node.lineno, live))
