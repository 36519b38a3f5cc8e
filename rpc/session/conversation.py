"""Conversation: a session, as its parts and those who work for its client know it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol

from pinfut.rpc.contract import Endpoint
from pinfut.rpc.errors import RpcError
from pinfut.rpc.session.kept import Kept
from pinfut.rpc.session.purse import Purse


class Conversation(Protocol):
    """One side of a session, without the means by which it runs."""

    name: str
    end: Endpoint
    subscriptions: dict[int, Any]
    """On the serving side, by place: what the client subscribes to."""

    @property
    def error(self) -> RpcError | None:
        """Why the session has ended; None while it has not."""

    @property
    def purse(self) -> Purse | None:
        """Who buys the pages in which this side allocates, if anybody."""

    def settle(self, purse: Purse, /) -> None:
        """Have what this side holds now paid for."""

    def kept(self) -> Kept:
        """What is kept for the client of this session."""

    def close(self, error: RpcError, /) -> None:
        """End the session."""

    def released(self) -> None:
        """The last handler has ended."""


# The session whose call is served; set in the context from which its handlers start.
serving: ContextVar[Conversation | None] = ContextVar("pinfut_serving", default=None)


class Introduced(Protocol):
    """What a session does for introductions, also one that came by one."""

    @property
    def out(self) -> Any:
        """Its calls out."""

    def guest(self, handle: int, /) -> Introduced:
        """The session that the client introduced this side to."""

    def accept(self, number: int, /) -> Any:
        """What was kept for the other side under this number, once; None when there is nothing."""

    def keep(self, provided: Any, /) -> int:
        """Keep something for the other side to accept; the number of it."""
