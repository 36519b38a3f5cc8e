"""Ctrl-C: the first cancels the main task, the second ends the run at once.

SIGINT is taken over for one run, in the main thread, and only from Python's default handler:
a program that handles it itself keeps doing so.
"""

from __future__ import annotations

import signal
import threading
from typing import Any, final

from pinfut.executor.contract import JoinHandle, Runner


@final
class CtrlC:
    """What one run of an executor does with Ctrl-C.

    States::

        default ──take_over──▶ listening ──Ctrl-C──▶ pressed: `main` is cancelled
           ▲                       │                    │
           └───────give_back───────┴────────────────────┘──Ctrl-C──▶ KeyboardInterrupt
    """

    __slots__ = ("_executor", "_taken", "main", "pressed")

    def __init__(self, executor: Runner) -> None:
        self._executor = executor
        # Invariant: True exactly while SIGINT's handler is ours.
        self._taken = False
        # Whom the first Ctrl-C cancels; None before it is spawned, when it raises at once.
        self.main: JoinHandle[Any] | None = None
        self.pressed = False

    def take_over(self) -> None:
        """Handle SIGINT from here on, if Python's default handler does so now."""
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._press)
            self._taken = True

    def give_back(self) -> None:
        """Python's default handler again, if it was taken over."""
        if self._taken:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._taken = False

    def _press(self, number: int, frame: object) -> None:
        if self.pressed or self.main is None:
            raise KeyboardInterrupt
        self.pressed = True
        self._executor.call_soon(self.main.cancel)
        if self._executor.poller is not None:
            self._executor.poller.unpark()
