"""`python -m benches.markdown`: the tables of docs/speed.md out of a run's figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benches import markdown
from benches.markdown import COLUMNS, LABELS, tables
from benches.registry import BENCHES, SYSTEMS, Bench
from benches.result import Results, Row

PAGE = Path(__file__).resolve().parents[2] / "docs" / "speed.md"


def rows(*figures: tuple[str, str, float]) -> list[dict[str, object]]:
    """As a run writes them; each figure a bench, a system, and what one operation took."""
    benches = {bench.name: bench for bench in BENCHES}
    systems = {system.name: system for system in SYSTEMS}
    return Results([Row(benches[b], systems[s], (value,)) for b, s, value in figures]).as_json()


def test_a_table_has_the_columns_and_rows_that_were_measured_and_losses_are_bold() -> None:
    text = tables(
        rows(
            ("memory", "pinfut", 663.0),
            ("memory", "trio", 2247.0),
            ("yield", "uvloop", 648.0),
            ("yield", "pinfut", 1296.0),
            ("depth-10", "pinfut", 2000.0),
            ("depth-10", "pinfut-unboxed", 1800.0),
            ("yield", "pinfut-recorded", 3000.0),
        )
    )
    assert text.splitlines() == [
        "| | pinfut | uvloop | trio | pinfut, unboxed |",
        "|---|---|---|---|---|",
        "| `yield`, among 100 tasks | 1,296 | 648 (**0.50**) | | |",
        "| `depth-10` | 2,000 | | | 1,800 (0.90) |",
        "| `memory`, bytes for a parked task | 663 | | 2,247 (3.39) | |",
    ]


def test_services_have_a_table_of_their_own() -> None:
    text = tables(
        rows(
            ("yield", "pinfut", 250.0),
            ("echo-1", "pinfut", 28_527.0),
            ("echo-1", "uvloop-memory", 14_000.0),
            ("hostile-paid", "pinfut", 11_592.0),
        )
    )
    first, second, note = text.split("\n\n")
    assert first.splitlines()[2:] == ["| `yield`, among 100 tasks | 250 |"]
    assert second.splitlines() == [
        "| | pinfut | uvloop, in memory |",
        "|---|---|---|",
        "| `echo-1` | 28,527 | 14,000 (**0.49**) |",
        "| `hostile-paid`: what its client was charged | 11,592 | |",
    ]
    assert "no peer charges" in note
    assert "charges" not in tables(rows(("echo-1", "pinfut", 28_527.0)))


def test_a_system_measured_without_pinfut_has_no_ratio() -> None:
    assert tables(rows(("yield", "trio", 2000.0))).splitlines()[2:] == [
        "| `yield`, among 100 tasks | 2,000 |"
    ]


def test_every_system_is_a_column_but_those_that_only_watch_pinfut() -> None:
    watched = {"pinfut-recorded", "pinfut-checked"}
    assert set(COLUMNS) | watched == {system.name for system in SYSTEMS}
    assert set(LABELS) <= {bench.name for bench in BENCHES}


def test_the_rows_of_the_page_are_called_as_here() -> None:
    page = PAGE.read_text("utf-8")
    named = [bench for bench in BENCHES if f"\n| `{bench.name}`" in page]
    assert len(named) > 20

    def label(bench: Bench) -> str:
        return LABELS.get(bench.name, f"`{bench.name}`")

    assert [bench.name for bench in named if f"\n| {label(bench)} |" not in page] == []


def test_the_page_and_its_chart_show_one_run(tmp_path: Path) -> None:
    """And the chart is drawn again: the same figures give the same bytes."""
    rows = json.loads((PAGE.parents[1] / "benches" / "figures.json").read_text("utf-8"))
    page = PAGE.read_text("utf-8")
    lines = [line for line in tables(rows).splitlines() if line.startswith("|")]
    assert len(lines) > 20
    assert [line for line in lines if line not in page] == []
    # In a process of its own: matplotlib leaves much behind.
    command = [sys.executable, "-m", "benches.plot", "benches/figures.json"]
    command.append(str(tmp_path / "speed.svg"))
    subprocess.run(command, cwd=PAGE.parents[1], check=True, timeout=300)
    drawn = (tmp_path / "speed.svg").read_bytes()
    assert drawn == (PAGE.parent / "pictures" / "speed.svg").read_bytes()


def test_the_command_prints_what_a_run_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows(("yield", "pinfut", 253.0))), "utf-8")
    assert markdown.main([str(file)]) == 0
    assert "| `yield`, among 100 tasks | 253 |\n" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["hello", "{}1", '{"a": 1}', '[{"bench": "yield"}]'])
def test_what_no_run_wrote_is_a_usage_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rows.json"
    file.write_text(text, "utf-8")
    with pytest.raises(SystemExit, match="2"):
        markdown.main([str(file)])
    with pytest.raises(SystemExit, match="2"):
        markdown.main([str(tmp_path / "absent")])
