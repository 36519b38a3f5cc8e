"""Stack: whether there is enough of it, asked before anything is changed.

An operation that runs out of stack in the middle would leave half of its work. So one that
changes several things asks first, and raises RecursionError while nothing has happened; an
operation that others are made of asks for less than they do.
"""

from __future__ import annotations


def require_stack(frames: int) -> None:
    """Raise RecursionError unless so many calls more can be nested here. Costs some 500
    instructions for each."""
    if frames > 0:
        require_stack(frames - 1)
