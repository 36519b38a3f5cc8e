"""Made mutants that no test kills, and why each may live.

`change` is for the reader and has to say what the mutant says. Who makes a mutant die, or
changes its statement, takes it off this list.
"""

from __future__ import annotations

from typing import Final, NamedTuple

CLASSES: Final = ("equivalent", "only speed", "diagnostic only", "blind")


class Survivor(NamedTuple):
    """One of them. `name`: file, function and key; `kind`: one of CLASSES."""

    name: str
    change: str
    kind: str
    because: str


SURVIVORS: Final[tuple[Survivor, ...]] = ()
