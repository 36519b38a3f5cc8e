"""What `@unboxed` and its frames refuse."""

from __future__ import annotations

from typing import final


@final
class Refused(TypeError):
    """A construct cannot live in one sized frame. Says where, what, and what to write instead."""

    def __init__(self, file: str, line: int, construct: str, way_out: str) -> None:
        super().__init__(f"{file}:{line}: {construct}; {way_out}")
        self.file = file
        self.line = line
        self.construct = construct
        self.way_out = way_out


@final
class FrameTooSmall(MemoryError):
    """A call was to begin in memory that is smaller than its frame. Nothing was written."""

    def __init__(self, name: str, needed: int, given: int) -> None:
        super().__init__(
            f"the frame of {name} takes {needed} bytes and the memory has {given}; "
            f"give layout({name}).size bytes"
        )
        self.needed = needed
        self.given = given
