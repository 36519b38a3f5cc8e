"""Processes share no Python object, with everything in flight that a program can have.

A walk goes from each vat, its sessions and the frames of their tasks, along every reference. It
stops at what is nobody's (`tests.rpc.contract.walk`), at the executor and the kernel, and must meet
no mutable object that a walk from another process meets.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import Context
from itertools import combinations
from typing import Any, NamedTuple, Protocol

import pytest

from pinfut.executor import current_executor, sleep, spawn
from pinfut.rpc import (
    Bank,
    BankHandle,
    EventBuffer,
    EventSource,
    Interface,
    Rank,
    Vat,
    connect,
    introduce,
    method,
    nested,
    serve,
)
from pinfut.rpc.bank.owned import Owned
from tests.covered import covered, require
from tests.rpc.contract.walk import changes, reached
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, run

NAME = "walls"
NAMES = ("desk", "hall", "client")
KINDS = ("Vat", "Session", "Endpoint", "Process", "Answer", "Question", "coroutine")


class Hall(Interface, Protocol):
    """A server that has others work for it."""

    @method
    async def watch(self, key: int) -> int: ...
    @method
    async def hold(self, thing: Thing) -> str: ...
    @method
    async def ask(self, seconds: float) -> float: ...


class HallServer(Hall):
    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.source = EventSource()
        self.held: list[Thing] = []

    @method
    async def watch(self, key: int) -> int:
        self.source.subscribe(key)
        return key

    @method
    async def hold(self, thing: Thing) -> str:
        self.held.append(thing)
        return await thing.name()

    @method
    async def ask(self, seconds: float) -> float:
        """A nested call, paid by who has called."""
        async with nested(pages=60) as bank, connect(self.kernel, "desk", Desk, bank) as desk:
            return await desk.nap(seconds)


async def serves(kernel: Any, name: str, root: Any, seconds: float, vats: list[Vat]) -> None:
    async with serve(kernel, name, root) as vat:
        vats.append(vat)
        await sleep(seconds)


async def calls(
    kernel: Any, payer: BankHandle, events: EventBuffer, ready: list[Vat], plant: Any
) -> None:
    """Everything at once: calls, capabilities both ways, events, an introduction."""
    vat = Vat(kernel, "client")
    held = [plant]
    try:
        async with (
            connect(kernel, "desk", Desk, payer, vat=vat, slots=8) as desk,
            connect(kernel, "hall", Hall, payer, vat=vat, slots=8, events=events) as hall,
        ):
            thing = await desk.make("t")
            assert await hall.hold(await introduce(thing, hall)) == "t"
            own = ThingServer("own")
            assert await hall.hold(own) == "own"
            await hall.watch(events.open())
            waiting = [
                hall.ask(50),
                desk.nap(40),
                desk.data(9000, 30),
                desk.make("late", 20).name(),
            ]
            await sleep(1)
            ready.append(vat)
            for one in waiting:
                await one
            del held
    finally:
        await vat.close()


class Actors(NamedTuple):
    """What is on stage: the roots of what `desk`, `hall` and `client` lead to."""

    roots: list[list[Any]]
    events: EventBuffer
    hall: HallServer
    desk: DeskServer


async def stage(world: World, look: Callable[[Actors], None], plant: Any = None) -> None:
    """Three processes in the midst of it. `plant`: is held by the client's program."""
    kernel = world.kernel
    bank, buffer = world.bank("client", pages=900), world.bank("buffer")
    payer = BankHandle(bank, Rank.USE)
    hall, desk = HallServer(kernel), DeskServer()
    vats: list[list[Vat]] = [[], [], []]
    with EventBuffer(buffer, places=3, size=16, keep=2) as events:
        programs: list[Coroutine[Any, Any, None]] = [
            serves(kernel, "desk", desk, 200, vats[0]),
            serves(kernel, "hall", hall, 100, vats[1]),
            calls(kernel, payer, events, vats[2], plant),
        ]
        tasks = []
        for program in programs:
            # Each from a context of its own, as processes do.
            tasks.append(Context().run(spawn, program))
            await sleep(1)
        await sleep(4)
        # An event that was taken, and one that is on its way.
        hall.source.post(b"seen")
        assert (await events.next()).state == b"seen"
        hall.source.post(b"new")
        roots = [[program, *own] for program, own in zip(programs, vats, strict=True)]
        assert [len(own) for own in roots] == [2, 2, 2], "not everything is under way"
        try:
            look(Actors(roots, events, hall, desk))
        finally:
            del roots
            for task in reversed(tasks):
                await task
    payer.drop()


def meetings(actors: Actors, kernel: Any) -> list[Any]:
    """The mutable objects that two processes both lead to."""
    executor = current_executor()
    # An executor is its parts, too: the timers of all, who is ready, the clock.
    stops = [kernel, executor, *gc.get_referents(executor)]
    walks = []
    for own, name in zip(actors.roots, NAMES, strict=True):
        # The client's buffer is in memory of its own bank, which leads to the kernel's books. A
        # server that leads there is found.
        walk = reached(own, [*stops, actors.events] if name == "client" else stops)
        for one in walk.values():
            assert not isinstance(one, (Bank, Owned)), f"{type(one)} is the kernel's"
        names = {type(one).__name__ for one in walk.values()}
        kinds = {name.removeprefix("Sim").removeprefix("Copy") for name in names}
        covered(NAME, objects=len(walk))
        covered(NAME, **{f"{name}_{kind}": int(kind in kinds) for kind in KINDS})
        walks.append(walk)
    return [
        one
        for some, others in combinations(walks, 2)
        for key, one in some.items()
        if key in others and changes(one)
    ]


def test_three_processes_meet_in_no_object_with_everything_in_flight() -> None:
    async def main(world: World) -> None:
        def look(actors: Actors) -> None:
            found = meetings(actors, world.kernel)
            assert found == [], Counter(type(one).__name__ for one in found)

        await stage(world, look)

    run(main)
    kinds = {f"{name}_{kind}" for name in NAMES for kind in KINDS}
    require(covered(NAME), *kinds - {"desk_Question"})  # it asks nothing


@pytest.mark.parametrize("where", ["objects", "sessions", "frames"])
def test_a_dictionary_that_two_processes_share_is_found(where: str) -> None:
    """Wherever it is put."""

    async def main(world: World) -> None:
        planted: Any = {"planted": 1}

        def look(actors: Actors) -> None:
            assert meetings(actors, world.kernel) == []
            _, hall, client = (own[1].sessions[0] for own in actors.roots)
            if where == "sessions":
                client.subscriptions[99] = hall.subscriptions[99] = planted
            else:
                actors.hall.held.append(planted)
            if where == "objects":
                actors.desk.keeping.append(planted)
            assert meetings(actors, world.kernel) == [planted]
            covered("walls, planted", **{where: 1})
            client.subscriptions.pop(99, None)
            hall.subscriptions.pop(99, None)

        await stage(world, look, planted if where == "frames" else None)

    run(main)
    require(covered("walls, planted"), where)
