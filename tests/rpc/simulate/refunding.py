"""A runtime that is broken on purpose: a bank that refunds less than it says."""

from __future__ import annotations

import pytest

from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.lab.simulate.draws import draw
from pinfut.rpc.lab.simulate.run import Outcome, simulate


def broken(monkeypatch: pytest.MonkeyPatch) -> tuple[int, Outcome]:
    """Break the runtime. The first seed in which that is seen, and what came of it."""
    whole = Bank.refund

    def refund(self: Bank, pages: int = 0, caps: int = 0) -> None:
        whole(self, max(0, pages - (pages > 1)), caps)

    monkeypatch.setattr(Bank, "refund", refund)
    for seed in range(20):
        outcome = simulate(draw(seed, 100))
        if outcome.failure is not None:
            return seed, outcome
    raise AssertionError("nothing broke")
