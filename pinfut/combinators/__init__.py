"""Futures made of futures (`pinfut.combinators`)."""

from pinfut.combinators.adapters import map
from pinfut.combinators.group import Awaited
from pinfut.combinators.joining import join
from pinfut.combinators.selecting import Selected, race, select

__all__ = ["Awaited", "Selected", "join", "map", "race", "select"]
