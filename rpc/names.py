"""Names: as long as their price pays for. A name stands in each label that is made of it."""

from __future__ import annotations

from sys import getsizeof
from typing import Final

MOST: Final = 160
"""Bytes that a name takes at most: 111 letters of ASCII, or 21 of the widest."""


def require_short(name: str) -> None:
    """Raises ValueError for a name that takes more."""
    if getsizeof(name) > MOST:
        raise ValueError(
            f"{name[:40]!r}... is too long for a name: 111 letters of ASCII, or 21 of any sort"
        )


def shortened(label: str) -> str:
    """The end of a label, which tells it from all others, no longer than a name."""
    return next(cut for cut in (label, label[-111:], label[-21:]) if getsizeof(cut) <= MOST)
