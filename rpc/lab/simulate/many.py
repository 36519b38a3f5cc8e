"""Many seeds: each is run twice, and what has to happen in some of them is counted."""

from __future__ import annotations

import signal
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Final, NamedTuple

from pinfut.rpc.lab.simulate.draws import draw
from pinfut.rpc.lab.simulate.faults import FAULTS
from pinfut.rpc.lab.simulate.run import Outcome, simulate
from pinfut.rpc.lab.simulate.work import WORK

SOMETIMES: Final = (
    *WORK,
    *FAULTS,
    "refused",
    "delayed",
    "a ring was full",
    "slots were full",
    "slots grew",
    "slots shrank",
    "a ring grew",
    "a ring shrank",
    "in a turn",
    "pipelined",
    "cancelled",
    "dropped",
    "introduced",
    "clients died",
    "told at once",
    "posted",
    "events",
    "events lost",
    "events cancelled",
    "last events",
    "newest event seen",
    "subscribed beside others",
    "left beside others",
    "signals: at once",
    "signals: turn",
    "signals: later",
    "signals: announced",
    "ended: value",
    "ended: cancelled",
    "ended: too late",
    "ended: PeerDied",
    "ended: SessionDead",
    "ended: OutOfPages",
    "ended: NestedShortage",
    "ended: RemoteError",
)
"""What has to happen in a run of many seeds, or it has shown nothing about it."""

NEEDS: Final = {
    "refused": "refuse",
    "delayed": "delay",
    "in a turn": "cut",
    "clients died": "crash-client",
    "ended: PeerDied": "crash-server",
    "ended: SessionDead": "destroy",
    "ended: RemoteError": "raise",
}
"""Of these, what only a fault brings about."""

MANY: Final = 200
"""From so many seeds on, what never happened is a failure."""

AHEAD: Final = 4
"""Jobs that are handed out at a time, for each process."""


class Job(NamedTuple):
    """One seed to run."""

    seed: int
    ops: int
    faults: frozenset[str]


def once(job: Job) -> Outcome:
    """Run one seed twice; a second history that differs is a failure."""
    plan = draw(*job)
    outcome = simulate(plan)
    again = simulate(plan)
    if again.digest != outcome.digest and outcome.failure is None:
        outcome.failure = "one seed, one history"
        outcome.text = f"{outcome.failure}: {outcome.digest}, and then {again.digest}"
    outcome.history.clear()
    return outcome


def never(counts: Counter[str], faults: frozenset[str]) -> list[str]:
    """What was switched on and never happened."""
    off = FAULTS.keys() - faults
    return [
        name
        for name in SOMETIMES
        if name not in off and NEEDS.get(name) not in off and not counts[name]
    ]


def run_jobs(jobs: Iterable[Job], processes: int) -> Iterator[Outcome]:
    """Run each job; what came of them, in their order. Ctrl-C ends the processes at once."""
    if processes == 1:
        yield from map(once, jobs)
        return
    with ProcessPoolExecutor(processes, initializer=_let_ctrl_c_end_this) as pool:
        # Not `pool.map`: it takes all jobs at once, and when it is left it cancels them, which
        # a pool whose processes are gone does not expect.
        running: deque[Future[Outcome]] = deque()
        for job in jobs:
            running.append(_submit(pool, job))
            if len(running) == AHEAD * processes:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _submit(pool: ProcessPoolExecutor, job: Job) -> Future[Outcome]:
    """Ctrl-C is held back from a process that this begins, until it is ready to end in silence."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(once, job)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _let_ctrl_c_end_this() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
