"""ReadyQueue: the entries of one priority that are ready, and how a turn is shared among three."""

from __future__ import annotations

from collections import deque
from threading import get_ident
from typing import Any, Final

from pinfut.core import accelerate
from pinfut.executor.contract import Entry, Priority, Runner
from pinfut.laws import ForeignWake, describe

TURN: Final = 512
"""The most steps of a turn, and the most futures that are ready at once which its steps may
go on with. So a timer or a descriptor waits for that many, and LOOK, at most."""

LOOK: Final = 64
"""Steps after which a busy executor looks at its timers and descriptors."""


class ReadyQueue(deque[Any]):
    """A queue of ready entries. It holds each of them exactly once, and no other."""

    __slots__ = ("asleep", "priority", "runner")

    def __init__(self, runner: Runner, priority: Priority) -> None:
        super().__init__()
        self.runner = runner
        self.priority = priority
        # Whether the thread sleeps, or its host is at work: what another puts here may go unseen.
        self.asleep = False


def require_own_thread(runner: Runner, what: object) -> None:
    """Raise ForeignWake if another thread than the executor's wakes or spawns `what`, or calls
    it. A sleep is over all the same, so that nobody hangs."""
    if runner.thread in (0, get_ident()):
        return
    if runner.poller is not None:
        runner.poller.unpark()
    raise ForeignWake(
        f"{describe(what)} was woken, spawned or put off by another thread than its executor's. A "
        "task, channel, lock, event or future belongs to the executor whose tasks wait for it: "
        "call into that one with from_thread(fn, executor=...), or wake it through a RemoteWaker"
    )


def select_batch(
    high: deque[Entry], ready: deque[Entry], low: deque[Entry], most: int = TURN
) -> int:
    """Line the entries of a turn of at most `most` steps up in `ready`, the urgent first; how many
    they are. In a full turn three quarters at most are urgent and a sixteenth at least is not
    urgent at all, if there are such: nobody starves, and nobody waits longer than those of the same
    priority that were there before need. (A turn of fewer than 16 steps has no sixteenth.)"""
    urgent = min(len(high), (most * 3 + 3) // 4)
    unhurried = min(len(low), max(most // 16, most - urgent - len(ready)))
    normal = min(len(ready), most - urgent - unhurried)
    if unhurried:
        ready.rotate(-normal)
        for _ in range(unhurried):
            ready.append(low.popleft())
        ready.rotate(normal + unhurried)
    if urgent:
        ready.extendleft([high.popleft() for _ in range(urgent)][::-1])
    return urgent + normal + unhurried


accelerate(globals())
