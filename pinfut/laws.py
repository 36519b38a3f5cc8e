"""The laws of polling, their errors, and the records of checked mode.

Checked mode (``PINFUT_CHECKED=1``, or ``executor.run(..., checked=True)``) enforces what
a cheap check can see. Off, none of this code runs: the executor picks another context
class when it starts, and the hot path has no test for it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from pinfut.poll import PENDING, Context, Poll, Waker

if TYPE_CHECKING:
    from typing import Self

    from pinfut.future import Future

T = TypeVar("T")

LAWS: Final[dict[int, str]] = {
    1: "Once a future has returned a value or raised, nobody polls it again.",
    2: "PENDING means that the newest waker is registered with something that will call it.",
    3: "A spurious poll is harmless.",
    4: "The first poll pins: from then on only the task that polled it may poll it, and it "
    "may not be copied, pickled or awaited elsewhere.",
    5: "cx is valid during the call only, and only the executor makes one.",
    6: "Dropping a pinned future cancels it; its slot is not free until the other side has "
    "acknowledged.",
    7: "A result is taken exactly once; a reply that comes after its cancel is processed, "
    "not ignored.",
    8: "poll never blocks and never re-enters the executor.",
}
"""The laws by number, as docs/future-model.md explains them."""


recording = False
"""Whether there has been a checked executor, so that futures may have records."""


def checked_by_default() -> bool:
    """Whether the environment asks for checked mode (``PINFUT_CHECKED`` not empty, not 0)."""
    return os.environ.get("PINFUT_CHECKED", "0") not in ("", "0")


class LawError(RuntimeError):
    """A law of polling was broken. `law` is its number in `LAWS`."""

    law: ClassVar[int] = 0

    def __init__(self, message: str) -> None:
        super().__init__(f"{message} (law {self.law}: {LAWS[self.law]})")


class PolledAfterReady(LawError):
    """A future was polled after it had given its value or its error."""

    law = 1


class LostWakeup(LawError):
    """A task is parked and nobody is left who could wake it."""

    law = 2


class PinError(LawError):
    """A pinned future was moved: copied, pickled, or polled by another task."""

    law = 4

    def __init__(self, future: object, how: str, where: str = "") -> None:
        detail = f"; it was first polled at {where}" if where else ""
        super().__init__(
            f"{describe(future)} may not be {how}{detail}. Await it in the task that polled "
            "it first, or make a new one"
        )


class ContextKept(LawError):
    """A context was used after the poll that it was made for."""

    law = 5


class TakenTwice(LawError):
    """A result was taken a second time, or before it was there."""

    law = 7


class ReenteredExecutor(LawError):
    """An executor was run from inside a running one."""

    law = 8


def describe(future: object) -> str:
    """A future as error messages name it."""
    name = getattr(future, "name", None)
    label = type(future).__qualname__ if name is None else f"{type(future).__qualname__} {name!r}"
    return f"<{label} at {id(future):#x}>"


class Record:
    """What checked mode remembers of one future."""

    __slots__ = ("done", "owner", "where")

    def __init__(self, owner: object, where: str) -> None:
        self.owner = owner
        self.where = where
        self.done = False


class CheckedContext(Context):
    """A context that enforces laws 1, 2, 4 and 5 on each poll made through it."""

    __slots__ = ("_live", "_parent", "_taken", "_waker", "owner")

    def __init__(self, waker: Waker, owner: object = None) -> None:
        global recording
        recording = True
        self.owner = owner
        self._parent: CheckedContext | None = None
        self._waker = waker
        self._live = True
        self._taken = False

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
        try:
            value = future.poll(call)
        except BaseException:
            # The traceback may lead to the context and to the future for a long time. Neither
            # keeps the task: it is the one that the error may belong to.
            record.done = True
            record.owner = call.owner = None
            del call._waker
            raise
        finally:
            call._live = False
        if value is not PENDING:
            record.done = True
        elif not call._taken:
            raise LostWakeup(
                f"{describe(future)} gave PENDING without reading cx.waker, so nobody can "
                "wake the task. Store cx.waker where the event will find it, then return PENDING"
            )
        else:
            # A child that registered its waker speaks for its parent's promise too.
            self._taken = True
        return value

    def _require_live(self) -> None:
        context: CheckedContext | None = self
        while context is not None:
            if not context._live:
                raise ContextKept(
                    "a Context was used after its poll had returned. Keep cx.waker, never cx"
                )
            context = context._parent

    def _record(self, future: Any) -> Record:
        record: Record | None = getattr(future, "_law", None)
        if record is None:
            where = getattr(self.owner, "where", None)
            record = Record(self.owner, where() if where is not None else "an unknown place")
            try:
                future._law = record
            except AttributeError:
                return record  # a foreign future without room for a record goes unchecked
        if record.done and not getattr(future, "polled_after_ready", False):
            raise PolledAfterReady(
                f"{describe(future)} was polled again after it had given its value; "
                f"it was first polled at {record.where}"
            )
        if record.owner is not self.owner:
            raise PinError(future, f"polled by {describe(self.owner)}", record.where)
        return record


def suspended_at(coro: Any) -> str:
    """Where a coroutine waits, as ``file:line``: the innermost frame of its await chain."""
    where = "its start"
    # Bounded by the interpreter's own recursion limit on await chains.
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
        if frame is None:
            break
        if not frame.f_globals.get("__name__", "").startswith("pinfut."):
            where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
    return where
