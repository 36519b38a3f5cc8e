"""Places in somebody's program, as messages name them: who calls, and where one waits."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any


def calling_frame() -> FrameType:
    """Who calls: the innermost frame outside of the house, and of `contextlib`, which leaves
    blocks for others."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith("pinfut.") and name != "contextlib":
            break
        frame = frame.f_back
    return frame


def caller() -> str:
    """Who calls, as ``file:line in function``."""
    frame = calling_frame()
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def suspended_at(coro: Any) -> str:
    """Where a coroutine waits, as ``file:line``: the innermost frame of its await chain."""
    where = "its start"
    # Bounded by the interpreter's own recursion limit on await chains.
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
        if frame is None:
            break
        if not frame.f_globals.get("__name__", "").startswith("pinfut."):
            where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
    return where
