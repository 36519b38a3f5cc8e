"""What can be changed in a function: one small fault at a time, over its syntax tree.

Never changed: strings and what builds them, annotations, docstrings, assertions (they are for
the type checker), the arguments of an error that is raised, default arguments, decorators, and
`__repr__`. A statement is not deleted where that leaves a local name without a value: that is
no fault but no program.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}

_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitOr,
}

Function = ast.FunctionDef | ast.AsyncFunctionDef

_SILENT: Final = ("__repr__", "__str__")


@dataclass(eq=False)
class Edit:
    """A node in place of another. `statement`: the innermost one that holds both."""

    operator: str
    parent: ast.AST
    field: str
    index: int | None
    new: ast.AST
    function: str
    statement: ast.stmt

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The tree has the new node meanwhile."""
        old = self._put(self.new)
        try:
            yield
        finally:
            self._put(old)

    def _put(self, node: ast.AST) -> Any:
        if self.index is None:
            old = getattr(self.parent, self.field)
            setattr(self.parent, self.field, node)
        else:
            nodes = getattr(self.parent, self.field)
            old, nodes[self.index] = nodes[self.index], node
        return old


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """The functions that are not inside of others, with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        elif not isinstance(node, ast.expr):
            yield from functions(node, prefix)


def edits(tree: ast.Module) -> Iterator[Edit]:
    """Every edit of every function, in the order of the source."""
    for name, node in functions(tree):
        if node.name not in _SILENT:
            yield from _Function(name, node).edits()


def first_statement(function: Function) -> int:
    """The index of the first statement that is not the docstring."""
    head = function.body[0]
    return int(isinstance(head, ast.Expr) and _is_text(head.value))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


class _Function:
    """The edits of one function and of those inside of it."""

    def __init__(self, name: str, node: Function) -> None:
        self._name = name
        self._node = node
        self._statement: ast.stmt = node
        arguments = [one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)]
        names = [one for one in ast.walk(node) if isinstance(one, ast.Name)]
        self._bound = arguments + [n.id for n in names if isinstance(n.ctx, ast.Store)]

    def edits(self) -> Iterator[Edit]:
        yield from self._body(self._node, "body", first_statement(self._node))

    def _edit(
        self, operator: str, parent: ast.AST, field: str, index: int | None, new: ast.AST
    ) -> Edit:
        if isinstance(new, ast.expr | ast.stmt):
            old = getattr(parent, field)
            # No mutant moves a line: functions are found again by theirs.
            ast.copy_location(new, old if index is None else old[index])
            ast.fix_missing_locations(new)
        return Edit(operator, parent, field, index, new, self._name, self._statement)

    # ---- statements ----

    def _body(self, parent: ast.AST, field: str, start: int = 0) -> Iterator[Edit]:
        for index, node in enumerate(getattr(parent, field)[start:], start):
            outer, self._statement = self._statement, node
            yield from self._delete(parent, field, index, node)
            yield from self._inside(node)
            self._statement = outer

    def _delete(self, parent: ast.AST, field: str, index: int, node: ast.stmt) -> Iterator[Edit]:
        operator = "delete"
        new: ast.stmt = ast.Pass()
        match node:
            case ast.Expr(value=ast.Yield() | ast.YieldFrom()):
                return  # it would be no generator any more
            case ast.Expr(value=value) if _is_text(value) or isinstance(value, ast.Constant):
                return
            case ast.Expr() | ast.AugAssign() | ast.Delete() | ast.Raise():
                pass
            case ast.Return(value=None):
                if parent is self._node and node is self._node.body[-1]:
                    return
            case ast.Return(value=ast.Constant(value=value)) if not value:
                return  # whoever asks whether it is true cannot tell them apart
            case ast.Return():
                operator, new = "return None", ast.Return(ast.Constant(None))
            case ast.Break():
                operator, new = "break", ast.Continue()
            case ast.Continue():
                operator, new = "continue", ast.Break()
            case ast.Assign(targets=targets):
                if not all(map(self._is_bound_otherwise, targets)):
                    return
            case ast.AnnAssign(target=target, value=value):
                if value is None or not self._is_bound_otherwise(target):
                    return
            case _:
                return
        yield self._edit(operator, parent, field, index, new)

    def _is_bound_otherwise(self, target: ast.expr) -> bool:
        names = [one for one in ast.walk(target) if isinstance(one, ast.Name)]
        return all(self._bound.count(one.id) > 1 for one in names if isinstance(one.ctx, ast.Store))

    def _inside(self, node: ast.stmt) -> Iterator[Edit]:
        match node:
            case ast.Assert() | ast.Raise() | ast.Import() | ast.ImportFrom() | ast.ClassDef():
                return
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from self._body(node, "body", first_statement(node))
                return
            case ast.If() | ast.While():
                yield from self._condition(node, isinstance(node, ast.If))
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "items", "type_comment"):
                continue
            if field in ("body", "orelse", "finalbody"):
                yield from self._body(node, field)
            elif field == "handlers":
                for handler in value:
                    yield from self._body(handler, "body")
            elif isinstance(value, ast.expr):
                yield from self._expression(value, node, field, None)
            elif isinstance(value, list):
                for index, one in enumerate(value):
                    if isinstance(one, ast.expr):
                        yield from self._expression(one, node, field, index)
            elif isinstance(value, ast.operator) and isinstance(node, ast.AugAssign):
                yield self._edit("arithmetic", node, "op", None, _ARITHMETIC[type(value)]())

    def _condition(self, node: ast.If | ast.While | ast.IfExp, both: bool) -> Iterator[Edit]:
        if isinstance(node.test, ast.Constant):
            return
        yield self._edit("condition false", node, "test", None, ast.Constant(False))
        if both:
            yield self._edit("condition true", node, "test", None, ast.Constant(True))

    # ---- expressions ----

    def _expression(
        self, node: ast.expr, parent: ast.AST, field: str, index: int | None
    ) -> Iterator[Edit]:
        """The edits of an expression that stands at `field` of `parent`."""

        def instead(operator: str, new: ast.expr) -> Edit:
            return self._edit(operator, parent, field, index, new)

        match node:
            case ast.JoinedStr() | ast.Lambda(args=ast.arguments(defaults=[_, *_])):
                return
            case ast.Constant(value=bool() as value):
                yield instead("constant", ast.Constant(not value))
            case ast.Constant(value=int() | float() as value):
                yield instead("constant", ast.Constant(value + 1))
                if value >= 1:
                    yield instead("constant", ast.Constant(value - 1))
            case ast.Compare(ops=ops):
                for at, op in enumerate(ops):
                    for other in _COMPARISONS[type(op)]:
                        yield self._edit("comparison", node, "ops", at, other())
            case ast.BoolOp(op=op, values=values):
                other_op = ast.Or() if isinstance(op, ast.And) else ast.And()
                yield self._edit("and/or", node, "op", None, other_op)
                for at in range(len(values)):
                    rest = values[:at] + values[at + 1 :]
                    yield instead("operand", rest[0] if len(rest) == 1 else ast.BoolOp(op, rest))
            case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
                yield instead("negation", operand)
            case ast.BinOp(op=binary, left=left, right=right):
                if not (_is_text(left) or _is_text(right)) and type(binary) in _ARITHMETIC:
                    yield self._edit("arithmetic", node, "op", None, _ARITHMETIC[type(binary)]())
            case ast.IfExp():
                yield from self._condition(node, True)
            case ast.Call():
                yield from self._call(node, instead)
                if isinstance(node.func, ast.Name) and node.func.id == "cast":
                    yield from self._expression(node.args[1], node, "args", 1)
                    return
        yield from self._operands(node)

    def _operands(self, node: ast.AST) -> Iterator[Edit]:
        for field, value in ast.iter_fields(node):
            for index, one in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(one, ast.expr):
                    if field == "ifs":
                        for new in (True, False):
                            said = f"condition {new}".lower()
                            yield self._edit(said, node, field, index, ast.Constant(new))
                    yield from self._expression(one, node, field, index)
                elif isinstance(one, ast.keyword):
                    yield from self._expression(one.value, one, "value", None)
                elif isinstance(one, ast.comprehension):
                    yield from self._operands(one)

    def _call(self, node: ast.Call, instead: Any) -> Iterator[Edit]:
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        plain = not any(isinstance(one, ast.Starred) for one in node.args)
        if called in ("min", "max") and not node.keywords:
            other = ast.copy_location(
                ast.Name("max" if called == "min" else "min", ast.Load()), node.func
            )
            yield self._edit("min/max", node, "func", None, other)
            if plain and len(node.args) == 2:
                for one in node.args:
                    yield instead("clamp", one)
            return
        if called in ("cast", "isinstance", "getattr", "hasattr", "super"):
            return
        if plain and len(node.args) > 1 and not any(map(_is_text, node.args[:2])):
            first, second, *rest = node.args
            if ast.dump(first) != ast.dump(second):
                new = ast.Call(node.func, [second, first, *rest], node.keywords)
                yield instead("arguments swapped", new)
        for at, keyword in enumerate(node.keywords):
            if keyword.arg is not None and not _is_text(keyword.value):
                keywords = node.keywords[:at] + node.keywords[at + 1 :]
                yield instead("argument dropped", ast.Call(node.func, node.args, keywords))
