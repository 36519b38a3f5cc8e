"""Ready: the tasks of one priority that are ready, and how a turn is shared among three.

The bounds of a turn stand here, for both loops keep to them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, final

if TYPE_CHECKING:
    from pinfut.executor.core import Executor
    from pinfut.executor.task import Task


Priority: TypeAlias = Literal["high", "normal", "low"]
"""How urgent a task is. `mix` says what that means in a turn."""

TURN: Final = 512
"""The most steps of a turn, and the most futures that are ready at once which its steps may
go on with. So a timer or a descriptor waits for that many, and LOOK, at most."""

LOOK: Final = 64
"""Steps after which a busy executor looks at its timers and descriptors."""

_HIGH_SHARE: Final = TURN * 3 // 4
_LOW_SHARE: Final = TURN // 16


@final
class Ready(deque["Task[Any]"]):
    """A queue of ready tasks. It holds each of them exactly once, and no other."""

    __slots__ = ("executor", "priority")

    def __init__(self, executor: Executor, priority: Priority) -> None:
        super().__init__()
        self.executor = executor
        self.priority = priority


def mix(high: Ready, ready: Ready, low: Ready) -> int:
    """Line the tasks of a turn up in `ready`, the urgent first; how many they are.

    In a full turn three quarters at most are urgent and a sixteenth at least is not
    urgent at all, if there are such tasks: nobody starves, and nobody waits longer than
    the tasks of the same priority that were there before need.
    """
    urgent = min(len(high), _HIGH_SHARE)
    unhurried = min(len(low), max(_LOW_SHARE, TURN - urgent - len(ready)))
    normal = min(len(ready), TURN - urgent - unhurried)
    if unhurried:
        ready.rotate(-normal)
        for _ in range(unhurried):
            ready.append(low.popleft())
        ready.rotate(normal + unhurried)
    if urgent:
        ready.extendleft([high.popleft() for _ in range(urgent)][::-1])
    return urgent + normal + unhurried
