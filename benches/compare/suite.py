"""The work as benches whose instructions can be counted; DESIGN in the environment says on what."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from typing import Any

from benches.compare.work import WORK, made
from benches.probe import BenchFunction, Probe, Suite


def run(bench: BenchFunction, probe: Probe) -> None:
    """The work awaits nothing."""
    try:
        bench(probe).send(None)
    except StopIteration:
        return
    raise AssertionError("it awaits")


def _bench(name: str) -> BenchFunction:
    work, n = WORK[name]
    calls = made(os.environ["DESIGN"], name)

    async def rounds(probe: Probe) -> None:
        for ops in probe.timed():
            for _ in range(max(1, ops // n)):
                work(calls, n)

    def bench(probe: Probe) -> Coroutine[Any, Any, None]:
        return rounds(probe)

    return bench


SUITE = Suite(run, {name: _bench(name) for name in WORK})
