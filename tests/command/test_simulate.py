"""``pinfut simulate``: many seeds, one replayed, one shrunk."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from pinfut.command.main import main
from pinfut.rpc.lab.simulate.draws import draw
from pinfut.rpc.lab.simulate.faults import FAULTS
from pinfut.rpc.lab.simulate.run import simulate
from pinfut.rpc.lab.simulate.shrink import shrink
from tests.rpc.simulate.refunding import broken


@pytest.mark.parametrize("faults", [None, "cut,refuse,crash-client", ""])
def test_the_commands_that_a_failing_seed_prints_replay_it_and_shrink_it(
    faults: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    broken(monkeypatch)
    words = ["simulate", "--seeds", "0:20", "--ops", "100", "--json", str(tmp_path / "report.json")]
    assert main(words if faults is None else [*words, "--faults", faults]) == 1
    printed = capsys.readouterr().out
    told = json.loads((tmp_path / "report.json").read_text())
    seed, text = next(iter(told["failed"].items()))
    failing = FAULTS.keys() if faults is None else filter(None, faults.split(","))
    plan = draw(int(seed), 100, frozenset(failing))
    small = shrink(plan)
    lines = printed.partition(f"seed {seed} fails: {text}\n")[2].splitlines()[:2]
    for line, lasts in zip(lines, (simulate(plan), simulate(small)), strict=True):
        name, *words = shlex.split(line)
        assert name == "pinfut"
        assert main(words) == 1
        shown = capsys.readouterr().out.splitlines()
        assert shown[-2:] == [f"BROKEN {lasts.text}", f"history {lasts.digest}"]
    assert shown[0] == f"{len(small.ops)} of 100 operations break the same:"
    monkeypatch.undo()
    assert main(words) == 2
    assert "nothing to shrink; give one that fails" in capsys.readouterr().err


def test_with_figures_on_standard_output_failing_seeds_are_told_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seed, outcome = broken(monkeypatch)
    assert main(["simulate", "--seeds", str(seed), "--ops", "100", "--json", "-"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["failed"] == {str(seed): outcome.text}
    assert told["seeds"] == [seed, seed + 1]
    assert told["digests"] == {str(seed): outcome.digest}
    assert f"pinfut simulate --replay {seed} --ops 100\n" in err


def test_it_replays_a_history_with_a_trace_and_as_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trace = tmp_path / "trace.json"
    words = ["simulate", "--replay", "1", "--ops", "40"]
    assert main([*words, "--trace", str(trace)]) == 0
    whole = simulate(draw(1, 40))
    assert capsys.readouterr().out.splitlines() == [*whole.lines, f"history {whole.digest}"]
    assert json.loads(trace.read_text())["traceEvents"]
    assert main([*words, "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["failed"] is None
    assert (told["seed"], told["operations"]) == (1, 40)
    assert (told["digest"], told["history"]) == (whole.digest, whole.lines)
    assert main(["simulate", "--trace", str(trace)]) == 2
    assert "give --replay SEED with it" in capsys.readouterr().err


def test_a_run_of_many_seeds_in_which_something_never_happens_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["simulate", "--seeds", "0:200", "--ops", "5"]) == 1
    assert "never happened: " in capsys.readouterr().out
    assert main(["simulate", "--seeds", "0:20", "--ops", "5"]) == 0


def test_several_processes_find_the_same_in_the_same_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = []
    for jobs in ("1", "2"):
        words = ["simulate", "--seeds", "0:9", "--ops", "20", "--jobs", jobs, "--json", "-"]
        assert main(words) == 0
        told.append(json.loads(capsys.readouterr().out))
    del told[0]["seconds"], told[1]["seconds"]
    assert told[0] == told[1]
    seeds = [str(seed) for seed in range(9)]  # with two processes, more than run at a time
    assert [*told[0]["digests"]] == [*told[1]["digests"]] == seeds


def test_a_fault_that_is_switched_off_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--seeds", "0:2", "--ops", "300", "--without", "cut,delay"]) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert "refuse" in shown
    assert not {"cut", "delay"} & {*shown}
