"""Functions with the signature of an unboxed one: the interpreter binds the arguments."""

from __future__ import annotations

import ast
from types import FunctionType
from typing import Any, Final

from pinfut.unboxed.scopes import arguments, bare
from pinfut.unboxed.trees import compiled, with_constants
from pinfut.unboxed.unit import Unit

_START: Final = "start·"
_FREE_LIST: Final = "free_list·"


def binder(unit: Unit) -> FunctionType:
    """A function with the signature of `unit` that gives its arguments as a list."""
    if unit.binder is None:
        unit.binder = starter(unit)
    return unit.binder


def starter(unit: Unit, start: Any = None, free_list: Any = None) -> FunctionType:
    """What binds the arguments of `unit` and gives ``start(free_list, [...])``, or the list."""
    function = unit.function
    node = unit.tree()
    args = node.args
    values: list[ast.expr] = [ast.Name(arg.arg, ast.Load()) for arg in arguments(args)]
    given: ast.expr = ast.List(values, ast.Load())
    if start is not None:
        call: list[ast.expr] = [ast.Constant(_FREE_LIST), given]
        given = ast.Call(ast.Constant(_START), call, [])
    made = ast.FunctionDef("bind·", bare(args), [ast.Return(given)], [], None)
    code = compiled(ast.copy_location(made, node), unit.file)
    code = with_constants(code, {_START: start, _FREE_LIST: free_list})
    code = code.replace(co_name=function.__name__, co_qualname=function.__qualname__)
    found = FunctionType(code, function.__globals__, function.__name__, function.__defaults__)
    found.__qualname__ = function.__qualname__
    found.__kwdefaults__ = function.__kwdefaults__
    return found
