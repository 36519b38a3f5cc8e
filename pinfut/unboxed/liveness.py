"""Which locals are still read after which await.

Backwards over the statements, once, and over loops until nothing changes. The answer is
conservative: a name that is called live may be dead, never the other way round."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TypeAlias

from pinfut.unboxed.scopes import Comprehension, inside, own_nodes
from pinfut.unboxed.trees import children

Live: TypeAlias = frozenset[str]
_NOTHING: Live = frozenset()


def uses(nodes: Iterable[ast.AST], skip: ast.AST | None = None) -> set[str]:
    """The names read in `nodes`, but for the part `skip`; those of ``x += 1``, too."""
    found: set[str] = set()
    todo = list(nodes)
    for node in todo:
        if node is skip:
            continue
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Store):
                found.add(node.id)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Nonlocal):
            found.update(node.names)
        todo += children(node)
    return found


def _targets(nodes: Iterable[ast.AST]) -> set[str]:
    # Only what is stored for certain: a name, or a tuple of names.
    found: set[str] = set()
    todo = list(nodes)
    for node in todo:
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Tuple | ast.List):
            todo += node.elts
        elif isinstance(node, ast.Starred):
            todo.append(node.value)
    return found


class Liveness:
    """`after[node]`: what is live while an Await, AsyncWith or AsyncFor is suspended."""

    __slots__ = ("_brk", "_cont", "_exc", "_ret", "after")

    def __init__(self, body: list[ast.stmt], first: str | None = None) -> None:
        """`first`: the first parameter, which ``super()`` reads without naming it."""
        self.after: dict[ast.AST, Live] = {}
        # Where control may go other than to the next statement, and what is live there.
        self._exc = self._ret = self._brk = self._cont = _NOTHING
        self._body(body, _NOTHING)
        if first is not None:
            for node, live in self.after.items():
                if "super" in live:
                    self.after[node] = live | {first}

    def _note(self, node: ast.AST, live: Live) -> None:
        self.after[node] = self.after.get(node, _NOTHING) | live | self._exc

    def _parts(self, parts: list[ast.AST], out: Live) -> Live:
        """What is live before the expressions `parts` of one statement; notes their awaits."""
        nodes = list(own_nodes(parts))
        repeated = set().union(*(inside(node) for node in nodes if isinstance(node, Comprehension)))
        for node in nodes:
            if isinstance(node, ast.Await):
                # In a comprehension what it waits for is read again for the next item.
                self._note(node, out | uses(parts, None if node in repeated else node.value))
        return out | uses(parts) | self._exc

    def _body(self, body: list[ast.stmt], out: Live) -> Live:
        for statement in reversed(body):
            out = self._statement(statement, out)
        return out

    def _statement(self, node: ast.stmt, out: Live) -> Live:
        if isinstance(node, ast.Break | ast.Continue):
            return self._exc | (self._brk if isinstance(node, ast.Break) else self._cont)
        handler = getattr(self, "_" + type(node).__name__, None)
        if handler is not None:
            live: Live = handler(node, out)
            return live
        if isinstance(node, ast.Assign):
            out -= _targets(node.targets)
        elif isinstance(node, ast.Return):
            out = self._ret
        elif isinstance(node, ast.Raise):
            out = _NOTHING
        return self._parts([node], out)

    def _AnnAssign(self, node: ast.AnnAssign, out: Live) -> Live:
        if node.value is None:
            return out
        return self._parts([node.target, node.value], out - _targets([node.target]))

    def _If(self, node: ast.If, out: Live) -> Live:
        inner = self._body(node.body, out) | self._body(node.orelse, out)
        return self._parts([node.test], inner)

    def _While(self, node: ast.While | ast.For | ast.AsyncFor, out: Live) -> Live:
        after = self._body(node.orelse, out)
        brk, cont = self._brk, self._cont
        head = after
        while True:
            self._brk, self._cont = out, head
            inner = self._body(node.body, head)
            if isinstance(node, ast.While):
                inner = self._parts([node.test], inner | after)
            else:
                inner = inner - _targets([node.target]) | uses([node.target]) | after
                if isinstance(node, ast.AsyncFor):
                    self._note(node, inner)
            if inner <= head:
                break
            head |= inner
        self._brk, self._cont = brk, cont
        return head | self._exc

    def _For(self, node: ast.For | ast.AsyncFor, out: Live) -> Live:
        return self._parts([node.iter], self._While(node, out))

    _AsyncFor = _For

    def _With(self, node: ast.With | ast.AsyncWith, out: Live) -> Live:
        before = self._exc
        self._exc = before | out  # it may swallow what is raised
        if isinstance(node, ast.AsyncWith):
            self._note(node, out | self._ret | self._brk | self._cont)
        inner = self._body(node.body, out)
        parts: list[ast.AST] = list(node.items)
        if isinstance(node, ast.AsyncWith):
            self._note(node, inner | uses(parts))
        self._exc = before
        return self._parts(parts, inner)

    _AsyncWith = _With

    def _Try(self, node: ast.Try, out: Live) -> Live:
        exc, ret, brk, cont = self._exc, self._ret, self._brk, self._cont
        if node.finalbody:
            final = self._body(node.finalbody, out | exc | ret | brk | cont)
            out = final
            self._exc = exc | final
            self._ret = self._brk = self._cont = final
        orelse = self._body(node.orelse, out)
        caught: Live = _NOTHING
        for handler in node.handlers:
            inner = self._body(handler.body, out)
            if handler.type is not None:
                inner = self._parts([handler.type], inner)
            caught |= inner
        self._exc = self._exc | caught
        live = self._body(node.body, orelse)
        self._exc, self._ret, self._brk, self._cont = exc, ret, brk, cont
        return live | caught

    _TryStar = _Try

    def _Match(self, node: ast.Match, out: Live) -> Live:
        live = out
        for case in node.cases:
            parts: list[ast.AST] = [case.pattern]
            if case.guard is not None:
                parts.append(case.guard)
            live |= self._parts(parts, self._body(case.body, out) | live)
        return self._parts([node.subject], live)
