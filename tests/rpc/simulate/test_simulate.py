"""The simulator: its histories hold, repeat, and shrink; the command says what it did."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from pinfut.rpc.kernel.bank import Bank
from pinfut.rpc.simulate.__main__ import Job, main, never, once
from pinfut.rpc.simulate.draws import draw
from pinfut.rpc.simulate.faults import FAULTS
from pinfut.rpc.simulate.run import Outcome, simulate
from pinfut.rpc.simulate.shrink import shrink
from tests.covered import covered

SOAK = os.environ.get("PINFUT_SOAK") == "1"

SEEDS = 20_000 if SOAK else 60
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
        "from pinfut.rpc.simulate.draws import draw\n"
        "from pinfut.rpc.simulate.run import simulate\n"
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
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seed, outcome = broken(monkeypatch)
    assert simulate(draw(seed, 100)).history == outcome.history
    small = shrink(draw(seed, 100))
    assert len(small.ops) < outcome.ops
    assert simulate(small).failure == outcome.failure
    assert main(["--shrink", str(seed), "--ops", "100"]) == 1
    shown = capsys.readouterr().out
    assert f"{len(small.ops)} of 100 operations" in shown
    assert f"BROKEN {outcome.failure}" in shown
    monkeypatch.undo()
    assert main(["--shrink", str(seed), "--ops", "100"]) == 2
    assert "nothing to shrink" in capsys.readouterr().err


def broken(monkeypatch: pytest.MonkeyPatch) -> tuple[int, Outcome]:
    """Break the runtime: a bank sells less than it says. The first seed in which that is seen."""
    whole = Bank.sell

    def sell(self: Bank, pages: int = 0, caps: int = 0) -> None:
        whole(self, max(0, pages - (pages > 1)), caps)

    monkeypatch.setattr(Bank, "sell", sell)
    for seed in range(20):
        outcome = simulate(draw(seed, 100))
        if outcome.failure is not None:
            return seed, outcome
    raise AssertionError("nothing broke")


def test_the_command_says_how_to_replay_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    seed, _ = broken(monkeypatch)
    report = tmp_path / "report.json"
    assert main(["--seeds", str(seed), "--ops", "100", "--json", str(report)]) == 1
    shown = capsys.readouterr().out
    assert f"--replay {seed} --ops 100" in shown
    assert f"--shrink {seed} --ops 100" in shown
    told = json.loads(report.read_text())
    assert list(told["failed"]) == [str(seed)]
    assert told["digests"][str(seed)]


def test_the_command_replays_a_history_with_a_trace(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trace = tmp_path / "trace.json"
    assert main(["--replay", "1", "--ops", "40", "--trace", str(trace)]) == 0
    assert simulate(draw(1, 40)).digest in capsys.readouterr().out
    assert json.loads(trace.read_text())["traceEvents"]


def test_a_run_of_many_seeds_in_which_something_never_happens_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seeds", "0:200", "--ops", "5"]) == 1
    assert "never happened: " in capsys.readouterr().out
    assert main(["--seeds", "0:20", "--ops", "5"]) == 0


def test_a_second_run_that_differs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = iter((Outcome(3, digest="one"), Outcome(3, digest="two")))
    monkeypatch.setattr("pinfut.rpc.simulate.__main__.simulate", lambda plan: next(outcomes))
    assert once(Job(3, 10, EVERY)).failure == "one seed, one history"


def test_a_fault_that_is_switched_off_does_not_happen(capsys: pytest.CaptureFixture[str]) -> None:
    counts = simulate(draw(3, 300, frozenset({"cut"}))).counts
    assert counts["cut"]
    assert not any(counts[name] for name in FAULTS if name != "cut")
    assert main(["--seeds", "0:2", "--ops", "300", "--without", "cut,delay"]) == 0
    shown = capsys.readouterr().out
    assert " cut " not in shown
    assert " delay " not in shown
    assert " refuse " in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--faults", "earthquake"], "no fault earthquake; there are refuse, "),
        (["--without", "cut,rain"], "no fault rain; there are refuse, "),
        (["--seeds", "x:y"], "give seeds as 0:2000 or as one number, not 'x:y'"),
        (["--seeds", "5:"], "give seeds as 0:2000"),
        (["--ops", "0"], "give a number from 1, not '0'"),
        (["--jobs", "-1"], "give a number from 1, not '-1'"),
    ],
)
def test_bad_arguments_are_told(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        sys.exit(main(arguments))
    assert told in capsys.readouterr().err
