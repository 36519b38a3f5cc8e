"""The slope test and the close test: a whole server, measured from outside."""

from __future__ import annotations

import os

import pytest

from pinfut.rpc.lab.hostile.slope import KINDS, slope
from tests.covered import covered, require

SOAK = os.environ.get("PINFUT_SOAK") == "1"

MANY = {
    "open calls": 5_000,
    "held capabilities": 5_000,
    "queued pipelined calls": 5_000,
    "queued capabilities": 1_000,
    "stand-ins": 2_000,
    "arguments": 2_000,
    "answers": 2_000,
    "errors": 2_000,
    "timers": 2_000,
    "releases": 2_000,
    "labels": 500,
    "subscriptions": 5_000,
    "sessions": 1_000,
    "half-sent messages": 1_000,
}

EACH = 64

HIGH_WATER = {"sessions": 400, "half-sent messages": 400, "labels": 400}
"""Bytes that the tables of both processes and of the loop keep for each of the most that there
ever were at one time: calls the former, sessions these."""


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_client_holds_is_charged_however_much_it_is(kind: str) -> None:
    """Bank rule 36: no global cap stands in for payment: there is none, and each more of a kind
    is paid in full. When all of it is over, what was traced is gone."""
    many = 20_000 if SOAK else MANY[kind]
    found = slope(kind, 64, many)
    counts = covered(
        f"slope of {kind}, in percent", tightness=round(100 * found.tightness), to=found.many
    )
    require(counts, "tightness")
    assert found.charged >= found.traced, f"tightness {found.tightness:.3f}"
    # The messages of one batch are on their way at the peak: that is the look's, not the client's.
    assert found.charged + 16_384 >= found.peak, "more was held in between than was ever paid"
    assert found.left <= many * HIGH_WATER.get(kind, EACH) + 8192


@pytest.mark.parametrize("kind", ["open calls", "held capabilities", "timers", "sessions"])
def test_who_declares_what_it_holds_charges_within_a_quarter_of_the_truth(kind: str) -> None:
    found = slope(kind, 64, 400)
    assert 1.0 <= found.tightness <= 1.25
