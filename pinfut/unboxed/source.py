"""Finding the source of a function: its text, and its syntax tree when somebody needs it."""

from __future__ import annotations

import ast
import linecache
from collections import OrderedDict
from types import CodeType
from typing import Final, NamedTuple, final

from pinfut.unboxed.errors import Refused
from pinfut.unboxed.scopes import outside
from pinfut.unboxed.trees import children

_FILES: Final = 4
"""How many indexed files are kept: the functions of a file are decorated one after another."""


@final
class Around:
    """What is known of a class by its source."""

    __slots__ = ("bases", "functions", "name")

    def __init__(self, node: ast.ClassDef) -> None:
        self.name = node.name
        # The bases that are plain or dotted names.
        self.bases = tuple(filter(None, map(_dotted, node.bases)))
        # The functions in its body; when it is run, some of them are still to come.
        self.functions = frozenset(
            each.name
            for each in node.body
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        )


@final
class Excerpt(NamedTuple):
    """The lines of one function; its tree is thousands of objects, and parsed anew."""

    text: str
    first: int  # the line of the file in which the text begins (a decorator, if there is one)
    owner: Around | None  # the class around it, after which private names are mangled
    # What the module binds somewhere: a name that is not among them is a builtin, if anything.
    module_names: frozenset[str]

    def parse(self, filename: str) -> ast.AsyncFunctionDef:
        """A new tree, with the file's own line numbers."""
        if self.text[:1].isspace():
            text = "\n" * (self.first - 2) + "if 1:\n" + self.text
        else:
            text = "\n" * (self.first - 1) + self.text
        node: ast.stmt
        (node,) = ast.parse(text, filename).body
        if isinstance(node, ast.If):
            (node,) = node.body
        assert isinstance(node, ast.AsyncFunctionDef)
        return node


def _dotted(node: ast.expr) -> str:
    """A plain or dotted name, without what is in brackets behind it; empty for the rest."""
    inner = node = node.value if isinstance(node, ast.Subscript) else node
    while isinstance(inner, ast.Attribute):
        inner = inner.value
    return ast.unparse(node) if isinstance(inner, ast.Name) else ""


@final
class _Index:
    """Where the functions of one file stand, and the names that its module binds."""

    __slots__ = ("functions", "module_names", "text")

    def __init__(self, text: str, filename: str) -> None:
        self.text = text
        # First line (of the first decorator) → name, last line, the class around.
        self.functions: dict[int, tuple[str, int, Around | None]] = {}
        names: set[str] = set()
        for statement in ast.parse(text, filename).body:
            self._visit(statement, None, names, True)
        self.module_names = frozenset(names)

    def _visit(self, node: ast.AST, owner: Around | None, names: set[str], module: bool) -> None:
        kind = type(node)
        if kind in (ast.AsyncFunctionDef, ast.FunctionDef, ast.ClassDef):
            assert isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef | ast.ClassDef)
            if module:
                names.add(node.name)
            if isinstance(node, ast.AsyncFunctionDef):
                first = min((each.lineno for each in node.decorator_list), default=node.lineno)
                last = node.end_lineno or node.lineno
                self.functions[min(first, node.lineno)] = (node.name, last, owner)
            # In a function of a class names are still mangled with the class's name.
            inner = Around(node) if isinstance(node, ast.ClassDef) else owner
            for statement in node.body:
                self._visit(statement, inner, names, False)
            return
        if isinstance(node, ast.Global):
            names.update(node.names)
        elif not module and isinstance(node, ast.expr):
            return  # no function stands in an expression, and its names are not the module's
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                names.add(node.id)
        elif module and isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        for child in children(node):
            self._visit(child, owner, names, module)


_indexes: OrderedDict[str, _Index] = OrderedDict()


def _index(code: CodeType) -> _Index:
    name = code.co_filename
    text = "".join(linecache.getlines(name))
    found = _indexes.get(name)
    if found is None or found.text != text:
        if not text:
            raise Refused(
                name,
                code.co_firstlineno,
                f"the source of {code.co_name} cannot be read",
                "@unboxed compiles a function from its file: keep the file beside the code",
            )
        found = _indexes[name] = _Index(text, name)
        while len(_indexes) > _FILES:
            _indexes.popitem(last=False)
    return found


def excerpt(code: CodeType) -> Excerpt:
    """The `async def` of `code`. Raises Refused when its file cannot be read or has changed."""
    index = _index(code)
    first = code.co_firstlineno
    name, last, owner = index.functions.get(first, ("", 0, None))
    if name != code.co_name:
        raise Refused(
            code.co_filename,
            first,
            f"no async def {code.co_name} stands at this line",
            "the file has changed since it was loaded; load it again",
        )
    lines = linecache.getlines(code.co_filename)[first - 1 : last]
    return Excerpt("".join(lines), first, owner, index.module_names)


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
        # What stands in a class is mangled with its name.
        todo += outside(each) if isinstance(each, ast.ClassDef) else children(each)
