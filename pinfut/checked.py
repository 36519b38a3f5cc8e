"""Checked mode: what sees that a law of polling is broken.

On with ``PINFUT_CHECKED=1``, or ``executor.run(..., checked=True)``; off, none of this code runs. A
broken law raises where it is broken. Two are seen too late for that, and are logged: a poll that
blocked, and a future that was thrown away."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, Self, TypeVar

from pinfut import laws
from pinfut.laws import (
    BlockedInPoll,
    ContextKept,
    LawError,
    LostWakeup,
    NeverTaken,
    PinError,
    PolledAfterReady,
    describe,
)
from pinfut.places import caller
from pinfut.poll import PENDING, Context, Future, Poll, Waker

T = TypeVar("T")

patience = 0.1
"""A poll that runs longer, in seconds of real time, is taken to have blocked."""

clock: Callable[[], float] = time.perf_counter
"""What measures that."""

keeping = True
"""Whether futures that are made now get a record, if the environment asked for checked mode.
Off where the size of a future is measured."""

listener: Callable[[LawError], None] | None = None
"""Called with each error that is logged: by a test, say, that it makes fail."""

_log: Final = logging.getLogger("pinfut")


class Record:
    """What checked mode remembers of one future."""

    __slots__ = ("__weakref__", "done", "kind", "made", "must_be_taken", "owner", "where")

    def __init__(self, kind: str, made: str | None, must_be_taken: bool) -> None:
        self.kind = kind
        self.made = made  # where it was made; None when checked mode was not on from the start
        # Whether it is a mistake to throw it away as it is, neither polled nor dropped.
        self.must_be_taken = must_be_taken
        # Invariant: whose it is and where it was polled first; None before, and after a drop.
        self.owner: object = None
        self.where: str | None = None
        self.done = False  # whether it has given its value or its error

    def forget(self) -> None:
        """The future was dropped: it is nobody's, and nobody need take what is in it."""
        self.owner = self.where = None
        self.must_be_taken = False

    def __del__(self) -> None:
        # The record goes with its future.
        if self.must_be_taken and laws.running and not sys.is_finalizing():
            what = "taken" if self.where else "polled"
            report(
                NeverTaken(
                    f"a {self.kind} was thrown away and had never been {what}. Await it, or "
                    "drop() it",
                    record=self,
                )
            )


def record_of(future: Any) -> Record | None:
    """The record of a future, which is made if it has none; None where it has no room for one."""
    record: Record | None = getattr(future, "_law", None)
    if record is None:
        record = Record(type(future).__qualname__, None, False)
        try:
            future._law = record
        except AttributeError:
            return None
    return record


def keep_records(base: Any) -> None:
    """Have every future of `base` remember from now on where it was made, and every drop be seen.
    For `FutureBase`: when it is made, if the environment asks for checked mode, and for tests.
    It cannot be taken back."""
    if base.__new__ is not object.__new__:
        return

    def made(cls: type[Any], *args: object, **kwargs: object) -> Any:
        future = object.__new__(cls)
        if keeping:
            # What is made where polls are not seen may be polled there.
            must_be_taken = cls.must_be_taken and bool(laws.running)
            future._law = Record(cls.__qualname__, caller(), must_be_taken)
        return future

    def extended(cls: Any, /, **kwargs: object) -> None:
        super(base, cls).__init_subclass__(**kwargs)
        if "drop" in vars(cls):
            cls.drop = _seen(cls.drop)

    base.__new__ = made
    base.__init_subclass__ = classmethod(extended)
    todo = [base]
    while todo:
        cls = todo.pop()
        todo += cls.__subclasses__()
        if "drop" in vars(cls):
            cls.drop = _seen(cls.drop)


def _seen(drop: Callable[[Any], None]) -> Callable[[Any], None]:
    @wraps(drop)
    def seen(self: Any) -> None:
        record: Record | None = getattr(self, "_law", None)
        if record is not None:
            record.forget()
        drop(self)

    return seen


