"""What an entry of a table costs its client: one capability, and bytes."""

from __future__ import annotations

from typing import Final

from pinfut.rpc.contract import Account
from pinfut.stack import require_stack

_STACK: Final = 16  # Frames that a charge takes at most


def pay(account: Account, size: int, why: str) -> None:
    """Charge one entry. Raises OutOfCaps, OutOfPages; then nothing has changed."""
    require_stack(_STACK)
    account.take_cap(why)
    try:
        account.take(size, why)
    except BaseException:
        account.give_cap()
        raise


def refund(account: Account, size: int) -> None:
    """The entry goes. Raises RecursionError; then nothing has changed."""
    account.give_cap()
    try:
        account.give(size)
    except BaseException:
        account.take_cap("what could not be given back")
        raise
