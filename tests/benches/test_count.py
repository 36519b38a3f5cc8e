"""`python -m benches.count`: what is read of callgrind, and when a row is worse than stored."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benches import callgrind, count
from benches.callgrind import CallgrindFailed, Part, between_marks, parse
from benches.count import STORED, UNCOUNTED, Stored, changes, countable, this_python
from benches.registry import BENCHES, SYSTEMS, System

WRITTEN = """# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 13082
cmd:  python -m benches.counted
part: 2

desc: I1 cache:
desc: Timerange: Basic block 17815945 - 18050795
desc: Trigger: --dump-before=getppid

positions: line
events: Ir
summary: 1008757

fn=(0) below main
0 1008757

totals: 1008757
"""


def test_a_file_of_callgrind_says_what_ended_it_and_how_many_instructions_there_were() -> None:
    assert parse(WRITTEN) == Part("--dump-before=getppid", 1_008_757)


@pytest.mark.parametrize("line", ["totals: 1008757", "events: Ir", "desc: Trigger: "])
def test_a_file_that_lacks_a_line_is_refused(line: str) -> None:
    assert line in WRITTEN
    with pytest.raises(CallgrindFailed):
        parse(WRITTEN.replace(line, "nothing"))


def test_a_file_that_counts_something_else_is_refused() -> None:
    with pytest.raises(CallgrindFailed, match="not instructions"):
        parse(WRITTEN.replace("events: Ir", "events: Ir Dr Dw"))


def test_what_counts_is_between_the_marks(tmp_path: Path) -> None:
    (tmp_path / "7.1").write_text(WRITTEN, "utf-8")
    with pytest.raises(CallgrindFailed, match="1 of 2 marks"):
        between_marks(tmp_path, "7")
    (tmp_path / "7.2").write_text(WRITTEN.replace("1008757", "12345"), "utf-8")
    assert between_marks(tmp_path, "7") == 12_345
    (tmp_path / "7.2").write_text(WRITTEN.replace("getppid", "getpid"), "utf-8")
    with pytest.raises(CallgrindFailed, match="else than a mark"):
        between_marks(tmp_path, "7")


def test_a_change_is_relative_to_what_was_stored() -> None:
    worse, better, fresh = changes(
        {"pinfut": {"spawn": 1000, "yield": 1000}},
        {"pinfut": {"spawn": 1031.0, "yield": 900.0, "await": 5.0}},
    )
    assert [worse.percent, better.percent] == pytest.approx([3.1, -10])
    assert fresh.percent is None
    assert [row.worse(3.0) for row in (worse, better, fresh)] == [True, False, False]
    assert not worse.worse(3.2)


def test_storing_some_rows_keeps_the_others_in_the_order_of_the_table(tmp_path: Path) -> None:
    file = tmp_path / "counts.json"
    Stored.read(file).updated({"trio": {"yield": 1.2}, "pinfut": {"spawn": 5}}).write(file)
    Stored.read(file).updated({"pinfut": {"yield": 7.4, "spawn": 6.0}}).write(file)
    stored = Stored.read(file)
    assert stored.made_on == this_python()
    assert stored.counts == {"pinfut": {"yield": 7, "spawn": 6}, "trio": {"yield": 1}}
    assert list(stored.counts["pinfut"]) == ["yield", "spawn"]


def test_storing_drops_what_another_python_took() -> None:
    stored = Stored({**this_python(), "python": "CPython 2.7"}, {"pinfut": {"yield": 1}})
    assert stored.updated({"pinfut": {"spawn": 5}}).counts == {"pinfut": {"spawn": 5}}


def test_the_stored_table_has_each_bench_of_pinfut_that_can_be_counted() -> None:
    every = [bench.name for bench in BENCHES]
    assert set(UNCOUNTED) < set(every)
    assert list(Stored.read(STORED).counts["pinfut"]) == countable(None)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stored table of this Python with one row of 1,000, and a count that gives 1,040."""

    def counted(
        system: System, ops: Mapping[str, int], progress: Any
    ) -> tuple[dict[str, float], dict[str, str]]:
        assert list(ops) == ["spawn"]
        return {"spawn": 1040.0}, {}

    file = tmp_path / "counts.json"
    Stored(this_python(), {"pinfut": {"spawn": 1000}}).write(file)
    monkeypatch.setattr(count, "STORED", file)
    monkeypatch.setattr(count, "count", counted)
    return file


