"""How a kernel has memory paid for: by where it lies, or by declared prices."""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import Final, get_args

from pinfut import payers
from pinfut.rpc.contract import Memory

_log = logging.getLogger("pinfut.rpc")

VARIABLE: Final = "PINFUT_MEMORY"
"""What the environment calls it."""

MEMORIES: Final[tuple[Memory, ...]] = get_args(Memory)
"""Each of them."""


def choose_memory(asked: Memory | None, *, seeded: bool) -> Memory:
    """What a kernel that was asked for `asked` has; arenas are installed then. None: as the
    environment says, and else arenas where they can be, but for a `seeded` one: where objects lie
    is no part of a history.

    Raises ValueError for what is neither, and PayersUnavailable where arenas were asked for and
    cannot be."""
    memory = asked or os.environ.get(VARIABLE)
    if not memory:
        memory = "prices" if seeded or payers.why_not() is not None else "arenas"
    for known in MEMORIES:
        if memory == known:
            if memory == "arenas":
                payers.install()
            return known
    raise ValueError(f"memory is 'arenas' or 'prices', not {memory!r}")


@cache
def tell_prices() -> None:
    """Log that a server runs on prices, and why, once in a process. A warning where it is not by
    choice."""
    reason = payers.why_not()
    _log.log(
        logging.INFO if reason is None else logging.WARNING,
        "what clients hold is paid by declared prices, and not by where it lies: %s",
        reason or "prices were asked for, or the history is to be repeated",
    )
