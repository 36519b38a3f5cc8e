"""Expansion: what a message can cost at most when it is decoded, known from its type alone.

**Bytes.** A byte of a message is at most one thing, or a part of one: an empty list is one byte on
its way and 64 when it is here, in a list that has 8 for it. So the largest thing that the type
allows, and the most that a place for one takes, bound the whole before anybody has looked at the
message.

**Time.** To put n keys into a dict or a set takes n steps, or the square of that for keys that
were chosen by their hash. That of a str, of bytes, of a date and of a naive time is salted. Of
numbers, and of what is made of them, it is no secret (Crosby and Wallach, "Denial of service via
algorithmic complexity attacks", 2003), and no matter how few of them have one hash: the slots
that CPython tries for a key follow from its hash, so 20,000 ints can be chosen such that half of
them fill a run of slots and the others walk all of it."""

from __future__ import annotations

from math import ceil, isqrt
from sys import getsizeof
from typing import Any, Final

import msgspec.inspect as kinds
from msgspec import NODEFAULT

BESIDE: Final = 256
"""Bytes of what is there once for any message."""

ROOM: Final = 64
"""Bytes of a container without what is in it: a list, a tuple, a dict."""

SET: Final = 224

PLACE: Final = 9
"""Bytes in a list for one more; a list grows by an eighth."""

COPIED: Final = 18
"""And in a tuple of any length, which is a list before."""

PAIR: Final = 88
"""Bytes in a dict for one of the two of a pair, at the worst size of its table: with one pair."""

MEMBER: Final = 112
"""Bytes in a set for one more, at the worst size of its table."""

INSTANCE: Final = 384
"""Bytes of an instance of a class with its `__dict__`, without its values."""

# Bytes for each byte of the message. Ints below -5 and floats are one byte at least; a str of one
# wide letter is three.
_SCALARS: Final[dict[type, int]] = {
    kinds.AnyType: ROOM,
    kinds.NoneType: 0,
    kinds.BoolType: 0,
    kinds.IntType: 32,
    kinds.FloatType: 32,
    kinds.StrType: 32,
    kinds.BytesType: 24,
    kinds.ByteArrayType: 40,
    kinds.MemoryViewType: 160,
    kinds.EnumType: 0,
    kinds.LiteralType: 0,
    kinds.CustomType: 0,  # a capability, which is paid on its own
}

_OTHER: Final = 128  # Of any other scalar: a datetime, a UUID, a Decimal
_TEXT: Final = 4
"""Bytes that each byte of a long str takes, if one of its letters is wide; what is read from a str
is one before."""

_SALTED: Final = (kinds.StrType, kinds.BytesType, kinds.DateType, kinds.MemoryViewType)
"""Keys whose hash only this process knows; None is one key."""

_FEW: Final = (kinds.BoolType, kinds.EnumType, kinds.LiteralType)
"""Keys of which there are few, unless many stand in one."""


def shortest(message: int) -> int:
    """The longest message with keys whose hashes can be foreseen, in bytes, where others have
    `message`: the square of its keys costs what those may cost anyway. At 1 MiB it is 16,384: 910
    `UUID` of one hash take 40 ms to decode, and 1 MiB of `Decimal` takes 200."""
    return 16 * isqrt(message)


def foreseen(kind: Any) -> bool:
    """Whether a dict or a set in this type has keys whose hashes can be foreseen. A class of keys
    with a hash of its own is judged by its fields."""
    found = _Found()
    found.visit(kinds.type_info(kind), repeated=False)
    return found.foreseen


def expansion(kind: Any) -> tuple[int, int]:
    """Of values of a type: the bytes for each byte of their message, at most, and those beside.
    Code of the type's own classes that runs when they are decoded may take more."""
    found = _Found()
    found.visit(kinds.type_info(kind), repeated=False)
    return found.thing + found.place + 1, found.beside + BESIDE


class _Found:
    """What is found in a type."""

    def __init__(self) -> None:
        # The most that a thing takes for each byte, of those of which there may be many; that a
        # place for one takes; and the sum of what is there once.
        self.thing = 0
        self.place = 0
        self.beside = 0
        # Whether there are keys whose hashes can be foreseen.
        self.foreseen = False
        self._seen: set[tuple[int, bool, int]] = set()
        self._kept: list[Any] = []  # or an id could be used again

    def visit(self, info: Any, *, repeated: bool, key: int = 0) -> None:
        """`key`: 1 for what is a key, and 2 for what is a part of one."""
        seen = id(info), repeated, key
        if seen in self._seen:
            return
        self._seen.add(seen)
        self._kept.append(info)
        part = 2 if key else 0
        if isinstance(info, kinds.Metadata):
            self.visit(info.type, repeated=repeated, key=key)
        elif isinstance(info, kinds.UnionType):
            for one in info.types:
                self.visit(one, repeated=repeated, key=key)
        elif isinstance(info, kinds.DictType):
            self._add(ROOM, 1, repeated)
            self.place = max(self.place, PAIR)
            self.visit(info.key_type, repeated=True, key=1)
            self.visit(info.value_type, repeated=True)
        elif isinstance(info, (kinds.SetType, kinds.FrozenSetType)):
            self._add(SET, 1, repeated)
            self.place = max(self.place, MEMBER)
            self.visit(info.item_type, repeated=True, key=part or 1)
        elif isinstance(info, kinds.CollectionType):
            self._add(ROOM, 1, repeated)
            self.place = max(self.place, COPIED if isinstance(info, kinds.VarTupleType) else PLACE)
            self.visit(info.item_type, repeated=True, key=part)
        elif isinstance(info, kinds.TupleType):
            self._add(ROOM + PLACE * len(info.item_types), 1 + len(info.item_types), repeated)
            for one in info.item_types:
                self.visit(one, repeated=repeated, key=part)
        elif hasattr(info, "fields"):
            self._visit_fields(info, repeated, part)
        elif isinstance(info, kinds.AnyType):
            self.foreseen = True
            self._add(ROOM, 1, repeated=True)
            self.place = max(self.place, PAIR)
        else:
            size = _SCALARS.get(type(info), _OTHER)
            self._add(size, 1, repeated)
            if isinstance(info, kinds.StrType) or size == _OTHER:
                self.thing = max(self.thing, _TEXT)
            if key and not (
                isinstance(info, (*_SALTED, kinds.NoneType, kinds.CustomType))
                or (key == 1 and isinstance(info, _FEW))
                or getattr(info, "tz", None) is False
            ):
                self.foreseen = True

    def _add(self, size: int, wire: int, repeated: bool) -> None:
        """A thing of so many bytes is `wire` bytes of the message at least."""
        if repeated:
            self.thing = max(self.thing, ceil(size / wire))
        else:
            self.beside += size

    def _visit_fields(self, info: Any, repeated: bool, key: int) -> None:
        """A class, a named tuple or a dict with fields: what it has by default is there without a
        byte of the message."""
        size = INSTANCE + 3 * PLACE * len(info.fields)
        for field in info.fields:
            factory = getattr(field, "default_factory", NODEFAULT)
            if factory is not NODEFAULT:
                # Only of these it is known what they give; another's is code of the class.
                size += getsizeof(factory()) if factory in (list, dict, set) else INSTANCE
            self.visit(field.type, repeated=repeated, key=key)
        self._add(size, 1 + sum(field.required for field in info.fields), repeated)