def test_a_row_beyond_the_tolerance_fails(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert count.main(["--only", "spawn"]) == 1
    assert "More than 3 % above what is stored: spawn (+4.0 %)" in capsys.readouterr().out
    assert count.main(["--only", "spawn", "--tolerance", "5"]) == 0
    Stored(this_python(), {"pinfut": {"spawn": 2000}}).write(table)
    assert count.main(["--only", "spawn"]) == 0


@pytest.mark.parametrize("tolerance", ["nan", "inf", "-1", "x"])
def test_a_tolerance_that_nothing_exceeds_is_a_usage_error(tolerance: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        count.main(["--only", "spawn", "--tolerance", tolerance])


def test_what_was_stored_is_what_the_next_run_is_compared_with(table: Path) -> None:
    assert count.main(["--only", "spawn", "--store"]) == 0
    assert Stored.read(table).counts == {"pinfut": {"spawn": 1040}}
    assert count.main(["--only", "spawn", "--tolerance", "0"]) == 0


def test_the_table_of_another_python_is_said_to_be_that_and_is_no_failure(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Stored({"python": "CPython 2.7"}, {"pinfut": {"spawn": 1}}).write(table)
    assert count.main(["--only", "spawn"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Not compared: the stored table is of CPython 2.7; this is" in said


def test_a_bench_that_could_not_be_counted_is_named_and_fails(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(count, "count", lambda *_: ({"spawn": 900.0}, {"yield": "it made no mark"}))
    assert count.main([]) == 1
    assert "pinfut, yield: it made no mark" in " ".join(capsys.readouterr().err.split())


def test_without_valgrind_one_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert count.main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "valgrind" in said.err
    assert len(said.err.splitlines()) == 1


def test_a_system_that_cannot_be_imported_is_an_error_that_names_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    with pytest.raises(CallgrindFailed, match="broken cannot be imported"):
        callgrind.count(System("broken", "no_such_module"), {"yield": 1}, print)
    assert "no_such_module" in capfd.readouterr().err


SUITE = """
from functools import partial
from benches.probe import Suite

async def work(probe, turns):
    for ops in probe.timed():
        for _ in range(ops * turns):
            [{}, {}]

def run(bench, probe):
    try:
        bench(probe).send(None)
    except StopIteration:
        pass

BENCHES = {name: partial(work, turns=n) for name, n in (("yield", 1), ("await", 1), ("lock", 2))}
SUITE = Suite(run, BENCHES)
"""


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_the_same_work_counts_the_same_and_twice_the_work_twice(tmp_path: Path) -> None:
    (tmp_path / "suite_of_three.py").write_text(SUITE, "utf-8")
    system = System("three", "suite_of_three", env={"PYTHONPATH": str(tmp_path)})
    ops = {"yield": 2000, "await": 2000, "lock": 2000, "spawn": 1}
    seen: list[str] = []
    counts, failures = callgrind.count(system, ops, seen.append)
    assert failures == {}
    assert list(counts) == ["yield", "await", "lock"]
    assert counts["yield"] > 100
    assert counts["await"] == pytest.approx(counts["yield"], rel=0.01)
    assert counts["lock"] == pytest.approx(2 * counts["yield"], rel=0.02)
    assert len(seen) == 3


def test_every_system_can_be_chosen_and_no_bench_that_is_left_out() -> None:
    parser = count.parser()
    for system in SYSTEMS:
        assert parser.parse_args(["--system", system.name]).system == [system.name]
    for bench in UNCOUNTED:
        with pytest.raises(SystemExit):
            parser.parse_args(["--only", bench])
