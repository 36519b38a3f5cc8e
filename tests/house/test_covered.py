"""The counts of property tests add up, and a case that was never met fails the test."""

import pytest

from tests import covered as module
from tests.covered import begin, covered, report, require


@pytest.fixture(autouse=True)
def _no_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_totals", {})
    monkeypatch.setattr(module, "_own", {})


def test_counts_of_one_property_add_up_and_are_reported_on_one_line() -> None:
    covered("slots", reused=2, skipped=0)
    assert covered("slots", reused=3) == {"reused": 5, "skipped": 0}
    covered("banks", refused=1_000)
    assert list(report()) == ["banks: refused 1,000", "slots: reused 5, skipped 0"]


def test_a_test_sees_what_it_counted_itself_and_the_report_has_it_all() -> None:
    covered("slots", reused=2)
    begin()
    assert covered("slots") == {}
    with pytest.raises(AssertionError, match="reused"):
        require(covered("slots", skipped=1), "reused")
    assert list(report()) == ["slots: reused 2, skipped 1"]


@pytest.mark.parametrize("missing", ["skipped", "misspelled"])
def test_a_case_that_was_never_met_fails_the_test(missing: str) -> None:
    counts = covered("slots", reused=1, skipped=0)
    require(counts, "reused")
    with pytest.raises(AssertionError, match=missing):
        require(counts, "reused", missing)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        covered("slots", reused=-1)
