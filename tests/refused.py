"""Charges that are refused on purpose, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pinfut.rpc import Bank, OutOfPages
from pinfut.rpc.bank.account import SessionAccount

_CHARGES: Final = ((Bank, "acquire"), (SessionAccount, "take"), (SessionAccount, "take_cap"))


class Charges:
    """How many were made, and how many of them refused: one at most."""

    def __init__(self, nth: int) -> None:
        self._nth = nth
        self.made = 0
        self.refused = 0

    def replace(self, charge: Callable[..., Any]) -> Callable[..., Any]:
        """`charge`, refused where it is the one."""

        def charging(*args: Any, **kwargs: Any) -> Any:
            self.made += 1
            if self.made - 1 == self._nth:
                self.refused += 1
                raise OutOfPages("refused by a test", "nobody", 1)
            return charge(*args, **kwargs)

        return charging


@contextmanager
def refusing(nth: int) -> Iterator[Charges]:
    """Inside the block the `nth` charge from now on, counted from 0, raises OutOfPages: of a bank
    or an account, whichever; a charge that buys is two."""
    charges = Charges(nth)
    before = [(owner, name, getattr(owner, name)) for owner, name in _CHARGES]
    for owner, name, charge in before:
        setattr(owner, name, charges.replace(charge))
    try:
        yield charges
    finally:
        for owner, name, charge in before:
            setattr(owner, name, charge)
