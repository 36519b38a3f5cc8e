"""The work as benches whose instructions can be counted; DESIGN in the environment says on what."""

from __future__ import annotations

import os
from collections.abc import Callable

from benches.compare.bushel_work import BUSHEL_WORK, BUSHELS, filled
from benches.compare.pairs import BUSHELS_EACH, PAIRS, call_each, opened
from benches.compare.work import WORK, made
from benches.probe import BenchFunction, Probe, Suite
from pinfut import executor


def run(bench: BenchFunction, probe: Probe) -> None:
    """The work awaits nothing."""
    try:
        bench(probe).send(None)
    except StopIteration:
        return
    raise AssertionError("it awaits")


def _bench(do: Callable[[int], None]) -> BenchFunction:
    async def rounds(probe: Probe) -> None:
        for ops in probe.timed():
            do(ops)

    return rounds


def _calls(design: str, name: str) -> BenchFunction:
    work, n = WORK[name]
    calls = made(design, name)

    def do(ops: int) -> None:
        for _ in range(max(1, ops // n)):
            work(calls, n)

    return _bench(do)


def _bushels(design: str, name: str) -> BenchFunction:
    work, it = BUSHEL_WORK[name], filled(design)
    return _bench(lambda ops: work(it, ops))


def _pairs(design: str, count: int) -> BenchFunction:
    async def rounds(probe: Probe) -> None:
        async with opened(design, count) as it:
            for ops in probe.timed():
                await call_each(it, max(1, ops // count))

    return rounds


def suite(design: str) -> Suite:
    if design in PAIRS:
        return Suite(
            lambda bench, probe: executor.run(bench(probe)),
            {f"bushels-{count}": _pairs(design, count) for count in BUSHELS_EACH},
        )
    if design in BUSHELS:
        return Suite(run, {name.replace(" ", "-"): _bushels(design, name) for name in BUSHEL_WORK})
    return Suite(run, {name: _calls(design, name) for name in WORK})


SUITE = suite(os.environ.get("DESIGN", "slots"))
