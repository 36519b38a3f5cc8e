"""`--against`: two checkouts in turns, and when a difference between them is one."""

import json
import random
from pathlib import Path

import pytest

from benches import cli
from benches.against import Comparison, Spread, interval
from benches.harness import Harness
from benches.registry import Bench, System

BENCH = Bench("yield", "one yield", ops=10, quick_ops=10)

# A worker that takes so long for everything, whatever runs it.
WORKER = """
import json, sys
print(json.dumps({"benches": ["yield", "spawn"]}), flush=True)
for line in sys.stdin:
    print(json.dumps({"per_op": FIGURE}), flush=True)
"""


def checkout(folder: Path, figure: float) -> Path:
    """A folder that looks like a checkout, and whose benches take so much."""
    (folder / "benches").mkdir()
    (folder / "benches" / "__init__.py").touch()
    source = WORKER.replace("FIGURE", str(figure))
    (folder / "benches" / "worker.py").write_text(source, "utf-8")
    return folder


def test_the_interval_of_a_median_is_that_of_the_sign_test() -> None:
    # The 10th and the 22nd of 31, as printed tables have it; no two of five are enough.
    assert interval([float(n) for n in range(31, 0, -1)]) == (10.0, 22.0)
    assert interval([float(n) for n in range(6)]) == (0.0, 5.0)
    assert interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
    assert interval([7.0]) == (7.0, 7.0)


def test_the_interval_holds_the_true_median_in_95_runs_of_100() -> None:
    draw = random.Random(0).lognormvariate
    held = 0
    for _ in range(2000):
        low, high = interval([draw(0, 1) for _ in range(31)])
        held += low <= 1.0 <= high
    assert 0.94 < held / 2000 < 0.985


def test_a_spread_is_of_the_ratios_themselves() -> None:
    spread = Spread.of([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (spread.median, spread.quartiles, spread.interval) == (3.0, (2.0, 4.0), (1.0, 5.0))
    assert Spread.of([1.5]) == Spread(1.5, (1.5, 1.5), (1.5, 1.5))


@pytest.mark.parametrize(
    ("ratio", "noise", "verdict"),
    [
        ((1.04, 1.06), (0.99, 1.02), "faster"),
        ((0.94, 0.97), (0.99, 1.02), "slower"),
        ((1.01, 1.06), (0.99, 1.02), "noise"),  # begins inside of it
        ((1.04, 1.06), (0.95, 1.00), "noise"),  # as far off as the tree is from itself
        ((0.99, 1.20), (1.00, 1.00), "noise"),
    ],
)
def test_a_difference_counts_if_its_whole_interval_is_beyond_the_noise(
    ratio: tuple[float, float], noise: tuple[float, float], verdict: str
) -> None:
    spread, floor = Spread(1.0, ratio, ratio), Spread(1.0, noise, noise)
    assert Comparison(BENCH, "pinfut", 1.0, 1.0, spread, floor).verdict == verdict


def test_a_worker_runs_the_code_of_its_own_checkout(tmp_path: Path) -> None:
    system = System("there", "benches.systems.on_pinfut", root=checkout(tmp_path, 42.5))
    with Harness([system], renew=True) as harness:
        harness.run(BENCH, rounds=2, ops=10, progress=lambda _: None)
    assert [row.samples for row in harness.results.rows] == [(42.5, 42.5)]


def test_a_renewed_harness_has_a_new_process_for_each_round(tmp_path: Path) -> None:
    folder = checkout(tmp_path, 1)
    source = (folder / "benches" / "worker.py").read_text("utf-8")
    source = source.replace("1}", "os.getpid()}").replace("import json", "import os, json")
    (folder / "benches" / "worker.py").write_text(source, "utf-8")
    for renew in (False, True):
        with Harness([System("a", "a", root=folder)], renew=renew) as harness:
            harness.run(BENCH, rounds=3, ops=10, progress=lambda _: None)
        [row] = harness.results.rows
        assert len(set(row.samples)) == (3 if renew else 1)


def test_two_checkouts_are_compared_and_json_has_standard_output_to_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = checkout(tmp_path, 1e9)
    options = ["--against", str(other), "--only", "yield", "--quick", "--rounds", "2"]
    assert cli.main([*options, "--json", "-"]) == 0
    said = capfd.readouterr()
    [row] = json.loads(said.out)
    assert (row["bench"], row["system"], row["there_ns_per_op"]) == ("yield", "pinfut", 1e9)
    assert row["ratio"] > 100
    assert row["verdict"] in ("faster", "noise")
    for word in ("here", "there", "noise", "yield"):
        assert word in said.err


def test_a_folder_that_is_no_checkout_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--against", str(tmp_path)])
    assert stop.value.code == 2
    assert "no benches/worker.py" in capsys.readouterr().err
