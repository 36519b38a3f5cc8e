"""Draws: what a seed decides, all of it before anything runs.

Each seed leaves some kinds of work and some faults out and draws others more often, so that
histories differ in kind and not in order only (swarm testing: Groce and others, ISSTA 2012).
"""

from __future__ import annotations

import random
from typing import Final

from pinfut.rpc.kernel.sim.arrival import Arrival
from pinfut.rpc.lab.simulate.faults import FAULTS
from pinfut.rpc.lab.simulate.plan import Op, SimulationPlan
from pinfut.rpc.lab.simulate.work import WORK, Kind

SHARES: Final = (0.05, 0.08, 0.15)
"""Of all operations, how many are faults."""

ARRIVALS: Final[tuple[Arrival, ...]] = ("turn", "turn", "at once", "later", "drawn")
"""When the signals of a history arrive."""


def draw(seed: int, ops: int, faults: frozenset[str] = frozenset(FAULTS)) -> SimulationPlan:
    """The plan of a seed, with some of these faults."""
    rng = random.Random(seed)
    clients = rng.randint(1, 3)
    slots = tuple(rng.choice((1, 2, 3, 8)) for _ in range(clients))
    rings = tuple(rng.choice((256, 512, 2048)) for _ in range(clients))
    pages = tuple(rng.choice((24, 40, 80, 200)) for _ in range(clients))
    watching = tuple(rng.random() < 0.5 for _ in range(clients))
    budget = rng.choice((1, 2, 64))
    shuffled = rng.random() < 0.3
    work = _weights(rng, WORK)
    wrong = {
        name: weight
        for name, weight in _weights(rng, {name: FAULTS[name] for name in sorted(faults)}).items()
        if weight
    } or dict.fromkeys(sorted(faults), 1)
    share = round(rng.choice(SHARES) * ops) if faults else 0
    names = rng.choices(list(work), list(work.values()), k=ops - share)
    if share:
        names += rng.choices(list(wrong), list(wrong.values()), k=share)
        rng.shuffle(names)
    number = rng.randrange
    drawn = [Op(w, number(clients), number(1 << 16), number(1 << 16), number(4)) for w in names]
    arrival = rng.choice(ARRIVALS)
    return SimulationPlan(
        seed, slots, rings, pages, watching, budget, shuffled, arrival, tuple(drawn)
    )


def _weights(rng: random.Random, kinds: dict[str, Kind]) -> dict[str, int]:
    """How often each kind is drawn: some never, some three times as often as others."""
    drawn = {name: kind.weight * rng.choice((0, 1, 1, 3)) for name, kind in kinds.items()}
    return drawn if any(drawn.values()) else {name: kind.weight for name, kind in kinds.items()}
