"""Credit: what a bank had left a moment ago, as its clients read it on a page that the kernel
writes (`pinfut.rpc.bank.credit_page`)."""

from __future__ import annotations

from typing import Final, NamedTuple

WORDS: Final = 5
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


def read_credit(view: memoryview) -> Credit | None:
    """The snapshot on a credit page; None when it is being written all the time. Whatever a
    hostile writer put there, this ends."""
    for _ in range(_TRIES):
        seq = view[0]
        values = view[1:WORDS].tolist()
        if seq % 2 == 0 and view[0] == seq:
            return Credit(seq // 2, *values)
    return None
