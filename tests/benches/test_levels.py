"""Which ways of serving levels answer an urgent call while a low handler computes."""

from __future__ import annotations

import threading

import pytest

from benches.levels import ONE, WAYS, high_call, served
from pinfut.rpc import sync


@pytest.mark.parametrize("way", WAYS)
def test_a_high_call_is_answered_meanwhile_unless_one_thread_does_all(way: str) -> None:
    """Row 65: the low handler computes until the high call has its answer, or for a while."""
    began, answered = threading.Event(), threading.Event()
    meanwhile: list[bool] = []

    def compute() -> int:
        began.set()
        meanwhile.append(answered.wait(0.2 if way == ONE else 60))
        return 0

    def high() -> None:
        began.wait(60)
        sync.call(levels["high"].work)
        answered.set()

    with served(way, compute) as levels:
        call = threading.Thread(target=high)
        call.start()
        sync.call(levels["low"].work)
        call.join()
        assert meanwhile == [way != ONE]
        answered.set()
        assert high_call(levels, began) > 0
