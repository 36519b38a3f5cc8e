"""Hostile clients, and slopes of what one client holds, where memory is paid by where it lies.

What is charged is held against what tracemalloc sees of the whole process, which knows no payers.
Waits are the same on prices, and tested there.
"""

from __future__ import annotations

from pinfut.rpc.lab.hostile import SCENARIOS, play
from pinfut.rpc.lab.hostile.slope import KINDS, slope
from tests.payers.apart import apart


@apart
def test_no_hostile_client_holds_what_it_does_not_pay_for_or_leaves_anything() -> None:
    for scenario in SCENARIOS:
        found = play(scenario, mode="arenas")
        missed = [mark for mark in found.failures if not mark.startswith("a wait")]
        assert missed == [], f"{scenario.name}: {missed}"
        assert found.traced > 10_000, scenario.name


@apart
def test_what_one_client_pays_grows_as_fast_as_what_it_holds() -> None:
    for kind in KINDS:
        found = slope(kind, 64, 384, "arenas")
        assert found.charged >= found.traced, f"{kind}: {found}"
        assert found.traced > 2_000, kind


@apart
def test_an_open_call_takes_less_than_2000_bytes_and_is_charged_little_more() -> None:
    """What the server holds for a call that waits: its handler, task and context, its arguments,
    its places in tables, in whole pages, and its slot. The place for the answer is of the client's
    own memory."""
    for kind in ("open calls", "timers", "arguments"):
        for many in (64, 256, 1000):
            found = slope(kind, 0, many, "arenas")
            assert many * 700 <= found.traced <= found.charged + 100 * many, f"{kind}: {found}"
            assert found.charged <= many * 2_000, f"{kind}: {found}"
            most = 1.3 if many == 64 else 1.25
            assert found.charged <= most * found.traced, f"{kind}: {found}"
