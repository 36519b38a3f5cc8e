"""What looks at errors: with, async with and try.

A close raises GeneratorExit in each plain coroutine, innermost first, whether one below has
swallowed it or not. So an embedded body that may swallow one takes note, and the next is raised in
its caller when the body has ended."""

from __future__ import annotations

import ast
import builtins
from typing import Any

from pinfut.unboxed.frameplan import Var
from pinfut.unboxed.loops import Loops
from pinfut.unboxed.nesting import (
    ASYNC_WITH,
    ASYNC_WITH_EXIT,
    FINALLY,
    HANDLER,
    TRY,
    WATCHED,
    WITH,
    jumps,
)
from pinfut.unboxed.unit import Awaited, Embed


class Guards(Loops):
    """Lowers with, async with and try."""

    def _noticed(self, place: ast.AST) -> None:
        """At the start of a handler that may swallow a close: take note."""
        if self.activation.number == 0:
            self.caught(place)
            return
        if self.closing is None:
            self.closing = self.activation.var("closing·", temporary=True)
        self.assign(self.closing.store(), self.caught_call(), place)

    def _watched(self, body: list[ast.stmt], place: ast.AST) -> list[ast.stmt]:
        """`body`, with a note taken of a close that leaves it."""
        if self.activation.number == 0:
            return body
        with self.into() as out:
            with self.into() as left:
                self._noticed(place)
                self.emit(ast.Raise(None, None), place)
            self.attempt(body, "Exit", left, place)
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

    def _With(self, node: ast.With) -> None:
        if any(item in self.plan.hoisted for item in node.items) and len(node.items) > 1:
            self._nested(node)
            return
        last, self.last = self.last, False
        items: list[ast.withitem] = []
        for item in node.items:
            expr = self.expr(item.context_expr)
            target = None if item.optional_vars is None else self.expr(item.optional_vars)
            items.append(ast.withitem(expr, target))
        leafy, self.leafy = self.leafy, False
        start = len(self.frame.activations)
        with self.nested(WITH, catches=True):
            body = self._watched(self.inner(node.body, last), node)
        self.leafy = leafy
        self.emit(ast.With(items, body), node)
        self.abandoned(start, node)

    def _nested(self, node: ast.With | ast.AsyncWith) -> None:
        # One `with` for each item.
        kind: Any = type(node)
        body: list[ast.stmt] = node.body
        for item in reversed(node.items):
            inner = ast.copy_location(kind([item], body), node)
            if node in self.plan.hoisted:
                self.plan.hoisted.add(inner)
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
                self.special(target, manager, name, "", into, extra, node)
                return
            value = self.wait_for(ast.Call(method.load(), extra, []), target, node)
            self.give(into, value, node)

        wait(enter, entry, "__aenter__", [], entry)
        self.flag(going, True, node)
        start = len(self.frame.activations)
        with self.into() as body, self.nested(ASYNC_WITH, catches=True):
            if item.optional_vars is not None:
                self.store(item.optional_vars, entry.load(), node)
            self.empty([entry, self.leaf], node)
            body += self.inner(node.body, last)
        with self.into() as failed:
            self._noticed(node)
            self.abandoned(start, node)
            self.flag(going, False, node)
            raised = self.call("exc_info")
            info: list[ast.expr] = [ast.Starred(raised, ast.Load())]
            three: list[Var] = []
            if isinstance(leave, Embed):
                three = [self.temp(), self.temp(), self.temp()]
                stores: list[ast.expr] = [var.store() for var in three]
                self.assign(ast.Tuple(stores, ast.Store()), raised, node)
                info = [var.load() for var in three]
            swallowed = self.temp()
            with self.nested(ASYNC_WITH_EXIT):
                wait(leave, out, "__aexit__", info, swallowed)
            goes_on = self.at(ast.Raise(None, None), node)
            self.emit(ast.If(ast.UnaryOp(ast.Not(), swallowed.load()), [goes_on], []), node)
            self.empty(three, node)
        with self.into() as final:
            with self.into() as normal:
                nothing: list[ast.expr] = [ast.Constant(None) for _ in range(3)]
                with self.nested(FINALLY):
                    wait(leave, out, "__aexit__", nothing, None)
            self.emit(ast.If(going.load(), normal, []), node)
        with self.into() as whole:
            self.attempt(body, "Base", failed, node)
        self.emit(ast.Try(whole, [], [], final), node)
        self.leafy = True

    def _Try(self, node: Any) -> None:
        start = len(self.frame.activations)
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
                self.abandoned(start, node)
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
                bound = self.activation.var("error·", temporary=True)
        with self.into() as body:
            if not star and self._may_swallow(node.type):
                self._noticed(node)
            else:
                self.caught(node)
            self.abandoned(start, node)
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
