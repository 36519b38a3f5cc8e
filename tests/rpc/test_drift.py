"""Books that are right after a million operations, whoever frees what and where."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from pinfut.rpc import Bank, BankHandle, PinScope, Rank, SimKernel
from pinfut.rpc.bank.account import SessionAccount
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.bank.share import Share
from pinfut.rpc.memory.pages import Region
from pinfut.rpc.session.charging import _payer, keep
from pinfut.rpc.session.kept import Kept
from tests.covered import covered, require

OPERATIONS = 1_000_000 if os.environ.get("PINFUT_SOAK") == "1" else 20_000
EPOCHS = 20


class Client:
    """A bank, a session's account of it, and what is kept there."""

    def __init__(self, kernel: SimKernel, name: str) -> None:
        self.bank: Bank = kernel.bank(name, pages=4000, caps=4000)
        self.account = SessionAccount(Share(self.bank))
        self.kept = Kept(self.account)


def test_what_is_freed_under_another_payer_or_in_another_thread_drifts_nothing() -> None:
    """Bank rule 51: whenever nothing is left, every count is 0."""
    kernel = SimKernel(pages=20_000)
    clients = [Client(kernel, f"c{n}") for n in range(3)]
    chance = random.Random(51)
    counts: Counter[str] = Counter()
    # What there is, each with what frees it.
    held: list[tuple[str, Callable[[], object]]] = []

    def make() -> None:
        client, other = chance.sample(clients, 2)
        kind = chance.choice(["kept", "resized", "region", "moved", "hold", "ticket", "handle"])
        size = chance.randrange(1, 9000)
        pages = chance.randrange(1, 4)
        if kind in ("kept", "resized"):
            ref = keep_for(client, size)
            if kind == "resized":
                ref.resize(chance.randrange(1, 9000))
            held.append((kind, ref.drop))
        elif kind == "region":
            held.append((kind, Region(client.bank, pages).free))
        elif kind == "moved":
            region = Region(client.bank, pages)
            region.move(other.bank)
            held.append((kind, region.free))
        elif kind == "hold":
            region = Region(client.bank, pages)
            hold = region.hold(other.bank)
            region.free()
            held.append((kind, hold.release))
        elif kind == "ticket":
            held.append((kind, Reservation(client.bank, pages, 1).drop))
        else:
            held.append((kind, BankHandle(client.bank, Rank.USE).drop))
        counts[kind] += 1

    def keep_for(client: Client, size: int) -> Any:
        token = _payer.set(client.kept)
        try:
            return keep("a thing", size)
        finally:
            _payer.reset(token)

    def free() -> None:
        """Under whatever client is charged just now, and in a piece of work of another."""
        _, end = held.pop(chance.randrange(len(held)))
        token = _payer.set(chance.choice(clients).kept)
        try:
            with PinScope([]):
                end()
        finally:
            _payer.reset(token)

    def work(operations: int) -> None:
        for _ in range(operations):
            if held and (len(held) > 200 or chance.random() < 0.5):
                free()
            else:
                make()

    for epoch in range(EPOCHS):
        if epoch % 4 == 1:
            # One at a time, and not the one that made it.
            thread = threading.Thread(target=work, args=(OPERATIONS // EPOCHS,))
            thread.start()
            thread.join()
            counts["elsewhere"] += 1
        else:
            work(OPERATIONS // EPOCHS)
        while held:
            free()
        for one in clients:
            assert (one.account.used, one.kept.bytes, one.bank.ledger.used) == (0, 0, 0)
            one.account.close()
            assert (one.bank.pages_used, one.bank.caps_used) == (0, 0)
    assert kernel.root.pages_used == 0
    kinds = ("kept", "resized", "region", "moved", "hold", "ticket", "handle", "elsewhere")
    require(covered("operations without drift", **counts), *kinds)
