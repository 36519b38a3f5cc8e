"""Faults that are planted into the runtime, each with the trap that it falls into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pinfut.rpc.bushel import Bushel
from pinfut.rpc.kernel.bank import Bank
from pinfut.rpc.kernel.cells import Cells
from pinfut.rpc.kernel.notification import Notification
from pinfut.rpc.kernel.owned import Owned
from pinfut.rpc.kernel.purse import Purse
from pinfut.rpc.kernel.ring import RingReader
from pinfut.rpc.protocol.imports import Imports
from pinfut.rpc.server import Server
from pinfut.slots import SlotTable

Planted = tuple[str, type, str, Callable[[Any], Any]]
"""What is wrong, and how the function of that class is replaced."""


def _slot_reused(whole: Any) -> Any:
    def acquire(self: Any) -> Any:
        slot = whole(self)
        slot.x = self._last = (
            self._last - self.capacity if self._last > 3 * self.capacity else self._last
        )
        return slot

    return acquire


def _refund_twice(whole: Any) -> Any:
    def handled(self: Any, answer: Any, task: Any) -> None:
        charged = answer.charged
        whole(self, answer, task)
        if self._purse.used > charged:
            self._purse.give(charged)

    return handled


def _refund_at_cancel(whole: Any) -> Any:
    def cancel(self: Any, answer: Any) -> None:
        self._purse.give(answer.charged)
        whole(self, answer)

    return cancel


def _sell_less(whole: Any) -> Any:
    return lambda self, pages=0, caps=0: whole(self, max(0, pages - (pages > 2)), caps)


def _debit_one(_: Any) -> Any:
    def debit(self: Any, pages: int, caps: int) -> None:
        self.pages_used += pages
        self.caps_used += caps

    return debit


def _release_none(whole: Any) -> Any:
    return lambda self, number, count: None


def _release_one(whole: Any) -> Any:
    return lambda self, number: min(1, whole(self, number)) * 2


def _wake_lost(whole: Any) -> Any:
    def signal(self: Any, badge: int) -> None:
        self_count[0] += 1
        if self_count[0] % 50:
            whole(self, badge)

    self_count = [0]
    return signal


def _frames_swapped(whole: Any) -> Any:
    return lambda self, limit, *rest: whole(self, limit, *rest)[::-1]


def _pin_nothing(whole: Any) -> Any:
    return lambda self: None


def _take_free(whole: Any) -> Any:
    def take(self: Any, count: int, why: str = "memory") -> None:
        whole(self, count, why)
        if why.startswith("an object"):
            self.give(count)

    return take


def _cell_twice(whole: Any) -> Any:
    def release(self: Any, place: int) -> None:
        whole(self, place)
        if place < 1 << 31 and len(self.free_small) > 2:
            self.free_small.append(place)

    return release


def _late_slot_free(whole: Any) -> Any:
    def cancel(self: Any, x: int) -> bool:
        asked: bool = whole(self, x)
        if asked:
            self.release(self.find(x))
        return asked

    return cancel


PLANTED: tuple[Planted, ...] = (
    ("T1 an id is used again", SlotTable, "acquire", _slot_reused),
    ("T2 a slot is free before its cancel is acknowledged", SlotTable, "cancel", _late_slot_free),
    ("T4 a charge ends with the cancel", Server, "on_cancel", _refund_at_cancel),
    ("T5 a handler is refunded twice", Server, "on_handled", _refund_twice),
    ("T7 a wake is lost", Notification, "signal", _wake_lost),
    ("T20 ancestors are not debited", Bank, "_debit", _debit_one),
    ("T21 pins hold nothing", Owned, "pin", _pin_nothing),
    ("T24 a release is lost", Bushel, "release", _release_none),
    ("T24 a release counts wrong", Imports, "drop", _release_one),
    ("T25 frames overtake each other", RingReader, "read", _frames_swapped),
    ("T28 what is handed out is free", Purse, "take", _take_free),
    ("a page is not sold back", Bank, "sell", _sell_less),
    ("a cell is given to two", Cells, "release", _cell_twice),
)
