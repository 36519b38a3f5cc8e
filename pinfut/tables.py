"""Tables: a dict or a set keeps the room that it once needed. What is in it is paid by who put it
there; once that is gone nobody pays for the room, and the one that has the table gives it up."""

from __future__ import annotations

from sys import getsizeof
from typing import Any, Final, TypeVar

T = TypeVar("T", dict[Any, Any], set[Any])

SPARE: Final = 1024
"""Bytes that an empty table may keep."""

EACH: Final = 256
"""And for each entry: more than a table takes that has just grown."""


def tidied(table: T) -> T:
    """The table, or a copy as small as what is in it, where it has far more room than that: who has
    the one keeps the other in its place. A copy costs less than filling all that room did."""
    if getsizeof(table) <= SPARE + EACH * len(table):
        return table
    return type(table)(table)
