"""Run: a plan is carried out, and audited after each operation."""

from __future__ import annotations

import gc
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import final

from pinfut.coroutine import yield_now
from pinfut.executor import Executor, Instrument, VirtualClock, sleep
from pinfut.executor.schedule import Seeded
from pinfut.laws import LostWakeup
from pinfut.rpc.errors import BankError, RpcError
from pinfut.rpc.lab.simulate.audit import audit
from pinfut.rpc.lab.simulate.broken import Broken
from pinfut.rpc.lab.simulate.faults import FAULTS
from pinfut.rpc.lab.simulate.plan import SimulationPlan
from pinfut.rpc.lab.simulate.service import UNIT
from pinfut.rpc.lab.simulate.settle import settle
from pinfut.rpc.lab.simulate.work import WORK
from pinfut.rpc.lab.simulate.world import World

KINDS = {**WORK, **FAULTS}


@final
@dataclass(slots=True)
class Outcome:
    """What came of a run. `failure`: the invariant that broke, None for a run that held.
    `ops`: how many operations were done and held. `digest`: of the history."""

    seed: int
    ops: int = 0
    faults: int = 0
    digest: str = ""
    failure: str | None = None
    text: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    history: list[tuple[int, float, object]] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """The history as text: simulated nanoseconds of the kernel, simulated seconds of the
        executor, and what there was."""
        told = [f"{at:>12} {now:9.4f}  {what}" for at, now, what in self.history]
        return told if self.failure is None else [*told, f"BROKEN {self.text}"]


def simulate(plan: SimulationPlan, *, instruments: Iterable[Instrument] = ()) -> Outcome:
    """Carry a plan out; what came of it. Raises nothing that the plan brings about."""
    outcome = Outcome(plan.seed)
    clock = VirtualClock()
    executor = Executor(
        clock=clock,
        instruments=instruments,
        schedule=Seeded(plan.seed) if plan.shuffled else None,
    )

    async def main() -> None:
        world = World(plan, clock)
        outcome.counts, outcome.history = world.counts, world.history
        await _carry_out(world, outcome)

    gc.disable()
    try:
        with _in_silence():
            executor.run(main())
    except Broken as broken:
        outcome.failure, outcome.text = broken.name, str(broken)
    except LostWakeup as error:
        outcome.failure, outcome.text = "no wakeup lost", f"no wakeup lost: {_plain(error)}"
    except Exception as error:
        outcome.failure = f"no {type(error).__name__}"
        outcome.text = f"{outcome.failure}: {_plain(error)}"
    finally:
        gc.enable()
    text = "\n".join(outcome.lines)
    outcome.digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return outcome


async def _carry_out(world: World, outcome: Outcome) -> None:
    for op in world.plan.ops:
        what = op.what
        world.note(op)
        try:
            KINDS[what].do(world, op, world.clients[op.who])
        except BankError as error:
            world.met("told at once")
            world.note(f"  told {type(error).__name__}")
        except RpcError as error:
            world.note(f"  told {type(error).__name__}")
        world.counts[what] += 1
        if what in FAULTS:
            outcome.faults += 1
        if what == "let":
            await sleep(op.a % 4 * UNIT)
        elif op.c == 0:
            await yield_now()
        audit(world)
        outcome.ops += 1
    await settle(world)
    arrivals = world.kernel.arrivals
    assert arrivals is not None
    world.counts.update({f"signals: {when}": count for when, count in arrivals.counts.items()})


def _plain(error: BaseException) -> str:
    """What an error says, without addresses: it is part of the history."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(error))


@contextmanager
def _in_silence() -> Iterator[None]:
    """Nothing is logged of what the world brings about."""
    logger = logging.getLogger("pinfut")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
