"""Answers: the calls that the other side has made, in a fixed array by slot.

States of an answer::

    FREE ──Call──▶ QUEUED ──its target is there──▶ RUNNING ──▶ RETURNED ──Finish──▶ FREE
                     └────────refused or cancelled──────────────▲  └──NO_FINISH──────▲
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, final

from pinfut.rpc.wire.exports import Facet
from pinfut.rpc.wire.frames import Cap

FREE: Final = 0
QUEUED: Final = 1
RUNNING: Final = 2
RETURNED: Final = 3


@final
class PromisedCapability:
    """A capability that an earlier call will give, in the arguments of a later one."""

    __slots__ = ("answer", "error", "facet", "on_settled", "stand_ins")

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer  # the earlier call, as long as it is not over
        # Invariant: at most one of the two is set, once the earlier call is over.
        self.facet: Facet | None = None
        self.error: tuple[int, str, str] | None = None
        # What stands for the object until then, by interface, and what tells it.
        self.stand_ins: dict[Any, Any] = {}
        self.on_settled: list[Callable[[PromisedCapability], None]] = []

    def settle(self, facet: Facet | None, error: tuple[int, str, str] | None) -> None:
        """The earlier call is over."""
        self.facet = facet
        self.error = error
        self.answer = None
        for call in self.on_settled:
            call(self)
        self.on_settled.clear()
        self.stand_ins.clear()


def waits_for_itself(answer: Answer, promises: list[Any]) -> bool:
    """Whether a call that waits for these promises would wait for itself: each may stand for
    another call's result, and that call wait for promises again. Looks at each call once."""
    seen: set[Answer] = set()
    left = list(promises)
    while left:
        target = getattr(left.pop(), "_pinfut_target", None)
        if target is None:
            continue
        behind = target.parent
        if type(behind) is not PromisedCapability:
            if behind is not None:
                left.append(behind)  # a call on another promise of this process
            continue
        other = behind.answer
        if other is answer:
            return True
        if other is not None and other not in seen:
            seen.add(other)
            if other.state == RUNNING and other.kept:
                left.extend(other.kept)
    return False


class Queue:
    """Answers in the order in which they came. Each has its place in the queue in itself, so
    standing there allocates nothing."""

    __slots__ = ("last", "waiting")

    def __init__(self) -> None:
        self.waiting: Answer | None = None
        self.last: Answer | None = None

    def all(self) -> list[Answer]:
        """Those who stand here, first to last."""
        found, one = [], self.waiting
        while one is not None:
            found.append(one)
            one = one.next
        return found

    def line(self) -> Iterator[Answer]:
        """Those who stand here, first to last; they stand here no more."""
        one, self.waiting, self.last = self.waiting, None, None
        while one is not None:
            after = one.next
            one.waits_on = one.previous = one.next = None
            yield one
            one = after


@final
class Answer(Queue):
    """One call that is being served. Made once for each slot and used again. `x`: what ids of its
    calls are above."""

    __slots__ = (
        *("caps", "charged", "error", "flags", "granted", "kept", "late", "callee", "method"),
        *("next", "payload", "place", "previous", "result", "room", "served", "state", "stops"),
        *("target", "task", "waits_on", "x"),
    )

    def __init__(self, callee: Any, x: int = -1) -> None:
        self.callee = callee
        self.x = x
        self.state = FREE
        # With the kind of its frame above the lowest 8 bits, for one that is not a plain call.
        self.flags = self.method = self.target = self.room = self.place = 0
        # Bytes of the session's account that this call holds, waiting or with its handler.
        self.charged = 0
        # Of a call on another answer, with the interface that it expects of that before the rest.
        self.payload = b""
        # Capabilities of the arguments; those that an earlier call gives are promised
        # from the beginning, so that the caller may finish that call meanwhile.
        self.caps: tuple[Cap | PromisedCapability, ...] = ()
        # Invariant: these are set only while RUNNING, for a handler that has not ended within
        # its first step: its method and its task.
        self.served: Any = None
        self.task: Any = None
        # The time at which a handler that was cancelled is ended; 0 for any other.
        self.stops = 0.0
        # Invariant: once RETURNED, the facet that later calls may be made on, or the error
        # that they get, as it went over the wire.
        self.result: Facet | None = None
        self.error: tuple[int, str, str] | None = None
        # The objects in the Return: the caller reads it later than it comes, and what it names
        # has to be there until Finish. Before it: the promises that the call waits for.
        self.kept: list[Any] | None = None
        # The ids that the Return handed out, for a Finish that wants none of them.
        self.granted: list[int] | None = None
        # The calls that wait for this one stand in its queue.
        super().__init__()
        # What waits for this call's result without being a call on it.
        self.late: PromisedCapability | None = None
        # Invariant: the queue in which this one stands, and its neighbours: while QUEUED, of the
        # answer that it waits for; while it has a task, of all that have one.
        self.waits_on: Queue | None = None
        self.previous: Answer | None = None
        self.next: Answer | None = None

    @property
    def call(self) -> str:
        """What it is called in messages."""
        return f"call {self.x} of session {self.callee.name}"

    def join(self, on: Queue) -> None:
        """Stand in a queue, behind all who do already."""
        behind = on.last
        if behind is None:
            on.waiting = self
        else:
            behind.next = self
        self.previous = behind
        on.last = self
        self.waits_on = on

    def leave(self) -> None:
        """Stand in no queue."""
        on, before, after = self.waits_on, self.previous, self.next
        if on is None:
            return
        if before is None:
            on.waiting = after
        else:
            before.next = after
        if after is None:
            on.last = before
        else:
            after.previous = before
        self.waits_on = self.previous = self.next = None

    def settle(self) -> None:
        """The call has its Return: what it worked with is dropped."""
        self.state = RETURNED
        self.served = self.task = None
        if self.caps:
            self.caps = ()

    def clear(self) -> None:
        """The call is over and forgotten; only its id stays, so that it is known as old."""
        self.state = FREE
        self.payload = b""
        self.served = self.task = self.result = self.error = None
        self.granted = self.late = self.kept = None
        self.waiting = self.last = self.waits_on = self.previous = self.next = None
        self.caps = ()

    def ended(self, task: Any) -> None:
        """The handler's task has ended (`pinfut.executor.task.Owner`)."""
        self.callee.on_handled(self, task)
