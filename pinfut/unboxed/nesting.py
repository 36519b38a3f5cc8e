"""How deep the blocks of a function nest once it is lowered.

CPython's compiler allows 20 blocks inside one another, embedded callees included. So they are
counted: at decoration to refuse, and later to know which callee needs a frame of its own."""

from __future__ import annotations

import ast
from typing import Final

from pinfut.unboxed.plan import Plan
from pinfut.unboxed.scopes import Closure, Comprehension, own_nodes
from pinfut.unboxed.trees import children

LIMIT: Final = 16
"""Blocks inside one another in one frame. CPython allows 20, and since 3.12 it puts up to four
around a wait by itself, which it does not count (and writes beyond its table)."""

OUTERMOST: Final = 2
"""Those around the body of the outermost: the loop of a frame, and what puts tracebacks right."""

# Blocks around each part, as `statements` writes it and the compiler counts it.
LOOP: Final = 1
ASYNC_STEP: Final = 3
"""A handler (2) in the loop of an async for."""
WITH: Final = 2
ASYNC_WITH: Final = 2
ASYNC_WITH_EXIT: Final = 3
TRY: Final = 1
FINALLY: Final = 1
WATCHED: Final = 1
"""Around what may swallow a close: see `statements`."""
HANDLER: Final = 3
"""The handler (2), and the cleaning up of a name that stands in a cell."""
GUARD: Final = 1
"""Around an embedded call whose error somebody may catch."""


def nesting(plan: Plan) -> int:
    """The blocks inside one another in the lowered body of `plan`, callees not counted."""
    return _body(plan.node.body, plan) + (0 if plan.structured else LOOP)


def jumps(body: list[ast.stmt]) -> bool:
    """Whether a `finally` of these statements may end what is being raised."""
    ends = ast.Return | ast.Break | ast.Continue
    return any(isinstance(each, ends) for each in own_nodes(body))


def _body(body: list[ast.stmt], plan: Plan) -> int:
    return max((_statement(each, plan) for each in body), default=0)


def _expressions(node: ast.AST, plan: Plan) -> int:
    # Comprehensions that are written out as loops.
    deepest = 0
    todo: list[tuple[ast.AST, int]] = [(node, 0)]
    while todo:
        each, depth = todo.pop()
        if isinstance(each, Comprehension) and each in plan.hoisted:
            depth += sum(ASYNC_STEP if part.is_async else LOOP for part in each.generators)
        deepest = max(deepest, depth)
        if isinstance(each, Closure):
            continue
        for child in children(each):
            if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                todo.append((child, depth))
    return deepest


def _statement(node: ast.stmt, plan: Plan) -> int:
    own = _expressions(node, plan)
    if isinstance(node, ast.If):
        return max(own, _body(node.body, plan), _body(node.orelse, plan))
    if isinstance(node, ast.While | ast.For):
        return max(own + LOOP, LOOP + _body(node.body, plan), _body(node.orelse, plan))
    if isinstance(node, ast.AsyncFor):
        return max(own, ASYNC_STEP, LOOP + _body(node.body, plan), _body(node.orelse, plan))
    if isinstance(node, ast.With):
        return max(own, WITH) + WITH * (len(node.items) - 1) + _body(node.body, plan)
    if isinstance(node, ast.AsyncWith):
        outer = ASYNC_WITH * (len(node.items) - 1)
        return outer + max(own, ASYNC_WITH_EXIT, ASYNC_WITH + _body(node.body, plan))
    if isinstance(node, ast.Try | ast.TryStar):
        final = FINALLY if node.finalbody else 0
        if isinstance(node, ast.TryStar) or jumps(node.finalbody):
            final += WATCHED
        around = final + (TRY if node.handlers else 0)
        found = [
            around + _body(node.body, plan),
            final + _body(node.orelse, plan),
            final + _body(node.finalbody, plan),
        ]
        found += [
            final + HANDLER + max(_body(each.body, plan), _expressions(each, plan))
            for each in node.handlers
        ]
        return max(found)
    if isinstance(node, ast.Match):
        return max(own, *(_body(case.body, plan) for case in node.cases))
    return own
