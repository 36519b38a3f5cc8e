"""Whoever charges waits for nobody: while something is paid, the books are all that runs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pinfut
from pinfut.executor import spawn, yield_now
from pinfut.rpc import OutOfPages, freed, session_of
from pinfut.rpc.bank.account import PAGE
from pinfut.rpc.errors import BankError
from tests.covered import covered
from tests.rpc.services import Desk, DeskServer
from tests.rpc.world import World, far_of, run

ROOT = Path(pinfut.__file__).resolve().parents[1]

BOOKS = ("rpc/bank/", "rpc/memory/", "rpc/kernel/", "rpc/prices.py", "rpc/errors.py")
"""What is the kernel's, or is counted there."""

BESIDE = ("pinfut/stack.py", "pinfut/poll.py", "executor/task.py", "executor/trace/")
"""What may be called beside them: a look at the stack, a mark that a task is ready, which runs
nothing of it, and who watches the run and is told."""


def called(charge: Callable[[], object]) -> tuple[Counter[str], BankError | None]:
    """The files of whatever Python function is called while `charge` runs, its own apart; and
    how it was refused."""
    files: Counter[str] = Counter()

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code is not getattr(charge, "__code__", None):
            path = Path(frame.f_code.co_filename).resolve()
            if ROOT in path.parents:  # and not the standard library, which waits for nobody
                files[path.relative_to(ROOT).as_posix()] += 1

    refused = None
    sys.setprofile(look)
    try:
        charge()
    except BankError as error:
        refused = error
    finally:
        sys.setprofile(None)
    return files, refused


def test_nothing_that_is_charged_calls_anybody_whether_it_is_paid_or_refused() -> None:
    """Row 5: with a client that waits for pages, is asked for some, and could be asked again."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []  # told at the end: a session that is charged forever cannot end

    def looked(kind: str, charge: Callable[[], object], refusal: Any = None) -> None:
        files, error = called(charge)
        strange = [one for one in files if not one.startswith(BOOKS + BESIDE)]
        if strange or not files or type(error) is not (refusal or type(None)):
            wrong.append(f"{kind}: {strange} of {list(files)} and {error!r}")
        counts[kind] += 1

    async def main(world: World) -> None:
        above = world.bank("above", pages=200)
        bank = above.child("client", pages=150)
        async with world.session(Desk, DeskServer(), bank=bank) as desk:
            await desk.do(1)
            await desk.make("something")

            async def wait() -> None:
                await freed(bank, 140)

            waits = spawn(wait())
            await yield_now()
            bank.ask_back(4)
            near = session_of(desk).end
            for account in (near.account, far_of(session_of(desk), world.kernel).account):
                looked("paid from what is there", partial(account.take, 1))
                looked("paid with a page more", partial(account.take, 3 * PAGE))
                looked("a capability", partial(account.take_cap))
                looked("refused by the bank", partial(account.take, 170 * PAGE), OutOfPages)
                account.give(3 * PAGE + 1)
                account.give_cap()
            looked("bought", partial(bank.buy, 2))
            filler = above.child("filler", pages=above.available.pages - 5)
            filler.buy(filler.available.pages)
            looked("refused above the bank", partial(bank.buy, 20), OutOfPages)
            filler.sell(filler.own.pages - 1)
            filler.close()
            bank.sell(2)
            waits.cancel()
            await yield_now()
        bank.close()

    run(main)
    assert wrong == []
    covered("charges that call nobody", **{k.replace(" ", "_"): n for k, n in counts.items()})


def test_a_charge_that_calls_somebody_is_seen() -> None:
    def asks() -> None:
        answers()

    def answers() -> None:
        pass

    assert called(asks) == ({Path(__file__).resolve().relative_to(ROOT).as_posix(): 1}, None)
