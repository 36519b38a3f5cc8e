"""Calls: what each kind of call costs its caller, from the numbers by which it is charged."""

from __future__ import annotations

from typing import Any, NamedTuple

from pinfut.rpc import prices
from pinfut.rpc.bank.account import PAGE
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.objects.interface import interface_of, resolve
from pinfut.rpc.objects.method import Method


class CallPrice(NamedTuple):
    """What a call of one method costs, in bytes, in a session that is open."""

    method: str
    touch: int | None
    """Bytes that its arguments may have on their way; None for as many as the service takes."""
    handler: int
    """Charged before the handler starts, until it has ended: its frame, and its short arguments."""
    short: int
    """Arguments of so many bytes on their way are short."""
    each_byte: int
    """What one that is longer becomes at most, for each byte of it,"""
    besides: int
    """and besides. What it has really become is what stays charged."""
    answer: int | None
    """Bought before the call is sent; None where it depends on the arguments."""
    given: int
    """For each object that the answer names, until it is released: its entry and what it holds."""
    taken: int
    """For each object among the arguments, as long as the service has it."""

    def most(self, length: int) -> int:
        """The most that a call with so many bytes of arguments has charged at the service, without
        the objects that it gives and takes."""
        return self.handler + (self.each_byte * length + self.besides if length > self.short else 0)


def prices_of(cls: Any) -> list[CallPrice]:
    """The price of each method of an interface, or of the one that a class implements: then with
    the frames of its own handlers. Raises TypeError for what is neither."""
    resolve(cls)
    interface = interface_of(cls, cls)
    return [_price(one) for one in cls._pinfut_tables.get(interface, interface._pinfut_methods)]


def _price(one: Method) -> CallPrice:
    each, besides = one.expansion
    room, cell = one.fixed_room, SessionSpec().cell
    answer = None if room is None else cell if room <= cell else -(-room // PAGE) * PAGE
    gives = max((kind._pinfut_charge for kind in one.result.interfaces), default=None)
    return CallPrice(
        one.name,
        one.touch,
        one.frame,
        one.serving[5],
        each,
        besides,
        answer,
        0 if gives is None else prices.EXPORT + gives,
        prices.IMPORT if one.arguments.has_caps else 0,
    )
