"""Sequencer: the order of blocks in several tasks, spelled out by a test."""

from __future__ import annotations

from typing import final

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker, wake_each


@final
class Sequencer:
    """``async with seq(0): ...``: blocks in any tasks run one after the other, by number. Each
    number from 0 on is used once. When a task is cancelled while it waits for its number, or its
    block is not run for another reason, the order cannot be kept: all who wait then, or come later,
    get RuntimeError."""

    __slots__ = ("_broken", "_next", "_used", "_waiting")

    def __init__(self) -> None:
        self._next = 0
        self._used: set[int] = set()
        # Invariant: who waits for each number, which is above `_next`.
        self._waiting: dict[int, Waker] = {}
        self._broken = False

    def __call__(self, number: int) -> _Block:
        """The block with this number. Raises ValueError when it is used or below 0."""
        if number < 0 or number in self._used:
            raise ValueError(f"number {number} of a sequence is below 0 or used already")
        self._used.add(number)
        return _Block(self, number)

    def _step(self) -> None:
        """A block has ended: the next may run."""
        self._next += 1
        waker = self._waiting.pop(self._next, None)
        if waker is not None:
            waker.wake()

    def _break(self) -> None:
        self._broken = True
        waiting, self._waiting = self._waiting, {}
        wake_each(waiting.values())


@final
class _Block:
    """One numbered block."""

    __slots__ = ("_number", "_sequencer")

    def __init__(self, sequencer: Sequencer, number: int) -> None:
        self._sequencer = sequencer
        self._number = number

    async def __aenter__(self) -> None:
        await self.turn()

    def turn(self) -> FutureBase[None]:
        """Ready once every block with a lower number has ended."""
        return _Turn(self._sequencer, self._number)

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        self._sequencer._step()


@final
class _Turn(FutureBase[None]):
    """Waits for the blocks with lower numbers."""

    __slots__ = ("_number", "_over", "_sequencer")

    def __init__(self, sequencer: Sequencer, number: int) -> None:
        self._sequencer = sequencer
        self._number = number
        self._over = False

    def poll(self, cx: Context, /) -> Poll[None]:
        sequencer = self._sequencer
        if sequencer._broken:
            raise RuntimeError(
                f"number {self._number} of a sequence cannot come: a task that waited for an "
                "earlier number was cancelled"
            )
        if sequencer._next == self._number:
            self._over = True
            return None
        sequencer._waiting[self._number] = cx.waker
        return PENDING

    def drop(self) -> None:
        if not self._over:
            self._sequencer._waiting.pop(self._number, None)
            self._sequencer._break()
