"""What is handed to a bench, and what is counted."""

from collections.abc import Callable
from time import process_time, sleep

import pytest

from benches.probe import BenchFunction, Probe, Suite, shares


def test_a_timed_bench_warms_up_with_a_fifth_and_then_does_all_operations() -> None:
    probe = Probe(10)
    assert list(probe.timed()) == [2, 10]
    assert probe.per_op is not None
    assert probe.per_op > 0


def test_a_billed_bench_pays_for_what_it_computes_and_not_for_what_it_waits() -> None:
    def bill(seconds: float, spend: Callable[[float], None]) -> float:
        probe = Probe(1)
        for _ in probe.billed():
            spend(seconds)
        assert probe.per_op is not None
        return probe.per_op

    def compute(seconds: float) -> None:
        end = process_time() + seconds
        while process_time() < end:
            sum(range(1000))

    assert 0 < bill(0.1, sleep) < 0.05e9 < bill(0.2, compute)


def test_a_weighed_bench_is_charged_for_what_stays_alive_and_not_for_the_rest() -> None:
    probe = Probe(1_000)
    kept: list[bytes] = []
    for ops in probe.weighed():
        for _ in range(ops):
            bytes(50_000)
            kept.append(bytes(5_000))
    assert probe.per_op is not None
    assert 5_000 <= probe.per_op < 6_000


@pytest.mark.parametrize(("total", "workers"), [(5, 2), (4, 2), (1, 3), (0, 2), (1_000, 64)])
def test_shares_are_even_and_add_up(total: int, workers: int) -> None:
    parts = shares(total, workers)
    assert len(parts) == workers
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


def test_a_bench_that_leaves_its_loop_early_gives_no_number() -> None:
    async def early(probe: Probe) -> None:
        for _ in probe.timed():
            break

    def run(bench: BenchFunction, probe: Probe) -> None:
        with pytest.raises(StopIteration):
            bench(probe).send(None)

    with pytest.raises(RuntimeError, match="left its probe's loop"):
        Suite(run, {"early": early}).measure("early", 10)
