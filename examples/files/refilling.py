"""Step 3: a client whose bank is too small, what it is told, and how it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from examples.files.audit import Account
from examples.files.client import locate
from examples.files.interface import READ_MAX, Directory
from pinfut.rpc import OutOfPages, SimKernel, connect

PAGES: Final = 24
"""Enough for a session of SLOTS slots, and not for the answer of the largest read."""

SLOTS: Final = 8


@dataclass(slots=True)
class Refilling:
    """What the client met: None where no error came."""

    error: OutOfPages | None
    asked: int
    refilled: int
    data: bytes


async def run_short(kernel: SimKernel, path: str, account: Account) -> Refilling:
    """Ask for the most that a read gives, refill the bank by what is lacking, ask again."""
    async with connect(kernel, "files", Directory, account.bank, slots=SLOTS) as root:
        file = await locate(root, path)
        try:
            return Refilling(None, READ_MAX, 0, await file.read(0, READ_MAX))
        except OutOfPages as error:
            # What it lacks for the answer, and a page for the handler that will be charged.
            short = error.short + 1
            account.refill(short)
            return Refilling(error, READ_MAX, short, await file.read(0, READ_MAX))
