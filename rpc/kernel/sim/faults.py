"""Faults: where a test reaches into a simulated kernel, by its leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pinfut.rpc.bank.bank import Bank


class Faults(Protocol):
    """What may go wrong in a `SimKernel`, and who hears of what is bought."""

    def buying(self, bank: Bank, pages: int, caps: int, /) -> None:
        """`bank` is about to buy, and can pay. Raises a `BankError` to refuse it."""

    def changed(self, bank: Bank, pages: int, caps: int, /) -> None:
        """`bank` has bought, or with negative amounts sold."""

    def delays(self, deliver: Callable[[], None], /) -> bool:
        """A signal is about to be delivered. True to keep it back: `deliver()` delivers it, once,
        at any later time."""
        ...
