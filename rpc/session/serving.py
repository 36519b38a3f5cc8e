"""Serving: what a handler can ask about the call that it serves, and memory for calls of its own.

A server that calls others to serve a call spends the memory of whose call it serves, never
its own: `nested` gives it a bank below the caller's, with a ceiling, for the time of a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pinfut.rpc.contract import BankLike
from pinfut.rpc.objects.interface import Interface
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.session.conversation import serving
from pinfut.rpc.session.session import Session


def current_session() -> Session:
    """The session whose call is being served here. Raises RuntimeError outside of a handler."""
    session = serving.get()
    if session is None:
        raise RuntimeError("no call is being served here; this is for the handler of a method")
    assert isinstance(session, Session)
    return session


def session_of(capability: Interface) -> Session:
    """The session that a capability came over. Raises TypeError for an own object."""
    target = target_of(capability)
    session = None if target is None else target.caller.owner
    if not isinstance(session, Session):
        raise TypeError(f"{capability!r} did not come over a session")
    return session


@asynccontextmanager
async def nested(*, pages: int, caps: int = 64) -> AsyncIterator[BankLike]:
    """A bank for what a handler asks of others on behalf of its caller::

        async with nested(pages=40) as bank, connect(kernel, "disk", Disk, bank) as disk:
            return await disk.read(n)

    It stands below the bank that pays for the session of the caller, so what is held for the
    nested call counts against the first payer, through however many servers; `pages` and `caps`
    are all that this call may spend. What the block gets only pays and shows what is left. When
    the block ends the bank is destroyed, and the end waits until it is.

    Raises RuntimeError outside of a handler, and OutOfPages when the caller cannot pay for it."""
    end = current_session().end
    bank = end.nested(pages, caps)
    try:
        yield bank
    finally:
        await end.end_nested(bank)
