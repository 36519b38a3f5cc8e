"""Backlog: the sessions that wait to be accepted, each in a place that the listener has bought."""

from __future__ import annotations

from typing import Final

from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.handle import bank_of
from pinfut.rpc.contract import ServiceSpec
from pinfut.rpc.errors import SafetyExceeded
from pinfut.rpc.memory.pages import Region, pages_for

PLACE: Final = 16
"""Bytes of a place: which session waits, and its entry among those that do."""


def buy_backlog(root: Bank, spec: ServiceSpec) -> Region | None:
    """The places of a service, whole or not at all; None for one that has bought none. Raises
    NotABank, OutOfPages and BankDead."""
    if spec.backlog is None:
        return None
    return Region(bank_of(root, spec.payer), pages_for(spec.backlog * PLACE), "a backlog")


def require_place(name: str, spec: ServiceSpec, backlog: Region | None, waiting: int) -> None:
    """Raises SafetyExceeded when no place is left; there is none where their bank was destroyed."""
    if backlog is not None:
        places = (spec.backlog or 0) if backlog.pages else 0
        if waiting >= places:
            raise SafetyExceeded(
                f"{waiting} sessions wait to be accepted by {name!r}, which has bought places for "
                f"{places}: connect again when it has let some in"
            )
