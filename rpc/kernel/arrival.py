"""Arrival: when a signal gets to the other side, drawn, and what it finds there.

A kernel without `Arrivals` has a badge there at once and wakes at the end of the turn, always.
Real kernels promise neither: the other process may run before the call that signals has come
back, or long after it. So whoever signals has published before.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, final, get_args

from pinfut.executor.current import running
from pinfut.rpc.kernel.channel import End
from pinfut.rpc.kernel.events import EventBuffer

if TYPE_CHECKING:
    from pinfut.rpc.kernel.lane import Lane
    from pinfut.rpc.kernel.sim import Process, SimKernel

When = Literal["at once", "turn", "later"]
Arrival = Literal[When, "drawn"]
"""At once: the badge is there and whoever waits is woken before the call that signals is over.
Turn: woken when the turn ends, in an order drawn with the others. Later: there and woken after
others have run. Drawn: each signal one of these."""

WHENS: Final[tuple[When, ...]] = get_args(When)

LATE: Final = 1e-9
"""Seconds that a late signal takes, up to `LATEST` times. In simulated time that is after all
that was ready has run."""

LATEST: Final = 3


class EarlySignal(AssertionError):
    """A signal of `end` arrived before what it announces was published."""

    def __init__(self, end: End, text: str) -> None:
        super().__init__(f"session {end.name}: {text}")
        self.end = end


class _Announced(NamedTuple):
    """Counts of one side when it signalled: bytes written, answers posted, bytes read."""

    written: int
    answered: int
    read: int

    @classmethod
    def by(cls, end: End) -> _Announced:
        """What this side has done, as it knows it."""
        out, into = _lanes(end)
        return cls(
            0 if out is None else out.writer.tail,
            0 if into is None else into.completions._posted + len(into.completions.posted),
            0 if into is None else into.reader.head,
        )

    @classmethod
    def to_the_peer_of(cls, end: End) -> _Announced:
        """What stands in the shared words, for the other side to see."""
        out, into = _lanes(end)
        return cls(
            0 if out is None else out.writer._words[0],
            0 if into is None else into.completions._words[0],
            0 if into is None else into.reader._words[1],
        )


def _lanes(end: End) -> tuple[Lane | None, Lane | None]:
    """The lanes of this side's calls and of the other's; none is made."""
    forward, back = end.channel.forward, end.channel.reversed
    return (back, forward) if end.serving else (forward, back)


_RINGS: Final = ("the ring of its calls", "the ring of its answers", "the ring that it reads")


@final
class Arrivals:
    """Delivers the signals of one kernel when its seed says, and looks at what each finds."""

    __slots__ = ("_announced", "_kernel", "_random", "_whens", "counts", "error")

    def __init__(self, kernel: SimKernel, when: Arrival, seed: int) -> None:
        if when not in get_args(Arrival):
            raise ValueError(f"signals arrive {', '.join(get_args(Arrival))}, not {when!r}")
        self._kernel = kernel
        self._whens = WHENS if when == "drawn" else (when,)
        # Its own, so that the order within a turn is drawn as it is without.
        self._random = random.Random(f"arrival {seed}")
        # By side: what its newest signal announces, until that arrives or nobody is there.
        self._announced: dict[End, _Announced] = {}
        # The first signal that came before what it announced, until somebody has read it.
        self.error: EarlySignal | None = None
        # How many arrived when, and of how many it was looked at what they announced.
        self.counts: Counter[str] = Counter()

    def announce(self, end: End) -> None:
        """`end` signals: when that arrives, what it has done has to be visible."""
        self._announced[end] = _Announced.by(end)

    def forget(self, end: End) -> None:
        """Nothing arrives at `end` any more."""
        self._announced.pop(end.peer, None)

    def send(self, one: Process | EventBuffer, badge: int) -> None:
        """Deliver a signal, now or some time later."""
        when = self._random.choice(self._whens)
        executor = running.executor
        if when == "later" and executor is not None:
            due = executor.now() + LATE * self._random.randrange(LATEST + 1)
            executor.timers.add(due, lambda: self._arrive(one, badge, "later"))
        else:
            # Outside of an executor nobody waits.
            self._arrive(one, badge, "turn" if executor is None else when)

    def _arrive(self, one: Process | EventBuffer, badge: int, when: When) -> None:
        kernel = self._kernel
        self.counts[when] += 1
        self._look(one, badge, when)
        one.notification.signal(badge)
        if when == "turn":
            kernel.deliver_soon(one)
        else:
            kernel.deliver(one)

    def _look(self, one: Process | EventBuffer, badge: int, when: When) -> None:
        end = None if isinstance(one, EventBuffer) else one.at(badge)
        if not isinstance(end, End):
            return
        announced = self._announced.pop(end.peer, None)
        if announced is None:
            return
        self.counts["announced"] += 1
        visible = _Announced.to_the_peer_of(end.peer)
        for ring, said, there in zip(_RINGS, announced, visible, strict=True):
            if there < said and self.error is None:
                side = "server" if end.peer.serving else "client"
                self.error = EarlySignal(
                    end.peer,
                    f"a signal of the {side} arrived ({when}) and {ring} stands at {there}; "
                    f"it announces {said}: publish first",
                )
