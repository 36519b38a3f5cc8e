"""One wait covers whatever can come: an answer, an event, bytes of a real socket, a time."""

from __future__ import annotations

from itertools import permutations
from typing import Any, Protocol

from pinfut import pin, select
from pinfut.executor import scope, sleep
from pinfut.executor.io import socketpair
from pinfut.rpc import EventBuffer, EventSource, Interface, method
from pinfut.sync import Event
from tests.covered import covered
from tests.rpc.world import World, run


class Bell(Interface, Protocol):
    @method
    async def watch(self, key: int) -> None: ...
    @method
    async def wait(self) -> str: ...


class BellServer(Bell):
    """Answers, and posts, when the test says so."""

    def __init__(self) -> None:
        self.source = EventSource()
        self.rung = Event()

    @method
    async def watch(self, key: int) -> None:
        self.source.subscribe(key)

    @method
    async def wait(self) -> str:
        await self.rung.wait()
        return "answered"


def test_one_wait_is_told_of_an_answer_an_event_a_socket_and_a_time_in_any_order() -> None:
    """Row 78: one task waits for all of them at once, and sees each when it comes."""
    kinds = ("answer", "event", "socket", "time")

    async def main(world: World, order: tuple[str, ...]) -> list[str]:
        server = BellServer()
        seen: list[str] = []
        here, there = socketpair()
        with here, there, EventBuffer(world.bank("buffer")) as events:
            async with world.session(Bell, server, events=events) as bell:
                await bell.watch(events.open())
                waits: dict[str, Any] = {
                    "answer": pin(bell.wait()),
                    "event": pin(events.next()),
                    "socket": pin(here.recv(16)),
                    "time": pin(sleep(order.index("time") + 1.5)),
                }

                async def bring() -> None:
                    for kind in order:
                        await sleep(1)
                        if kind == "answer":
                            server.rung.set()
                        elif kind == "event":
                            server.source.post(b"it")
                        elif kind == "socket":
                            await there.sendall(b"x")

                async with scope() as tasks:
                    tasks.spawn(bring())
                    while waits:
                        names = list(waits)
                        winner = (await select(*waits.values())).winner
                        seen.append(names[winner])
                        del waits[names[winner]]
        return seen

    orders = list(permutations(kinds))
    for order in orders:
        assert run(lambda world, order=order: main(world, order)) == list(order)  # type: ignore[misc]
    covered("one wait", orders=len(orders))
