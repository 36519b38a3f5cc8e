"""From a plan to code: the function that is called, and the frame that is used again.

Called, it is a coroutine for one call. The frame is an asynchronous generator with the same body
that loops: it takes the arguments of a call, runs it, scrubs its locals and yields the value."""

from __future__ import annotations

import ast
import dis
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any, Final, final

from pinfut.unboxed.calls import CAUGHT
from pinfut.unboxed.errors import Refused
from pinfut.unboxed.frameplan import LINKED, FramePlan, Suspension, Var
from pinfut.unboxed.guards import Guards
from pinfut.unboxed.nesting import LOOP
from pinfut.unboxed.plan import returns
from pinfut.unboxed.scopes import arguments, bare, own_nodes
from pinfut.unboxed.tracing import Tracer
from pinfut.unboxed.trees import compiled, function_of, with_constants
from pinfut.unboxed.unit import Unit

_GENERATOR: Final = 0x20
_COROUTINE: Final = 0x80
_ITERABLE: Final = 0x100
_ASYNC_GENERATOR: Final = 0x200

_ROOM: Final = 20_000
"""Calls inside one another that lowering may need: a dozen for each level of the chain."""


@contextmanager
def _room() -> Iterator[None]:
    """More room for recursion, so that the outcome does not depend on who called first."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _ROOM))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@final
class Body(Guards):
    """Lowers the body of one activation: all the parts of the lowering put together."""

    def body(self, result: Var | None, native: bool = False) -> list[ast.stmt]:
        """The whole body; its value goes into `result`. `native`: return is return."""
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
                loops = ast.For | ast.While | ast.AsyncFor
                if any(isinstance(each, loops) and returns(each) for each in own_nodes(node.body)):
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


class Linked:
    """The objects that a generated function uses, as attributes."""


class Generated:
    """One generated function: its tree, its code, its slots. Kept by nobody for long."""

    __slots__ = (
        "activations", "cells", "code", "function", "further", "slots", "suspensions", "tree",
    )  # fmt: skip

    def __init__(self, frame: FramePlan, node: ast.FunctionDef, flags: int) -> None:
        plan = frame.root
        self.slots: list[list[Var]] = frame.assign_slots()
        self.suspensions: list[Suspension] = frame.suspensions
        self.activations = frame.activations
        self.cells = frame.cells
        # Functions whose frames it makes when it comes to them.
        self.further: list[Unit] = list(dict.fromkeys(frame.further))
        if frame.globals:
            node.body.insert(0, ast.Global(sorted(frame.globals)))
        ast.copy_location(node, plan.node)
        # The table of lines counts from the first one: that of the first decorator.
        node.lineno = node.end_lineno = plan.code.co_firstlineno
        self.tree = node
        try:
            inner = compiled(node, plan.file, plan.code.co_flags)
        except (SyntaxError, RecursionError) as error:
            raise Refused(
                plan.file,
                plan.node.lineno,
                f"the chain below {plan.code.co_name} cannot be compiled: {error}",
                "write await box(...) around one of its calls",
            ) from error
        linked = Linked()
        tracer = Tracer(frame.activations)
        for name, thing in frame.linked.items():
            setattr(linked, name, tracer if thing is CAUGHT else thing)
        inner = with_constants(inner, {LINKED: linked})
        if flags & _ASYNC_GENERATOR:
            inner = _with_items(inner)
        self.code: CodeType = inner.replace(
            co_name=plan.code.co_name,
            co_qualname=plan.code.co_qualname,
            co_flags=(inner.co_flags & ~_GENERATOR) | flags,
        )
        self.function = FunctionType(self.code, plan.function.__globals__, plan.code.co_name)

    @property
    def text(self) -> str:
        """The generated source, for people."""
        return ast.unparse(self.tree).replace(repr(LINKED), "linked")


def _noticed(frame: FramePlan, lowering: Body, body: list[ast.stmt]) -> list[ast.stmt]:
    """`body`, with the traceback of what it raises put right."""
    if len(frame.activations) == 1:
        return body
    node = frame.root.node
    with lowering.into() as out:
        with lowering.into() as failed:
            lowering.caught(node)
            lowering.emit(ast.Raise(None, None), node)
        lowering.attempt(body, "Base", failed, node)
    return out


@_room()
def called(unit: Unit) -> Generated:
    """The function of `unit`, to be called: a coroutine in one frame."""
    frame = FramePlan(unit)
    plan = frame.root
    lowering = Body(frame, plan, frame.activations[0])
    body = _noticed(frame, lowering, lowering.body(None, native=True))
    # What makes it a generator for the compiler, when nothing in it waits.
    node = plan.node
    never = lowering.at(ast.If(ast.Constant(False), [ast.Expr(ast.Yield(None))], []), node)
    args = bare(node.args)
    # The parameters are slots too, used or not.
    for arg in arguments(args):
        lowering.vars[arg.arg].sites.append((arg, "arg"))
    made = ast.FunctionDef(node.name, args, [never, *body], [], None)
    return Generated(frame, made, _COROUTINE)


@_room()
def looping(unit: Unit, ended: Any, failed: Any) -> Generated:
    """The frame of `unit`: a generator function of where it belongs and goes back to. What a call
    gives goes through `ended`, with both of these, the value and None; before it raises, `failed`
    is called."""
    frame = FramePlan(unit)
    plan = frame.root
    lowering = Body(frame, plan, frame.activations[0])
    node = plan.node
    first = frame.activations[0]
    result = first.var("result·", temporary=True)
    home = first.var("home·", temporary=True)
    free_list = first.var("free_list·", temporary=True)

    def told(name: str, what: Any, *values: ast.expr) -> ast.expr:
        return ast.Call(frame.link(name, what), [home.load(), free_list.load(), *values], [])

    none = ast.Constant(None)
    with lowering.into() as begin:
        lowering.assign(result.store(), none, node)
    with lowering.into() as loop:
        # The value is on its way when its slot is emptied.
        value = told("ended", ended, result.load(), ast.NamedExpr(result.store(), none))
        item = ast.Yield(ast.UnaryOp(_ITEM, value))
        lowering.assign(lowering.leaf.store(), item, node)
        stores: list[ast.expr] = [lowering.vars[name].store() for name in plan.parameters]
        if stores:
            lowering.assign(ast.Tuple(stores, ast.Store()), lowering.leaf.load(), node)
            clear = ast.Attribute(lowering.leaf.load(), "clear", ast.Load())
            lowering.emit(ast.Expr(ast.Call(clear, [], [])), node)
        lowering.assign(lowering.leaf.store(), none, node)
        body = lowering.body(result)
        with lowering.into() as failing:
            if len(frame.activations) > 1:
                lowering.caught(node)
            lowering.emit(ast.Expr(told("failed", failed)), node)
            lowering.emit(ast.Raise(None, None), node)
        with lowering.into() as stopped:
            lowering.emit(ast.Expr(told("failed", failed)), node)
            lowering.emit(ast.Raise(lowering.call("stopped"), None), node)
        handlers = [
            lowering.at(ast.ExceptHandler(lowering.helper("Stop"), None, stopped), node),
            lowering.at(ast.ExceptHandler(lowering.helper("Base"), None, failing), node),
        ]
        lowering.emit(ast.Try(body, handlers, [], []), node)
        lowering.scrub(lowering, node, (result, home, free_list))
    parameters = [ast.arg("home·"), ast.arg("free_list·")]
    for var, parameter in zip((home, free_list), parameters, strict=True):
        var.sites.append((parameter, "arg"))
    forever = lowering.at(ast.While(ast.Constant(True), loop, []), node)
    made = function_of(node.name, parameters, [*begin, forever])
    return Generated(frame, made, _ASYNC_GENERATOR | _ITERABLE)


_ITEM: Final = ast.UAdd()
"""Marks a yield as that of an item. No other yield of generated code has an operator."""


def _with_items(code: CodeType) -> CodeType:
    """`code` with the marked yields made those of an asynchronous generator."""
    raw = bytearray(code.co_code)
    marked = -1
    for each in dis.get_instructions(code):
        if each.opname == "YIELD_VALUE" and marked == each.offset - 2:
            if sys.version_info >= (3, 12):
                raw[marked + 1] = _WRAP
            else:
                raw[marked] = _WRAP
        mark = each.opname == "UNARY_POSITIVE" or (
            each.opname == "CALL_INTRINSIC_1" and each.arg == _POSITIVE
        )
        marked = each.offset if mark else -1
    return code.replace(co_code=bytes(raw))


# Since 3.12 both are intrinsics, told apart by their argument.
_POSITIVE: Final = 5
_WRAP: Final = 4 if sys.version_info >= (3, 12) else dis.opmap["ASYNC_GEN_WRAP"]
