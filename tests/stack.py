"""Calls made with only so many frames of stack left."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from types import FrameType
from typing import Final, TypeVar

T = TypeVar("T")

ROOMS: Final = range(1, 61)
"""Frames left in which every operation is tried."""


def with_room(room: int, call: Callable[[], T]) -> T:
    """What `call` gives with at most `room` frames of stack left to it. Raises RecursionError."""
    depth = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        depth += 1
        frame = frame.f_back
    before = sys.getrecursionlimit()
    try:
        # Calls of the interpreter itself may count as well: the least that it takes is the depth.
        for limit in count(depth):
            try:
                sys.setrecursionlimit(limit)
            except RecursionError:
                continue
            break
        sys.setrecursionlimit(limit + room)
        return call()
    finally:
        sys.setrecursionlimit(before)
