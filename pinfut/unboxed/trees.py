"""Syntax trees: walking them in a third of the time that `ast` takes, and compiling them."""

from __future__ import annotations

import ast
import warnings
from types import CodeType
from typing import Any, Final

_FUTURES: Final = 0x1FF0000  # the flags of `from __future__` statements
_KINDS: Final = (ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)
_MARKS: Final = frozenset(each for kind in _KINDS for each in kind.__subclasses__())
"""Nodes that are only a word: operators and contexts."""


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below `node`, in the order of the source, but for operators and contexts."""
    found: list[ast.AST] = []
    if type(node) is ast.Name or type(node) is ast.Constant:
        return found
    for field in node._fields:
        value = getattr(node, field, None)
        if type(value) is list:
            found += [each for each in value if isinstance(each, ast.AST)]
        elif isinstance(value, ast.AST) and type(value) not in _MARKS:
            found.append(value)
    return found


def walk(node: ast.AST) -> list[ast.AST]:
    """`node` and all below it, in no order that matters."""
    found = [node]
    for each in found:
        found += children(each)
    return found


def function_of(name: str, parameters: list[ast.arg], body: list[ast.stmt]) -> ast.FunctionDef:
    """A function with a few plain parameters."""
    args = ast.arguments([], parameters, None, [], [], None, [])
    return ast.FunctionDef(name, args, body, [], None)


def compiled(node: ast.FunctionDef, file: str, flags: int = 0) -> CodeType:
    """The code of the function at `node`. Raises SyntaxError and RecursionError."""
    module = ast.Module([node], [])
    ast.fix_missing_locations(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = compile(module, file, "exec", flags=flags & _FUTURES, dont_inherit=True)
    return code_in(code, node.name)


def with_constants(code: CodeType, things: dict[str, Any]) -> CodeType:
    """`code`, and the code in it, with `things` in place of the constants that stand for them."""
    consts: list[Any] = []
    for const in code.co_consts:
        if isinstance(const, CodeType):
            const = with_constants(const, things)
        elif isinstance(const, str):
            const = things.get(const, const)
        consts.append(const)
    return code.replace(co_consts=tuple(consts))


def code_in(code: CodeType, name: str) -> CodeType:
    """The code of the function `name` that stands in `code`."""
    for const in code.co_consts:
        if isinstance(const, CodeType) and const.co_name == name:
            return const
    raise AssertionError(f"no code {name} in {code.co_name}")
