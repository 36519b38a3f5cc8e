"""match."""

from __future__ import annotations

import ast
from typing import Any

from pinfut.unboxed.frameplan import Var
from pinfut.unboxed.guards import Guards


class Patterns(Guards):
    """Lowers match. A capture whose name does not stand in the frame is stored afterwards."""

    def _Match(self, node: ast.Match) -> None:
        subject = self.expr(node.subject)
        temps, leafy = self.temps, self.leafy
        cases: list[ast.match_case] = []
        for case in node.cases:
            late: list[tuple[str, Var]] = []
            pattern = self._pattern(case.pattern, late)
            self.temps, self.leafy = [], False
            guard = None
            if case.guard is not None:
                guard = self.expr(case.guard)
                if late:
                    stores = [self._put(name, var, case.guard) for name, var in late]
                    both = ast.Tuple([*stores, guard], ast.Load())
                    guard = self.at(
                        ast.Subscript(both, ast.Constant(len(stores)), ast.Load()), case.guard
                    )
            with self.into() as body:
                if case.guard is None:
                    for name, var in late:
                        self.assign(self.target(name, ast.Store()), var.load(), case.pattern)
                body += self.inner(case.body)
            cases.append(ast.match_case(pattern, guard, body))
        self.temps, self.leafy = temps, leafy or self.leafy
        self.emit(ast.Match(subject, cases), node)

    def _put(self, name: str, var: Var, place: ast.AST) -> ast.expr:
        target = self.target(name, ast.Store())
        assert isinstance(target, ast.Attribute)
        put = self.call("put", target.value, ast.Constant(target.attr), var.load())
        return self.at(put, place)

    def _pattern(self, node: Any, late: list[tuple[str, Var]]) -> Any:
        if isinstance(node, list):
            return [self._pattern(each, late) for each in node]
        if isinstance(node, ast.expr):
            return self.expr(node)
        if not isinstance(node, ast.pattern):
            return node  # a name, or a plain value
        kind: Any = type(node)
        new = kind(*[self._pattern(getattr(node, field, None), late) for field in node._fields])
        for field in ("name", "rest"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                var = self.plain_var(name)
                if var is None:
                    var = self.activation.var("case·", temporary=True)
                    late.append((name, var))
                var.sites.append((new, field))
        return self.at(new, node)
