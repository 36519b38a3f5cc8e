"""Unboxed coroutines: one sized frame for a whole chain of calls (`pinfut.unboxed`)."""

from pinfut.unboxed.box import box
from pinfut.unboxed.decorate import unboxed
from pinfut.unboxed.errors import FrameTooSmall, Refused
from pinfut.unboxed.frame import Frame
from pinfut.unboxed.layout import Layout, layout
from pinfut.unboxed.pool import Pool, pool
from pinfut.unboxed.unit import is_unboxed

__all__ = [
    "Frame", "FrameTooSmall", "Layout", "Pool", "Refused", "box", "is_unboxed", "layout", "pool",
    "unboxed",
]  # fmt: skip
