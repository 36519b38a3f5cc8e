"""Implementing classes: refused where they are written when they do not do what their interfaces
say, so that no call ends in a method that nobody meant."""

from __future__ import annotations

import difflib
import inspect
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from pinfut.rpc.objects.demands import demanded
from pinfut.rpc.objects.method import Method

_CLOSE: Final = 0.85  # From which likeness on a name is taken for a misspelt one


def hints_of(one: Method, known: dict[str, Any]) -> dict[str, Any]:
    """The annotations of a method, looked up; `known`: names besides those of its module, which
    go before them. Raises NameError for one that is not known."""
    names = {**known, **one.function.__globals__}
    return get_type_hints(one.function, names, one.names, include_extras=True)


def check(cls: Any, interfaces: list[Any]) -> None:
    """Raise TypeError for a class that does not implement its interfaces, misspells a method of
    theirs, or declares one again with other parameters or types."""
    for interface in interfaces:
        for declared in interface._pinfut_methods:
            _check_one(cls, declared)
    names = [one.name for interface in interfaces for one in interface._pinfut_methods]
    for key, value in vars(cls).items():
        if key in names or key.startswith("_"):
            continue
        if isinstance(value, Method):
            raise TypeError(
                f"{cls.__name__}.{key} is a method of no interface{_meant(key, names)}; nobody "
                "could call it over a session, so leave @method out, or declare it"
            )
        meant = difflib.get_close_matches(key, names, 1, _CLOSE)
        if meant and meant[0] not in vars(cls) and inspect.iscoroutinefunction(value):
            raise TypeError(
                f"{cls.__name__}.{key} is called almost as {meant[0]!r}, which it inherits; "
                f"write '@method async def {meant[0]}', or begin its name with an underscore"
            )


def _check_one(cls: Any, declared: Method) -> None:
    name = declared.name
    found = inspect.getattr_static(cls, name)
    owner = next(base for base in cls.__mro__ if name in vars(base))
    if getattr(owner, "_is_protocol", False):
        stray = [key for key, value in vars(cls).items() if isinstance(value, Method)]
        close = difflib.get_close_matches(name, stray, 1)
        raise TypeError(
            f"{cls.__name__} does not implement {declared!r}: write '@method async def {name}' in "
            f"it{f'; {close[0]} is a method of no interface' if close else ''}"
        )
    if not isinstance(found, Method):
        raise TypeError(f"{cls.__name__}.{name} implements {declared!r}; write @method above it")
    if found.parameters != declared.parameters:
        raise TypeError(
            f"{cls.__name__}.{name}({', '.join(found.parameters)}) implements "
            f"{declared!r}, which takes ({', '.join(declared.parameters)})"
        )
    if found.interface == "?":
        found.interface, found.number = declared.interface, declared.number
    if found.function.__annotations__ == declared.function.__annotations__:
        return
    try:
        wanted, given = hints_of(declared, {}), hints_of(found, {})
    except Exception:
        return  # not all that they name is there: it is looked at again before it is used
    check_types(found, wanted, given)


def check_types(found: Method, wanted: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise TypeError when a method with annotations `given` does not take all that an interface
    says, or returns what that does not allow."""
    for name in wanted.keys() & given.keys():
        if name == "return":
            if not _fits(given[name], wanted[name]):
                raise TypeError(
                    f"{found.function.__qualname__} returns {_said(given[name])}, and {found!r} "
                    f"gives {_said(wanted[name])}"
                )
        elif not _fits(wanted[name], given[name]):
            raise TypeError(
                f"{found.function.__qualname__} takes {_said(given[name])} as {name!r}, and "
                f"{found!r} is called with {_said(wanted[name])}"
            )
        elif demanded(given[name]) not in (None, demanded(wanted[name])):
            raise TypeError(
                f"{found.function.__qualname__} demands more of {name!r} than {found!r} says: "
                "declare Own[...] or Same[...] in the interface"
            )


def _fits(one: Any, other: Any) -> bool:
    """Whether each value of type `one` is of type `other`; also when that cannot be told."""
    one, other = _bare(one), _bare(other)
    if one == other or one is Any or other is Any:
        return True
    if get_origin(one) in (Union, UnionType):
        return all(_fits(each, other) for each in get_args(one))
    if get_origin(other) in (Union, UnionType):
        return any(_fits(one, each) for each in get_args(other))
    left, right = get_origin(one) or one, get_origin(other) or other
    if not (isinstance(left, type) and isinstance(right, type)):
        return True
    try:
        below = issubclass(left, right) or (left is int and right is float)
    except TypeError:
        return True  # a protocol that cannot be asked
    within, without = get_args(one), get_args(other)
    return below and (len(within) != len(without) or all(map(_fits, within, without)))


def _bare(kind: Any) -> Any:
    """A type without what is only noted on it, and without a name of its own."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        else:
            return kind


def _said(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _meant(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f" (is it {close[0]!r}?)" if close else ""
