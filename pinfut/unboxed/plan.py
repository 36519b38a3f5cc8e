"""The plan of one function: all that is known of it before it is embedded anywhere.

A plan is made from the unit of its function when a frame is generated, and goes with it."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Final

from pinfut.unboxed.liveness import Liveness
from pinfut.unboxed.resolve import ClassBody, Resolver
from pinfut.unboxed.scopes import (
    Closure,
    Comprehension,
    Names,
    arguments,
    inside,
    outside,
    own_nodes,
)
from pinfut.unboxed.trees import children, walk
from pinfut.unboxed.unit import Awaited, Embed, Unit

GUARDS: Final = (ast.Try, ast.TryStar, ast.With, ast.AsyncWith)
"""The statements that look at errors."""

_SEES_FRAMES: Final = {"locals", "vars", "dir", "eval", "exec"}


class Plan:
    """A function, its tree, its names, and what each of its awaits means."""

    __slots__ = (
        "_known", "_resolver", "awaits", "code", "codes", "direct", "dropped", "entered", "file",
        "function", "hoisted", "liveness", "module_names", "names", "node", "parameters",
        "structured", "targets", "unit", "unsure",
    )  # fmt: skip

    def __init__(self, unit: Unit, body: ClassBody | None = None) -> None:
        """`body`: at decoration, the class around; later `unit.targets` says what awaits mean."""
        self.unit = unit
        self.function: FunctionType = unit.function
        self.code: CodeType = unit.code
        self.file = unit.file
        self.node = unit.tree()
        self.module_names = unit.excerpt.module_names
        self.names = Names(self.node)
        self.parameters = [arg.arg for arg in arguments(self.node.args)]
        # What is awaited, in the order in which it is met here; what the unit keeps.
        self.targets: list[Awaited] = []
        self.awaits: dict[ast.AST, Awaited] = {}  # Await → what it waits for
        # AsyncWith item or AsyncFor → its two awaits: enter and exit, or None and next.
        self.entered: dict[ast.AST, tuple[Awaited, Awaited]] = {}
        # Nodes that need statements of their own: an embedded call is in them somewhere.
        self.hoisted: set[ast.AST | None] = set()
        # Code of the functions and classes in it, compiled when first needed.
        self.codes: dict[ast.AST, CodeType] = {}
        self.unsure: set[str] = set()  # parameters that the body may leave unbound
        for each in walk(self.node):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Del):
                self.unsure.add(each.id)
            elif isinstance(each, ast.ExceptHandler) and each.name is not None:
                self.unsure.add(each.name)
        # What says what an await means: at decoration the one, later the other.
        self._resolver: Resolver | None = None
        self._known: Iterator[Awaited] = iter(unit.targets or ())
        if unit.targets is None:
            self._resolver = Resolver(unit, self.node, self.names, body)
        self.liveness = Liveness(self.node.body, *self.parameters[:1])
        params = set(self.parameters) - self.names.captured
        # Await → the parameters that nobody reads any more once it waits.
        self.dropped = {node: params - live for node, live in self.liveness.after.items()}
        self._mark_each(self.node.body)
        # Whether every return is the last thing that is done, after ifs are turned round.
        self.structured = structured(self.node.body)
        # Whether each is also the very last: its value may stand where the caller wants it.
        self.direct = self.structured and not any(map(guards_a_return, self.node.body))

    def live(self, node: ast.AST) -> frozenset[str]:
        """The names that are live while `node` waits."""
        return self.liveness.after.get(node, frozenset())

    def _mark_each(self, nodes: Iterable[ast.AST]) -> bool:
        marked = [self._mark(node) for node in nodes]  # all, whatever is found
        return any(marked)

    def _mark(self, node: ast.AST) -> bool:
        """Resolve the awaits in `node`; whether it needs statements of its own."""
        resolver = self._resolver
        found = False
        if isinstance(node, ast.Await):
            known = next(self._known) if resolver is None else resolver.awaited(node)
            self.targets.append(known)
            self.awaits[node] = known
            found = isinstance(known, Embed) or bool(self.dropped.get(node))
        elif resolver is not None:
            self._refused(node, resolver)
        if isinstance(node, ast.AsyncWith):
            for item in node.items:
                enter = self._special(item.context_expr, "__aenter__")
                self.entered[item] = (enter, self._special(item.context_expr, "__aexit__"))
            found = True
        elif isinstance(node, ast.AsyncFor):
            self._mark_step(node)
            found = True
        if isinstance(node, Closure):
            found = self._mark_closure(node)
        elif isinstance(node, Comprehension):
            found = self._mark_comprehension(node)
        else:
            found |= self._mark_each(children(node))
        if found:
            self.hoisted.add(node)
        if resolver and isinstance(node, ast.match_case) and node.guard in self.hoisted:
            resolver.refuse(
                node.guard or node,
                "an embedded call, or the last use of an argument, in the guard of a case",
                "await before the match, and test the value",
            )
        return found

    def _special(self, expr: ast.expr, name: str) -> Awaited:
        """What awaits the special method `name` of the value of `expr`."""
        resolver = self._resolver
        found = next(self._known) if resolver is None else resolver.special(expr, name)
        self.targets.append(found)
        return found

    def _mark_step(self, node: ast.AsyncFor | ast.comprehension) -> None:
        step = self._special(node.iter, "__anext__")
        self.entered[node] = (step, step)

    def _refused(self, node: ast.AST, resolver: Resolver) -> None:
        if isinstance(node, ast.Yield | ast.YieldFrom):
            resolver.refuse(
                node,
                f"{self.code.co_name} is an async generator: its items and its waits would "
                "leave the frame by one door",
                "write a stream (pinfut.StreamBase), or send the items into a channel",
            )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            looks = name in _SEES_FRAMES and (name in ("locals", "eval", "exec") or not node.args)
            if looks and resolver.value(node.func) is getattr(builtins, name):
                resolver.refuse(
                    node,
                    f"{name}() would see the locals of the whole chain",
                    "pass it a dict, or do this in a plain function",
                )

    def _mark_closure(self, node: Closure) -> bool:
        resolver = self._resolver
        if resolver is not None and isinstance(node, ast.GeneratorExp):
            waits = (
                isinstance(each, ast.Await)
                or (isinstance(each, ast.comprehension) and each.is_async)
                for each in inside(node)
            )
            if any(waits):
                resolver.refuse(
                    node,
                    "an asynchronous generator expression has a frame of its own",
                    "write a list comprehension or a loop",
                )
        if resolver is not None and getattr(node, "type_params", None):
            resolver.refuse(node, "type parameters of an inner function", "define it outside")
        return self._mark_each(outside(node))

    def _mark_comprehension(self, node: Comprehension) -> bool:
        for generator in node.generators:
            if generator.is_async:
                self._mark_step(generator)
        found = self._mark_each(children(node))
        # One that waits, or that makes functions, is written out as a loop.
        return (
            found
            or any(generator.is_async for generator in node.generators)
            or bool(self.names.captured_in(node))
            or any(isinstance(each, ast.Await | Closure) for each in walk(node))
        )


def terminates(body: list[ast.stmt]) -> bool:
    """Whether control never leaves `body` at its end."""
    if not body:
        return False
    last = body[-1]
    if isinstance(last, ast.Return | ast.Raise):
        return True
    return isinstance(last, ast.If) and terminates(last.body) and terminates(last.orelse)


def returns(node: ast.AST) -> bool:
    """Whether there is a return of this function in `node`."""
    return any(isinstance(each, ast.Return) for each in own_nodes([node]))


def structured(body: list[ast.stmt]) -> bool:
    """Whether each return in `body` can be the last thing that is done, without a jump."""
    for index, statement in enumerate(body):
        if isinstance(statement, ast.Return):
            return True
        if not returns(statement):
            continue
        rest = body[index + 1 :]
        if isinstance(statement, ast.If):
            if terminates(statement.body):
                return structured(statement.body) and structured(statement.orelse + rest)
            if terminates(statement.orelse):
                return structured(statement.body + rest) and structured(statement.orelse)
            if not rest:
                return structured(statement.body) and structured(statement.orelse)
        if rest:
            return False
        if isinstance(statement, ast.With | ast.AsyncWith):
            return structured(statement.body)
        if isinstance(statement, ast.Try | ast.TryStar):
            # The body must not go on into the else, and a `finally` that returns swallows.
            return (
                not any(returns(each) for each in statement.finalbody)
                and not (statement.orelse and any(returns(each) for each in statement.body))
                and structured(statement.body)
                and structured(statement.orelse)
                and all(structured(handler.body) for handler in statement.handlers)
            )
        return False
    return True


def guards_a_return(node: ast.AST) -> bool:
    """Whether something in `node` may still happen, or go wrong, after a return in it."""
    return any(isinstance(each, GUARDS) and returns(each) for each in own_nodes([node]))
