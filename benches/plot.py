"""A chart of a run: `python -m benches.plot FILE CHART.svg`; `python -m benches` takes `--plot`.

FILE is what `python -m benches --json FILE` wrote; - is standard input. There is a line for each
bench and a dot for each peer, at how many times pinfut's figure its is. What is lost lies left of
1, and is drawn as a cross. The same figures give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benches.markdown import COLUMNS, OWN, figures
from benches.registry import BENCHES

TICKS: Final = (0.25, 0.5, 1, 2, 4, 8, 16, 32)


class CannotPlot(Exception):
    """There is nothing to draw, or nothing to draw with."""


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the chart of what was measured. Raises CannotPlot, and OSError."""
    found = {
        (row["bench"], row["system"]): float(row["ratio"])
        for row in rows
        if row["ratio"] and row["system"] in COLUMNS and row["system"] not in OWN
    }
    benches = [one.name for one in BENCHES if any(bench == one.name for bench, _ in found)]
    systems = [name for name in COLUMNS if any(system == name for _, system in found)]
    if not benches:
        raise CannotPlot("no peer was measured beside pinfut, so there is nothing to compare")
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CannotPlot(
            f"a chart needs matplotlib ({error}): pip install 'pinfut[plot]'"
        ) from None
    with rc_context(
        {"svg.hashsalt": "pinfut", "svg.fonttype": "none", "font.family": "sans-serif"}
    ):
        figure = Figure(figsize=(8, 0.9 + 0.26 * len(benches)), layout="constrained")
        axes = figure.add_subplot()
        for number, system in enumerate(systems):
            color = f"C{number}"
            axes.scatter([], [], color=color, label=COLUMNS[system])
            for at, bench in enumerate(benches):
                ratio = found.get((bench, system))
                if ratio is not None:
                    axes.scatter(ratio, at, marker="x" if ratio < 1 else "o", color=color)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xscale("log", base=2)
        ratios = found.values()
        ticks = [x for x in TICKS if min(ratios) / 2 <= x <= 2 * max(ratios)]
        axes.set_xticks(ticks, [f"{x:g} ×" for x in ticks])
        axes.set_yticks(range(len(benches)), benches)
        axes.invert_yaxis()
        axes.grid(axis="both", alpha=0.3)
        axes.set_xlabel("times what pinfut takes; a cross, left of 1: pinfut is slower")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def main(argv: Sequence[str] | None = None) -> int:
    cli = argparse.ArgumentParser(
        prog="python -m benches.plot", description="Draw a chart from the figures of a run."
    )
    cli.add_argument("file", metavar="FILE", help="what `python -m benches --json FILE` wrote")
    cli.add_argument("chart", metavar="CHART.svg", type=Path, help="where the chart goes")
    args = cli.parse_args(argv)
    try:
        draw(figures(args.file), args.chart)
    except CannotPlot as error:
        cli.error(str(error))
    except (OSError, ValueError, LookupError, TypeError) as error:
        cli.error(f"{args.file} has no figures of a run: {error!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
