"""Arrival: when a signal gets to the other side, drawn, and what it finds there.

A kernel without `Arrivals` has a badge there at once and wakes at the end of the turn, always.
Real kernels promise neither: the other process may run before the call that signals has come
back, or long after it. So a side publishes before it signals."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final, Literal, Protocol, TypeAlias, final, get_args

from pinfut.executor.current import running
from pinfut.rpc.kernel.sim.channel import Channel
from pinfut.rpc.kernel.sim.endpoint import SimEndpoint
from pinfut.rpc.kernel.sim.process import SimProcess
from pinfut.rpc.memory.lane_pages import LanePages
from pinfut.rpc.memory.notification import Notification

When = Literal["at once", "turn", "later"]
Arrival = Literal[When, "drawn"]
"""At once: the badge is there and who waits is woken before the call that signals is over.
Turn: woken when the turn ends, in an order drawn with the others. Later: there and woken after
others have run. Drawn: each signal one of these."""

WHENS: Final[tuple[When, ...]] = get_args(When)

LATE: Final = 1e-9
"""Seconds that a late signal takes, up to `LATEST` times. In simulated time that is after all
that was ready has run."""

LATEST: Final = 3


class EarlySignal(AssertionError):
    """A signal of one side of session `name` arrived before what it announces was published."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"session {name}: {text}")
        self.name = name


_Counts: TypeAlias = tuple[int, int, int]  # Of one side: bytes written, answers posted, bytes read


def _visible(end: SimEndpoint, lanes: list[LanePages]) -> _Counts:
    """What stands in the shared words, for the other side to see."""
    counts = [lane.counts for lane in lanes]
    out, into = ([*counts, (0, 0, 0)][:2])[:: -1 if end.serving else 1]
    return out[0], into[2], into[1]


_RINGS: Final = ("the ring of its calls", "the ring of its answers", "the ring that it reads")


class Delivering(Protocol):
    """The kernel, as far as its signals need it."""

    def find(self, number: int, /) -> Channel | None: ...

    def deliver(self, only: Notification, /) -> None: ...

    def deliver_soon(self, one: Notification, /) -> None: ...


@final
class Arrivals:
    """Delivers the signals of one kernel when its seed says, and looks at what each finds."""

    __slots__ = ("_announced", "_kernel", "_random", "_whens", "counts", "error")

    def __init__(self, kernel: Delivering, when: Arrival, seed: int) -> None:
        if when not in get_args(Arrival):
            raise ValueError(f"signals arrive {', '.join(get_args(Arrival))}, not {when!r}")
        self._kernel = kernel
        self._whens = WHENS if when == "drawn" else (when,)
        # Its own, so that the order within a turn is drawn as it is without.
        self._random = random.Random(f"arrival {seed}")
        # By side: what its newest signal announces, until that arrives or nobody is there.
        self._announced: dict[SimEndpoint, _Counts] = {}
        # The first signal that came before what it announced, until somebody has read it.
        self.error: EarlySignal | None = None
        # How many arrived when, and of how many it was looked at what they announced.
        self.counts: Counter[str] = Counter()

    def announce(self, end: SimEndpoint) -> None:
        """A side signals: when that arrives, what it has done has to be visible."""
        self._announced[end] = end.written

    def forget(self, end: SimEndpoint) -> None:
        """What this side has announced will not arrive any more."""
        self._announced.pop(end, None)

    def send(self, one: Notification, badge: int) -> None:
        """Deliver a signal, now or some time later."""
        when = self._random.choice(self._whens)
        executor = running.executor
        if when == "later" and executor is not None:
            due = executor.now() + LATE * self._random.randrange(LATEST + 1)
            executor.timers.add(due, lambda: self._arrive(one, badge, "later"))
        else:
            # Outside of an executor nobody waits.
            self._arrive(one, badge, "turn" if executor is None else when)

    def _arrive(self, one: Notification, badge: int, when: When) -> None:
        kernel = self._kernel
        self.counts[when] += 1
        if type(one) is SimProcess:
            self._look(one, badge, when)
        one.signal(badge)
        if when == "turn":
            kernel.deliver_soon(one)
        else:
            kernel.deliver(one)

    def _look(self, process: SimProcess, badge: int, when: When) -> None:
        at = process.at(badge)
        channel = self._kernel.find(at.number) if isinstance(at, SimEndpoint) else None
        if channel is None or not isinstance(at, SimEndpoint):
            return
        end = channel.ends[not at.serving]
        announced = self._announced.pop(end, None)
        if announced is None:
            return
        self.counts["announced"] += 1
        for ring, said, there in zip(_RINGS, announced, _visible(end, channel.lanes), strict=True):
            if there < said and self.error is None:
                who = "server" if end.serving else "client"
                self.error = EarlySignal(
                    end.name,
                    f"a signal of the {who} arrived ({when}) and {ring} stands at {there}; "
                    f"it announces {said}: publish first",
                )
