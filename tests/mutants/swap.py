"""Faults put into running functions: `function.__code__` is replaced, nothing is imported anew.

Whoever holds the function, as a method, a bound method in a local or a property, runs the fault.
What cannot be replaced (a function that closes over other names than before) is said to be so.
"""

from __future__ import annotations

import ast
import copy
import gc
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any, Final

from tests.mutants.made import Made, Source, module_of
from tests.mutants.operators import first_statement, functions

Key = tuple[str, int]
"""The qualified name of a code object and its first line: a property and its setter share one
name, and a mutant moves no line."""

_HITS: Final = "__statements_hit__"


class Swapper:
    """The live functions of one source, and what its mutants compile to."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.module = sys.modules[module_of(source.file)]
        assert self.module.__file__ is not None
        self._path = self.module.__file__
        self._whole = dict(_codes(self._compile(source.tree)))
        self._live: dict[Key, list[FunctionType]] = {}
        gc.unfreeze()  # conftest has frozen what was loaded, and frozen objects are not listed
        for one in gc.get_objects():
            if isinstance(one, FunctionType) and one.__code__.co_filename == self._path:
                code = one.__code__
                self._live.setdefault((code.co_qualname, code.co_firstlineno), []).append(one)

    def changed(self, mutant: Made) -> dict[Key, CodeType]:
        """The code objects that a mutant makes different; none if it makes none."""
        with mutant.edit.applied():
            codes = dict(_codes(self._compile(self.source.tree)))
        return {
            key: code
            for key, code in codes.items()
            if key not in self._whole or _form(code) != _form(self._whole[key])
        }

    def can_swap(self, changed: dict[Key, CodeType]) -> bool:
        """Whether some function that is alive can be given the change."""
        live = [(one, code) for key, code in changed.items() for one in self._live.get(key, ())]
        return bool(live) and all(
            one.__code__.co_freevars == code.co_freevars for one, code in live
        )

    def swap(self, changed: dict[Key, CodeType]) -> None:
        """Put codes in place, for the rest of this process."""
        for key, code in changed.items():
            for function in self._live.get(key, ()):
                function.__code__ = code

    def marked(self) -> tuple[bytearray, dict[Key, CodeType]]:
        """Codes with which every statement marks its place in the array, once they are put in
        place."""
        hits = bytearray(len(self.source.statements))
        setattr(self.module, _HITS, hits)
        tree = copy.deepcopy(self.source.tree)
        statements = [one for one in ast.walk(tree) if isinstance(one, ast.stmt)]
        places = {id(one): number for number, one in enumerate(statements)}
        for _, function in functions(tree):
            _mark(function, places)
        codes = dict(_codes(self._compile(tree)))
        return hits, {key: code for key, code in codes.items() if key in self._live}

    def _compile(self, tree: ast.Module) -> CodeType:
        return compile(tree, self._path, "exec", dont_inherit=True)


def _mark(node: ast.AST, places: dict[int, int]) -> None:
    """Put a mark before each statement below `node`."""
    for field in ("body", "orelse", "finalbody"):
        statements = getattr(node, field, None)
        if not isinstance(statements, list):
            continue
        start = 0
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and field == "body":
            start = first_statement(node)
        marked = statements[:start]
        for one in statements[start:]:
            _mark(one, places)
            mark = ast.Assign(
                [
                    ast.Subscript(
                        ast.Name(_HITS, ast.Load()), ast.Constant(places[id(one)]), ast.Store()
                    )
                ],
                ast.Constant(1),
            )
            marked += [ast.fix_missing_locations(ast.copy_location(mark, one)), one]
        setattr(node, field, marked)
    for handler in getattr(node, "handlers", ()):
        _mark(handler, places)


def _codes(code: CodeType) -> Iterator[tuple[Key, CodeType]]:
    """Code objects of functions, outermost first."""
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield (const.co_qualname, const.co_firstlineno), const
            yield from _codes(const)


def _form(code: CodeType) -> Any:
    """All of a code object that a run can depend on: not its lines."""
    consts = tuple(
        _form(one) if isinstance(one, CodeType) else (type(one), repr(one))
        for one in code.co_consts
    )
    return (
        *(code.co_code, code.co_exceptiontable, code.co_flags, consts, code.co_names),
        *(code.co_varnames, code.co_freevars, code.co_cellvars, code.co_argcount),
        *(code.co_kwonlyargcount, code.co_posonlyargcount),
    )
