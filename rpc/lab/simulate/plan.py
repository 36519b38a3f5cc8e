"""Plan: everything that a run depends on, as data.

A plan without some of its operations is a plan that still runs, which is what shrinking
is made of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, final

from pinfut.rpc.kernel.sim.arrival import Arrival


class Op(NamedTuple):
    """One operation: what, by which client, and three numbers that it makes use of."""

    what: str
    who: int
    a: int
    b: int
    c: int

    def __str__(self) -> str:
        return f"{self.what} client={self.who} {self.a} {self.b} {self.c}"


@final
@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """A world, and what happens in it.

    `slots`, `rings`, `pages`: of each client's sessions and bank. `watching`: which clients bring
    memory for events. `budget`: messages in one look at a session. `shuffled`: whether any of the
    ready tasks may run next, instead of the first. `arrival`: when signals arrive.
    """

    seed: int
    slots: tuple[int, ...]
    rings: tuple[int, ...]
    pages: tuple[int, ...]
    watching: tuple[bool, ...]
    budget: int
    shuffled: bool
    arrival: Arrival
    ops: tuple[Op, ...]

    @property
    def clients(self) -> int:
        """How many clients there are."""
        return len(self.slots)

    def only(self, ops: tuple[Op, ...]) -> SimulationPlan:
        """The same world with other operations."""
        return replace(self, ops=ops)
