"""Weight: the bytes that decoded arguments take, which a caller pays while its handler has them.

A message of n bytes can become many times as much: an empty list is one byte on its way and
56 when it is here. So what is not short is weighed, each block rounded up to 16."""

from __future__ import annotations

import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from msgspec.msgpack import Ext

FLAT: Final = frozenset((bytes, str, int, float, bool, type(None)))
"""Kinds of arguments that take about as much as their message."""

SHORT_FLAT: Final = 64
"""Bytes of a message with only such arguments that the bound of a handler has room for."""

SHORT: Final = 8
"""And of any other."""

MOST: Final = 1 << 12
"""Things of one message that are weighed one by one."""

DEEPEST: Final = 256
"""How deep they may lie in each other. What a Python decodes is about 1,000, or far more."""

_WHOLE: Final = FLAT | {bytearray, date, datetime, time, timedelta, Decimal}
"""Kinds of which `sys.getsizeof` knows all."""

_HOLDERS: Final = (list, tuple, set, frozenset, dict)

_PLAIN: Final = frozenset(_HOLDERS)


def weigh(value: Any) -> tuple[int | None, int]:
    """The bytes of plain data, with all that it holds, and the number of things that were looked
    at; capabilities are paid on their own. The bytes are None for what has more than `MOST` things
    in it, and for what holds something of a kind that is not known here: then its caller pays
    what its message can become at most (`expansion`). Raises ValueError for what is
    deeper than `DEEPEST`."""
    sizeof = sys.getsizeof
    total = things = 0
    left = [value]
    # One depth of it after the other.
    for _ in range(DEEPEST + 1):
        if not left:
            return total, things
        if things + len(left) > MOST:
            return None, things
        things += len(left)
        inside: list[Any] = []
        for thing in left:
            kind = type(thing)
            if kind in _WHOLE:
                total += sizeof(thing) + 15 & -16
            elif kind in _PLAIN or issubclass(kind, _HOLDERS):
                total += sizeof(thing) + 15 & -16
                if thing:
                    if things + len(inside) + len(thing) > MOST:
                        return None, things
                    inside += thing
                    if isinstance(thing, dict):
                        inside += thing.values()
            elif not (hasattr(kind, "_pinfut_methods") or issubclass(kind, Enum)):
                names = _fields(kind)
                if names is None:
                    return None, things
                total += sizeof(thing) + 15 & -16
                own = getattr(thing, "__dict__", None)
                if own is None:
                    own = ()
                else:
                    total += sizeof(own) + 31 & -16  # with the head of its values
                    inside += own.values()
                inside += [getattr(thing, name, None) for name in names if name not in own]
        left = inside
    raise ValueError(f"things lie in each other more than {DEEPEST} deep")


def _fields(kind: type) -> Any:
    """What an instance of a class holds, by name; None for a class that is not known to tell."""
    if kind is UUID:
        return ("int",)
    if kind is Ext:
        return ("data",)
    if hasattr(kind, "__struct_fields__"):
        return kind.__struct_fields__
    if hasattr(kind, "__dataclass_fields__"):
        return kind.__dataclass_fields__
    if hasattr(kind, "__attrs_attrs__"):
        return [one.name for one in kind.__attrs_attrs__]
    return None
