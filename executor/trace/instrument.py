"""Instrument: the hooks of an executor that is watched, and several instruments as one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, final

from pinfut.closing import tell
from pinfut.executor.contract import Entry, Runner
from pinfut.executor.task import Task

_log = logging.getLogger("pinfut.executor")


class Instrument:
    """Told of each step as it happens. Override what you need. What a hook raises is logged, but
    for `attach`, which may refuse. A step of a task begins with `poll` (or with `resume`, at its
    start and after a yield) and ends with `park`, `yielded` or `finish`."""

    def attach(self, executor: Runner) -> None:
        """`executor` was made and will tell this instrument; told once, before all else."""

    def spawn(self, task: Task[Any]) -> None:
        """`task` was made and is ready."""

    def wake(self, task: Task[Any], by: Task[Any] | str) -> None:
        """A parked `task` became ready. `by` is the task whose step did it, or says what
        did: ``timer 3``, ``call`` (one put off by `call_soon`), ``first step of f``,
        ``fd 7`` or ``outside``."""

    def merged(self, task: Task[Any], by: Task[Any] | str) -> None:
        """As `wake`, of a task that was ready already: nothing comes of it."""

    def cancel(self, task: Task[Any], by: Task[Any] | str) -> None:
        """CancelledError will be raised in `task` where it waits; `by` as for `wake`."""

    def turn(self, count: int) -> None:
        """A turn begins, in which `count` ready entries run."""

    def poll(self, task: Task[Any], leaf: Any) -> None:
        """The future that `task` waits for is about to be polled."""

    def asked(self, future: Any) -> None:
        """`future` is about to be polled: what `poll` told of, or one that is polled in its
        place by what is being polled. Told to all if one overrides `answered`."""

    def answered(self, future: Any, value: Any, error: BaseException | None) -> None:
        """A poll that `asked` told of gave `value` or raised `error`. Keep neither."""

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
        """A wait for descriptor `fd` to become ready for `event` (``read``, ``write``) was ``set``,
        has ``fired`` (whom it wakes comes next) or was ``cancelled``, which a close does, too."""

    def session(self, name: str, slots: int, bank: str) -> None:
        """A session was made, with so many slots, and `bank` pays for it."""

    def slot(self, session: str, x: int, state: str, /, **about: Any) -> None:
        """Call `x` of a session changed its state: ``sent``, ``returned``, ``taken`` or
        ``cancelled``. `about` is what else is known, as docs/trace.md names it."""

    def serve(self, session: str, x: int, /, **about: Any) -> None:
        """The handler of call `x` of a session is about to begin; `about` as for `slot`."""

    def charge(self, bank: str, pages: int, caps: int, /, **about: Any) -> None:
        """A bank was charged; negative for a refund. `about` as for `slot`."""

    def flush(self, session: str, size: int) -> None:
        """A session made `size` bytes of messages visible to the other side."""

    def law(self, error: BaseException) -> None:
        """The executor itself has found a broken law, and is about to raise `error`: nobody
        is left to wake the tasks that are parked, say."""

    def report(self, name: str, error: BaseException) -> None:
        """The task or call `name` failed, nobody waits for it, and `error` is logged."""


OUTSIDE = "outside"


@final
class Instruments(Instrument):
    """Several instruments as one. False when there are none. A hook goes to those that override it,
    in their order. The error of one is logged; the run and the others go on."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._all = tuple(instruments)
        # What runs while no task does; wakes that come then are put down to it.
        self.cause = OUTSIDE
        # The call that was put off and is running, while that is the cause.
        self.call: object = None
        self.spawned = 0  # how many tasks there have been, which is the number of the newest
        # Whether somebody wants to know of each poll.
        self.polls = any(_overrides(one, "answered") for one in self._all)
        for hook in _HOOKS:
            hear = tuple(getattr(one, hook) for one in self._all if _overrides(one, hook))
            if hear:
                setattr(self, "_io" if hook == "io" else hook, partial(_tell, hear))

    def __bool__(self) -> bool:
        return bool(self._all)

    def attach(self, executor: Runner) -> None:
        for one in self._all:
            one.attach(executor)

    _io = Instrument.io

    def io(self, fd: int, event: str, state: str) -> None:
        if state == "fired":
            self.cause = f"fd {fd}"  # until the next event
        self._io(fd, event, state)


_HOOKS: Final = tuple(
    name for name in vars(Instrument) if not name.startswith("_") and name != "attach"
)


def _overrides(one: Instrument, hook: str) -> bool:
    return getattr(getattr(one, hook), "__func__", None) is not getattr(Instrument, hook)


def _tell(hear: tuple[Callable[..., None], ...], *what: Any, **about: Any) -> None:
    for hook in hear:
        try:
            hook(*what, **about)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            one = getattr(hook, "__self__", hook)
            tell(_log.error, error, "%r failed in %r", one, hook.__name__)
