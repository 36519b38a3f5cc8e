"""box: a call that gets a frame of its own, on purpose."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def box(awaitable: T) -> T:
    """Mark what is awaited as boxed: ``await box(f(x))``, ``async with box(scope()) as s``. It has
    frames of its own, which no layout knows. Gives back what it gets."""
    return awaitable
