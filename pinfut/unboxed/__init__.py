"""Unboxed coroutines: one sized frame for a whole chain of calls (`pinfut.unboxed`)."""

from pinfut.unboxed.box import box
from pinfut.unboxed.decorate import unboxed
from pinfut.unboxed.errors import Refused

__all__ = ["Refused", "box", "unboxed"]
