"""Pollers: where an executor's thread sleeps (`pinfut.executor.contract.Poller`).

`epoll` is the everyday one and Linux's alone; `portable` stands on the standard library's
`selectors` and is chosen where there is no epoll, or by ``PINFUT_POLLER=portable``."""

from __future__ import annotations

import os
import select
from typing import Final

from pinfut.executor.contract import Poller, Runner
from pinfut.executor.pollers.epoll import EpollPoller
from pinfut.executor.pollers.portable import PortablePoller

VARIABLE: Final = "PINFUT_POLLER"
"""The environment variable that names a poller: ``epoll`` or ``portable``."""


def poller_type() -> type[EpollPoller] | type[PortablePoller]:
    """The poller that executors opened from here on use. Raises ValueError for a ``PINFUT_POLLER``
    that names none, and RuntimeError for one that this system does not have."""
    asked = os.environ.get(VARIABLE, "")
    if asked not in ("", "epoll", "portable"):
        raise ValueError(f"{VARIABLE} is 'epoll' or 'portable', not {asked!r}; or leave it unset")
    there = hasattr(select, "epoll")
    if asked == "epoll" and not there:
        raise RuntimeError(f"{VARIABLE}=epoll, but this system has no epoll: leave it unset")
    return EpollPoller if there and asked != "portable" else PortablePoller


def open_poller(runner: Runner) -> Poller:
    """A poller for one opening of `runner`. Raises as `poller_type`, and OSError."""
    return poller_type()(runner)


__all__ = ["VARIABLE", "EpollPoller", "PortablePoller", "open_poller", "poller_type"]
