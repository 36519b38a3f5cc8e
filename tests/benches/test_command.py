"""`python -m benches`: what it prints, what it writes, how it refuses. Never how fast."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benches.registry import BENCHES, COMPARISONS, SYSTEMS

ROOT = Path(__file__).resolve().parents[2]


def benches(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benches", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,  # only so that a hang ends
    )


def installed(*names: str) -> list[str]:
    return [s.name for s in SYSTEMS if s.name in names and not s.missing()]


def test_list_names_every_bench_and_every_system() -> None:
    done = benches("--list")
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert {bench.name for bench in BENCHES} | set(COMPARISONS) <= set(words)
    assert {system.name for system in SYSTEMS} <= set(words)


@pytest.mark.parametrize(
    ("option", "valid"),
    [
        ("--only", [bench.name for bench in BENCHES]),
        ("--system", [system.name for system in SYSTEMS]),
    ],
)
def test_a_wrong_name_is_a_usage_error_that_lists_the_valid_ones(
    option: str, valid: list[str]
) -> None:
    done = benches(option, "yeild")
    assert done.returncode == 2
    assert "yeild" in done.stderr
    assert all(name in done.stderr for name in valid)
    assert done.stdout == ""


@pytest.mark.parametrize("rounds", ["0", "-1", "many"])
def test_rounds_that_are_no_positive_number_are_a_usage_error(rounds: str) -> None:
    assert benches("--rounds", rounds).returncode == 2


@pytest.mark.parametrize("name", ["no such folder/rows.json", ".", ""])
def test_a_json_file_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, name: str
) -> None:
    done = benches("--quick", "--json", name and str(tmp_path / name))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "cannot be a file" in done.stderr or "may not be written" in done.stderr


def test_a_quick_run_writes_a_row_for_each_bench_and_system(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    done = benches("--quick", "--only", "yield", "--only", "memory", "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(file.read_text("utf-8"))
    assert [(row["bench"], row["system"]) for row in rows] == [
        (bench, system.name)
        for bench in ("yield", "memory")
        for system in SYSTEMS
        if not system.missing() and bench in supported(system.name)
    ]
    for row in rows:
        value = "bytes_per_op" if row["bench"] == "memory" else "ns_per_op"
        assert set(row) == {"bench", "system", value, "min", "max", "rounds", "ratio"}
        assert row["ratio"] == 1 if row["system"] == "pinfut" else row["ratio"] > 0
        assert 0 < row["min"] <= row[value] <= row["max"]
        assert row["rounds"] == 3
    for word in ("median", "ratio", *(row["system"] for row in rows)):
        assert word in done.stdout


def test_with_json_on_standard_output_nothing_else_is_there() -> None:
    done = benches("--quick", "--only", "spawn", "--system", "asyncio", "--json", "-")
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)
    assert (row["bench"], row["ratio"]) == ("spawn", None)
    assert "median" in done.stderr


def test_what_a_hostile_client_makes_a_server_hold_is_counted_and_paid() -> None:
    done = benches(
        *("--quick", "--rounds", "1", "--only", "hostile-bytes", "--only", "hostile-paid"),
        *("--system", "pinfut", "--system", "asyncio", "--json", "-"),
    )
    assert done.returncode == 0, done.stderr
    figures = {(r["bench"], r["system"]): r["bytes_per_op"] for r in json.loads(done.stdout)}
    assert len(figures) == 3
    held, paid = figures["hostile-bytes", "pinfut"], figures["hostile-paid", "pinfut"]
    # The argument of each call, and something for the call itself, on both sides.
    assert 8192 < figures["hostile-bytes", "asyncio"] < 2 * 8192
    assert 8192 < held <= paid < 2 * 8192


def test_system_and_rounds_choose_what_is_run(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    done = benches(
        *("--quick", "--only", "spawn", "--system", "asyncio"),
        *("--rounds", "2", "--json", str(file)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [row] = json.loads(file.read_text("utf-8"))
    assert (row["bench"], row["system"], row["rounds"]) == ("spawn", "asyncio", 2)


OWN = ["hostile-paid", "idle-10", "idle-10000", "echo-64-deep"]
ECHOES = ["echo-1", "echo-64", "echo-1000"]


def supported(system: str) -> list[str]:
    """What a system is expected to have: said here once more, so that no bench is lost when
    a suite forgets it, and none is in the registry that nobody has."""
    every = [bench.name for bench in BENCHES]
    if system == "pinfut-unboxed":
        depths = ["depth-1", "depth-10", "depth-50", "depth-100"]
        return [*depths, "chain-10", "echo-64", "echo-64-deep"]
    if system in ("pinfut-recorded", "pinfut-checked"):
        return ["yield", "await", "spawn", "channel", "timeout", "cancel"]
    remote = [name for name in every if name.startswith("remote-")]
    if system in ("pinfut-unix", "uvloop-msgpack"):
        return remote
    every = [name for name in every if name not in remote]
    loops = [name for name in every if name.startswith("loop-")]
    if system == "pinfut-loop":
        return loops
    if system in ("pinfut", "pinfut-pure", "trio"):
        every = [name for name in every if name not in loops]
    if system not in ("pinfut", "pinfut-pure"):
        every = [name for name in every if name not in OWN]
    if system.endswith(("-batched", "-memory")):
        return [name for name in every if name in ECHOES]
    if system == "zloop":
        return [
            name for name in every if name not in ("socket-echo", "socket-cpu-raw", "loop-sock")
        ]
    if system == "trio":
        return [name for name in every if name not in (*ECHOES, "hostile-bytes")]
    return every


@pytest.mark.parametrize("system", [system.name for system in SYSTEMS])
def test_every_bench_of_a_system_runs(system: str, tmp_path: Path) -> None:
    if not installed(system):
        pytest.skip(f"{system} is not installed")
    file = tmp_path / "rows.json"
    done = benches("--quick", "--rounds", "1", "--system", system, "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["bench"] for row in json.loads(file.read_text("utf-8"))] == supported(system)


def test_a_bench_that_no_chosen_system_has_is_said_to_be_missing() -> None:
    if not installed("trio"):
        pytest.skip("trio is not installed")
    done = benches("--quick", "--only", "echo-1", "--system", "trio")
    assert done.returncode == 1
    assert "trio has no echo-1" in " ".join(done.stdout.split())
