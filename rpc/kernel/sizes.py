"""Sizes of a session: what makes sense, what it takes before its first call, and at most."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pinfut.rpc import prices
from pinfut.rpc.bank.funds import CAPS
from pinfut.rpc.contract import Balance, ServiceSpec, SessionSpec
from pinfut.rpc.errors import SafetyExceeded
from pinfut.rpc.memory.lane_pages import lane_bytes, tables_of
from pinfut.rpc.memory.pages import pages_for

MAX_SLOTS: Final = 1 << 16


def pages_of(slots: int, ring: int) -> int:
    """How many pages a session takes with all the slots and the ring that it asks for. Raises
    ValueError for a number of slots out of range, and for a ring whose capacity is no power of
    two."""
    if not 1 <= slots <= MAX_SLOTS:
        raise ValueError(f"a session has 1 to {MAX_SLOTS} slots, not {slots}")
    return pages_for(lane_bytes(slots, ring)) + tables_of(slots) + pages_for(prices.SESSION)


def admit(name: str, service: ServiceSpec, spec: SessionSpec, sessions: int = 0) -> SessionSpec:
    """A session as the service `name` takes it, which has so many sessions already. Raises
    SafetyExceeded for one that is more than the server can bear, and as `pages_of`."""
    pages = pages_of(spec.slots, spec.ring)
    if service.safety is not None and pages > service.safety:
        raise SafetyExceeded(
            f"{spec.slots} slots and a ring of {spec.ring} bytes take {pages} pages at most, "
            f"and {name!r} has set aside memory to lock {service.safety}: ask for fewer slots"
        )
    if spec.slots > service.slots:
        raise SafetyExceeded(f"{name!r} serves {service.slots} slots a session: ask for fewer")
    if sessions >= service.sessions:
        raise SafetyExceeded(f"{name!r} serves {sessions} sessions at most: wait until one ends")
    return replace(spec, message=service.message)


def first_pages(spec: SessionSpec) -> int:
    """How many pages a session buys when it is opened. Raises as `pages_of`."""
    pages_of(spec.slots, spec.ring)
    return pages_of(*spec.first)


def least_quota(spec: SessionSpec) -> Balance:
    """What a session takes of its donation before its first call: its pages and the books of its
    bank. Raises as `pages_of`."""
    return Balance(first_pages(spec) + pages_for(prices.BANK), CAPS)
