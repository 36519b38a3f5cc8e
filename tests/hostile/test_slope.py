"""The slope test and the close test: a whole server, measured from outside."""

from __future__ import annotations

import os
from sys import getsizeof

import pytest

from pinfut.executor import current_executor
from pinfut.rpc.lab.hostile.raw import quiet, short
from pinfut.rpc.lab.hostile.slope import KINDS, slope
from pinfut.rpc.lab.hostile.stage import Stage, perform
from pinfut.rpc.wire.frames import CANCEL
from tests.core.both import needs_pure
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

LEFT = 32_768
"""Bytes of the server's own constants that are filled, however many there were of a kind: timers
that were given up, tasks and blocks that are used again, tables that are nearly empty."""

EACH = {"subscriptions": 64}
"""And for each of the most that there were: a service's own source of events keeps its table."""


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
    assert found.left <= LEFT + many * EACH.get(kind, 0), "a table keeps room for what is gone"


@pytest.mark.parametrize("many", [500, 4_000])
def test_what_calls_that_are_over_leave_in_tables_is_paid_by_the_session_that_made_them(
    many: int,
) -> None:
    """Row 27: the loop's table of tasks is as large as it was while the session is there."""
    found: list[int] = []

    async def end_them(stage: Stage) -> None:
        before = stage.weigh()
        raw = await stage.session(slots=many, ring=1 << 16)
        await KINDS["open calls"](stage, raw, 0, many)
        for at in range(0, many, 64):
            ids = range(many + at, many + min(at + 64, many))
            raw.send(*(short(CANCEL, x) for x in ids))
            await quiet()
            raw.replies()
        traced, charged = (a - b for a, b in zip(stage.weigh(), before, strict=True))
        tables = getsizeof(current_executor().tasks)
        found.extend((traced, charged, tables, len(current_executor().tasks)))

    perform(end_them, suffers=False, traced=True)
    traced, charged, tables, tasks = found
    assert tasks < 10, "the calls are not over"
    assert tables > 10 * many, "no table has grown"
    assert traced <= charged


@needs_pure  # what is declared there is what Python takes; C takes less
@pytest.mark.parametrize("kind", ["open calls", "held capabilities", "timers", "sessions"])
def test_who_declares_what_it_holds_charges_within_a_quarter_of_the_truth(kind: str) -> None:
    found = slope(kind, 64, 400)
    assert 1.0 <= found.tightness <= 1.25
