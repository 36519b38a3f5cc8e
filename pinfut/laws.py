"""The laws of polling, and the error of each.

docs/laws.md shows the smallest program that breaks each, and the message it gets. Most are seen
in checked mode alone; `pinfut.checked` is what sees them."""

from __future__ import annotations

import os
from threading import RLock
from typing import Any, ClassVar, Final, Protocol

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
"""The laws by number."""


# Reentrant: Ctrl-C may come in the middle, and the clean-up comes here again.
_counting = RLock()

recording = False
"""Whether there has been a checked executor, so that futures may have records."""

running: Final[set[int]] = set()
"""The checked executors that run now, by id. While there is none, polls go unseen, and nobody can
say what was never taken."""

_open: Final[set[int]] = set()  # the executors that are open, by id
through_executor = True
"""Whether each await has to go through what runs it, though it need not wait: a checked executor
wants to see its poll, and where none is open something else runs it, and has to say so."""


def opened(executor: int, checked: bool) -> None:
    """An executor, by its id, was opened."""
    global recording, through_executor
    with _counting:
        _open.add(executor)
        if checked:
            running.add(executor)
            recording = True
        through_executor = bool(running)


def closed(executor: int) -> None:
    """An executor was closed, or has no part in this process. Idempotent."""
    global through_executor
    with _counting:
        _open.discard(executor)
        running.discard(executor)
        through_executor = bool(running) or not _open


def none_open() -> None:
    """No executor is open: this process was forked, and they are the parent's."""
    global _counting, through_executor
    _counting = RLock()  # another thread of the parent's may have held it
    _open.clear()
    running.clear()
    through_executor = True


def checked_by_default() -> bool:
    """Whether the environment asks for checked mode (``PINFUT_CHECKED`` not empty, not 0)."""
    return os.environ.get("PINFUT_CHECKED", "0") not in ("", "0")


class Provenance(Protocol):
    """Where a future was made and first polled, as text; None where that is not known."""

    made: str | None
    where: str | None


class LawError(RuntimeError):
    """A law of polling was broken: `law` is its number in `LAWS`. The message names the future,
    where it was made (known with ``PINFUT_CHECKED=1`` from the start) and first polled (in checked
    mode)."""

    law: ClassVar[int] = 0

    def __init_subclass__(cls, *, law: int | None = None, **others: Any) -> None:
        super().__init_subclass__(**others)
        if law is not None:
            cls.law = law

    def __init__(
        self, message: str, future: object = None, *, record: Provenance | None = None
    ) -> None:
        text = f"{message}\n  law {self.law}: {LAWS[self.law]}"
        if future is not None or record is not None:
            text += history(future, record)
        super().__init__(text)


class PolledAfterReady(LawError, law=1):
    """A future was polled after it had given its value or its error."""


class LostWakeup(LawError, law=2):
    """A task is parked and nobody is left who could wake it."""


class FutureLock(LostWakeup):
    """Somebody waits for a lock, a permit or a thread, and who has it cannot go on."""


class ForeignWake(LawError, law=2):
    """A waker was called by another thread than its executor's."""


class PinError(LawError, law=4):
    """A pinned future was moved: copied, pickled, or polled by another task."""

    def __init__(self, future: object, how: str) -> None:
        super().__init__(
            f"{describe(future)} may not be {how}. Await it in the task that polled it first, "
            "make a new one, or give out clones of shared(future)",
            future,
        )


class ContextKept(LawError, law=5):
    """A context was used after the poll that it was made for."""


class TakenTwice(LawError, law=7):
    """A result was taken a second time, or before it was there."""


class NeverTaken(LawError, law=7):
    """A future was given up without a poll and without a drop, or with its value in it."""


class ReenteredExecutor(LawError, law=8):
    """An executor was run from inside a running one."""


class BlockedInPoll(LawError, law=8):
    """A poll took so long that it must have blocked."""


def describe(future: object) -> str:
    """A future as error messages name it."""
    name = getattr(future, "_pinfut_name", None) or getattr(future, "name", None)
    label = type(future).__qualname__ if name is None else f"{type(future).__qualname__} {name!r}"
    return f"<{label} at {id(future):#x}>"


def history(future: object, record: Provenance | None = None) -> str:
    """Where a future was made and first polled, as the last lines of a message."""
    record = record or getattr(future, "_law", None)
    if record is None:
        return f"\n  where it was made and first polled {_UNKNOWN}"
    made = f"made at {record.made}" if record.made else f"where it was made {_UNKNOWN}"
    polled = f"first polled at {record.where}" if record.where else "not polled by anybody"
    return f"\n  {made}\n  {polled}"


_UNKNOWN: Final = "is known only with PINFUT_CHECKED=1 set before the start"
