"""A call that waited for a slot and is not sent after all holds nobody up."""

from __future__ import annotations

from typing import Protocol

import pytest

from pinfut.executor import sleep, timeout
from pinfut.rpc import Interface, RemoteError, method
from tests.rpc.world import World, run


class Own(Interface, Protocol):
    @method
    async def name(self) -> str: ...
    @method
    async def named(self, own: Own) -> str: ...


class OwnServer(Own):
    @method
    async def name(self) -> str:
        return "own"

    @method
    async def named(self, own: Own) -> str:
        return await own.name()


class Root(Interface, Protocol):
    @method
    async def back(self, own: Own) -> Own: ...
    @method
    async def fail(self) -> Own: ...
    @method
    async def nap(self, seconds: float) -> int: ...


class RootServer(Root):
    @method
    async def back(self, own: Own) -> Own:
        await sleep(1)
        return own

    @method
    async def fail(self) -> Own:
        raise ValueError("no such object")

    @method
    async def nap(self, seconds: float) -> int:
        await sleep(seconds)
        return 0


def test_a_call_whose_argument_failed_while_it_waited_leaves_the_promise_as_it_was() -> None:
    """What it was called on turns out to be an own object, which is then called at once."""

    async def main(world: World) -> None:
        async with world.session(Root, RootServer(), slots=2) as root:
            promise = root.back(OwnServer())
            nap = root.nap(0.1)
            refused = promise.named(root.fail())  # both wait for a slot
            assert await nap == 0
            with pytest.raises(RemoteError, match="no such object"):
                await refused
            await sleep(2)
            assert await timeout(5, promise.name()) == "own"

    run(main)
