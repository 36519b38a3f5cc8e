"""Functions and classes inside an unboxed function.

They are made anew in each call, over the cells of that call; their code is compiled once."""

from __future__ import annotations

import ast
import copy
from types import CodeType
from typing import Any

from pinfut.unboxed.emission import Emission
from pinfut.unboxed.scopes import Closure, arguments, bare
from pinfut.unboxed.trees import code_in, compiled, function_of


class Closures(Emission):
    """Makes the functions, classes and generators that stand in an activation."""

    def closure(self, node: Any) -> ast.expr:
        """The function that a lambda or a def makes, the generator, or the bare class."""
        code = self._code(node)
        # The cells in the order in which the code wants them.
        cells: list[ast.expr] = []
        for name in code.co_freevars:
            cell = self.cell(name)
            assert cell is not None, name
            cells.append(cell)
        call: list[ast.expr] = [
            self.frame.link(f"code_{code.co_name.strip('<>')}", code),
            self.frame.link("globals", self.globals),
            ast.Tuple(cells, ast.Load()),
        ]
        if isinstance(node, ast.GeneratorExp):
            made = self.call("function", *call)
            first = ast.Call(self.helper("iter_"), [self.expr(node.generators[0].iter)], [])
            return self.at(ast.Call(made, [first], []), node)
        if isinstance(node, ast.ClassDef):
            bases = ast.Tuple([self.expr(base) for base in node.bases], ast.Load())
            words = ast.Dict(
                [None if word.arg is None else ast.Constant(word.arg) for word in node.keywords],
                [self.expr(word.value) for word in node.keywords],
            )
            made = self.call("function", *call)
            return self.at(ast.Call(made, [bases, words], []), node)
        none: ast.expr = ast.Constant(None)
        args = node.args
        defaults: ast.expr = none
        if args.defaults:
            defaults = ast.Tuple([self.expr(each) for each in args.defaults], ast.Load())
        named = [
            (arg.arg, value)
            for arg, value in zip(args.kwonlyargs, args.kw_defaults, strict=True)
            if value is not None
        ]
        kwdefaults: ast.expr = none
        if named:
            kwdefaults = ast.Dict(
                [ast.Constant(name) for name, _ in named], [self.expr(value) for _, value in named]
            )
        call += [defaults, kwdefaults, self._annotations(node)]
        while len(call) > 3 and isinstance(call[-1], ast.Constant):
            call.pop()
        return self.at(self.call("function", *call), node)

    def _annotations(self, node: Any) -> ast.expr:
        notes: list[tuple[str, ast.expr]] = [
            (arg.arg, arg.annotation) for arg in arguments(node.args) if arg.annotation is not None
        ]
        if getattr(node, "returns", None) is not None:
            notes.append(("return", node.returns))
        if not notes:
            return ast.Constant(None)
        values: list[ast.expr]
        if self.plan.code.co_flags & 0x1000000:  # from __future__ import annotations
            values = [ast.Constant(ast.unparse(note)) for _, note in notes]
        else:
            values = [self.expr(note) for _, note in notes]
        return ast.Dict([ast.Constant(name) for name, _ in notes], values)

    def _code(self, node: Closure) -> CodeType:
        known = self.plan.codes.get(node)
        if known is None:
            known = self.plan.codes[node] = self._compiled(node)
        return known

    def _compiled(self, node: Closure) -> CodeType:
        free = self.plan.names.scopes[node].free()
        cells = sorted(name for name in free if name in self.vars or name in self.free)
        inner: ast.stmt
        name = getattr(node, "name", None)
        if isinstance(node, ast.Lambda):
            lambda_ = copy.copy(node)
            lambda_.args = _optional(node.args)
            inner, name = ast.Expr(lambda_), "<lambda>"
        elif isinstance(node, ast.GeneratorExp):
            generator = copy.copy(node)
            first = copy.copy(node.generators[0])
            first.iter = ast.Tuple([], ast.Load())
            generator.generators = [first, *node.generators[1:]]
            inner, name = ast.Expr(generator), "<genexpr>"
        elif isinstance(node, ast.ClassDef):
            inner, name = self._class_maker(node), "make·class"
        else:
            function = copy.copy(node)
            function.args = _optional(node.args)
            function.decorator_list = []
            function.returns = None
            inner = function
        outer = function_of("outer·", [ast.arg(each) for each in cells], [inner])
        ast.copy_location(outer, node)
        found = code_in(compiled(outer, self.plan.file, self.plan.code.co_flags), str(name))
        prefix = "outer·.<locals>." + ("make·class.<locals>." if name == "make·class" else "")
        return _qualified(found, prefix, self.plan.function.__qualname__ + ".<locals>.")

    def _class_maker(self, node: ast.ClassDef) -> ast.stmt:
        named = copy.copy(node)
        named.decorator_list = []
        named.bases = [ast.Starred(ast.Name("bases·", ast.Load()), ast.Load())]
        named.keywords = [ast.keyword(None, ast.Name("words·", ast.Load()))]
        qualname = f"{self.plan.function.__qualname__}.<locals>.{node.name}"
        title = ast.Assign([ast.Name("__qualname__", ast.Store())], ast.Constant(qualname))
        documented = (
            isinstance(node.body[0], ast.Expr)
            and isinstance(node.body[0].value, ast.Constant)
            and isinstance(node.body[0].value.value, str)
        )
        at = 1 if documented else 0
        named.body = [*node.body[:at], ast.copy_location(title, node), *node.body[at:]]
        body = [named, ast.Return(ast.Name(node.name, ast.Load()))]
        maker = function_of("make·class", [ast.arg("bases·"), ast.arg("words·")], body)
        return ast.copy_location(maker, node)


def _optional(args: ast.arguments) -> ast.arguments:
    """The parameters, with defaults only to say which have one: they are evaluated outside."""
    found = bare(args)
    found.kw_defaults = [
        None if value is None else ast.Constant(None) for value in args.kw_defaults
    ]
    return found


def _qualified(code: CodeType, prefix: str, new: str) -> CodeType:
    consts = tuple(
        _qualified(const, prefix, new) if isinstance(const, CodeType) else const
        for const in code.co_consts
    )
    name = code.co_qualname
    if name.startswith(prefix):
        name = new + name[len(prefix) :]
    return code.replace(co_consts=consts, co_qualname=name)
