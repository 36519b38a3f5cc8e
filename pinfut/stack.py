"""Stack: whether there is enough of it, asked before anything is changed.

Running out in the middle would leave half of the work; so who changes several things asks first."""

from __future__ import annotations


def require_stack(frames: int) -> None:
    """Raise RecursionError unless so many calls more can be nested; 500 instructions for each."""
    if frames > 0:
        require_stack(frames - 1)
