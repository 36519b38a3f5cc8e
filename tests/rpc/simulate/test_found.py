"""What the simulator found, each as a history of its own."""

from __future__ import annotations

from pinfut.rpc import Vat, connect, introduce
from tests.rpc.services import Desk, DeskServer
from tests.rpc.world import World, quiet, run


def test_two_servers_that_were_introduced_die_in_one_turn_and_refund_nothing_twice() -> None:
    async def main(world: World) -> None:
        servers = []
        for name in ("a", "b"):
            vat = Vat(world.kernel, name)
            vat.listen(name, DeskServer(name))
            servers.append(vat)
        client = Vat(world.kernel, "client")
        async with (
            connect(world.kernel, "a", Desk, world.bank("one"), vat=client) as a,
            connect(world.kernel, "b", Desk, world.bank("two"), vat=client) as b,
        ):
            thing = await a.make("thing")
            assert await b.keep(await introduce(thing, b)) == 1
            servers[1].kill()
            servers[0].kill()
            await quiet()
        await client.close()

    run(main)
