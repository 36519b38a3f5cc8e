"""The plan of one function: all that is known of it before it is embedded anywhere."""

from __future__ import annotations

import ast
import builtins
from types import CodeType, FunctionType
from typing import Any, Final

from pinfut.unboxed.liveness import Liveness
from pinfut.unboxed.resolve import Awaited, ClassBody, Embed, Resolver
from pinfut.unboxed.scopes import CLOSURES, COMPREHENSIONS, Names, arguments
from pinfut.unboxed.source import definition, source_of

_SEES_FRAMES: Final = {"locals", "vars", "dir", "eval", "exec"}


class Plan:
    """A function, its tree, its names, and what each of its awaits means."""

    __slots__ = (
        "_binder",
        "awaits",
        "blocks",
        "code",
        "codes",
        "dropped",
        "entered",
        "file",
        "function",
        "leaves",
        "liveness",
        "module_names",
        "names",
        "node",
        "owner",
        "parameters",
        "public",
        "structured",
        "unsure",
    )

    def __init__(self, function: FunctionType, namespace: dict[str, Any] | None) -> None:
        self.function = function
        self.code: CodeType = function.__code__
        self.file = self.code.co_filename
        self.node, self.owner = definition(self.code)
        self.module_names = source_of(self.code).module_names
        if self.owner is not None:
            mangle(self.node, self.owner)
        self.names = Names(self.node)
        self.parameters = [arg.arg for arg in arguments(self.node.args)]
        # Await → what it waits for.
        self.awaits: dict[ast.AST, Awaited] = {}
        # AsyncWith item or AsyncFor → its two awaits: enter and exit, or None and next.
        self.entered: dict[ast.AST, tuple[Awaited, Awaited]] = {}
        # Nodes that need statements of their own: an embedded call is in them somewhere.
        self.blocks: set[ast.AST | None] = set()
        # How many leaves it awaits itself.
        self.leaves = 0
        # Code of the functions and classes in it, compiled when first needed.
        self.codes: dict[ast.AST, CodeType] = {}
        # The function that @unboxed gave for it.
        self.public: Any = function
        self._binder: FunctionType | None = None
        # Parameters that the body may leave unbound.
        self.unsure = {
            each.id
            for each in ast.walk(self.node)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Del)
        } | {
            each.name
            for each in ast.walk(self.node)
            if isinstance(each, ast.ExceptHandler) and each.name is not None
        }
        resolver = Resolver(self, None if namespace is None else ClassBody(namespace))
        self.liveness = Liveness(self.node.body)
        params = set(self.parameters) - self.names.captured
        # Await → the parameters that nobody reads any more once it waits.
        self.dropped = {node: params - live for node, live in self.liveness.after.items()}
        for statement in self.node.body:
            self._mark(statement, resolver)
        # Whether every return is the last thing that is done, after ifs are turned round.
        self.structured = structured(self.node.body)

    @property
    def binder(self) -> FunctionType:
        """A function with this signature that gives its arguments as a tuple."""
        if self._binder is None:
            from pinfut.unboxed.calls import binder

            self._binder = binder(self)
        return self._binder

    def live(self, node: ast.AST) -> frozenset[str]:
        """The names that are live while `node` waits."""
        return self.liveness.after.get(node, frozenset())

    def _mark(self, node: ast.AST, resolver: Resolver) -> bool:
        """Resolve the awaits in `node`; whether it needs statements of its own."""
        refuse = resolver.refuse
        found = False
        if isinstance(node, ast.Await):
            target = self.awaits[node] = resolver.awaited(node)
            found = isinstance(target, Embed) or bool(self.dropped.get(node))
            if not isinstance(target, Embed):
                self.leaves += 1
        elif isinstance(node, ast.Yield | ast.YieldFrom):
            refuse(
                node,
                f"{self.code.co_name} is an async generator: its items and its waits would "
                "leave the frame by one door",
                "write a stream (pinfut.StreamBase), or send the items into a channel",
            )
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            looks = name in _SEES_FRAMES and (name in ("locals", "eval", "exec") or not node.args)
            if looks and resolver.value(node.func) is getattr(builtins, name):
                refuse(
                    node,
                    f"{name}() would see the locals of the whole chain",
                    "pass it a dict, or do this in a plain function",
                )
        if isinstance(node, ast.AsyncWith):
            for item in node.items:
                expr = item.context_expr
                enter = resolver.special(expr, expr, "__aenter__")
                leave = resolver.special(expr, expr, "__aexit__")
                self.entered[item] = (enter, leave)
                self.leaves += 2
            found = True
        elif isinstance(node, ast.AsyncFor):
            expr = node.iter
            step = resolver.special(expr, expr, "__anext__")
            self.entered[node] = (step, step)
            self.leaves += 1
            found = True
        if isinstance(node, CLOSURES):
            found = self._mark_closure(node, resolver)
        elif isinstance(node, COMPREHENSIONS):
            found = self._mark_comprehension(node, resolver)
        else:
            for child in ast.iter_child_nodes(node):
                if self._mark(child, resolver):
                    found = True
        if found:
            self.blocks.add(node)
        if isinstance(node, ast.match_case) and node.guard in self.blocks:
            refuse(
                node.guard or node,
                "an embedded call, or the last use of an argument, in the guard of a case",
                "await before the match, and test the value",
            )
        return found

    def _mark_closure(self, node: ast.AST, resolver: Resolver) -> bool:
        # What is evaluated out here: defaults, decorators, bases, the first iterable.
        outside: list[ast.AST] = []
        if isinstance(node, ast.GeneratorExp):
            outside.append(node.generators[0].iter)
            inner: list[ast.AST] = [node.elt]
            for generator in node.generators:
                inner += generator.ifs
                if generator is not node.generators[0]:
                    inner.append(generator.iter)
            waits = any(generator.is_async for generator in node.generators) or any(
                isinstance(each, ast.Await) for part in inner for each in ast.walk(part)
            )
            if waits:
                resolver.refuse(
                    node,
                    "an asynchronous generator expression has a frame of its own",
                    "write a list comprehension or a loop",
                )
        elif isinstance(node, ast.ClassDef):
            outside += [*node.decorator_list, *node.bases, *node.keywords]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            outside += [*node.decorator_list, node.args]
            if node.returns is not None:
                outside.append(node.returns)
        elif isinstance(node, ast.Lambda):
            outside.append(node.args)
        if getattr(node, "type_params", None):
            resolver.refuse(node, "type parameters of an inner function", "define it outside")
        found = False
        for part in outside:
            found = self._mark(part, resolver) or found
        return found

    def _mark_comprehension(self, node: ast.AST, resolver: Resolver) -> bool:
        assert isinstance(node, COMPREHENSIONS)
        # One that waits, or that makes functions, is written out as a loop.
        found = bool(self.names.captured_in(node)) or any(
            generator.is_async for generator in node.generators
        )
        for generator in node.generators:
            if generator.is_async:
                step = resolver.special(generator.iter, generator.iter, "__anext__")
                self.entered[generator] = (step, step)
                self.leaves += 1
        for child in ast.iter_child_nodes(node):
            if self._mark(child, resolver):
                found = True
        return found or any(isinstance(each, (ast.Await, *CLOSURES)) for each in ast.walk(node))


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
    if isinstance(node, ast.Return):
        return True
    if isinstance(node, CLOSURES):
        return False
    return any(returns(child) for child in ast.iter_child_nodes(node))


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
        return False
    return True


def mangle(node: ast.AST, owner: str) -> None:
    """Rename ``__private`` names as the body of the class `owner` has them."""
    prefix = "_" + owner.lstrip("_")
    if prefix == "_":
        return

    def changed(name: str) -> str:
        if name.startswith("__") and not name.endswith("__") and "." not in name:
            return prefix + name
        return name

    todo: list[ast.AST] = [node]
    while todo:
        each = todo.pop()
        for field in ("id", "attr", "arg", "name", "asname", "rest"):
            value = getattr(each, field, None)
            if not isinstance(value, str) or (each is node and field == "name"):
                continue
            if isinstance(each, ast.alias) and field == "name" and each.asname is not None:
                continue
            setattr(each, field, changed(value))
        if isinstance(each, ast.Global | ast.Nonlocal):
            each.names = [changed(name) for name in each.names]
        if isinstance(each, ast.ClassDef):
            # What stands in there is mangled with its name.
            todo.extend([*each.decorator_list, *each.bases, *each.keywords])
            continue
        todo.extend(ast.iter_child_nodes(each))
