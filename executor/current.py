"""Which executor runs in this thread, and whom errors are told to that nobody waits for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pinfut.closing import ENDS_THE_RUN
from pinfut.executor.contract import Poller, Runner

_log = logging.getLogger("pinfut.executor")


class _Running(threading.local):
    executor: Runner | None = None


running = _Running()
"""The executor of this thread, while it runs or makes a turn; set by it alone."""


class NoExecutor(RuntimeError):
    """Something that needs a running executor was used outside of one."""


def current_executor() -> Runner:
    """The executor that runs in this thread. Raises NoExecutor."""
    executor = running.executor
    if executor is None:
        raise NoExecutor("no executor runs in this thread; start one with executor.run(main())")
    return executor


def current_poller() -> Poller:
    """The poller of the executor that runs in this thread. Raises NoExecutor."""
    poller = current_executor().poller
    assert poller is not None, "a running executor has a poller"
    return poller


def report_call(call: Callable[..., object], error: BaseException) -> None:
    """`call`, which nobody waits for, has raised `error`: a timer, a waker, an owner, a call
    that was put off or handed over. It is reported, and what made the call goes on.

    Raises KeyboardInterrupt and SystemExit again, for they end the run.
    """
    if isinstance(error, ENDS_THE_RUN):
        raise error
    name = getattr(call, "__qualname__", repr(call))
    if running.executor is None:
        _log.error("%r failed and nobody awaited it", name, exc_info=error)
    else:
        running.executor.report(name, error)
