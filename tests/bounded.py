"""Loops that end when something happens, with an end of their own.

A test that waits for a refusal, or for an event, must fail and not hang where that never comes:

    with pytest.raises(OutOfPages):
        repeat(lambda: calls.append(desk.do(1)), "a call is refused")

    await until(lambda: order, "a handler has started")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pinfut.executor import yield_now

MOST = 100_000
"""Far more than any test needs."""


def rounds(what: str, most: int = MOST) -> Iterator[int]:
    """0, 1, 2, ... below `most`; then it fails, for `what` should have ended the loop."""
    yield from range(most)
    raise AssertionError(f"it never came, in {most:,} rounds: {what}")


def repeat(act: Callable[[], object], what: str, most: int = MOST) -> None:
    """Act until that raises, which goes on to the caller; fail after `most` times."""
    for _ in rounds(what, most):
        act()


async def until(condition: Callable[[], object], what: str, most: int = MOST) -> None:
    """Yield until `condition` holds; fail after `most` turns."""
    for _ in rounds(what, most):
        if condition():
            return
        await yield_now()


def exhaust(step: Callable[[], object], what: str, most: int = MOST) -> None:
    """Call until it says that there is no more; fail after `most` calls."""
    for _ in rounds(what, most):
        if not step():
            return
