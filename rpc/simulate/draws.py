"""Draws: what a seed decides, all of it before anything runs.

A plan is a list of operations that are data. Whoever leaves some of them out has another
plan that still runs, which is what shrinking is made of.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

WORK: Final = {
    "read": 10,
    "chain": 5,
    "hold": 4,
    "use": 6,
    "visit": 3,
    "give": 2,
    "introduce": 1,
    "nest": 1,
    "drop": 4,
    "cancel": 2,
    "deadline": 2,
    "refill": 2,
    "let": 12,
    "leave": 1,
}
"""What clients do, with how often each is drawn."""

FAULTS: Final = {
    "refuse": 6,
    "cut": 3,
    "raise": 3,
    "spurious": 3,
    "again": 3,
    "crash-client": 1,
    "crash-server": 1,
    "destroy": 1,
    "corrupt": 1,
    "garbage": 1,
    "slow": 2,
    "jump": 2,
}
"""What goes wrong, with how often each is drawn."""


class Op(NamedTuple):
    """One operation: what, by which client, and three numbers that it makes use of."""

    what: str
    who: int
    a: int
    b: int
    c: int

    def __str__(self) -> str:
        return f"{self.what} client={self.who} {self.a} {self.b} {self.c}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a run depends on."""

    seed: int
    clients: int
    slots: tuple[int, ...]
    pages: tuple[int, ...]
    budget: int
    ops: tuple[Op, ...]

    def only(self, ops: tuple[Op, ...]) -> Plan:
        """The same world with other operations."""
        return replace(self, ops=ops)


def draw(seed: int, ops: int, faults: frozenset[str] = frozenset(FAULTS)) -> Plan:
    """The plan of a seed. Raises ValueError for a fault that there is not."""
    unknown = faults - FAULTS.keys()
    if unknown:
        raise ValueError(f"no fault {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    rng = random.Random(seed)
    clients = rng.randint(1, 3)
    weights = WORK | {name: weight for name, weight in FAULTS.items() if name in faults}
    names = list(weights)
    drawn = rng.choices(names, list(weights.values()), k=ops)
    number = rng.randrange
    return Plan(
        seed,
        clients,
        tuple(rng.choice((1, 2, 3, 8)) for _ in range(clients)),
        tuple(rng.choice((24, 40, 80, 200)) for _ in range(clients)),
        rng.choice((1, 2, 64)),
        tuple(Op(w, number(clients), number(1 << 16), number(1 << 16), number(4)) for w in drawn),
    )