def report(error: LawError) -> None:
    """Tell of a broken law when it is too late to raise: a warning of the logger ``pinfut``."""
    _log.warning("%s: %s", type(error).__name__, error)
    if listener is not None:
        listener(error)


class CheckedContext(Context):
    """A context that enforces laws 1, 2, 4, 5 and 8 on each poll made through it."""

    __slots__ = ("_future", "_live", "_parent", "_taken", "_waker", "inner", "owner")

    def __init__(self, waker: Waker, owner: object = None) -> None:
        laws.recording = True
        self.owner = owner
        self._parent: CheckedContext | None = None
        self._future: object = None  # whose poll it is made for
        self._waker = waker
        self._live = True
        self._taken = False
        self.inner = 0.0  # seconds that were spent in the polls of children

    @property
    def waker(self) -> Waker:  # type: ignore[override]  # read through a check in this mode
        self._require_live()
        self._taken = True
        return self._waker

    def derive(self, waker: Waker, owner: object = None) -> Self:
        self._require_live()
        child = type(self)(waker, self.owner if owner is None else owner)
        child._parent = self
        return child

    def poll(self, future: Future[T]) -> Poll[T]:
        self._require_live()
        record = self._record(future)
        call = type(self)(self._waker, self.owner)
        call._future = future
        start = clock()
        try:
            value = future.poll(call)
        except BaseException:
            # The traceback leads to the context and the future; neither keeps the task for it.
            record.done = True
            record.must_be_taken = False
            record.owner = call.owner = call._future = None
            del call._waker
            raise
        finally:
            call._live = False
            spent = clock() - start
            self._add(spent)
            spend(spent - call.inner, "a poll", future)
        if value is not PENDING:
            record.done = True
            record.must_be_taken = False
            record.owner = None  # somebody may keep the future, a dead timer, say
        elif not call._taken:
            raise LostWakeup(
                f"{describe(future)} gave PENDING without reading cx.waker, so nobody can "
                "wake the task. Store cx.waker where the event will find it, then return PENDING",
                future,
            )
        else:
            # A child that registered its waker speaks for its parent's promise too.
            self._taken = True
        return value

    def _add(self, seconds: float) -> None:
        context: CheckedContext | None = self
        while context is not None:
            context.inner += seconds
            context = context._parent

    def _require_live(self) -> None:
        context: CheckedContext | None = self
        future = None
        while context is not None:
            future = context._future if future is None else future
            if not context._live:
                whose = f"of a poll of {describe(future)} " if future is not None else ""
                raise ContextKept(
                    f"a Context {whose}was used after that poll had returned. Keep cx.waker, "
                    "never cx",
                    future,
                )
            context = context._parent

    def _record(self, future: Any) -> Record:
        record = record_of(future)
        if record is None:  # a foreign future without room for one goes unchecked
            record = Record(type(future).__qualname__, None, False)
        if record.where is None:
            where = getattr(self.owner, "where", None)
            place = where() if where is not None else "a place unknown"
            record.owner = self.owner
            record.where = f"{place}, by {describe(self.owner)}"
        if record.done:
            if not getattr(future, "polled_after_ready", False):
                raise PolledAfterReady(
                    f"{describe(future)} was polled again after it had given its value. Keep "
                    "the value, or make a new future",
                    future,
                )
        elif record.owner is not self.owner:
            raise PinError(future, f"polled by {describe(self.owner)}")
        return record


def spend(seconds: float, what: str, future: object) -> None:
    """`what` of `future`, a poll or a step of it, took so long: report it if that is too long."""
    if seconds > patience:
        report(
            BlockedInPoll(
                f"{what} of {describe(future)} took {seconds:.3f} s, and nothing else could run. "
                "Wait by awaiting, or by giving PENDING; what blocks belongs into a thread",
                future,
            )
        )
