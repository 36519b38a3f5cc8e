"""The services that the tests of sessions call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from pinfut.executor import sleep
from pinfut.rpc import Interface, method


class Thing(Interface, Protocol):
    """A small object."""

    @method
    async def name(self) -> str: ...
    @method(answer=8192)
    async def tell(self, tag: int, seconds: float = 0.0) -> list[int]: ...


class Desk(Interface, Protocol):
    """A root with a method for each shape of call."""

    @method
    async def do(self, n: int) -> int: ...
    @method(answer=lambda n, seconds: n + 64)
    async def data(self, n: int, seconds: float = 0.0) -> bytes: ...
    @method
    async def small(self, n: int) -> bytes: ...
    @method
    async def length(self, data: bytes) -> int: ...
    @method
    async def make(self, name: str, seconds: float = 0.0) -> Thing: ...
    @method
    async def desk(self, name: str, seconds: float = 0.0) -> Desk: ...
    @method
    async def fail(self, message: str, seconds: float = 0.0) -> Desk: ...
    @method
    async def nap(self, seconds: float) -> float: ...
    @method(answer=8192)
    async def tell(self, tag: int, seconds: float = 0.0) -> list[int]: ...
    @method(answer=8192)
    async def tell_with(self, tag: int, thing: Thing) -> list[int]: ...
    @method
    async def back(self, thing: Thing) -> Thing: ...
    @method
    async def same(self, one: Thing, other: Thing) -> bool: ...
    @method
    async def name_of(self, thing: Thing) -> str: ...
    @method(answer=lambda things: 64 * len(things))
    async def names_of(self, things: list[Thing]) -> list[str]: ...
    @method(answer=lambda n: 64 + 32 * n)
    async def things(self, n: int) -> list[Thing]: ...
    @method
    async def keep(self, thing: Thing) -> int: ...
    @method
    async def kept(self, n: int) -> Thing: ...
    @method
    async def forget(self) -> int: ...


class ThingServer(Thing):
    """Remembers what it was told, in the order in which the calls arrived."""

    def __init__(self, name: str) -> None:
        self.title = name
        self.told: list[int] = []

    @method
    async def name(self) -> str:
        return self.title

    @method(answer=8192)
    async def tell(self, tag: int, seconds: float = 0.0) -> list[int]:
        self.told.append(tag)
        if seconds:
            await sleep(seconds)
        return list(self.told)


async def _nothing(n: int) -> int:
    return n


class DeskServer(Desk):
    """`do` is what a test says it is; the rest does as its name says."""

    def __init__(self, name: str = "", do: Callable[[int], Awaitable[int]] = _nothing) -> None:
        self.title = name
        self.doing = do
        self.told: list[int] = []
        self.made: list[str] = []
        self.keeping: list[Thing] = []

    @method
    async def do(self, n: int) -> int:
        return await self.doing(n)

    @method(answer=lambda n, seconds: n + 64)
    async def data(self, n: int, seconds: float = 0.0) -> bytes:
        if seconds:
            await sleep(seconds)
        return bytes([n % 251]) * n

    @method
    async def small(self, n: int) -> bytes:
        return b"s" * n

    @method
    async def length(self, data: bytes) -> int:
        return len(data)

    @method
    async def make(self, name: str, seconds: float = 0.0) -> Thing:
        if seconds:
            await sleep(seconds)
        self.made.append(name)
        return ThingServer(f"{self.title}{name}")

    @method
    async def desk(self, name: str, seconds: float = 0.0) -> Desk:
        if seconds:
            await sleep(seconds)
        return DeskServer(f"{self.title}{name}/", self.doing)

    @method
    async def fail(self, message: str, seconds: float = 0.0) -> Desk:
        if seconds:
            await sleep(seconds)
        raise ValueError(message)

    @method
    async def nap(self, seconds: float) -> float:
        await sleep(seconds)
        return seconds

    @method(answer=8192)
    async def tell(self, tag: int, seconds: float = 0.0) -> list[int]:
        self.told.append(tag)
        if seconds:
            await sleep(seconds)
        return list(self.told)

    @method(answer=8192)
    async def tell_with(self, tag: int, thing: Thing) -> list[int]:
        self.told.append(tag)
        return list(self.told)

    @method
    async def back(self, thing: Thing) -> Thing:
        return thing

    @method
    async def same(self, one: Thing, other: Thing) -> bool:
        return await one is await other

    @method
    async def name_of(self, thing: Thing) -> str:
        return await thing.name()

    @method(answer=lambda things: 64 * len(things))
    async def names_of(self, things: list[Thing]) -> list[str]:
        return [await thing.name() for thing in things]

    @method(answer=lambda n: 64 + 32 * n)
    async def things(self, n: int) -> list[Thing]:
        return [ThingServer(str(i)) for i in range(n)]

    @method
    async def keep(self, thing: Thing) -> int:
        self.keeping.append(thing)
        return len(self.keeping)

    @method
    async def kept(self, n: int) -> Thing:
        return self.keeping[n]

    @method
    async def forget(self) -> int:
        forgotten = len(self.keeping)
        self.keeping.clear()
        return forgotten
