"""`python -m benches.plot`: a chart out of a run's figures."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benches.cli import main as benches
from benches.plot import CannotPlot, draw
from tests.benches.test_markdown import rows

FIGURES = rows(
    ("yield", "pinfut", 200.0),
    ("yield", "asyncio", 1000.0),
    ("yield", "uvloop", 400.0),
    ("echo-1", "pinfut", 3000.0),
    ("echo-1", "asyncio", 1500.0),
    ("yield", "pinfut-unboxed", 100.0),
)


def plot(figures: list[dict[str, object]], chart: Path) -> None:
    """In a process of its own: what draws has threads, and stays loaded."""
    command = [sys.executable, "-m", "benches.plot", "-", str(chart)]
    subprocess.run(command, input=json.dumps(figures), text=True, check=True, timeout=300)


def texts(chart: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", chart.read_text("utf-8"))


def test_a_chart_names_what_was_measured_and_the_same_figures_give_the_same_bytes(
    tmp_path: Path,
) -> None:
    for name in ("one.svg", "two.svg"):
        plot(FIGURES, tmp_path / name)
    drawn = texts(tmp_path / "one.svg")
    assert {"yield", "echo-1", "asyncio", "uvloop", "1 ×"} <= set(drawn)
    assert "pinfut, unboxed" not in drawn, "a form of pinfut's own is no peer"
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_a_loss_is_drawn_as_a_cross(tmp_path: Path) -> None:
    """A path of the chart that is drawn once and used: a cross has two strokes and no curve."""
    found = {}
    for name, slower in (("won", 6000.0), ("lost", 1500.0)):
        figures = rows(("echo-1", "pinfut", 3000.0), ("echo-1", "asyncio", slower))
        plot(figures, tmp_path / "chart.svg")
        found[name] = (tmp_path / "chart.svg").read_text("utf-8")
    paths = {name: re.findall(r'<g id="PathCollection_2">\s*<defs>\s*<path[^>]* d="([^"]*)"', text)
             for name, text in found.items()}  # fmt: skip
    assert "C" in paths["won"][0]
    assert "C" not in paths["lost"][0]


def test_without_peers_or_matplotlib_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chart = tmp_path / "chart.svg"
    with pytest.raises(CannotPlot, match="no peer was measured"):
        draw(rows(("yield", "pinfut", 200.0)), chart)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(CannotPlot, match=r"pip install 'pinfut\[plot\]'"):
        draw(FIGURES, chart)
    assert not chart.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--against", "."], "a chart shows pinfut beside its peers"),
        (["--only", "calls"], "comparisons of designs are run by themselves"),
    ],
)
def test_a_chart_of_what_has_no_peers_is_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        benches([*arguments, "--plot", "chart.svg"])
    assert told in capsys.readouterr().err
