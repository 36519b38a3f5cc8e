"""Places in somebody's program, as messages name them: who calls, and where one waits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any


def of_house(frame: FrameType) -> bool:
    """Whether the code of `frame` is pinfut's own."""
    return str(frame.f_globals.get("__name__", "")).startswith("pinfut.")


def calling_frame() -> FrameType:
    """Who calls: the innermost frame outside of the house and of `contextlib`."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if not of_house(frame) and frame.f_globals.get("__name__") != "contextlib":
            break
        frame = frame.f_back
    return frame


def caller() -> str:
    """Who calls, as ``file:line in function``."""
    frame = calling_frame()
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def frames_of(coro: Any) -> Iterator[FrameType]:
    """The frames of the await chain of a coroutine, outermost first."""
    # Bounded by the interpreter's own recursion limit on await chains.
    while frame := getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None):
        yield frame
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)


def suspended_at(coro: Any) -> str:
    """Where a coroutine waits, as ``file:line``: the innermost frame of its await chain."""
    where = "its start"
    for frame in frames_of(coro):
        if not of_house(frame):
            where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return where
