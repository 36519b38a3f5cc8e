"""Futures made of futures (`pinfut.combinators`)."""

from pinfut.combinators.adapters import catch, fuse, lazy, map, then
from pinfut.combinators.events import EventContext, poll_events
from pinfut.combinators.group import Awaited
from pinfut.combinators.joining import join, try_join
from pinfut.combinators.selecting import Selected, race, select
from pinfut.combinators.shared import Shared, shared

__all__ = [
    "Awaited", "EventContext", "Selected", "Shared", "catch", "fuse", "join", "lazy", "map",
    "poll_events", "race", "select", "shared", "then", "try_join",
]  # fmt: skip
