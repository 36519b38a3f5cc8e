"""Refill and retry: a request that is refused for want of memory, asked again with more.

Attempts are bounded. What is refilled for a request is reserved for it at once, so that no
other one eats it before the next attempt. A request is asked again only if it was refused before
its handler began, so its effect happens once."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.contract import Endpoint
from pinfut.rpc.errors import BankDead, BankError, OutOfCaps, OutOfPages
from pinfut.rpc.objects.promise import Promise
from pinfut.rpc.session.session import Session

T = TypeVar("T")

ATTEMPTS: Final = 4
QUANTUM: Final = 4
TICKET: Final = 1
"""Pages that keeping a ticket may take of the bank's books."""


async def retry_with_refill(
    request: Callable[[], Awaitable[T]],
    bank: Bank,
    *,
    refill: Callable[[int, int], Any] | None = None,
    attempts: int = ATTEMPTS,
    quantum: int = QUANTUM,
) -> T:
    """Make a request; when it is refused for want of memory, refill the bank and ask again::

        data = await retry_with_refill(lambda: file.read(0, n), bank)

    `request` is called anew each time and makes one call, which it gives to be awaited: what
    it does besides is repeated too. `refill(pages, caps)` gives the bank at least so much more,
    and may be a coroutine function; by default it raises the bank's limits. Each refill is of
    what was short, or `quantum` pages if that is more or is not known.

    Only a call that was refused before its handler began is made again, so the handler runs at
    most once. What lacks later (a handler's own calls, an object that it hands out, a frame
    above its bound) is raised as it comes, with `begun` set: whether to ask again is then for
    who knows what the handler did. Raises what the last attempt raised, and BankDead at once."""
    if attempts < 1 or quantum < 1:
        raise ValueError(f"attempts and quantum are 1 or more, not {attempts} and {quantum}")
    ticket: Reservation | None = None
    try:
        for left in reversed(range(attempts)):
            try:
                return await _attempt(request, ticket)
            except BankError as error:
                if not left or error.begun or isinstance(error, BankDead):
                    raise
                ticket = await _refill(bank, error, ticket, refill, quantum)
    finally:
        if ticket is not None:
            ticket.drop()
    raise AssertionError("the last attempt returns or raises")


async def _refill(
    bank: Bank,
    error: BankError,
    ticket: Reservation | None,
    refill: Callable[[int, int], Any] | None,
    quantum: int,
) -> Reservation | None:
    """Add what was short, and reserve it with what an earlier refill has left."""
    pages, caps = 0, 0
    if isinstance(error, OutOfCaps):
        caps = max(error.short, quantum)
    else:
        # Bytes of an account are no pages; for these, and for what is not known, the quantum.
        pages = max(error.short if isinstance(error, OutOfPages) else 0, quantum)
    added = (bank.refill if refill is None else refill)(pages + TICKET, caps)
    if inspect.isawaitable(added):
        await added
    if ticket is not None and ticket.valid:
        pages, caps = pages + ticket.pages, caps + ticket.caps
        ticket.drop()
    left = bank.available.pages - TICKET
    try:
        # At once, without an await: from here on nobody else can take it.
        return Reservation(bank, min(pages, max(0, left)), min(caps, bank.available.caps))
    except BankError:
        return None  # nothing could be added; the next attempt says what is lacking


async def _attempt(request: Callable[[], Awaitable[T]], ticket: Reservation | None) -> T:
    if ticket is None or not ticket.valid:
        return await request()
    with ticket.spend():
        called = request()
    end, x = _question(called)
    if end is None:
        ticket.drop()  # no call that is under way: it has what it needs, or waits like others
        return await called
    end.keep_ticket(x, ticket)
    try:
        return await called
    finally:
        end.drop_ticket(x)


def _question(called: object) -> tuple[Endpoint | None, int]:
    """The endpoint and the id of a call that was sent and has no answer yet."""
    if isinstance(called, Promise) and called.question is not None:
        session = called.caller.owner
        if isinstance(session, Session):
            return session.end, called.question.x
    return None, -1
