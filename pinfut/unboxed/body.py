"""The body of one function, in its activation: all the parts of the lowering put together."""

from __future__ import annotations

import ast
from typing import final

from pinfut.unboxed.frameplan import Var
from pinfut.unboxed.guards import Guards
from pinfut.unboxed.nesting import LOOP
from pinfut.unboxed.plan import returns
from pinfut.unboxed.scopes import own_nodes


@final
class Body(Guards):
    """Lowers the body of one activation."""

    def body(self, result: Var | None, native: bool = False) -> list[ast.stmt]:
        """The whole body; its value goes into `result`. `native`: it is that of a function of
        its own, and return is return."""
        self.result, self.native = result, native
        if result is not None and result.temporary and self.plan.direct:
            # Until there is a value, its slot serves the statements.
            self.idle.append(result)
        node = self.plan.node
        with self.into() as out:
            self._cells(node)
            if native:
                self.each(node.body)
            elif self.plan.structured:
                self.tail(node.body)
            else:
                flagged = any(_loops_returning(each) for each in node.body)
                if flagged:
                    self.returned = self.activation.var("returned·", temporary=True)
                    self.flag(self.returned, False, node)
                with self.into() as once, self.nested(LOOP):
                    self.each(node.body)
                    self.nothing(node)
                    self.emit(ast.Break(), node)
                self.emit(ast.While(ast.Constant(True), once, []), node)
        return out

    def _cells(self, node: ast.AST) -> None:
        for name, var in list(self.vars.items()):
            if not var.captured:
                continue
            if name in self.plan.parameters:
                self.assign(var.store(), self.call("CellType", var.load()), node)
            else:
                self.assign(var.store(), self.call("CellType"), node)


def _loops_returning(node: ast.AST) -> bool:
    """Whether some loop in `node` holds a return."""
    loops = ast.For | ast.While | ast.AsyncFor
    return any(isinstance(each, loops) and returns(each) for each in own_nodes([node]))
