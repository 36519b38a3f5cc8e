"""Destroying a bank, in pieces: revoking is preemptible, however large the tree.

From the first moment nothing can be bought from the bank or below it. Each piece takes back
one object or goes to one bank; between two of them every count is right, and others run. What
is pinned stays until its turn is over, and the bank until then."""

from __future__ import annotations

from typing import Final, final

from pinfut.executor.current import running
from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker
from pinfut.rpc.bank.bank import DEAD, DYING, OPEN, REMOVED, Bank
from pinfut.rpc.errors import BankDead

STEP: Final = 64
"""Pieces between two looks at the others."""


@final
class Destroying(FutureBase[None]):
    """Ready when nothing of the bank is left. Two may destroy one bank, or a bank and one below
    it: they share the work. Dropping this leaves a bank that nobody can use, half destroyed;
    destroying it, or one above it, goes on from there."""

    __slots__ = ("_bank", "_step", "_waker")

    def __init__(self, bank: Bank, step: int) -> None:
        if step < 1:
            raise ValueError(f"a step has 1 piece or more, not {step}")
        if bank.state == REMOVED:
            raise BankDead(f"bank {bank.name!r} was removed: what it owned is its parent's")
        self._bank = bank
        self._step = step
        self._waker: Waker | None = None
        if bank.state == OPEN:
            bank.state = DYING

    @property
    def done(self) -> bool:
        """Whether nothing of the bank is left."""
        return self._bank.state == DEAD

    def step(self, pieces: int | None = None) -> bool:
        """Do at most so many pieces. True while there is more to do now; pins are not waited
        for here."""
        bank = self._bank
        for _ in range(self._step if pieces is None else pieces):
            if not bank.next_to_destroy():
                return False
        return not bank.visited

    def poll(self, cx: Context, /) -> Poll[None]:
        if self.step():
            cx.waker.wake()  # the others first
            return PENDING
        if self._bank.state == DEAD:
            return None
        self._waker = cx.waker
        self._bank.watch_end(self)
        return PENDING

    def wake(self) -> None:
        """The bank is dead."""
        waker, self._waker = self._waker, None
        if waker is not None:
            waker.wake()

    def drop(self) -> None:
        self._waker = None
        self._bank.forget_end(self)


def destroy(bank: Bank, *, step: int = STEP) -> Destroying:
    """Destroy a bank with all that it owns and every bank below: ``await destroy(bank)``. `step`:
    how much of it at once. Raises BankDead for a bank that was removed. Destroying what is dead is
    harmless."""
    return Destroying(bank, step)


def destroy_by_turns(bank: Bank) -> None:
    """Destroy a bank for which nobody waits: a bounded part of it in each turn, and all at once
    where no executor runs."""
    _go_on(destroy(bank))


def _go_on(destroying: Destroying) -> None:
    executor = running.executor
    while destroying.step():
        if executor is not None:
            executor.call_soon(_go_on, destroying)
            return
