"""What a run has found: a row for each measured pair, and why the other pairs have none."""

from dataclasses import dataclass, field
from statistics import median

from benches.registry import Bench, System


@dataclass(frozen=True)
class Row:
    bench: Bench
    system: System
    # One value per round.
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.samples)

    def as_json(self, ratio: float | None) -> dict[str, object]:
        return {
            "bench": self.bench.name,
            "system": self.system.name,
            f"{self.bench.unit}_per_op": round(self.median, 1),
            "min": round(min(self.samples), 1),
            "max": round(max(self.samples), 1),
            "rounds": len(self.samples),
            "ratio": None if ratio is None else round(ratio, 3),
        }


@dataclass(frozen=True)
class Failure:
    system: System
    # None when the worker did not even start.
    bench: Bench | None
    error: str

    def __str__(self) -> str:
        what = f"{self.system.name}, {self.bench.name}" if self.bench else self.system.name
        return f"{what}: {self.error}"


@dataclass
class Results:
    rows: list[Row] = field(default_factory=list)
    # System to the modules that it lacks.
    skipped: dict[str, list[str]] = field(default_factory=dict)
    # System to the benches that its suite does not have.
    absent: dict[str, list[str]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def as_json(self) -> list[dict[str, object]]:
        return [row.as_json(self.ratio(row)) for row in self.rows]

    def ratio(self, row: Row) -> float | None:
        """How many times as much this row takes as its base does; above 1, pinfut is better.

        The median of the rounds' own ratios, not the ratio of the medians. Machines change
        between a fast and a slow state, and a round meets one of them; over eight runs of 15
        rounds the first stayed within 15 % and the second within 40 %.
        """
        for base in self.rows:
            if base.bench == row.bench and base.system.name == row.bench.base:
                pairs = zip(row.samples, base.samples, strict=True)
                return median(peer / ours for peer, ours in pairs)
        return None
