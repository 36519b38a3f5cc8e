"""The credit page: limit and use of a bank where anyone may read them without the kernel.

It says what was true a moment ago and promises nothing: only the bank itself decides.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.memory.pages import Region

_WORDS: Final = 5
_TRIES: Final = 8


class Credit(NamedTuple):
    """A snapshot: what the bank allowed and paid for when it was published the `seq`th time."""

    seq: int
    page_limit: int
    pages_used: int
    cap_limit: int
    caps_used: int

    @property
    def pages(self) -> int:
        """Pages that were left, never below 0."""
        return max(0, self.page_limit - self.pages_used)

    @property
    def caps(self) -> int:
        """Capabilities that were left, never below 0."""
        return max(0, self.cap_limit - self.caps_used)


@final
class CreditPage:
    """A page, paid by the bank, that shows its credit. Raises OutOfPages.

    The first word counts publications; it is odd while one is being written, and a reader that
    sees that, or sees it change, reads again.
    """

    __slots__ = ("_bank", "_region", "_words")

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._region = Region(bank, 1, "a page that shows its credit")
        self._words = self._region.buffer[: 8 * _WORDS].cast("Q")
        self.publish()

    @property
    def view(self) -> memoryview:
        """What a reader maps: the words, read-only."""
        return self._words.toreadonly()

    def publish(self) -> None:
        """Write how it stands now."""
        bank, words = self._bank, self._words
        if not self._region.pages:
            return  # the bank took its page back
        words[0] += 1
        words[1], words[2] = bank.page_limit, bank.pages_used
        words[3], words[4] = bank.cap_limit, bank.caps_used
        words[0] += 1

    def free(self) -> None:
        """Give the page back. Who still looks at it sees the last state."""
        self._region.free()


def read_credit(view: memoryview) -> Credit | None:
    """The snapshot on a credit page; None when it is being written all the time. Whatever a
    hostile writer put there, this ends."""
    for _ in range(_TRIES):
        seq = view[0]
        values = view[1:_WORDS].tolist()
        if seq % 2 == 0 and view[0] == seq:
            return Credit(seq // 2, *values)
    return None
