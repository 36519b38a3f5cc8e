"""Shrinking: a shorter plan that breaks the same invariant."""

from __future__ import annotations

from pinfut.rpc.lab.simulate.plan import SimulationPlan
from pinfut.rpc.lab.simulate.run import simulate

MOST_RUNS = 2000
"""Runs that shrinking takes at most."""


def shrink(plan: SimulationPlan) -> SimulationPlan:
    """Leave operations out, large pieces first, while the same invariant breaks.

    Raises ValueError for a plan that breaks nothing.
    """
    wanted = simulate(plan)
    if wanted.failure is None:
        raise ValueError(f"seed {plan.seed} breaks nothing, so there is nothing to shrink")
    # What comes after the operation at which it broke was never done.
    done = plan.only(plan.ops[: wanted.ops + 1])
    best = done if simulate(done).failure == wanted.failure else plan
    size = max(1, len(best.ops) // 2)
    runs = 2
    while runs < MOST_RUNS:
        start = 0
        found = False
        while start < len(best.ops) and runs < MOST_RUNS:
            fewer = best.only(best.ops[:start] + best.ops[start + size :])
            runs += 1
            if simulate(fewer).failure == wanted.failure:
                best, found = fewer, True
            else:
                start += size
        if size == 1 and not found:
            break
        size = max(1, size // 2)
    return best
