"""What an entry of a table costs its client: one capability, and bytes."""

from __future__ import annotations

from pinfut.rpc.contract import Account


def pay(account: Account, size: int, why: str) -> None:
    """Charge one entry. Raises OutOfCaps, OutOfPages; then nothing has changed."""
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
