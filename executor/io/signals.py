"""signals: the signals of the process as a stream."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from types import FrameType
from typing import final

from pinfut.executor.contract import Poller
from pinfut.executor.current import current_poller
from pinfut.executor.layers import handlers
from pinfut.executor.source import Busy
from pinfut.forgotten import tell_if_forgotten
from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker


@final
class Signals:
    """The signals that came since the block began: a stream of their numbers. One that comes again
    before it was taken counts once. One task at a time takes them. Blocks may overlap, and end in
    any order."""

    __slots__ = ("_called", "_numbers", "_open", "_poller", "came", "waiter")

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self._numbers = numbers
        self._open = False  # Invariant: False outside of the block
        self._poller: Poller | None = None
        self._called = False  # whether a wake for what came is under way
        # Invariant: what came and was not taken, oldest first, each once.
        self.came: dict[int, None] = {}
        # Invariant: not None while a task waits; counted in `Poller.external` then.
        self.waiter: NextSignal | None = None

    def __enter__(self) -> Signals:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "Python gives signals to the main thread only; run this executor there"
            )
        self._poller = current_poller()
        self._poller.owed.add(self)
        try:
            for number in self._numbers:
                handlers(number).take(self.on_signal)
        except BaseException:
            self.give_up()
            raise
        self._open = True
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.give_up()
        self._wake()  # who still waits is told that nothing comes any more

    def next(self) -> FutureBase[int]:
        """Wait for the next signal; its number. A cancelled wait has taken none."""
        return NextSignal(self)

    __anext__ = next

    def __aiter__(self) -> Signals:
        return self

    def wait(self, waiter: NextSignal) -> None:
        """Have `waiter` woken at the next signal. Raises Busy and RuntimeError."""
        if not self._open:
            raise RuntimeError("signals are taken inside of the block: with signals(...) as s:")
        if self.waiter is waiter:
            return
        if self.waiter is not None:
            raise Busy("a task waits for these signals already; one at a time may")
        self.waiter = waiter
        self._called = False  # an interrupt may have lost the last one
        if self._poller is not None:
            self._poller.external += 1

    def leave(self, waiter: NextSignal) -> None:
        """The undo of `wait`; idempotent."""
        if self.waiter is waiter:
            self.waiter = None
            if self._poller is not None:
                self._poller.external -= 1

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """It has come: for this block, and for those of other users that it stands over."""
        self._note(number)
        for handler in handlers(number).below(self.on_signal):
            other = getattr(handler, "__self__", None)
            if not isinstance(other, Signals):
                return
            other._note(number)

    def _note(self, number: int) -> None:
        # In the middle of anything: so only this, and the rest at the next look at the poller.
        self.came[number] = None
        if self._poller is not None and not self._called:
            self._called = self._poller.hand_over(self._wake)

    def _wake(self) -> None:
        self._called = False
        waiter = self.waiter
        if waiter is not None:
            self.leave(waiter)
            if waiter.waker is not None:
                waiter.waker.wake()

    def give_up(self) -> None:
        """The handlers of before again: the block ends, or the run does before it."""
        self._open = False
        with ExitStack() as all_of_them:
            for number in self._numbers:
                all_of_them.callback(handlers(number).give_back, self.on_signal)
        if self._poller is not None:
            self._poller.owed.discard(self)


@final
class NextSignal(FutureBase[int]):
    """The future of `Signals.next`."""

    __slots__ = ("_signals", "waker")

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self.waker: Waker | None = None

    def poll(self, cx: Context, /) -> Poll[int]:
        signals = self._signals
        for number in signals.came:
            del signals.came[number]
            signals.leave(self)
            return number
        self.waker = cx.waker
        signals.wait(self)
        return PENDING

    def __del__(self) -> None:
        if self.waker is None:
            tell_if_forgotten(self)

    def drop(self) -> None:
        self._signals.leave(self)


def signals(*numbers: int) -> Signals:
    """Take signals as a stream: ``with signals(SIGTERM) as s: async for number in s: ...``. Inside
    of the block they have no other effect; afterwards the handlers of before are back. In the main
    thread. Raises ValueError without a number, and OSError (from the block) for a signal that
    cannot be caught."""
    if not numbers:
        raise ValueError("name the signals to take: signals(signal.SIGTERM)")
    return Signals(tuple(dict.fromkeys(numbers)))
