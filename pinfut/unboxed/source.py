"""Finding the source of a function: its syntax tree, with the file's own line numbers."""

from __future__ import annotations

import ast
import linecache
from collections import OrderedDict
from types import CodeType
from typing import Final

from pinfut.unboxed.errors import Refused

_FILES: Final = 16
"""How many parsed files are kept: the functions of a file are decorated one after another."""


class Source:
    """One parsed file: its functions by line, and the names that its module binds."""

    __slots__ = ("functions", "module_names", "text")

    def __init__(self, text: str, filename: str) -> None:
        self.text = text
        # First line (of the first decorator) → the function and the class around it.
        self.functions: dict[int, tuple[ast.AsyncFunctionDef, str | None]] = {}
        # What the module binds somewhere: a name that is not among them is a builtin, if anything.
        self.module_names: set[str] = set()
        self._index(ast.parse(text, filename).body, None, True)

    def _index(self, body: list[ast.stmt], owner: str | None, module: bool) -> None:
        for statement in body:
            self._visit(statement, owner, module)

    def _visit(self, node: ast.AST, owner: str | None, module: bool) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if module:
                self.module_names.add(node.name)
            if isinstance(node, ast.AsyncFunctionDef):
                first = min((each.lineno for each in node.decorator_list), default=node.lineno)
                self.functions[min(first, node.lineno)] = (node, owner)
            # In a function of a class names are still mangled with the class's name.
            inner = node.name if isinstance(node, ast.ClassDef) else owner
            self._index(node.body, inner, False)
            return
        if isinstance(node, ast.Global):
            self.module_names.update(node.names)
        elif module:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.module_names.add(node.id)
            elif isinstance(node, ast.alias):
                self.module_names.add((node.asname or node.name).partition(".")[0])
        for child in ast.iter_child_nodes(node):
            self._visit(child, owner, module)


_sources: OrderedDict[str, Source] = OrderedDict()


def source_of(code: CodeType) -> Source:
    """The parsed file of `code`. Raises Refused when the file cannot be read."""
    name = code.co_filename
    text = "".join(linecache.getlines(name))
    found = _sources.get(name)
    if found is None or found.text != text:
        if not text:
            raise Refused(
                name,
                code.co_firstlineno,
                f"the source of {code.co_name} cannot be read",
                "@unboxed compiles a function from its file: keep the file beside the code",
            )
        found = _sources[name] = Source(text, name)
        while len(_sources) > _FILES:
            _sources.popitem(last=False)
    return found


def definition(code: CodeType) -> tuple[ast.AsyncFunctionDef, str | None]:
    """The `async def` that `code` was compiled from, and the name of the class around it.
    Raises Refused when the file does not hold it (any more)."""
    found = source_of(code).functions.get(code.co_firstlineno)
    if found is None or found[0].name != code.co_name:
        raise Refused(
            code.co_filename,
            code.co_firstlineno,
            f"no async def {code.co_name} stands at this line",
            "the file has changed since it was loaded; load it again",
        )
    return found
