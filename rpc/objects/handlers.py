"""What a handler takes: known before it starts, or bounded and looked at when it first waits.

An unboxed method has one frame, whose size its layout knows. The frames of a plain one depend on
the way that it takes: its caller pays a bound before it starts, and from the moment when it first
waits what its frames take, if that is more, or if nobody has declared the bound (`method(frame=)`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import CoroutineType, GeneratorType
from typing import Any, Final

from pinfut.rpc import prices
from pinfut.unboxed import is_unboxed, layout

WAIT: Final = 512
"""Bytes that stay charged beside the frames of a handler of which no bound is declared: for what it
waits for, the timer or the place in a line of that, and the timeout or scope around it."""

_log = logging.getLogger("pinfut.rpc")


def frame_price(function: Callable[..., Any]) -> int:
    """Bytes to charge for a handler before it starts, unless the method says otherwise: exact for
    an unboxed function, `prices.HANDLER` for any other."""
    if is_unboxed(function):
        return prices.TASK + layout(function).called
    return prices.HANDLER


def held_by(coro: Any) -> int:
    """Bytes of the coroutines that wait for one another, outermost first, and of their task."""
    held = prices.TASK
    while True:
        if isinstance(coro, CoroutineType):
            held += sys.getsizeof(coro)
            coro = coro.cr_await
        elif isinstance(coro, GeneratorType):
            held += sys.getsizeof(coro)
            coro = coro.gi_yieldfrom
        else:  # a future's own iterator, or nothing
            return held + (0 if coro is None else object.__sizeof__(coro))


def tell_of(method: object, held: int, bound: int) -> None:
    """Say once for a method that its bound is too low."""
    _log.warning(
        "%r holds %d bytes when it first waits, and %d were charged for it in advance: write "
        "@method(frame=%d), or @unboxed beneath it",
        method,
        held,
        bound,
        held,
    )
