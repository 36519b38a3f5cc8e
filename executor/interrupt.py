"""Ctrl-C: the first cancels the main task, the second ends the run at once.

Taken over for one run, in the main thread, and only from Python's default handler."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any, Self, final

from pinfut.executor.contract import JoinHandle, Runner
from pinfut.executor.layers import Handler, handlers


@final
class CtrlC:
    """What one run of an executor does with Ctrl-C.

    States::

        default ──take_over──▶ held ──listen──▶ listening ──Ctrl-C──▶ `main` is cancelled
           ▲                   │  ▲                 │                    │
           └────give_back──────┘  └──────hold───────┴────────────────────┤
                                  ▲                                      │
                                  └──hold── KeyboardInterrupt ◀──Ctrl-C──┘

    Held, as while a run is set up and torn down, it is only noted: `listen` cancels `main` for
    it, `give_back` raises KeyboardInterrupt. So it is while the code of the run itself is at
    work, and never the tasks' (`own`: the globals of that code): between two phases a
    KeyboardInterrupt would skip the next one."""

    __slots__ = ("_executor", "_main", "_noted", "_own", "pressed")

    def __init__(self, executor: Runner, own: dict[str, Any]) -> None:
        # None once it is given back: then it is as the default handler.
        self._executor: Runner | None = executor
        self._own = own
        # Whom the first Ctrl-C cancels; None while it is held.
        self._main: JoinHandle[Any] | None = None
        self._noted = False
        self.pressed = False

    def take_over(self) -> None:
        """Handle SIGINT from here on, if Python's default handler does so now."""
        now = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and (
            now is signal.default_int_handler
            or isinstance(getattr(now, "__self__", None), CtrlC)  # of a run that is over
        ):
            handlers(signal.SIGINT).take(self.press)

    def listen(self, main: JoinHandle[Any]) -> None:
        """From here on the first cancels `main`, and the next ones raise KeyboardInterrupt."""
        self._main = main
        if self._noted:
            self._noted = False
            self.press(signal.SIGINT, None)

    def hold(self) -> None:
        """From here on it is only noted."""
        self._main = None

    def give_back(self) -> None:
        """Undo `take_over`. Raises KeyboardInterrupt for what was noted."""
        handlers(signal.SIGINT).give_back(self.press)
        self._executor = self._main = None
        if self._noted:
            self._noted = False
            raise KeyboardInterrupt

    def press(self, number: int, frame: FrameType | None) -> None:
        """SIGINT has come, in the middle of `frame`."""
        executor, main = self._executor, self._main
        if executor is None:
            raise KeyboardInterrupt
        if main is not None and not self.pressed:
            self.pressed = True
            executor.call_soon(main.cancel)
            if executor.poller is not None:
                executor.poller.unpark()
        elif main is None or (
            frame is not None and (frame.f_globals is self._own or frame.f_globals is globals())
        ):
            self._noted = True
        else:
            raise KeyboardInterrupt


@final
class InterruptsHeld:
    """SIGINT waits for the end of the block, whatever handles it: ``with InterruptsHeld():``. For
    what the system gives as a mere number until an object owns it, and for locks that an interrupt
    would leave taken. In other threads than the main one it does nothing."""

    __slots__ = ("_before", "_noted")

    def __init__(self) -> None:
        self._before: Handler = None  # Invariant: the handler that waits, while the block runs
        self._noted = False

    def __enter__(self) -> Self:
        if callable(signal.getsignal(signal.SIGINT)):
            with suppress(ValueError):  # in another thread
                self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        before, self._before = self._before, None
        if callable(before):
            try:
                self.give_back(before)
            finally:
                if self._noted:
                    before(signal.SIGINT, sys._getframe(1))

    def give_back(self, before: Handler) -> None:
        """The handler of before, unless the block has set another."""
        if signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = True
