"""What a call costs is said before it is made, and is what is charged for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import pytest

from pinfut.executor import sleep
from pinfut.rpc import Interface, connect, method, session_of
from pinfut.rpc.bank.account import PAGE
from pinfut.rpc.lab.calls import prices_of
from tests.covered import covered, require
from tests.rpc.services import Thing, ThingServer
from tests.rpc.world import World, far_of, quiet, run


class Priced(Interface, Protocol):
    """A method for each kind of thing that a call pays for."""

    @method(touch=32)
    async def short(self, n: int) -> int: ...
    @method(touch=4000)
    async def data(self, data: bytes) -> int: ...
    @method
    async def many(self, numbers: list[int]) -> int: ...
    @method(answer=8192)
    async def large(self) -> bytes: ...
    @method
    async def give(self) -> Thing: ...
    @method
    async def take(self, thing: Thing) -> int: ...
    @method
    async def framed(self) -> int: ...


class PricedServer(Priced):
    """Tells that it has begun, when all is charged, and waits: then a handler of no declared bound
    has back what it does not hold."""

    begun: Callable[[], object] = int

    @method
    async def short(self, n: int) -> int:
        self.begun()
        await sleep(1)
        return n

    @method
    async def data(self, data: bytes) -> int:
        self.begun()
        await sleep(1)
        return len(data)

    @method
    async def many(self, numbers: list[int]) -> int:
        self.begun()
        await sleep(1)
        return len(numbers)

    @method
    async def large(self) -> bytes:
        self.begun()
        await sleep(1)
        return bytes(8000)

    @method
    async def give(self) -> Thing:
        self.begun()
        await sleep(1)
        return ThingServer("given")

    @method
    async def take(self, thing: Thing) -> int:
        self.begun()
        await sleep(1)
        return 1

    @method(frame=3000)
    async def framed(self) -> int:
        self.begun()
        await sleep(1)
        return 1


def test_what_a_call_is_charged_is_what_was_said_before_it_was_made() -> None:
    """Row 25: for each kind of call: handler, arguments, answer, objects given and taken."""

    async def main(world: World) -> None:
        bank = world.bank()
        said = {price.method: price for price in prices_of(PricedServer)}
        calls: list[tuple[str, tuple[Any, ...]]] = [
            ("short", (7,)),
            ("data", (bytes(3000),)),
            ("many", (list(range(1000, 1600)),)),
            ("large", ()),
            ("give", ()),
            ("take", (ThingServer("taken"),)),
            ("framed", ()),
        ]
        assert [name for name, _ in calls] == list(said)
        server, charged = PricedServer(), 0
        async with world.served("priced", server):
            for name, args in calls:
                async with connect(world.kernel, "priced", Priced, bank) as priced:
                    # What a session makes once: cells for answers, a larger ring, a way back.
                    server.begun = int
                    await priced.take(ThingServer("first"))
                    await priced.data(bytes(3900))
                    await quiet()
                    price = said[name]
                    account = far_of(session_of(priced), world.kernel).account
                    used, pages = account.used, bank.pages_used

                    def begun(account: Any = account, used: int = used) -> None:
                        nonlocal charged
                        charged = account.used - used

                    server.begun = begun
                    promise = getattr(priced, name)(*args)
                    bought = (bank.pages_used - pages) * PAGE
                    assert bought == (price.answer if price.answer != 1024 else 0), name
                    await sleep(0.5)
                    assert 0 < account.used - used <= charged, name
                    payload = 1 if price.taken else len(msgspec.msgpack.encode(args))
                    if payload <= price.short:
                        assert charged == price.handler + price.taken, name
                    else:
                        assert price.handler + payload <= charged <= price.most(payload), name
                    value = await promise
                    await quiet()
                    assert account.used - used == price.given, name
                    kinds = {
                        "exactly": payload <= price.short,
                        "at most": payload > price.short,
                        "bought": bought > 0,
                        "given": price.given > 0,
                        "taken": price.taken > 0,
                    }
                    require(covered("prices of calls", calls=1, **kinds), "calls")
                    del promise, value
        require(covered("prices of calls"), "exactly", "at most", "bought", "given", "taken")

    run(main)


def test_who_is_no_interface_has_no_prices() -> None:
    assert [price.handler for price in prices_of(Priced)][:1] == [prices_of(Thing)[0].handler]
    assert [price.handler for price in prices_of(PricedServer)][-1] == 3000
    with pytest.raises(TypeError, match="no capability"):
        prices_of(World)
