"""Futures made of futures (`pinfut.combinators`)."""

from pinfut.combinators.adapters import catch, fuse, lazy, map, then
from pinfut.combinators.group import Awaited
from pinfut.combinators.joining import join, try_join
from pinfut.combinators.selecting import Selected, race, select
from pinfut.combinators.shared import Shared, shared

__all__ = [
    "Awaited", "Selected", "Shared", "catch", "fuse", "join", "lazy", "map", "race", "select",
    "shared", "then", "try_join",
]  # fmt: skip
