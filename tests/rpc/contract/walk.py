"""Walk: which objects two processes have in common, found by following every reference.

What is not followed is either nobody's to change (modules, classes, functions, code, atoms), or
serves all processes by its nature: the executor that happens to run them, and the kernel.
"""

from __future__ import annotations

import enum
import gc
import types
from collections import deque
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final

from pinfut.rpc.bank.bank import HandleTable
from pinfut.rpc.objects.method import Method

STOPS: Final[tuple[type, ...]] = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.CodeType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,  # the shared memory itself
    range,
    enum.Enum,
    ContextVar,
    Method,  # a part of the class of its interface
    type(...),
    type(NotImplemented),
)
"""Of these, nothing is followed and nothing is a finding."""

MOST: Final = 2_000_000
"""Objects that one walk may meet: one that goes round outside of what it is for is stopped."""


def reached(roots: Iterable[object], stops: Iterable[object] = ()) -> dict[int, Any]:
    """Every object that the roots lead to, by its id. `stops`: objects (kernels, executors) that
    are not entered, besides what is of the `STOPS` types."""
    closed = {id(one) for one in stops}
    found: dict[int, Any] = {}
    left: deque[object] = deque(roots)
    while left:
        one = left.popleft()
        if id(one) in found or id(one) in closed or isinstance(one, (*STOPS, HandleTable)):
            continue
        found[id(one)] = one
        assert len(found) < MOST, "this walk has left the process"
        left.extend(gc.get_referents(one))
    return found


_TREES: Final = {"hamt", "hamt_bitmap_node", "hamt_array_node", "hamt_collision_node"}
"""What contexts are made of, which is never written to; the types have no other name."""


def changes(one: object) -> bool:
    """Whether an object can be changed, as far as its type tells."""
    kind = type(one)
    if isinstance(one, (tuple, frozenset, types.MappingProxyType)) or kind.__name__ in _TREES:
        return False
    if kind.__basicsize__ == object.__basicsize__:
        return False  # it has no room for anything: a marker
    params = getattr(kind, "__dataclass_params__", None)
    return params is None or not params.frozen


def common(
    some: Iterable[object], others: Iterable[object], stops: Iterable[object] = ()
) -> list[Any]:
    """The mutable objects that both sides lead to. Raises AssertionError for a walk that met
    nothing at all, which would show nothing."""
    stops = list(stops)
    first, second = reached(some, stops), reached(others, stops)
    assert len(first) > 3, "the first walk met nothing"
    assert len(second) > 3, "the second walk met nothing"
    return [one for key, one in first.items() if key in second and changes(one)]
