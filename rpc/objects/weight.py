"""Weight: the bytes that decoded arguments take, which a caller pays while its handler has them.

A message of n bytes can become many times as much: an empty list is one byte on its way and
56 when it is here. So what is not short is weighed, each block rounded up to 16.
"""

from __future__ import annotations

import sys
from typing import Any, Final

FLAT: Final = frozenset((bytes, str, int, float, bool, type(None)))
"""Kinds of arguments that take about as much as their message."""

SHORT_FLAT: Final = 64
"""Bytes of a message with only such arguments that the bound of a handler has room for."""

SHORT: Final = 8
"""And of any other."""


def weight(value: Any) -> int:
    """The bytes of plain data, with all that it holds; capabilities are paid on their own."""
    sizeof = sys.getsizeof
    total = 0
    left = [value]
    while left:
        thing = left.pop()
        kind = type(thing)
        if kind in FLAT:
            total += sizeof(thing) + 15 & -16
        elif kind is list or kind is tuple or kind is set or kind is frozenset:
            total += sizeof(thing) + 15 & -16
            left.extend(thing)
        elif kind is dict:
            total += sizeof(thing) + 15 & -16
            left.extend(thing)
            left.extend(thing.values())
        elif not hasattr(kind, "_pinfut_methods"):
            total += sizeof(thing) + 15 & -16
            fields: Any = getattr(kind, "__struct_fields__", ())
            fields = fields or getattr(kind, "__dataclass_fields__", ())
            left.extend(getattr(thing, name, None) for name in fields)
            inside = getattr(thing, "__dict__", None)
            if inside is not None:
                total += sizeof(inside) + 15 & -16
    return total
