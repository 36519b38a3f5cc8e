"""What is awaited: which callee a call means, as far as it is known at decoration.

Known are names of the module and of functions around, attributes of modules and classes, and
methods of what has a known class (`self`, annotations, a local made once by a call of a class). A
method may be overridden by the time it is called; so such a call is guarded, and refuses then."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple, NoReturn, Self, get_origin

from pinfut.coroutine import yield_now
from pinfut.unboxed.box import box
from pinfut.unboxed.errors import Refused
from pinfut.unboxed.scopes import Names, arguments
from pinfut.unboxed.trees import walk
from pinfut.unboxed.unit import Awaited, Embed, Leaf, Unit, Yields, unit_behind

LEAF: Final = Leaf()
BOXED: Final = Leaf(boxed=True)
YIELDS: Final = Yields()


NOTHING: Final = object()


class ClassBody(NamedTuple):
    """A class whose body is being run: what stands in it so far, and what is around it."""

    namespace: Mapping[str, Any]
    outside: Mapping[str, Any]


class Bases:
    """What ``super()`` gives in a method of a class whose body is being run."""


class Resolver:
    """Resolves the awaits of one function."""

    def __init__(
        self, unit: Unit, node: ast.AsyncFunctionDef, names: Names, body: ClassBody | None
    ) -> None:
        self.unit = unit
        self.node = node
        self.names = names
        self.function: FunctionType = unit.function
        self.body = body
        self._around = unit.excerpt.owner
        # The bases of the class whose body is being run, as far as they are known.
        self._bases = [] if body is None else list(self._known_bases(body))
        # What is in the cells of the functions around, as far as they are filled.
        self._filled = dict(_filled(self.function))
        self._types = self._local_types()

    def _known_bases(self, body: ClassBody) -> Iterator[type]:
        # What a class is made of has been looked up by the interpreter a moment ago.
        for text in () if self._around is None else self._around.bases:
            try:
                base = eval(text, self.function.__globals__, dict(body.outside))
            except Exception:
                continue
            if isinstance(base, type):
                yield base

    def value(self, node: ast.expr) -> Any:
        """The object that `node` means at decoration, or NOTHING."""
        if isinstance(node, ast.Name):
            name = node.id
            if name in self.names.own:
                return NOTHING
            if name in self.function.__code__.co_freevars:
                return self._filled.get(name, NOTHING)
            found = self.function.__globals__.get(name, NOTHING)
            return getattr(builtins, name, NOTHING) if found is NOTHING else found
        if isinstance(node, ast.Attribute):
            base = self.value(node.value)
            if isinstance(base, ModuleType):
                return getattr(base, node.attr, NOTHING)
        return NOTHING

    def _evaluated(self, annotation: object, scope: Mapping[str, Any]) -> Any:
        if isinstance(annotation, ast.expr):
            annotation = ast.unparse(annotation)
        if isinstance(annotation, str):
            try:
                annotation = eval(annotation, dict(scope), self._filled)
            except Exception:
                return None
        annotation = get_origin(annotation) or annotation
        return annotation if isinstance(annotation, type) else None

    def _local_types(self) -> dict[str, Any]:
        node, scope = self.node, self.function.__globals__
        types: dict[str, Any] = {}
        for arg in arguments(node.args):
            if arg.annotation is not None:
                types[arg.arg] = self._evaluated(arg.annotation, scope)
        for star in (node.args.vararg, node.args.kwarg):
            if star is not None:
                types.pop(star.arg, None)
        first = [*node.args.posonlyargs, *node.args.args][:1]
        wraps = {each.id for each in node.decorator_list if isinstance(each, ast.Name)}
        if self.body is not None and first and "staticmethod" not in wraps:
            types[first[0].arg] = self.body
        stores: dict[str, int] = {}
        made: dict[str, ast.expr] = {}
        for each in walk(node):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store | ast.Del):
                stores[each.id] = stores.get(each.id, 0) + 1
            elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                types[each.target.id] = self._evaluated(each.annotation, scope)
            elif (
                isinstance(each, ast.Assign)
                and len(each.targets) == 1
                and isinstance(each.targets[0], ast.Name)
                and isinstance(each.value, ast.Call | ast.Await)
            ):
                made[each.targets[0].id] = each.value
        self._types = types
        for name, value in made.items():
            if name not in types and stores[name] == 1:
                types[name] = self.kind(value)
        for name, count in stores.items():
            # A parameter that is assigned keeps its annotation; `self` is nobody's any more.
            if count and self.body is not None and types.get(name) is self.body:
                types.pop(name)
        return types

    def kind(self, node: ast.expr) -> Any:
        """The class of what `node` gives (a ClassBody for `self`), or None."""
        if isinstance(node, ast.Name) and node.id in self.names.own:
            return self._types.get(node.id)
        value = self.value(node)
        if value is not NOTHING:
            return type(value)
        if isinstance(node, ast.Call):
            made = self.value(node.func)
            if made is box and node.args:
                return None
            if made is super:
                return Bases() if self.body is not None and not node.args else None
            if isinstance(made, type):
                return made
            if isinstance(made, FunctionType) and not inspect.iscoroutinefunction(made):
                return self._evaluated(made.__annotations__.get("return"), made.__globals__)
        if isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
            return self._given_by(node.value.func)
        if isinstance(node, ast.Attribute):
            owner = self.kind(node.value)
            owners = [owner]
            if isinstance(owner, ClassBody):
                notes = owner.namespace.get("__annotations__", {})
                if node.attr in notes:
                    return self._evaluated(notes[node.attr], self.function.__globals__)
                owners = self._bases
            for base in (each for known in owners for each in getattr(known, "__mro__", ())):
                notes = inspect.get_annotations(base)
                if node.attr in notes:
                    module = sys.modules.get(base.__module__)
                    return self._evaluated(notes[node.attr], vars(module) if module else {})
        return None

    def _given_by(self, func: ast.expr) -> Any:
        """The class of what the coroutine function at `func` says that it gives, or None."""
        owner: Any = None
        found = self.value(func)
        if found is NOTHING and isinstance(func, ast.Attribute):
            owner = self.value(func.value)
            if not isinstance(owner, type):
                owner = self.kind(func.value)
            found = self.member(owner, func.attr)
        if isinstance(found, classmethod | staticmethod):
            found = found.__func__
        if not isinstance(found, FunctionType):
            return None
        note = found.__annotations__.get("return")
        if note is Self or (isinstance(note, str) and note.rpartition(".")[2] == "Self"):
            return owner
        return self._evaluated(note, found.__globals__)

    def member(self, owner: Any, name: str) -> Any:
        """The attribute `name` as it stands in the class `owner`, or NOTHING."""
        if isinstance(owner, ClassBody):
            if name in owner.namespace:
                return owner.namespace[name]
            if self._around is None or name in self._around.functions:
                return NOTHING  # it is still to come
        if isinstance(owner, ClassBody | Bases):
            # Which base comes first may be otherwise in the end: such a call is guarded.
            found = (inspect.getattr_static(base, name, NOTHING) for base in self._bases)
            return next((each for each in found if each is not NOTHING), NOTHING)
        if isinstance(owner, type):
            return inspect.getattr_static(owner, name, NOTHING)
        return NOTHING

    def refuse(self, node: ast.AST, construct: str, way_out: str) -> NoReturn:
        line = getattr(node, "lineno", self.node.lineno)
        raise Refused(self.unit.file, line, construct, way_out)

    def awaited(self, node: ast.Await) -> Awaited:
        """What the await at `node` waits for. Raises Refused."""
        value = node.value
        if not isinstance(value, ast.Call):
            return LEAF
        func = value.func
        name = ast.unparse(func)
        known = self.value(func)
        if known is box:
            return BOXED
        self._not_itself(node, func, name)
        if known is yield_now and not (value.args or value.keywords):
            return YIELDS
        if isinstance(func, ast.Attribute) and known is NOTHING:
            owner = self._class_named(func.value)
            if owner is not None:
                return self._of_class(node, name, owner, func)
            return self.method(node, self.kind(func.value), func.attr, name)
        if known is NOTHING:
            return self._unknown(node, name)
        return self._called(node, known, name)

    def _class_named(self, node: ast.expr) -> type | ClassBody | None:
        """The class that `node` names; it may be the one whose body is being run."""
        found = self.value(node)
        if isinstance(found, type):
            return found
        own = (
            isinstance(node, ast.Name) and self._around is not None and node.id == self._around.name
        )
        return self.body if own and found is NOTHING else None

    def _not_itself(self, node: ast.AST, func: ast.expr, name: str) -> None:
        own = self.function.__name__
        if isinstance(func, ast.Name):
            free = own in self.function.__code__.co_freevars
            around = "<locals>" in self.function.__qualname__
            same = (
                func.id == own
                and own not in self.names.own
                and (free if around else not free and self.function.__qualname__ == own)
            )
        else:
            same = (
                isinstance(func, ast.Attribute)
                and func.attr == own
                and self.body is not None
                and self.kind(func.value) is self.body
            )
        if same:
            self.refuse(
                node,
                f"{name} calls itself, and a frame cannot hold itself",
                f"write await box({name}(...)) here",
            )

    def _unknown(self, node: ast.AST, name: str) -> NoReturn:
        self.refuse(
            node,
            f"what {name} is, is not known when {self.function.__qualname__} is decorated",
            f"define it before, or annotate what it is looked up on, or write await box({name}"
            "(...)); a future that is there already is awaited by its name",
        )

    def _called(self, node: ast.AST, known: Any, name: str) -> Awaited:
        unit = unit_behind(known)
        if unit is not None:
            if isinstance(known, MethodType):
                self.refuse(node, f"{name} is a bound method", f"write await box({name}(...))")
            return Embed(unit)
        inner = known
        while isinstance(inner, partial):
            inner = inner.func
        if inspect.iscoroutinefunction(inner) or unit_behind(inner) is not None:
            self.refuse(
                node,
                f"{name} is a coroutine with a frame of its own",
                f"decorate it with @unboxed, or write await box({name}(...))",
            )
        return LEAF

    def _of_class(
        self, node: ast.AST, name: str, owner: type | ClassBody, func: ast.Attribute
    ) -> Awaited:
        raw = self.member(owner, func.attr)
        if raw is NOTHING:
            return self._unknown(node, name)
        inner = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
        unit = unit_behind(inner)
        if isinstance(raw, classmethod) and unit is not None:
            return Embed(unit, bound=True)
        return self._called(node, inner, name)

    def method(self, node: ast.AST, owner: Any, attr: str, name: str) -> Awaited:
        """The await of the method `attr` of something whose class is `owner`."""
        raw = self.member(owner, attr)
        inner = raw.__func__ if isinstance(raw, classmethod) else raw
        # Of a static method there is nothing to guard: it is to be called on the class.
        if isinstance(inner, staticmethod | property) or not callable(inner):
            return self._unknown(node, name)
        unit = unit_behind(inner)
        if unit is not None:
            return Embed(unit, bound=True, guarded=True)
        return self._called(node, inner, name)

    def special(self, expr: ast.expr, attr: str) -> Awaited:
        """What ``__aenter__`` and its like give for the value of `expr`."""
        if isinstance(expr, ast.Call) and self.value(expr.func) is box:
            return BOXED
        owner = self.kind(expr)
        raw = self.member(owner, attr)
        what = ast.unparse(expr)
        if raw is NOTHING:
            self.refuse(
                expr,
                f"the class of {what} is not known, nor what its {attr} gives",
                f"annotate it, or write box({what})",
            )
        unit = unit_behind(raw)
        if unit is not None:
            return Embed(unit)
        if inspect.iscoroutinefunction(raw) or inspect.isasyncgenfunction(raw):
            self.refuse(
                expr,
                f"{attr} of {what} is a coroutine with a frame of its own",
                f"write box({what}), or decorate it with @unboxed if it is yours",
            )
        return LEAF


def _filled(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):
            yield name, cell.cell_contents
