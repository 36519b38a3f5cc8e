"""Counts of the cases that property tests met.

A property test that passes because it never reached the interesting case proves
nothing. So each one counts the cases it is about and requires that none is zero:

    counts = covered("slots skip over ids in use", skipped=skips, reused=reuses)
    require(counts, "skipped", "reused")

The totals of the whole run are printed at its end.
"""

from collections.abc import Iterator, Mapping

_totals: dict[str, dict[str, int]] = {}


def covered(name: str, **counts: int) -> dict[str, int]:
    """Add `counts` to the totals of the property `name`; return its totals so far.

    May be called once per example or once per test. A count of zero is kept, so
    that a case nobody met is seen in the report.
    """
    totals = _totals.setdefault(name, {})
    for case, count in counts.items():
        if count < 0:
            raise ValueError(f"{name}: the count of {case!r} is negative: {count}")
        totals[case] = totals.get(case, 0) + count
    return dict(totals)


def require(counts: Mapping[str, int], *names: str) -> None:
    """Fail if one of the named cases was never met."""
    missing = [name for name in names if not counts.get(name, 0)]
    if missing:
        raise AssertionError(
            f"never met: {', '.join(missing)} (counted: {dict(counts)}); "
            "the test passed without testing this: change its strategy so that it does"
        )


def totals() -> dict[str, dict[str, int]]:
    """The counts so far, by property."""
    return {name: dict(counts) for name, counts in _totals.items()}


def report() -> Iterator[str]:
    """One line for each property: its name, then its counts."""
    for name, totals in sorted(_totals.items()):
        yield f"{name}: " + ", ".join(f"{case} {count:,}" for case, count in totals.items())
