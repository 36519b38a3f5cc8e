"""Instrument: the hooks of an executor that is watched, and several instruments as one."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, final

from pinfut.executor.contract import Entry, Runner
from pinfut.executor.task import Task

_log = logging.getLogger("pinfut.executor")


class Instrument:
    """Told of each step as it happens. Override what you need. What a hook raises is logged, but
    for `attach`, which may refuse.

    A step of a task begins with `poll` (or with `resume`, at its start and after a yield)
    and ends with `park`, `yielded` or `finish`.
    """

    def attach(self, executor: Runner) -> None:
        """`executor` was made and will tell this instrument; told once, before all else."""

    def spawn(self, task: Task[Any]) -> None:
        """`task` was made and is ready."""

    def wake(self, task: Task[Any], by: Task[Any] | str) -> None:
        """A parked `task` became ready. `by` is the task whose step did it, or says what
        did: ``timer 3``, ``call`` (one put off by `call_soon`), ``first step of f``,
        ``fd 7`` or ``outside``."""

    def poll(self, task: Task[Any], leaf: Any) -> None:
        """The future that `task` waits for is about to be polled."""

    def park(self, task: Task[Any], leaf: Any) -> None:
        """That poll gave PENDING: `task` is parked on `leaf`."""

    def yielded(self, task: Task[Any]) -> None:
        """The coroutine of `task` lets the others run first: it is ready, behind them."""

    def resume(self, task: Task[Any]) -> None:
        """The coroutine of `task` is about to run."""

    def finish(self, task: Task[Any]) -> None:
        """The coroutine of `task` has ended."""

    def ran(self, entry: Entry) -> None:
        """An entry that is no task, as a callback of another loop, is about to run."""

    def timer(self, number: int, state: str, deadline: float) -> None:
        """Timer `number` was ``set``, has ``fired`` (its call comes next) or was
        ``cancelled``. `deadline` is a time of the executor's clock, in seconds."""

    def io(self, fd: int, event: str, state: str) -> None:
        """A wait for descriptor `fd` to become ready for `event` (``read``, ``write``)
        was ``set``, has ``fired`` (whom it wakes comes next) or was ``cancelled``, which a
        close does, too."""

    def slot(self, session: str, x: int, state: str) -> None:
        """Call `x` of a session changed its state: ``sent``, ``returned``, ``taken`` or
        ``cancelled``."""

    def charge(self, bank: str, pages: int, caps: int) -> None:
        """A bank was charged; negative for a refund."""

    def flush(self, session: str, size: int) -> None:
        """A session made `size` bytes of messages visible to the other side."""

    def report(self, name: str, error: BaseException) -> None:
        """The task or call `name` failed, nobody waits for it, and `error` is logged."""


OUTSIDE = "outside"


@final
class Instruments(Instrument):
    """Several instruments as one. False when there are none."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._all = tuple(instruments)
        # What runs while no task does; wakes that come then are put down to it.
        self.cause = OUTSIDE
        # How many tasks there have been, which is the number of the newest.
        self.spawned = 0

    def __bool__(self) -> bool:
        return bool(self._all)

    def attach(self, executor: Runner) -> None:
        for one in self._all:
            one.attach(executor)

    def _tell(self, hook: str, *what: Any) -> None:
        # The error of an instrument is logged; the run and the others go on.
        for one in self._all:
            try:
                getattr(one, hook)(*what)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                _log.error("%r failed in %r", one, hook, exc_info=error)

    def spawn(self, task: Task[Any]) -> None:
        self._tell("spawn", task)

    def wake(self, task: Task[Any], by: Task[Any] | str) -> None:
        self._tell("wake", task, by)

    def poll(self, task: Task[Any], leaf: Any) -> None:
        self._tell("poll", task, leaf)

    def park(self, task: Task[Any], leaf: Any) -> None:
        self._tell("park", task, leaf)

    def yielded(self, task: Task[Any]) -> None:
        self._tell("yielded", task)

    def resume(self, task: Task[Any]) -> None:
        self._tell("resume", task)

    def finish(self, task: Task[Any]) -> None:
        self._tell("finish", task)

    def ran(self, entry: Entry) -> None:
        self._tell("ran", entry)

    def timer(self, number: int, state: str, deadline: float) -> None:
        self._tell("timer", number, state, deadline)

    def io(self, fd: int, event: str, state: str) -> None:
        if state == "fired":
            self.cause = f"fd {fd}"  # until the next event
        self._tell("io", fd, event, state)

    def slot(self, session: str, x: int, state: str) -> None:
        self._tell("slot", session, x, state)

    def charge(self, bank: str, pages: int, caps: int) -> None:
        self._tell("charge", bank, pages, caps)

    def flush(self, session: str, size: int) -> None:
        self._tell("flush", session, size)

    def report(self, name: str, error: BaseException) -> None:
        self._tell("report", name, error)
