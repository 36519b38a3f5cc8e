"""What generated code calls: the few things that are not worth writing out in it."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from inspect import CO_ITERABLE_COROUTINE
from types import CellType, CodeType, CoroutineType, FunctionType, MethodType
from typing import Any, Final, NoReturn

from pinfut.future import FutureBase
from pinfut.unboxed.errors import Refused

# Builtins by names that no module overwrites.
kind = type
set_ = set
iter_ = iter
exc_info = sys.exc_info
Stop = StopIteration
AsyncStop = StopAsyncIteration
Base = BaseException
Exit = GeneratorExit

BRIDGE: Final = FutureBase.__await__
"""What has this as its ``__await__`` is a leaf: yielded as it is, without a bridge."""


def boxed(awaitable: Any) -> Any:
    """What to delegate to for an awaitable that may have frames of its own."""
    if type(awaitable) is CoroutineType:
        if awaitable.cr_await is not None or awaitable.cr_running:
            raise RuntimeError("coroutine is being awaited already")
        return awaitable
    bridge = getattr(type(awaitable), "__await__", None)
    if bridge is None:
        code = getattr(awaitable, "gi_code", None)
        if code is not None and code.co_flags & CO_ITERABLE_COROUTINE:
            return awaitable
        raise TypeError(f"object {type(awaitable).__name__} can't be used in 'await' expression")
    found = bridge(awaitable)
    if type(found) is CoroutineType:
        raise TypeError("__await__() returned a coroutine")
    if not isinstance(found, Iterator):
        raise TypeError(f"__await__() returned non-iterator of type '{type(found).__name__}'")
    return found


def _refuse(construct: str, way_out: str) -> NoReturn:
    """Refuse what the caller of the caller does."""
    frame = sys._getframe(2)
    raise Refused(frame.f_code.co_filename, frame.f_lineno, construct, way_out)


def awaiting(awaitable: Any) -> Any:
    """What to delegate to for a leaf of another kind. Raises Refused for a coroutine."""
    if type(awaitable) is CoroutineType or hasattr(awaitable, "cr_frame"):
        if isinstance(awaitable, CoroutineType):
            awaitable.close()
        _refuse(
            f"{awaitable!r} was awaited, which has a frame of its own",
            "write await box(...) around what gives it",
        )
    return boxed(awaitable)


def guard(method: Any, expected: object) -> Any:
    """What a method is bound to, if it is the one that was embedded. Raises Refused."""
    if type(method) is MethodType and method.__func__ is expected:
        return method.__self__
    _refuse(
        f"{method!r} is called where {expected!r} was embedded",
        "write await box(...) around a call that may be overridden",
    )


def expect(thing: Any, name: str, expected: object) -> None:
    """Check that the special method `name` of `thing` is the one that was embedded."""
    found = getattr(type(thing), name, None)
    if found is not expected:
        guard(found, expected)


def entering(manager: Any) -> tuple[Callable[[], Any], Callable[..., Any]]:
    """The two bound methods of an asynchronous context manager."""
    kind = type(manager)
    enter = getattr(kind, "__aenter__", None)
    if enter is None:
        raise TypeError(
            f"'{kind.__name__}' object does not support the asynchronous context manager protocol"
        )
    leave = getattr(kind, "__aexit__", None)
    if leave is None:
        raise TypeError(
            f"'{kind.__name__}' object does not support the asynchronous context manager "
            "protocol (missed __aexit__ method)"
        )
    return enter.__get__(manager, kind), leave.__get__(manager, kind)


def iterating(iterable: Any) -> Any:
    """The asynchronous iterator of `iterable`."""
    kind = type(iterable)
    method = getattr(kind, "__aiter__", None)
    if method is None:
        raise TypeError(
            f"'async for' requires an object with __aiter__ method, got {kind.__name__}"
        )
    found = method(iterable)
    if getattr(type(found), "__anext__", None) is None:
        raise TypeError(
            "'async for' received an object from __aiter__ that does not implement __anext__: "
            f"{type(found).__name__}"
        )
    return found


def following(iterator: Any) -> Any:
    """The awaitable of its next item."""
    return type(iterator).__anext__(iterator)


def stopped() -> RuntimeError:
    """What a StopIteration becomes when it leaves a coroutine."""
    error = RuntimeError("coroutine raised StopIteration")
    error.__cause__ = sys.exc_info()[1]
    return error


def closed() -> GeneratorExit:
    """What a close raises in the caller of a body that has swallowed it."""
    error = GeneratorExit()
    error.__dict__[OF_CLOSE] = True
    return error


OF_CLOSE: Final = "__close__"
"""Marks a GeneratorExit that nobody's code has raised."""


def read(cell: CellType, name: str, own: bool = False) -> Any:
    """The contents of a cell that may be empty; `own`: one of the function's own."""
    try:
        return cell.cell_contents
    except ValueError:
        pass
    text = f"variable '{name}' where it is not associated with a value"
    if own:
        raise UnboundLocalError(f"cannot access local {text}")
    raise NameError(f"cannot access free {text} in enclosing scope")


def put(holder: Any, attribute: str, value: Any) -> Any:
    """A walrus whose name does not stand in the frame."""
    setattr(holder, attribute, value)
    return value


def function(
    code: CodeType,
    namespace: dict[str, Any],
    cells: tuple[CellType, ...],
    defaults: tuple[Any, ...] | None = None,
    kwdefaults: dict[str, Any] | None = None,
    annotations: dict[str, Any] | None = None,
) -> FunctionType:
    """A function that is made inside an unboxed one."""
    made = FunctionType(code, namespace, code.co_name, defaults, cells)
    if kwdefaults:
        made.__kwdefaults__ = kwdefaults
    if annotations:
        made.__annotations__ = annotations
    return made


class Globals:
    """The names of another module, live, as attributes: what it does not bind is a builtin."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.__dict__ = namespace

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(builtins, name)
        except AttributeError:
            pass
        raise NameError(f"name '{name}' is not defined", name=name)
