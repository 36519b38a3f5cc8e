"""Which executor runs in this thread, and whom errors are told to that nobody waits for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from pinfut.closing import ENDS_THE_RUN, tell
from pinfut.executor.contract import Poller, Runner

_log = logging.getLogger("pinfut.executor")


class _Running(threading.local):
    # The executor of this thread, while it runs or makes a turn; that of `host` between its turns.
    executor: Runner | None = None
    # The `Host` (`pinfut.executor.hosts`) that this thread's guest is in, while that is open.
    host: Any = None
    # Whether a run or a turn is under way, or a poll for a task of the host's.
    inside: bool = False


running = _Running()
"""What runs in this thread; set by executors, and by guests, alone."""


class NoExecutor(RuntimeError):
    """Something that needs a running executor was used outside of one."""


NO_TASK: Final = (
    "no task is running here; call this from inside a coroutine. In a task of asyncio or trio use "
    "what that has, or have the coroutine run here: await from_host(...)"
)


def current_executor() -> Runner:
    """The executor that runs in this thread. Raises NoExecutor."""
    executor = running.executor
    if executor is None:
        raise NoExecutor(
            "no executor runs in this thread; start one with executor.run(main()), or in a "
            "program of asyncio or trio with 'async with pinfut.guest():'"
        )
    return executor


def current_poller() -> Poller:
    """The poller of the executor that runs in this thread. Raises NoExecutor."""
    poller = current_executor().poller
    assert poller is not None, "a running executor has a poller"
    return poller


def report_call(call: Callable[..., object], error: BaseException) -> None:
    """Report the `error` that `call`, which nobody waits for, has raised: a timer, a waker, an
    owner, a call that was put off or handed over. Raises KeyboardInterrupt and SystemExit, for they
    end the run."""
    if issubclass(type(error), ENDS_THE_RUN):
        raise error
    name = getattr(call, "__qualname__", repr(call))
    if running.executor is None:
        tell(_log.error, error, "%r failed and nobody awaited it", name)
    else:
        running.executor.report(name, error)
