"""Embedded calls: arguments into the callee's variables, its body, and out again."""

from __future__ import annotations

import ast
import inspect
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from pinfut.unboxed.binding import binder
from pinfut.unboxed.expressions import Expressions
from pinfut.unboxed.frameplan import Var
from pinfut.unboxed.nesting import GUARD
from pinfut.unboxed.plan import Plan
from pinfut.unboxed.unit import Awaited, Embed, Unit


class Calls(Expressions):
    """Embeds callees. The body of each is lowered by another one of the same class."""

    # True once the body has seen a close; there is one if it may swallow it.
    closing: Var | None = None

    @abstractmethod
    def body(self, result: Var | None) -> list[ast.stmt]:
        """The whole body; its value goes into `result`."""

    def _before_Await(self, node: ast.Await) -> ast.expr:
        target = self.plan.awaits[node]
        if not isinstance(target, Embed):
            return self.await_leaf(node, target, node.value)
        result = self.temp()
        self.embed_call(node, target, result)
        return self.at(result.load(), node)

    def embed_call(self, node: ast.Await, target: Embed, result: Var | None) -> None:
        """The call that is awaited at `node`, in place; its value goes into `result`."""
        call = node.value
        assert isinstance(call, ast.Call)
        unit = target.unit
        first: ast.expr | None = None
        if target.bound:
            assert isinstance(call.func, ast.Attribute)
            if target.guarded:
                method = self.save(self.expr(call.func), call.func)
                guard = self.call("guard", method, self.frame.link(unit.code.co_name, unit.public))
                first = self.save(guard, call.func)
            else:
                first = self.expr(call.func.value)
        values = self.ordered([*call.args, *(word.value for word in call.keywords)])
        count = len(call.args)
        words = [
            ast.keyword(word.arg, value)
            for word, value in zip(call.keywords, values[count:], strict=True)
        ]
        positional = values[:count] if first is None else [first, *values[:count]]
        self.embed(unit, positional, result, node, words)

    def special(
        self,
        target: Awaited,
        receiver: Var,
        name: str,
        helper: str,
        result: Var | None,
        extra: list[ast.expr],
        node: ast.expr | ast.stmt,
    ) -> None:
        """Await a special method of what is in `receiver`."""
        if isinstance(target, Embed):
            method = self.frame.link(target.unit.code.co_name, target.unit.public)
            check = self.call("expect", receiver.load(), ast.Constant(name), method)
            self.emit(ast.Expr(check), node)
            self.embed(target.unit, [receiver.load(), *extra], result, node)
            return
        value = self.wait_for(self.call(helper, receiver.load(), *extra), target, node)
        self.give(result, value, node)

    def embed(
        self,
        unit: Unit,
        args: list[ast.expr],
        result: Var | None,
        node: ast.expr | ast.stmt,
        words: Sequence[ast.keyword] = (),
    ) -> None:
        """The body of `unit`, called with lowered `args`; its value goes into `result`."""
        guard = GUARD if self.guards else 0
        if not self.frame.fits(unit, self.activation, guard):
            # This frame has no room for it: it has one of its own, just as sized.
            self.frame.further.append(unit)
            name = self.frame.link(unit.code.co_name, unit.public)
            self.assign(self.leaf.store(), ast.Call(name, args, list(words)), node)
            self.leafy = True
            self.drop(node)
            self.suspends(node)
            self.give(result, self.at(ast.YieldFrom(self.leaf.load()), node), node)
            return
        plan = self.frame.plan(unit)
        activation = self.frame.enter(plan, self.activation, node.lineno)
        held = [*self.held, *self.live_vars(node)]
        if result is not None and not plan.direct and not result.temporary:
            # The value may come before a `finally` that still raises.
            value: Var | None = self.temp()
        else:
            value = result
        inner = type(self)(self.frame, plan, activation, self.leaf, held)
        with self.into() as out:
            self._bind(inner, plan, args, words, node)
            self.drop(node)
            with self.nested(guard):
                body = inner.body(value)
            if inner.closing is not None:
                self.flag(inner.closing, False, node)
            out += body
        if guard:
            stopped = self.at(ast.Raise(self.call("stopped"), None), node)
            self.attempt(out, "Stop", [stopped], node)
        else:
            self.out += out
        self.scrub(inner, node)
        if inner.closing is not None:
            again = self.at(ast.Raise(self.call("closed"), None), node)
            self.emit(ast.If(inner.closing.load(), [again], []), node)
        self.frame.leave(activation)
        if value is not result:
            assert result is not None
            assert value is not None
            self.assign(result.store(), value.load(), node)

    def _bind(
        self,
        inner: Self,
        plan: Plan,
        args: list[ast.expr],
        words: Sequence[ast.keyword],
        place: ast.AST,
    ) -> None:
        bound = _match(plan, args, words)
        if bound is None:
            # Stars, defaults, or arguments that do not fit: the interpreter binds, or complains.
            function = self.frame.link(f"bind_{plan.code.co_name}", binder(plan.unit))
            call = ast.Call(function, list(args), list(words))
            stores: list[ast.expr] = [inner.vars[name].store() for name in plan.parameters]
            if stores:
                self.assign(ast.Tuple(stores, ast.Store()), call, place)
            else:
                self.emit(ast.Expr(call), place)
            return
        for name, value in bound:
            self.assign(inner.vars[name].store(), value, place)

    def scrub(self, inner: Self, place: ast.AST, keep: tuple[Var, ...] = ()) -> None:
        """After the body of `inner`: unbind its variables again, but for those to `keep`."""
        sure: list[Var] = []
        unsure: list[Var] = []
        loose: list[Var] = []
        plan = inner.plan
        for var in inner.activation.vars:
            if not var.sites or var in keep or var is inner.closing:
                continue
            if var.temporary:
                # Emptied after each statement, but for one that is left by a jump.
                if not plan.structured:
                    loose.append(var)
            elif inner.vars.get(var.name) is not var:
                continue  # a comprehension's, and it has emptied it
            elif var.captured or (var.name in plan.parameters and var.name not in plan.unsure):
                sure.append(var)
            else:
                unsure.append(var)
        self.empty([*unsure, *loose], place)
        gone: list[ast.expr] = [var.node(ast.Del()) for var in [*sure, *unsure]]
        if gone:
            self.emit(ast.Delete(gone), place)

    def abandoned(self, start: int, place: ast.AST) -> None:
        """Whatever was bound by the activations from number `start` on may be left over."""
        touched = [
            var
            for activation in self.frame.activations[start:]
            for var in activation.vars
            if var.sites
        ]
        if not touched:
            return
        emptied = ast.Assign([var.store() for var in touched], ast.Constant(None))
        gone = ast.Delete([var.node(ast.Del()) for var in touched if not var.temporary])
        self.frame.scrubs += [emptied, gone]
        self.emit(emptied, place)
        if gone.targets:
            self.emit(gone, place)

    def caught(self, place: ast.AST) -> None:
        """At the start of a handler: have the traceback name the embedded functions."""
        self.emit(ast.Expr(self.caught_call()), place)

    def caught_call(self) -> ast.expr:
        """What does that, and is true if the error is that of a close."""
        number = ast.Constant(self.activation.number)
        return ast.Call(self.frame.link("caught", CAUGHT), [number], [])


CAUGHT: Any = object()
"""Stands for the tracer, which is made when the code is."""


def _match(
    plan: Plan, args: list[ast.expr], words: Sequence[ast.keyword]
) -> list[tuple[str, Any]] | None:
    """Each parameter's expression, in the order of evaluation; None unless all are given singly."""
    stars = any(isinstance(arg, ast.Starred) for arg in args) or any(not w.arg for w in words)
    if stars or plan.node.args.vararg is not None or plan.node.args.kwarg is not None:
        return None
    named = {str(word.arg): word.value for word in words}
    try:
        given = inspect.signature(plan.function).bind(*args, **named).arguments
    except TypeError:
        return None
    if len(given) < len(plan.parameters):
        return None
    return [*(each for each in given.items() if each[0] not in named), *named.items()]
