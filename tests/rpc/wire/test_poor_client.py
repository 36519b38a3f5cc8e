"""A client whose bank is short gets its error; nobody else notices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from pinfut.executor import VirtualClock, run, sleep
from pinfut.rpc import BankError, Interface, RpcError, SimKernel, connect, method, serve
from tests.covered import covered, require
from tests.rpc.wire.fakes import Plain, Thing

NAME = "a client of few pages"


class Shop(Interface, Protocol):
    @method
    async def open(self, works: bool) -> Shop: ...

    @method
    async def use(self, thing: Thing) -> int: ...

    @method
    async def use_all(self, things: list[Thing]) -> int: ...

    @method
    async def make(self) -> Thing: ...


class ShopServer(Shop):
    @method
    async def open(self, works: bool) -> Shop:
        await sleep(0.01)
        if not works:
            raise ValueError("closed")
        return self

    @method
    async def use(self, thing: Thing) -> int:
        return await thing.poke(1)

    @method
    async def use_all(self, things: list[Thing]) -> int:
        return len(things)

    @method
    async def make(self) -> Thing:
        return Plain()


async def call_on_what_fails(shop: Shop) -> None:
    await shop.open(False).use(Plain())


async def call_on_what_comes(shop: Shop) -> None:
    await shop.open(True).use(Plain())


async def pass_an_object(shop: Shop) -> None:
    await shop.use(Plain())


async def pass_many(shop: Shop) -> None:
    await shop.use_all([Plain() for _ in range(20)])


async def pass_a_promise_that_fails(shop: Shop) -> None:
    await shop.open(True).use_all([shop.make(), Plain()])


async def give_up_a_call_that_waits(shop: Shop) -> None:
    opened = shop.open(True)
    waiting = opened.use(Plain())
    waiting.drop()
    await opened


DOES = [
    call_on_what_fails,
    call_on_what_comes,
    pass_an_object,
    pass_many,
    pass_a_promise_that_fails,
    give_up_a_call_that_waits,
]


def be_poor(does: Callable[[Shop], Awaitable[None]], slots: int) -> None:
    kernel = SimKernel()
    counts = dict.fromkeys(("not_connected", "unpaid", "refused", "done"), 0)

    async def poor(pages: int) -> None:
        bank = kernel.bank(f"poor {pages}", pages=pages)
        try:
            async with connect(kernel, "shop", Shop, bank, slots=slots, ring=4096) as shop:
                try:
                    await does(shop)
                    counts["done"] += 1
                except BankError:
                    counts["unpaid"] += 1
                except RpcError:
                    counts["refused"] += 1
        except BankError:
            counts["not_connected"] += 1
        assert (bank.pages_used, bank.caps_used) == (0, 0)

    async def main() -> None:
        async with serve(kernel, "shop", ShopServer()):
            rich = kernel.bank("rich", pages=100)
            async with connect(kernel, "shop", Shop, rich) as shop:
                for pages in range(24):
                    await poor(pages)
                    assert await shop.use(Plain()) == 1, "another client noticed"

    run(main(), clock=VirtualClock())
    assert kernel.root.pages_used == kernel.root.caps_used == 0
    covered(NAME, **counts)
    assert counts["not_connected"] > 0
    assert counts["done"] + counts["refused"] > 0


@pytest.mark.parametrize("slots", [1, 4])
def test_whatever_a_client_lacks_the_server_goes_on_and_the_bank_is_whole(slots: int) -> None:
    for does in DOES:
        be_poor(does, slots)
    require(covered(NAME), "not_connected", "unpaid", "refused", "done")
