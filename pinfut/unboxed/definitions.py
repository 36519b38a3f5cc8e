"""Statements that make things: imports, and functions and classes inside."""

from __future__ import annotations

import ast

from pinfut.unboxed.statements import Statements


class Definitions(Statements):
    """Lowers imports and definitions."""

    def _Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self._import(node, None, alias, name, 0)

    def _ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level and not self.home:
            package = self.globals.get("__package__") or ""
            parts = package.split(".")
            parts = parts[: len(parts) - node.level + 1]
            module = ".".join([*parts, module] if module else parts)
            level = 0
        else:
            level = node.level
        for alias in node.names:
            self._import(node, module, alias, alias.asname or alias.name, level)

    def _import(
        self, node: ast.stmt, module: str | None, alias: ast.alias, name: str, level: int
    ) -> None:
        var = self.temp()
        first = alias.name.partition(".")[0]
        if module is None and alias.asname is None and first != alias.name:
            # `import a.b` binds a.
            load = ast.alias(alias.name, None)
            var.sites.append((load, "asname"))
            self.emit(ast.Import([load]), node)
            alias = ast.alias(first, None)
        made = ast.alias(alias.name, name)
        var.sites.append((made, "asname"))
        statement: ast.stmt
        if module is None:
            statement = ast.Import([made])
        else:
            statement = ast.ImportFrom(module or None, [made], level)
        self.emit(statement, node)
        self.assign(self.target(name, ast.Store()), var.load(), node)

    def _FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        decorators = [self.save(self.expr(each), each) for each in node.decorator_list]
        made = self.closure(node)
        for decorator in reversed(decorators):
            made = self.at(ast.Call(decorator, [made], []), node)
        self.assign(self.target(node.name, ast.Store()), made, node)

    _AsyncFunctionDef = _ClassDef = _FunctionDef
