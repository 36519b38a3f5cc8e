"""Statements of an embedded function, in the frame that it is embedded in.

Where every return can stand last, after ifs are turned round, control just falls out of the body.
Otherwise the body is a loop that runs once, and a return is a `break` out of it; a loop inside that
holds one is followed by a look at a flag. So `finally` and `with` are left in the usual order."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from pinfut.unboxed.calls import Calls
from pinfut.unboxed.frameplan import Var
from pinfut.unboxed.plan import GUARDS, returns, terminates
from pinfut.unboxed.trees import walk
from pinfut.unboxed.unit import Embed


class Statements(Calls):
    """Lowers statements, each by the handler that is named after its kind."""

    result: Var | None = None  # where the value goes; None when nobody wants it
    native = False  # the body is that of a function of its own: return is return
    _given = False  # the result has got its value in the present statement
    last = False  # the next statement is the last of the function, and control falls out of it
    depth = 0  # how many loops of the source the statement is in
    returned: Var | None = None  # True once a return has left a loop

    def statement(self, node: ast.stmt) -> None:
        """Lower one statement."""
        outer = self.temps, self.leafy, self.rebinds, self._given
        self.temps, self.leafy, self._given = [], False, False
        self.rebinds = node in self.plan.hoisted and any(
            isinstance(each, ast.NamedExpr) for each in walk(node)
        )
        handler = getattr(self, "_" + type(node).__name__, None)
        if handler is not None:
            handler(node)
        else:
            self.emit(self.clone(node), node)
        self.clear(node)
        self.temps, self.leafy, self.rebinds, self._given = outer

    def clear(self, node: ast.AST) -> None:
        """Let go of what the statement has kept."""
        kept = [self.leaf] if self.leafy else []
        kept += [var for var in self.temps if not (var is self.result and self._given)]
        self.idle += self.temps
        self.temps, self.leafy = [], False
        if not (self.out and isinstance(self.out[-1], ast.Break | ast.Return | ast.Raise)):
            self.empty(kept, node)

    def each(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.statement(statement)

    def inner(self, body: list[ast.stmt], last: bool = False) -> list[ast.stmt]:
        """The statements of a body inside; never empty. `last`: it ends the function."""
        with self.into() as out:
            if last:
                self.tail(body)
            else:
                self.each(body)
        return out or [self.at(ast.Pass(), body[0] if body else self.plan.node)]

    def tail(self, body: list[ast.stmt]) -> None:
        """Lower a body after which control falls out of the function."""
        for index, statement in enumerate(body):
            if isinstance(statement, ast.If) and returns(statement):
                rest = body[index + 1 :]
                first, second = statement.body, statement.orelse
                if terminates(first):
                    second = second + rest
                elif terminates(second):
                    first = first + rest
                self._if(statement, lambda: self.tail(first), lambda: self.tail(second))  # noqa: B023
                return
            if isinstance(statement, GUARDS) and returns(statement):
                if isinstance(statement, ast.With | ast.AsyncWith):
                    self.nothing(statement)  # it may swallow an error and fall out, too
                self.last = True
                self.statement(statement)
                return
            self.statement(statement)
            if isinstance(statement, ast.Return | ast.Raise):
                return
        self.nothing(body[-1] if body else self.plan.node)

    def nothing(self, node: ast.AST) -> None:
        """The value is None, if nothing else is said."""
        if self.result is not None:
            self.assign(self.result.store(), ast.Constant(None), node)

    def _Expr(self, node: ast.Expr) -> None:
        value = node.value
        if isinstance(value, ast.Constant):
            return
        if isinstance(value, ast.Await):
            target = self.plan.awaits[value]
            if isinstance(target, Embed):
                self.embed_call(value, target, None)
                return
            self.emit(ast.Expr(self.await_leaf(value, target, value.value)), node)
            return
        self.emit(ast.Expr(self.expr(value)), node)

    def _Return(self, node: ast.Return) -> None:
        value = node.value
        self._given = True
        if self.native:
            self.emit(ast.Return(None if value is None else self._value(value)), node)
            return
        if isinstance(value, ast.Await) and isinstance(self.plan.awaits[value], Embed):
            target = self.plan.awaits[value]
            assert isinstance(target, Embed)
            if self.result is None or target.unit.direct or self.result.temporary:
                self.embed_call(value, target, self.result)
                self._jump(node)
                return
        if value is None:
            self.nothing(node)
        elif self.result is not None:
            self.assign(self.result.store(), self._value(value), node)
        elif not isinstance(value, ast.Constant):
            self.emit(ast.Expr(self._value(value)), node)
        self._jump(node)

    def _jump(self, node: ast.AST) -> None:
        if self.plan.structured:
            return
        self.clear(node)
        if self.depth:
            assert self.returned is not None
            self.flag(self.returned, True, node)
        self.emit(ast.Break(), node)

    def _value(self, node: ast.expr) -> ast.expr:
        """`node` as the last expression of a statement: a leaf may be waited for in it."""
        if isinstance(node, ast.Await):
            target = self.plan.awaits[node]
            if not isinstance(target, Embed):
                return self.await_leaf(node, target, node.value)
        return self.expr(node)

    def _Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if len(node.targets) == 1 and isinstance(target, ast.Name):
            value = node.value
            var = self.plain_var(target.id)
            if isinstance(value, ast.Await) and var is not None:
                call = self.plan.awaits[value]
                if isinstance(call, Embed) and call.unit.direct:
                    self.embed_call(value, call, var)
                    return
            place = self.at(self.target(target.id, ast.Store()), target)
            self.assign(place, self._value(value), node)
            return
        value_out = self._value(node.value)
        if any(target in self.plan.hoisted for target in node.targets):
            value_out = self.save(value_out, node)
            for target in node.targets:
                self.store(target, value_out, node)
            return
        targets = [self.expr(each) for each in node.targets]
        self.emit(ast.Assign(targets, value_out), node)

    def _AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is None:
            target = node.target
            if not isinstance(target, ast.Name):
                self.emit(ast.Expr(self.expr(target.value)), node)
            elif node.simple and (var := self.plain_var(target.id)) is not None:
                self.emit(ast.AnnAssign(var.store(), ast.Constant(None), None, 1), node)
            return
        plain = ast.copy_location(ast.Assign([node.target], node.value), node)
        if node in self.plan.hoisted:
            self.plan.hoisted.add(plain)
        self._Assign(plain)

    def _AugAssign(self, node: ast.AugAssign) -> None:
        if node not in self.plan.hoisted:
            self.emit(self.clone(node), node)
            return
        old: ast.expr
        place: ast.expr
        target = node.target
        if isinstance(target, ast.Name):
            old = self.load(target.id)
            place = self.target(target.id, ast.Store())
        elif isinstance(target, ast.Attribute):
            holder = self.save(self.expr(target.value), node)
            old = ast.Attribute(holder, target.attr, ast.Load())
            place = ast.Attribute(holder, target.attr, ast.Store())
        else:
            assert isinstance(target, ast.Subscript)
            item, index = self.ordered([target.value, target.slice])
            item, index = self.save(item, node), self.save(index, node)
            old = ast.Subscript(item, index, ast.Load())
            place = ast.Subscript(item, index, ast.Store())
        value = self.temp()
        self.assign(value.store(), old, node)
        right = self._value(node.value)
        self.emit(ast.AugAssign(value.store(), node.op, right), node)
        self.assign(place, value.load(), node)

    def _Pass(self, node: ast.stmt) -> None:
        pass

    _Global = _Nonlocal = _Pass

    def _Raise(self, node: ast.Raise) -> None:
        parts = [part for part in (node.exc, node.cause) if part is not None]
        values: list[Any] = [*self.ordered(parts), None, None]
        self.emit(ast.Raise(values[0], values[1]), node)

    def _Assert(self, node: ast.Assert) -> None:
        if node not in self.plan.hoisted:
            self.emit(self.clone(node), node)
            return
        if not __debug__:
            return
        test = self.expr(node.test)
        with self.into() as failed:
            message = [] if node.msg is None else [self.expr(node.msg)]
            error = ast.Call(self.load_global("AssertionError"), message, [])
            self.emit(ast.Raise(error, None), node)
        self.emit(ast.If(ast.UnaryOp(ast.Not(), test), failed, []), node)

    def _if(self, node: ast.If, body: Callable[[], None], orelse: Callable[[], None]) -> None:
        test = self.expr(node.test)
        temps, leafy = self.temps, self.leafy
        branches: list[list[ast.stmt]] = []
        for branch in (body, orelse):
            with self.into() as out:
                self.temps, self.leafy = [], False
                self.empty(([self.leaf] if leafy else []) + temps, node)
                branch()
            branches.append(out)
        self.temps, self.leafy = [], False
        self.idle += temps
        self.emit(ast.If(test, branches[0] or [self.at(ast.Pass(), node)], branches[1]), node)

    def _If(self, node: ast.If) -> None:
        self._if(node, lambda: self.each(node.body), lambda: self.each(node.orelse))

    def _Match(self, node: ast.Match) -> None:
        subject = self.expr(node.subject)
        temps, leafy = self.temps, self.leafy
        cases: list[ast.match_case] = []
        for case in node.cases:
            late: list[tuple[str, Var]] = []
            pattern = self._pattern(case.pattern, late)
            self.temps, self.leafy = [], False
            guard = None
            if case.guard is not None:
                guard = self.expr(case.guard)
                if late:
                    stores = [self._put(name, var, case.guard) for name, var in late]
                    both = ast.Tuple([*stores, guard], ast.Load())
                    guard = self.at(
                        ast.Subscript(both, ast.Constant(len(stores)), ast.Load()), case.guard
                    )
            with self.into() as body:
                if case.guard is None:
                    for name, var in late:
                        self.assign(self.target(name, ast.Store()), var.load(), case.pattern)
                body += self.inner(case.body)
            cases.append(ast.match_case(pattern, guard, body))
        self.temps, self.leafy = temps, leafy or self.leafy
        self.emit(ast.Match(subject, cases), node)

    def _put(self, name: str, var: Var, place: ast.AST) -> ast.expr:
        target = self.target(name, ast.Store())
        assert isinstance(target, ast.Attribute)
        put = self.call("put", target.value, ast.Constant(target.attr), var.load())
        return self.at(put, place)

    def _pattern(self, node: Any, late: list[tuple[str, Var]]) -> Any:
        if isinstance(node, list):
            return [self._pattern(each, late) for each in node]
        if isinstance(node, ast.expr):
            return self.expr(node)
        if not isinstance(node, ast.pattern):
            return node  # a name, or a plain value
        kind: Any = type(node)
        new = kind(*[self._pattern(getattr(node, field, None), late) for field in node._fields])
        for field in ("name", "rest"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                var = self.plain_var(name)
                if var is None:
                    var = self.activation.var("case·", temporary=True)
                    late.append((name, var))
                var.sites.append((new, field))
        return self.at(new, node)

    def _Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self._import(node, None, alias, name, 0)

    def _ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level and not self.home:
            package = self.globals.get("__package__") or ""
            parts = package.split(".")
            parts = parts[: len(parts) - node.level + 1]
            module = ".".join([*parts, module] if module else parts)
            level = 0
        else:
            level = node.level
        for alias in node.names:
            self._import(node, module, alias, alias.asname or alias.name, level)

    def _import(
        self, node: ast.stmt, module: str | None, alias: ast.alias, name: str, level: int
    ) -> None:
        var = self.temp()
        first = alias.name.partition(".")[0]
        if module is None and alias.asname is None and first != alias.name:
            # `import a.b` binds a.
            load = ast.alias(alias.name, None)
            var.sites.append((load, "asname"))
            self.emit(ast.Import([load]), node)
            alias = ast.alias(first, None)
        made = ast.alias(alias.name, name)
        var.sites.append((made, "asname"))
        statement: ast.stmt
        if module is None:
            statement = ast.Import([made])
        else:
            statement = ast.ImportFrom(module or None, [made], level)
        self.emit(statement, node)
        self.assign(self.target(name, ast.Store()), var.load(), node)

    def _FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        decorators = [self.save(self.expr(each), each) for each in node.decorator_list]
        made = self.closure(node)
        for decorator in reversed(decorators):
            made = self.at(ast.Call(decorator, [made], []), node)
        self.assign(self.target(node.name, ast.Store()), made, node)

    _AsyncFunctionDef = _ClassDef = _FunctionDef
