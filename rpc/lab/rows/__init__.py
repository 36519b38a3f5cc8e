"""The rows of the design notes: what they ask for, what answers it here, and what shows it.

Each row says where its answer lives, names the test that shows it and the planted fault which that
test kills, and says what is missing if anything is. `pinfut rows` prints them.
"""

from __future__ import annotations

from typing import Final

from pinfut.rpc.lab.rows import bushels, calls, coroutines, events, futures, memory
from pinfut.rpc.lab.rows.row import Row

ROWS: Final[tuple[Row, ...]] = (
    *memory.ROWS,
    *bushels.ROWS,
    *calls.ROWS,
    *events.ROWS,
    *futures.ROWS,
    *coroutines.ROWS,
)
"""All of them, numbered from 1, in their order."""
