"""The simulator: its runs hold, repeat, and find what is planted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pinfut.rpc.simulate.__main__ import main, never
from pinfut.rpc.simulate.draws import draw
from pinfut.rpc.simulate.faults import FAULTS
from pinfut.rpc.simulate.run import Outcome, simulate
from pinfut.rpc.simulate.shrink import shrink
from tests.covered import covered
from tests.rpc.simulate.planted import PLANTED, Planted

SOAK = bool(os.environ.get("PINFUT_SOAK"))


def test_every_invariant_holds_in_many_histories_and_everything_is_met_in_some() -> None:
    counts: Counter[str] = Counter()
    for seed in range(2000 if SOAK else 60):
        outcome = simulate(draw(seed, 100))
        assert outcome.failure is None, f"seed {seed}: {outcome.text}"
        counts += outcome.counts
    covered("simulated histories", **{name.replace(" ", "_"): n for name, n in counts.items()})
    assert never(counts, frozenset(FAULTS)) == []


@pytest.mark.parametrize("seed", range(3))
def test_one_seed_is_one_history_also_where_strings_hash_differently(seed: int) -> None:
    here = simulate(draw(seed, 100)).digest
    assert simulate(draw(seed, 100)).digest == here
    assert simulate(draw(seed + 1000, 100)).digest != here
    code = (
        "from pinfut.rpc.simulate.draws import draw\n"
        "from pinfut.rpc.simulate.run import simulate\n"
        f"print(simulate(draw({seed}, 100)).digest)"
    )
    for hash_seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert there.stdout.strip() == here


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted[0])
def test_what_is_planted_is_found(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    seed, outcome = find(planted, monkeypatch)
    assert outcome is not None, "nothing broke within 200 seeds"
    print(f"{planted[0]}: seed {seed}, {outcome.failure}")


def find(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Outcome | None]:
    """The first seed that a planted fault breaks, and how."""
    _, where, name, change = planted
    monkeypatch.setattr(where, name, change(getattr(where, name)))
    for seed in range(200):
        outcome = simulate(draw(seed, 100))
        if outcome.failure is not None:
            return seed, outcome
    return 200, None


def test_a_failure_is_replayed_and_shrinks_to_fewer_operations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted = next(one for one in PLANTED if one[0].startswith("T5 "))
    seed, outcome = find(planted, monkeypatch)
    assert outcome is not None
    assert simulate(draw(seed, 100)).history == outcome.history
    small = shrink(draw(seed, 100))
    assert len(small.ops) < outcome.ops
    assert simulate(small).failure == outcome.failure


def test_the_command_says_how_to_replay_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    planted = next(one for one in PLANTED if one[0].startswith("T20 "))
    monkeypatch.setattr(planted[1], planted[2], planted[3](getattr(planted[1], planted[2])))
    report = tmp_path / "report.json"
    assert main(["--seeds", "0:2", "--ops", "30", "--json", str(report)]) == 1
    assert "--replay 0 --ops 30" in capsys.readouterr().out
    assert json.loads(report.read_text())["failed"]


def test_the_command_replays_a_history_with_a_trace(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trace = tmp_path / "trace.json"
    assert main(["--replay", "1", "--ops", "40", "--trace", str(trace)]) == 0
    assert simulate(draw(1, 40)).digest in capsys.readouterr().out
    assert json.loads(trace.read_text())["traceEvents"]


def test_a_fault_that_is_switched_off_does_not_happen() -> None:
    counts = simulate(draw(3, 300, frozenset({"cut"}))).counts
    assert counts["cut"]
    assert not any(counts[name] for name in FAULTS if name != "cut")
    assert main(["--faults", "earthquake"]) == 2
