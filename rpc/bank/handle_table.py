"""HandleTable: the banks of one kernel that handles stand for, by number."""

from __future__ import annotations

from typing import Any, final


@final
class HandleTable:
    """What a process has instead of a bank is a number that stands for one here.

    A number is given out once. It names nothing any more when its handle is dropped or gone.
    """

    # Any: the banks, which lead here themselves.
    __slots__ = ("_banks", "_last")

    def __init__(self) -> None:
        self._banks: dict[int, Any] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._banks)

    def insert(self, bank: Any) -> int:
        """A number for a bank."""
        self._last += 1
        self._banks[self._last] = bank
        return self._last

    def get(self, number: int) -> Any:
        """The bank of a number; None when it names nothing."""
        return self._banks.get(number)

    def remove(self, number: int) -> Any:
        """Have it name nothing from now on; the bank. Idempotent."""
        return self._banks.pop(number, None)
