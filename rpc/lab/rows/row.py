"""Row: one thing that the design notes ask for, and how far it is answered."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One row. `line`: where the notes ask; `where`: the file of the answer; `test`: what fails
    when the row is broken, as pytest names it, empty where nothing shows it; `mutant`: what the
    planted faults that this test kills are said to break, empty where none is planted;
    `missing`: what is not there yet, empty where nothing is."""

    number: int
    line: int
    text: str
    where: str
    test: str
    mutant: str = ""
    missing: str = ""

    @property
    def state(self) -> str:
        """ "shown", "in part", or "open" where no test shows anything of it."""
        if not self.test:
            return "open"
        return "in part" if self.missing else "shown"
