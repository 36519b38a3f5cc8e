"""What the simulated kernel charges in time: a model to compare designs, not a machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CostModel:
    """Nanoseconds of simulated time for what a kernel does. The defaults are of the order that a
    current Linux machine shows: a system call some hundred ns, waking another process a few µs, a
    fresh page around half a µs."""

    transition: int = 300
    """Entering and leaving the kernel once."""
    wake: int = 3_000
    """From a signal until the process that waits for it runs."""
    jitter: int = 1_000
    """Up to this much more for each wake, drawn from the seed."""
    page: int = 500
    """Zeroing and mapping one page."""
    open: int = 20_000
    """Setting a session up."""
