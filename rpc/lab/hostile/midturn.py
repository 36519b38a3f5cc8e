"""Clients that take the ground from under a server at work: limits, banks, refunds."""

from __future__ import annotations

from typing import Final

from pinfut.executor import sleep
from pinfut.rpc.bank.teardown import Destroying, destroy
from pinfut.rpc.lab.hostile.raw import call
from pinfut.rpc.lab.hostile.shop import REFUND, TURN
from pinfut.rpc.lab.hostile.stage import Scenario, Stage


async def limit_cut(stage: Stage) -> None:
    """Lowers its bank's limit below what it uses while the server is in a turn: the turn has its
    pages, what is new is refused in memory that was reserved."""
    raw = await stage.session(64)
    bank = stage.bank
    for n in range(20):
        cut = bank.balance.pages

        def meanwhile(cut: int = cut) -> None:
            stage.shop.meanwhile = lambda: None
            bank.refill(pages=-cut)

        stage.shop.meanwhile = meanwhile
        x = 64 * (n + 1)
        raw.send(*(call(x + i, 0, TURN, place=i % 4) for i in range(32)))
        await stage.sample()
        bank.refill(pages=cut)
        await sleep(2e-3)
        await stage.sample()
    if not stage.shop.read or set(stage.shop.read) != {b"kept"}:
        raise AssertionError("a turn read what was not kept")


async def destroyed(stage: Stage) -> None:
    """Destroys its bank while the server is in a turn on what it pays for: what the turn touches
    stays until it ends, and then all of it goes."""
    raw = await stage.session(64)
    destroying: list[Destroying] = []

    def meanwhile() -> None:
        stage.shop.meanwhile = lambda: None
        destroying.append(destroy(stage.bank, step=4))
        while destroying[0].step():
            pass

    stage.shop.meanwhile = meanwhile
    raw.send(*(call(64 + i, 0, TURN, place=i % 4) for i in range(16)))
    await stage.sample()
    if stage.shop.read[:1] != [b"kept"]:
        raise AssertionError("the turn lost what it held")
    stage.forget(raw)
    del raw
    await destroying[0]
    await stage.sample()


async def refunds(stage: Stage) -> None:
    """Has the server ask for the same refund again and again: it is paid once."""
    raw = await stage.session(64, refund=64)
    for n in range(20):
        x = 64 * (n + 1)
        raw.send(*(call(x + i, 0, REFUND, place=i % 4) for i in range(16)))
        await stage.sample()
        if stage.shop.refunds != 1 or raw.refunded != 2:
            raise AssertionError("a refund was paid more than once")


MIDTURN: Final = (
    Scenario(
        "limit cut in mid-turn",
        limit_cut,
        "a server that was refused memory halfway left its books half written",
        "Coyotos and CapROS: a limit below usage is legal",
    ),
    Scenario(
        "destroy in mid-turn",
        destroyed,
        "a client that frees shared memory faults the server that uses it",
        "seL4 revoke; Genode's answer is to have servers survive a dataspace that is gone",
    ),
    Scenario(
        "refund asked twice",
        refunds,
        "a refund that is paid for each time it is asked makes quota out of nothing",
        "Genode core/account.h",
    ),
)
