"""Reads the imports of source files, without running them."""

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Folder at the root → the package that its files are imported as.
FLOORS = {"pinfut": "pinfut", "executor": "pinfut.executor", "rpc": "pinfut.rpc"}
BESIDE = {"benches": "benches", "examples": "examples", "tests": "tests"}


@dataclass(frozen=True)
class Import:
    """One name that a statement imports."""

    module: str
    # The part after `import` in `from module import name`; "" in `import module`.
    name: str
    line: int
    # Runs when the module is loaded: not in a function, not under TYPE_CHECKING.
    at_load: bool
    # The dots of a relative import.
    level: int = 0

    @property
    def target(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def sources(folders: dict[str, str]) -> Iterator[tuple[str, Path]]:
    """(module name, file) for each source file under its real folder."""
    for folder, package in folders.items():
        # os.walk does not descend into links, so pinfut/executor is not seen twice.
        for place, _, names in os.walk(ROOT / folder):
            for name in sorted(names):
                if name.endswith(".py"):
                    path = Path(place, name)
                    inner = path.relative_to(ROOT / folder).with_suffix("").parts
                    parts = inner[:-1] if inner[-1] == "__init__" else inner
                    yield ".".join([package, *parts]), path


@cache
def imports(source: str) -> tuple[Import, ...]:
    reader = _Reader()
    reader.visit(ast.parse(source))
    return tuple(reader.found)


class _Reader(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: list[Import] = []
        self.at_load = True

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.found.append(Import(alias.name, "", node.lineno, self.at_load))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            found = Import(node.module or "", alias.name, node.lineno, self.at_load, node.level)
            self.found.append(found)

    def visit_Call(self, node: ast.Call) -> None:
        """`import_module("a.b")` and `__import__("a.b")` with the name written out."""
        called = node.func
        name = getattr(called, "id", getattr(called, "attr", ""))
        if name in ("import_module", "__import__") and node.args:
            match node.args[0]:
                case ast.Constant(value=str(module)):
                    self.found.append(Import(module, "", node.lineno, self.at_load))
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self._not_at_load(node.body)
            for child in node.orelse:
                self.visit(child)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        # Decorators, defaults and annotations run at load; only the body does not.
        body, node.body = node.body, []
        self.generic_visit(node)
        node.body = body
        self._not_at_load(body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self._not_at_load([node.body])

    def _not_at_load(self, nodes: list[ast.stmt] | list[ast.expr]) -> None:
        before, self.at_load = self.at_load, False
        for node in nodes:
            self.visit(node)
        self.at_load = before
