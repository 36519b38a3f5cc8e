"""Counts of the cases that property tests met.

A property test that passes because it never reached the interesting case proves
nothing. So each one counts the cases it is about and requires that none is zero:

    counts = covered("slots skip over ids in use", skipped=skips, reused=reuses)
    require(counts, "skipped", "reused")

What is required has to be met by the test that requires it: the counts of another test, or of
another parameter of the same one, are not seen. The totals of the whole run are printed at its
end.
"""

from collections.abc import Iterator, Mapping

_totals: dict[str, dict[str, int]] = {}
# What the test that runs now has counted.
_own: dict[str, dict[str, int]] = {}


def begin() -> None:
    """Another test begins: it has met nothing yet. `tests/conftest.py` calls this."""
    _own.clear()


def covered(name: str, **counts: int) -> dict[str, int]:
    """Add `counts` to those of the property `name`; return what this test counted of it so far.

    May be called once per example or once per test. A count of zero is kept, so
    that a case nobody met is seen in the report.
    """
    for case, count in counts.items():
        if count < 0:
            raise ValueError(f"{name}: the count of {case!r} is negative: {count}")
    for sums in (_totals, _own):
        sum_of = sums.setdefault(name, {})
        for case, count in counts.items():
            sum_of[case] = sum_of.get(case, 0) + count
    return dict(_own[name])


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
