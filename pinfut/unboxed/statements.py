"""Statements of an embedded function, in the frame that it is embedded in.

How `return` leaves an embedded body: where every return can stand last, after ifs are turned
round, control just falls out of it. Otherwise the body is a loop that runs once, a return is a
`break` out of it, and a loop inside that holds one is followed by a look at a flag. So
`finally` and `with` are left in the order of the language, by the interpreter itself.

How a close goes up: plain coroutines raise GeneratorExit in each, the innermost first, whether
one below has swallowed it or not. So where an embedded body may swallow one, it notes that it
was there, and when the body has ended the next one is raised in its caller.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from typing import Any, Final

from pinfut.unboxed.calls import Calls
from pinfut.unboxed.frameplan import Block, FramePlan, Var
from pinfut.unboxed.nesting import (
    ASYNC_WITH,
    ASYNC_WITH_EXIT,
    FINALLY,
    HANDLER,
    LOOP,
    TRY,
    WATCHED,
    WITH,
    jumps,
)
from pinfut.unboxed.plan import Plan, returns, terminates
from pinfut.unboxed.resolve import Awaited, Embed
from pinfut.unboxed.trees import children, walk

_GUARDS: Final = (ast.With, ast.AsyncWith, ast.Try, ast.TryStar)


class Statements(Calls):
    """Lowers the body of one block."""

    def __init__(
        self,
        frame: FramePlan,
        plan: Plan,
        block: Block,
        leaf: Var | None = None,
        held: list[Var] | None = None,
        native: bool = False,
    ) -> None:
        super().__init__(frame, plan, block, leaf)
        self.held = held or []
        # The body is that of a function of its own: return is return.
        self.native = native
        # Where the value goes; None when nobody wants it.
        self.result: Var | None = None
        self.structured = plan.structured
        # The result has got its value in the present statement.
        self._given = False
        # The next statement is the last of the function, and control falls out of it.
        self.last = False
        # True once the body has seen a close; there is one if it may swallow it.
        self.closing: Var | None = None
        # How many loops of the source the statement is in.
        self.depth = 0
        # True once a return has left a loop.
        self.returned: Var | None = None

    # ---- bodies ----

    def body(self, result: Var | None) -> list[ast.stmt]:
        """The whole body; its value goes into `result`."""
        self.result = result
        if result is not None and result.temporary and self.plan.direct:
            # Until there is a value, its slot serves the statements.
            self._idle.append(result)
        node = self.plan.node
        with self.into() as out:
            self._cells(node)
            if self.native:
                self.each(node.body)
            elif self.structured:
                self._tail(node.body)
            else:
                flagged = any(_loops_returning(each) for each in node.body)
                if flagged:
                    self.returned = self.block.var("returned·", temporary=True)
                    self.assign(self.returned.store(), ast.Constant(False), node)
                with self.into() as once, self.nested(LOOP):
                    self.each(node.body)
                    self._nothing(node)
                    self.emit(ast.Break(), node)
                self.emit(ast.While(ast.Constant(True), once, []), node)
        return out

    def _noticed(self, place: ast.AST) -> None:
        """At the start of a handler that may swallow a close: take note."""
        if self.block.number == 0:
            self.caught(place)
            return
        if self.closing is None:
            self.closing = self.block.var("closing·", temporary=True)
        self.assign(self.closing.store(), self.caught_call(), place)

    def _watched(self, body: list[ast.stmt], place: ast.AST) -> list[ast.stmt]:
        """`body`, with a note taken of a close that leaves it."""
        if self.block.number == 0:
            return body
        with self.into() as out:
            with self.into() as left:
                self._noticed(place)
                self.emit(ast.Raise(None, None), place)
            handler = self.at(ast.ExceptHandler(self.helper("Exit"), None, left), place)
            self.emit(ast.Try(body, [handler], [], []), place)
        return out

    def _may_swallow(self, kind: ast.expr | None) -> bool:
        """Whether a handler for `kind` may be one for GeneratorExit."""
        if kind is None:
            return True
        if isinstance(kind, ast.Tuple):
            return any(self._may_swallow(each) for each in kind.elts)
        if isinstance(kind, ast.Name) and kind.id not in self.vars and kind.id not in self.free:
            found = self.globals.get(kind.id, getattr(builtins, kind.id, None))
            if isinstance(found, type):
                return issubclass(GeneratorExit, found)
        return True

    def _cells(self, node: ast.AST) -> None:
        for name, var in list(self.vars.items()):
            if not var.captured:
                continue
            if name in self.plan.parameters:
                self.assign(var.store(), self.call("CellType", var.load()), node)
            else:
                self.assign(var.store(), self.call("CellType"), node)

    def _nothing(self, node: ast.AST) -> None:
        if self.result is not None:
            self.assign(self.result.store(), ast.Constant(None), node)

    def _tail(self, body: list[ast.stmt]) -> None:
        for index, statement in enumerate(body):
            if isinstance(statement, ast.If) and returns(statement):
                rest = body[index + 1 :]
                first, second = statement.body, statement.orelse
                if terminates(first):
                    second = second + rest
                elif terminates(second):
                    first = first + rest
                self._if(statement, lambda: self._tail(first), lambda: self._tail(second))  # noqa: B023
                return
            if isinstance(statement, _GUARDS) and returns(statement):
                if isinstance(statement, ast.With | ast.AsyncWith):
                    self._nothing(statement)  # it may swallow an error and fall out, too
                self.last = True
                self.statement(statement)
                return
            self.statement(statement)
            if isinstance(statement, ast.Return | ast.Raise):
                return
        self._nothing(body[-1] if body else self.plan.node)

    def each(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.statement(statement)

    def inner(self, body: list[ast.stmt], last: bool = False) -> list[ast.stmt]:
        """The statements of a body inside; never empty. `last`: it ends the function."""
        with self.into() as out:
            if last:
                self._tail(body)
            else:
                self.each(body)
        return out or [self.at(ast.Pass(), body[0] if body else self.plan.node)]

    def statement(self, node: ast.stmt) -> None:
        """Lower one statement."""
        outer, self.temps = self.temps, []
        leafy, self.leafy = self.leafy, False
        self.rebinds = node in self.plan.blocks and any(
            isinstance(each, ast.NamedExpr) for each in walk(node)
        )
        handler = getattr(self, "_" + type(node).__name__, None)
        if handler is not None:
            handler(node)
        else:
            self.emit(self.clone(node), node)
        self._clear(node)
        self._given = False
        self.temps, self.leafy = outer, leafy

    def _clear(self, node: ast.AST) -> None:
        """Let go of what the statement has kept."""
        kept = [self.leaf] if self.leafy else []
        kept += [var for var in self.temps if not (var is self.result and self._given)]
        self._idle += self.temps
        self.temps, self.leafy = [], False
        if kept and not (self.out and isinstance(self.out[-1], ast.Break | ast.Return | ast.Raise)):
            self.emit(ast.Assign([var.store() for var in kept], ast.Constant(None)), node)

    # ---- simple ones ----

    def _Pass(self, node: ast.Pass) -> None:
        pass

    def _Global(self, node: ast.Global) -> None:
        pass

    _Nonlocal = _Global

    def _Break(self, node: ast.Break) -> None:
        self.emit(ast.Break(), node)

    def _Continue(self, node: ast.Continue) -> None:
        self.emit(ast.Continue(), node)

    def _Expr(self, node: ast.Expr) -> None:
        value = node.value
        if isinstance(value, ast.Constant):
            return
        if isinstance(value, ast.Await):
            target = self.plan.awaits[value]
            if isinstance(target, Embed):
                self.embed_call(value, target, None)
                return
            self.emit(ast.Expr(self._leaf(value, target, value.value)), node)
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
            self._nothing(node)
        elif self.result is not None:
            self.assign(self.result.store(), self._value(value), node)
        elif not isinstance(value, ast.Constant):
            self.emit(ast.Expr(self._value(value)), node)
        self._jump(node)

    def _jump(self, node: ast.AST) -> None:
        if self.structured:
            return
        self._clear(node)
        if self.depth:
            assert self.returned is not None
            self.assign(self.returned.store(), ast.Constant(True), node)
        self.emit(ast.Break(), node)

    def _value(self, node: ast.expr) -> ast.expr:
        """`node` as the last expression of a statement: a leaf may be waited for in it."""
        if isinstance(node, ast.Await):
            target = self.plan.awaits[node]
            if not isinstance(target, Embed):
                return self._leaf(node, target, node.value)
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
            self.assign(self.name_store(target), self._value(value), node)
            return
        value_out = self._value(node.value)
        if any(target in self.plan.blocks for target in node.targets):
            value_out = self.save(value_out, node)
            for target in node.targets:
                self._store(target, value_out, node)
            return
        targets = [self.expr(each) for each in node.targets]
        self.emit(ast.Assign(targets, value_out), node)

    def name_store(self, node: ast.Name) -> ast.expr:
        return self.at(self.target(node.id, ast.Store()), node)  # type: ignore[no-any-return]

    def _store(self, target: ast.expr, value: ast.expr, node: ast.AST) -> None:
        """Store into a target that holds an embedded call."""
        if isinstance(target, ast.Tuple | ast.List) and target in self.plan.blocks:
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
                self._store(inner, temp.load(), node)
            return
        self.assign(self.expr(target), value, node)

    def _AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is None:
            return
        plain = ast.copy_location(ast.Assign([node.target], node.value), node)
        if node in self.plan.blocks:
            self.plan.blocks.add(plain)
        self._Assign(plain)

    def _AugAssign(self, node: ast.AugAssign) -> None:
        if node not in self.plan.blocks:
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

    def _Raise(self, node: ast.Raise) -> None:
        parts = [part for part in (node.exc, node.cause) if part is not None]
        values: list[Any] = [*self.ordered(parts), None, None]
        self.emit(ast.Raise(values[0], values[1]), node)

    def _Assert(self, node: ast.Assert) -> None:
        if node not in self.plan.blocks:
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

    _AsyncFunctionDef = _FunctionDef
    _ClassDef = _FunctionDef

    # ---- branches and loops ----

    def _if(self, node: ast.If, body: Callable[[], None], orelse: Callable[[], None]) -> None:
        test = self.expr(node.test)
        temps, leafy = self.temps, self.leafy
        branches: list[list[ast.stmt]] = []
        for branch in (body, orelse):
            with self.into() as out:
                self.temps, self.leafy = [], False
                if temps or leafy:
                    kept = ([self.leaf] if leafy else []) + temps
                    stores: list[ast.expr] = [var.store() for var in kept]
                    self.emit(ast.Assign(stores, ast.Constant(None)), node)
                branch()
            branches.append(out)
        self.temps, self.leafy = [], False
        self._idle += temps
        self.emit(ast.If(test, branches[0] or [self.at(ast.Pass(), node)], branches[1]), node)

    def _If(self, node: ast.If) -> None:
        self._if(node, lambda: self.each(node.body), lambda: self.each(node.orelse))

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
        with self.into() as out:
            self.emit(ast.Break(), node)
        self.emit(ast.If(self.returned.load(), out, []), node)

    def _While(self, node: ast.While) -> None:
        if node.test not in self.plan.blocks:
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
            self._clear(node)
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
        if node.target in self.plan.blocks:
            item = self.temp()
            target: ast.expr = item.store()
            with self.into() as body:
                with self.nested(LOOP):
                    self._store(node.target, item.load(), node)
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

    def async_loop(
        self,
        node: ast.AST,
        source: ast.expr,
        target: ast.expr,
        body: Callable[[], None],
        place: ast.AST,
        orelse: Callable[[], list[ast.stmt]] | None = None,
    ) -> Var:
        iterator, going, item = self.temp(), self.temp(), self.temp()
        self.assign(iterator.store(), self.call("iterating", source), place)
        self.assign(going.store(), ast.Constant(True), place)
        step = self.plan.entered[node][1]
        with self.into() as loop:
            with self.into() as attempt, self.nested(LOOP + TRY, catches=True):
                self._special(step, iterator, "__anext__", "following", item, [], node, place)
            with self.into() as ended:
                self.assign(going.store(), ast.Constant(False), place)
                self.emit(ast.Continue(), place)
            handler = self.at(ast.ExceptHandler(self.helper("AsyncStop"), None, ended), place)
            self.emit(ast.Try(attempt, [handler], [], []), place)
            self._store(target, item.load(), place)
            self.emit(ast.Assign([item.store(), self.leaf.store()], ast.Constant(None)), place)
            body()
        rest = [] if orelse is None else orelse()
        self.emit(ast.While(going.load(), loop, rest), place)
        return going

    def _special(
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
            public = target.unit.public
            self.emit(
                ast.Expr(
                    self.call(
                        "expect",
                        receiver.load(),
                        ast.Constant(name),
                        self.frame.link(target.unit.code.co_name, public),
                    )
                ),
                place,
            )
            self.embed(target.unit, [receiver.load(), *extra], result, node, place)
            return
        value = self.wait_for(
            self.call(helper, receiver.load(), *extra), target, self._here(node, place)
        )
        if result is None:
            self.emit(ast.Expr(value), place)
        else:
            self.assign(result.store(), value, place)

    def _here(self, node: ast.AST, place: ast.AST) -> ast.AST:
        return node if hasattr(node, "lineno") else place

    # ---- with ----

    def _With(self, node: ast.With) -> None:
        if any(item in self.plan.blocks for item in node.items) and len(node.items) > 1:
            self._nested(node)
            return
        last, self.last = self.last, False
        items: list[ast.withitem] = []
        for item in node.items:
            expr = self.expr(item.context_expr)
            target = None if item.optional_vars is None else self.expr(item.optional_vars)
            items.append(ast.withitem(expr, target))
        leafy, self.leafy = self.leafy, False
        start = len(self.frame.blocks)
        with self.nested(WITH, catches=True):
            body = self._watched(self.inner(node.body, last), node)
        self.leafy = leafy
        self.emit(ast.With(items, body), node)
        self._abandoned(start, node)

    def _nested(self, node: ast.With | ast.AsyncWith) -> None:
        # One `with` for each item.
        kind: Any = type(node)
        body: list[ast.stmt] = node.body
        for item in reversed(node.items):
            inner = ast.copy_location(kind([item], body), node)
            if node in self.plan.blocks:
                self.plan.blocks.add(inner)
            self.plan.liveness.after[inner] = self.plan.live(node)
            body = [inner]
        self.statement(body[0])

    def _AsyncWith(self, node: ast.AsyncWith) -> None:
        if len(node.items) > 1:
            self._nested(node)
            return
        last, self.last = self.last, False
        item = node.items[0]
        enter, leave = self.plan.entered[item]
        manager, entry, out, going = self.temp(), self.temp(), self.temp(), self.temp()
        self.assign(manager.store(), self.expr(item.context_expr), node)
        pair = ast.Tuple([entry.store(), out.store()], ast.Store())
        self.assign(pair, self.call("entering", manager.load()), node)

        def wait(
            target: Awaited, method: Var, name: str, extra: list[ast.expr], into: Var | None
        ) -> None:
            if isinstance(target, Embed):
                self._special(target, manager, name, "", into, extra, node, node)
                return
            value = self.wait_for(ast.Call(method.load(), extra, []), target, node)
            if into is None:
                self.emit(ast.Expr(value), node)
            else:
                self.assign(into.store(), value, node)

        wait(enter, entry, "__aenter__", [], entry)
        self.assign(going.store(), ast.Constant(True), node)
        start = len(self.frame.blocks)
        with self.into() as body, self.nested(ASYNC_WITH, catches=True):
            if item.optional_vars is not None:
                self._store(item.optional_vars, entry.load(), node)
            self.emit(ast.Assign([entry.store(), self.leaf.store()], ast.Constant(None)), node)
            body += self.inner(node.body, last)
        with self.into() as failed:
            self._noticed(node)
            self._abandoned(start, node)
            self.assign(going.store(), ast.Constant(False), node)
            info: list[ast.expr] = [ast.Starred(self.call("exc_info"), ast.Load())]
            three: list[Var] = []
            if isinstance(leave, Embed):
                kind, error, traceback = self.temp(), self.temp(), self.temp()
                three = [kind, error, traceback]
                self.assign(
                    ast.Tuple([var.store() for var in three], ast.Store()),
                    self.call("exc_info"),
                    node,
                )
                info = [var.load() for var in three]
            swallowed = self.temp()
            with self.nested(ASYNC_WITH_EXIT):
                wait(leave, out, "__aexit__", info, swallowed)
            with self.into() as on:
                self.emit(ast.Raise(None, None), node)
            self.emit(ast.If(ast.UnaryOp(ast.Not(), swallowed.load()), on, []), node)
            if isinstance(leave, Embed):
                self.emit(ast.Assign([var.store() for var in three], ast.Constant(None)), node)
        handler = self.at(ast.ExceptHandler(self.helper("Base"), None, failed), node)
        with self.into() as final:
            with self.into() as normal:
                nothing: list[ast.expr] = [ast.Constant(None) for _ in range(3)]
                with self.nested(FINALLY):
                    wait(leave, out, "__aexit__", nothing, None)
            self.emit(ast.If(going.load(), normal, []), node)
        attempt = self.at(ast.Try(body, [handler], [], []), node)
        self.emit(ast.Try([attempt], [], [], final), node)
        self.leafy = True

    # ---- try ----

    def _Try(self, node: Any) -> None:
        start = len(self.frame.blocks)
        ends, self.last = self.last, False
        last = FINALLY if node.finalbody else 0
        watched = isinstance(node, ast.TryStar) or jumps(node.finalbody)
        last += WATCHED if watched else 0
        catches = bool(node.handlers)
        with self.nested(last + (TRY if catches else 0), catches):
            body = self.inner(node.body, ends and not node.orelse)
        handlers = []
        for handler in node.handlers:
            with self.nested(last + HANDLER):
                star = isinstance(node, ast.TryStar)
                handlers.append(self._handler(handler, start, ends, star))
        with self.nested(last):
            orelse = self.inner(node.orelse, ends) if node.orelse else []
        final: list[ast.stmt] = []
        if node.finalbody:
            with self.into() as final, self.nested(last):
                self._abandoned(start, node)
                final += self.inner(node.finalbody)
        if watched and handlers and not isinstance(node, ast.TryStar):
            # What the handlers raise is swallowed as well.
            with self.into() as inside:
                self.emit(type(node)(body, handlers, orelse, []), node)
            body, handlers, orelse = inside, [], []
        if watched:
            body = self._watched(body, node)
        self.emit(type(node)(body, handlers, orelse, final), node)

    _TryStar = _Try

    def _handler(
        self, node: ast.ExceptHandler, start: int, last: bool, star: bool
    ) -> ast.ExceptHandler:
        kind = None if node.type is None else self.expr(node.type)
        name = node.name
        bound: Var | None = None
        if name is not None:
            bound = self.plain_var(name)
            if bound is None:
                bound = self.block.var("error·", temporary=True)
        with self.into() as body:
            if not star and self._may_swallow(node.type):
                self._noticed(node)
            else:
                self.caught(node)
            self._abandoned(start, node)
            if name is not None and self.plain_var(name) is None:
                assert bound is not None
                with self.into() as inner:
                    self.assign(self.target(name, ast.Store()), bound.load(), node)
                    inner += self.inner(node.body, last)
                with self.into() as final:
                    self.assign(self.target(name, ast.Store()), ast.Constant(None), node)
                    self.emit(ast.Delete([self.target(name, ast.Del())]), node)
                self.emit(ast.Try(inner, [], [], final), node)
            else:
                body += self.inner(node.body, last)
        handler: ast.ExceptHandler = self.at(ast.ExceptHandler(kind, name, body), node)
        if bound is not None:
            bound.sites.append((handler, "name"))
        return handler

    # ---- match ----

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
        return self.at(put, place)  # type: ignore[no-any-return]

    def _pattern(self, node: Any, late: list[tuple[str, Var]]) -> Any:
        fields: dict[str, Any] = {}
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, ast.expr):
                value = self.expr(value)
            elif isinstance(value, list):
                value = [
                    self._pattern(each, late)
                    if isinstance(each, ast.pattern)
                    else self.expr(each)
                    if isinstance(each, ast.expr)
                    else each
                    for each in value
                ]
            elif isinstance(value, ast.pattern):
                value = self._pattern(value, late)
            fields[field] = value
        new = type(node)(**fields)
        for field in ("name", "rest"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                var = self.plain_var(name)
                if var is None:
                    var = self.block.var("case·", temporary=True)
                    late.append((name, var))
                var.sites.append((new, field))
        return self.at(new, node)


def _loops_returning(node: ast.AST) -> bool:
    """Whether some loop in `node` holds a return."""
    if isinstance(node, ast.For | ast.While | ast.AsyncFor):
        return returns(node)
    if isinstance(node, ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    return any(_loops_returning(child) for child in children(node))
