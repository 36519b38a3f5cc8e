"""The simulator: its histories hold, repeat, and shrink."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from pinfut.rpc.lab.simulate.draws import draw
from pinfut.rpc.lab.simulate.faults import FAULTS
from pinfut.rpc.lab.simulate.many import Job, never, once
from pinfut.rpc.lab.simulate.run import Outcome, simulate
from pinfut.rpc.lab.simulate.shrink import shrink
from tests.covered import covered
from tests.rpc.simulate.refunding import broken

SOAK = os.environ.get("PINFUT_SOAK") == "1"

SEEDS = 20_000 if SOAK else 16
OPS = 1000
LEAST_FAULTS = 30
EVERY = frozenset(FAULTS)


def test_everything_holds_in_many_histories_and_everything_is_met_in_some() -> None:
    counts: Counter[str] = Counter()
    operations = faults = 0
    jobs = [Job(seed, OPS, EVERY) for seed in range(SEEDS)]
    # New processes: none of them sees what other tests have left in this one.
    with ProcessPoolExecutor(min(8, os.cpu_count() or 1), get_context("spawn")) as pool:
        for outcome in pool.map(once, jobs, chunksize=8):
            assert outcome.failure is None, f"seed {outcome.seed}: {outcome.text}"
            assert outcome.ops == OPS
            assert outcome.faults >= LEAST_FAULTS
            counts += outcome.counts
            operations += outcome.ops
            faults += outcome.faults
    covered("simulated histories", seeds=SEEDS, operations=operations, faults=faults, **counts)
    assert never(counts, EVERY) == []


@pytest.mark.parametrize("seed", range(3))
def test_one_seed_is_one_history_on_every_python_and_whatever_strings_hash_to(seed: int) -> None:
    here = simulate(draw(seed, 100)).digest
    assert simulate(draw(seed, 100)).digest == here
    assert simulate(draw(seed + 1000, 100)).digest != here
    runs = [(sys.executable, "1"), (sys.executable, "2")]
    runs += [(python, "0") for python in others()]
    code = (
        "from pinfut.rpc.lab.simulate.draws import draw\n"
        "from pinfut.rpc.lab.simulate.run import simulate\n"
        f"print(simulate(draw({seed}, 100)).digest)"
    )
    for python, hash_seed in runs:
        assert run(python, code, PYTHONHASHSEED=hash_seed).strip() == here, (python, hash_seed)
    covered("one seed, one history", processes=len(runs), pythons=1 + len(others()))


def others() -> list[str]:
    """Other Pythons that are installed with what pinfut needs."""
    found = []
    for minor in (11, 12, 13):
        python = shutil.which(f"python3.{minor}")
        if python is not None and sys.version_info[:2] != (3, minor):
            try:
                run(python, "import msgspec, typing_extensions")
            except subprocess.CalledProcessError:
                continue
            found.append(python)
    return found


def run(python: str, code: str, **environment: str) -> str:
    done = subprocess.run(
        [python, "-c", code],
        env=os.environ | {"PYTHONPATH": os.getcwd()} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_failure_is_replayed_and_shrinks_to_fewer_operations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seed, outcome = broken(monkeypatch)
    assert simulate(draw(seed, 100)).history == outcome.history
    small = shrink(draw(seed, 100))
    assert len(small.ops) < outcome.ops
    assert simulate(small).failure == outcome.failure
    monkeypatch.undo()
    with pytest.raises(ValueError, match="nothing to shrink"):
        shrink(draw(seed, 100))


def test_a_second_run_that_differs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = iter((Outcome(3, digest="one"), Outcome(3, digest="two")))
    monkeypatch.setattr("pinfut.rpc.lab.simulate.many.simulate", lambda plan: next(outcomes))
    assert once(Job(3, 10, EVERY)).failure == "one seed, one history"


def test_a_fault_that_is_switched_off_does_not_happen() -> None:
    counts = simulate(draw(3, 300, frozenset({"cut"}))).counts
    assert counts["cut"]
    assert not any(counts[name] for name in FAULTS if name != "cut")
