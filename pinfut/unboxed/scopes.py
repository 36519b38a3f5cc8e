"""Which name is what: the scopes of a function, as the compiler sees them.

For the names of an embedded function move into the frame of another: which are its own, which of
these do functions inside it capture, and which come from further out."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from pinfut.unboxed.trees import children, walk

Closure: TypeAlias = (
    ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef | ast.GeneratorExp | ast.ClassDef
)
"""What makes a function object, or a class, of its own."""

Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp


def outside(node: Closure | Comprehension) -> list[ast.AST]:
    """What is evaluated where a function, a class or a comprehension stands, and not in it."""
    if isinstance(node, ast.Lambda):
        return [node.args]
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        returns = [] if node.returns is None else [node.returns]
        return [*node.decorator_list, node.args, *returns]
    return [node.generators[0].iter]


def inside(node: Closure | Comprehension) -> set[ast.AST]:
    """What is evaluated in there, again and again in a comprehension, with `node` itself."""
    return set(walk(node)).difference(*map(walk, outside(node)))


def own_nodes(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """`nodes` and all below them, but for what is in the functions and classes among them."""
    todo = list(nodes)
    while todo:
        node = todo.pop()
        yield node
        todo += outside(node) if isinstance(node, Closure) else children(node)


class LexicalScope:
    """One function, class or comprehension, and the scopes in it."""

    __slots__ = ("bound", "children", "globals", "node", "nonlocals", "used")

    def __init__(self, node: ast.AST) -> None:
        self.node = node
        self.bound: set[str] = set()
        self.used: set[str] = set()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()
        self.children: list[LexicalScope] = []

    @property
    def own(self) -> set[str]:
        """The names that live in this scope."""
        return self.bound - self.globals - self.nonlocals

    def free(self) -> set[str]:
        """The names that are looked up further out."""
        names = self.used | self.nonlocals
        inner = set[str]().union(*(child.free() for child in self.children))
        if isinstance(self.node, ast.ClassDef):
            names = (names - self.own) | (inner - {"__class__"})
        else:
            names = (names | inner) - self.own
        return names - self.globals


def arguments(node: ast.arguments) -> list[ast.arg]:
    """All the parameters, in the order in which a frame holds them."""
    stars = [arg for arg in (node.vararg, node.kwarg) if arg is not None]
    return [*node.posonlyargs, *node.args, *node.kwonlyargs, *stars]


def bare(node: ast.arguments) -> ast.arguments:
    """The parameters, without defaults and annotations."""

    def plain(arg: ast.arg) -> ast.arg:
        return ast.copy_location(ast.arg(arg.arg), arg)

    return ast.arguments(
        [plain(arg) for arg in node.posonlyargs],
        [plain(arg) for arg in node.args],
        None if node.vararg is None else plain(node.vararg),
        [plain(arg) for arg in node.kwonlyargs],
        [None for _ in node.kwonlyargs],
        None if node.kwarg is None else plain(node.kwarg),
        [],
    )


class _Reader(ast.NodeVisitor):
    def __init__(self, scope: LexicalScope, scopes: dict[ast.AST, LexicalScope]) -> None:
        self.scope = scope
        self.scopes = scopes
        # Where a walrus binds: comprehensions hand it to the function around them.
        self.walrus = scope

    def _inside(self, node: Closure | Comprehension) -> _Reader:
        for part in outside(node):
            self.visit(part)
        scope = LexicalScope(node)
        self.scope.children.append(scope)
        self.scopes[node] = scope
        return _Reader(scope, self.scopes)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.scope.used.add(node.id)
            if node.id == "super" and not isinstance(self.scope.node, ast.ClassDef):
                self.scope.used.add("__class__")
        else:
            self.scope.bound.add(node.id)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.walrus.bound.add(node.target.id)
        if self.walrus is not self.scope:
            self.scope.used.add(node.target.id)
        self.visit(node.value)

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        elsewhere = self.scope.globals if isinstance(node, ast.Global) else self.scope.nonlocals
        elsewhere.update(node.names)

    visit_Nonlocal = visit_Global

    def visit_alias(self, node: ast.alias) -> None:
        self.scope.bound.add((node.asname or node.name).partition(".")[0])

    def visit_MatchAs(self, node: Any) -> None:
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name:
            self.scope.bound.add(name)
        self.generic_visit(node)

    visit_ExceptHandler = visit_MatchStar = visit_MatchMapping = visit_MatchAs

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        # In a function the annotation is never evaluated. Without a value it makes a local too,
        # but for a name in parentheses.
        if node.simple or node.value is not None or not isinstance(node.target, ast.Name):
            self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)
        if isinstance(self.scope.node, ast.ClassDef):
            self.visit(node.annotation)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        inner = self._inside(node)
        inner.scope.bound.update(arg.arg for arg in arguments(node.args))
        inner.visit(node.body)

    def visit_ClassDef(self, node: Any) -> None:
        self.scope.bound.add(node.name)
        inner = self._inside(node)
        if not isinstance(node, ast.ClassDef):
            inner.scope.bound.update(arg.arg for arg in arguments(node.args))
        for statement in node.body:
            inner.visit(statement)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef

    def _comprehension(self, node: Comprehension | ast.GeneratorExp) -> None:
        inner = self._inside(node)
        inner.walrus = self.walrus
        for generator in node.generators:
            inner.visit(generator.target)
            if generator is not node.generators[0]:
                inner.visit(generator.iter)
            for test in generator.ifs:
                inner.visit(test)
        if isinstance(node, ast.DictComp):
            inner.visit(node.key)
            inner.visit(node.value)
        else:
            inner.visit(node.elt)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


class Names:
    """The scopes of one `async def`: its own, and those of everything in it by their nodes."""

    __slots__ = ("captured", "own", "scope", "scopes")

    def __init__(self, node: ast.AsyncFunctionDef) -> None:
        self.scopes: dict[ast.AST, LexicalScope] = {}
        self.scope = scope = LexicalScope(node)
        reader = _Reader(scope, self.scopes)
        scope.bound.update(arg.arg for arg in arguments(node.args))
        for statement in node.body:
            reader.visit(statement)
        self.own = scope.own
        # Its own names that a function in it holds on to: these live in cells.
        self.captured = self.own & self._captured(scope)

    def _captured(self, scope: LexicalScope) -> set[str]:
        found: set[str] = set()
        for child in scope.children:
            if isinstance(child.node, Comprehension):
                found |= self._captured(child) - child.own
            else:
                found |= child.free()
        return found

    def captured_in(self, node: Comprehension) -> set[str]:
        """The names of a comprehension that a function in it holds on to."""
        scope = self.scopes[node]
        return scope.own & self._captured(scope)
