"""Records of events: where each word of an event buffer stands, for both of its sides.

Who writes which word, and when, stands in docs/events.md."""

from __future__ import annotations

from typing import Final, final

GENERATION: Final = 0
ARM: Final = 1
SEEN: Final = 2
OWNER: Final = 3
VERSION: Final = 4
BITS: Final = 5
END: Final = 6
WORDS: Final = 7

MAX_PLACES: Final = 1 << 16
MAX_GENERATION: Final = (1 << 46) - 1
MAX_VERSION: Final = (1 << 62) - 1


@final
class Shape:
    """Where things stand in a buffer; both sides compute it from the same three numbers."""

    __slots__ = ("keep", "length", "places", "record", "size")

    def __init__(self, places: int, size: int, keep: int) -> None:
        if not 1 <= places <= MAX_PLACES:
            raise ValueError(f"an event buffer has 1 to {MAX_PLACES} places, not {places}")
        if size < 0 or keep < 1:
            raise ValueError(
                f"a place keeps 1 state or more, of 0 bytes or more, not {keep} of {size}"
            )
        self.places = places
        self.size = size
        self.keep = keep
        # Bytes of one state with its length, and of a record.
        self.length = 8 + (size + 7 & -8)
        self.record = 8 * WORDS + keep * self.length
