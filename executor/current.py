"""Which executor runs in this thread."""

from __future__ import annotations

import threading

from pinfut.executor.contract import Poller, Runner


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
