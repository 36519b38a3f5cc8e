"""This tree beside another checkout: `python -m benches --against DIR`.

Three processes take turns: this tree, this tree once more, and the other. Each round has new
ones, for a process keeps the luck of its addresses and hashes all its life. A round's ratio is
the other's figure divided by this tree's, and the noise is the same of this tree and itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import comb
from pathlib import Path
from statistics import median, quantiles

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benches.harness import Harness, Progress
from benches.registry import Bench, System
from benches.result import Results

CONFIDENCE = 0.95

_STYLE = {"faster": "green", "slower": "bold red", "noise": "yellow"}


@dataclass(frozen=True)
class Spread:
    """Rounds' ratios in short."""

    median: float
    # Half of the rounds lie between.
    quartiles: tuple[float, float]
    # The true median lies between, with a confidence of 95 %.
    interval: tuple[float, float]

    @classmethod
    def of(cls, ratios: Sequence[float]) -> "Spread":
        """Of one ratio or more."""
        low, _, high = quantiles(ratios, n=4, method="inclusive") if ratios[1:] else [*ratios] * 3
        return cls(median(ratios), (low, high), interval(ratios))


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Two of the values that have the true median between them, whatever the distribution.

    By the sign test: that the k-th smallest of n is above the median is as likely as fewer than
    k heads of n coins. With fewer than six values no two are far enough apart for 95 %, and the
    first and the last are given.
    """
    ordered, n = sorted(values), len(values)
    k, tail = 0, 0.0
    while k < n // 2 and (tail := tail + comb(n, k) / 2**n) <= (1 - confidence) / 2:
        k += 1
    return ordered[max(k - 1, 0)], ordered[n - max(k, 1)]


@dataclass(frozen=True)
class Comparison:
    """A bench on this tree and on the other."""

    bench: Bench
    system: str
    here: float
    there: float
    # The other's figure divided by this tree's: above 1, this tree takes less.
    ratio: Spread
    # This tree's divided by its own.
    noise: Spread

    @property
    def floor(self) -> float:
        """No difference from 1 that is smaller can be seen in this run."""
        return max(abs(end - 1) for end in self.noise.interval)

    @property
    def verdict(self) -> str:
        """Of this tree: faster or slower, if all of the interval lies beyond the noise."""
        low, high = self.ratio.interval
        if low > 1 + self.floor:
            return "faster"
        return "slower" if high < 1 - self.floor else "noise"

    def as_json(self) -> dict[str, object]:
        return {
            "bench": self.bench.name,
            "system": self.system,
            f"here_{self.bench.unit}_per_op": round(self.here, 1),
            f"there_{self.bench.unit}_per_op": round(self.there, 1),
            "ratio": round(self.ratio.median, 4),
            "quartiles": [round(end, 4) for end in self.ratio.quartiles],
            "interval": [round(end, 4) for end in self.ratio.interval],
            "noise": [round(end, 4) for end in self.noise.interval],
            "verdict": self.verdict,
        }


def compare(
    system: System,
    other: Path,
    benches: Iterable[Bench],
    rounds: int,
    quick: bool,
    progress: Progress,
) -> tuple[list[Comparison], Results]:
    """Each bench that both have; the results say what failed and what is absent."""
    here = replace(system, name=f"{system.name}, here")
    again = replace(system, name=f"{system.name}, here again")
    there = replace(system, name=f"{system.name}, there", root=other)
    with Harness([here, again, there], renew=True) as harness:
        for bench in benches:
            harness.run(bench, rounds, bench.quick_ops if quick else bench.ops, progress)
    samples = {(row.bench, row.system): row.samples for row in harness.results.rows}
    found = []
    for bench in dict.fromkeys(row.bench for row in harness.results.rows):
        mine, mine_again, theirs = (samples.get((bench, s)) for s in (here, again, there))
        if mine and mine_again and theirs:
            found.append(
                Comparison(
                    bench,
                    system.name,
                    median(mine),
                    median(theirs),
                    Spread.of([b / a for a, b in zip(mine, theirs, strict=True)]),
                    Spread.of([b / a for a, b in zip(mine, mine_again, strict=True)]),
                )
            )
    return found, harness.results


def print_comparisons(found: Sequence[Comparison], other: Path, out: Console) -> None:
    caption = (
        f"there: {other}\n"
        "ratio: there / here, the median of the rounds' own. Above 1, this tree takes less.\n"
        "95 %: the true median lies between. noise: the same of this tree against itself.\n"
        "A row whose interval is not wholly beyond the noise, on one side of 1, shows nothing."
    )
    if not found:
        return
    table = Table(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("bench")
    for heading in ("here", "there", "ratio", "half of rounds", "95 %", "noise", "here is"):
        table.add_column(heading, justify="right")
    for row in found:
        table.add_row(
            f"{row.bench.name}  [dim]{row.bench.unit}/op[/dim]",
            f"{row.here:,.0f}",
            f"{row.there:,.0f}",
            f"{row.ratio.median:.3f}",
            *(
                f"{low:.3f}-{high:.3f}"
                for low, high in (row.ratio.quartiles, row.ratio.interval, row.noise.interval)
            ),
            Text(row.verdict, style=_STYLE[row.verdict]),
        )
    out.print(table)
