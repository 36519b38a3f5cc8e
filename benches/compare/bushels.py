"""Where the objects that a client may name are kept: five designs behind one contract.

A number is an index and a generation, so that one which was released names nothing. The designs
differ in who shares a table, in what a table is, and in how it is known that a client may.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, final

_INDEX_BITS: Final = 32
_INDEX: Final = (1 << _INDEX_BITS) - 1
_CHUNK: Final = 64
"""Entries by which a slab grows and shrinks, and bits of access that are bought together."""


class UnknownNumber(Exception):
    """The client may not name this: it is released, another's, or invented."""


class Bushels(Protocol):
    """The objects of all clients of one server."""

    def __init__(self) -> None: ...

    def grant(self, client: int, thing: object, /) -> int:
        """A number by which this client may name `thing`."""

    def get(self, client: int, number: int, /) -> object:
        """Raises UnknownNumber."""

    def release(self, client: int, number: int, /) -> None:
        """The number names nothing any more. Raises UnknownNumber."""

    def leave(self, client: int, /) -> None:
        """All that this client may name is released."""

    def __len__(self) -> int: ...


@final
class MapForEach:
    """A dict for each client, from the whole number to the object. Whoever holds the ring may
    send: nothing else is asked."""

    def __init__(self) -> None:
        # By client: what it may name, the indices to use again, how many there were.
        self._clients: dict[int, tuple[dict[int, object], list[int], list[int]]] = {}

    def grant(self, client: int, thing: object, /) -> int:
        things, free, count = self._clients.setdefault(client, ({}, [], [0]))
        if free:
            number = free.pop()
        else:
            number = count[0]
            count[0] += 1
        things[number] = thing
        return number

    def get(self, client: int, number: int, /) -> object:
        try:
            return self._clients[client][0][number]
        except KeyError:
            raise UnknownNumber(number) from None

    def release(self, client: int, number: int, /) -> None:
        try:
            things, free, _ = self._clients[client]
            del things[number]
        except KeyError:
            raise UnknownNumber(number) from None
        free.append(number + (1 << _INDEX_BITS))

    def leave(self, client: int, /) -> None:
        self._clients.pop(client, None)

    def __len__(self) -> int:
        return sum(len(things) for things, _, _ in self._clients.values())


class _Slab:
    """An array in chunks: number and object of each entry, and a list of those that are free."""

    def __init__(self) -> None:
        # Invariant: a free entry's number is that which it will have.
        self.chunks: list[tuple[list[int], list[Any]]] = []
        self.free: list[int] = []
        self.used: list[int] = []
        self.generation = 0

    def put(self, thing: object) -> int:
        while self.free and self.free[-1] & _INDEX >= len(self.chunks) * _CHUNK:
            self.free.pop()
        if not self.free:
            first = len(self.chunks) * _CHUNK
            # A generation that no chunk which was here before has used.
            numbers = [(self.generation << _INDEX_BITS) + first + i for i in range(_CHUNK)]
            self.chunks.append((numbers, [None] * _CHUNK))
            self.used.append(0)
            self.free.extend(reversed(numbers))
        number = self.free.pop()
        at, place = divmod(number & _INDEX, _CHUNK)
        self.chunks[at][1][place] = thing
        self.used[at] += 1
        return number

    def at(self, number: int) -> Any:
        at, place = divmod(number & _INDEX, _CHUNK)
        if at >= len(self.chunks):
            raise UnknownNumber(number)
        numbers, things = self.chunks[at]
        if numbers[place] != number or things[place] is None:
            raise UnknownNumber(number)
        return things[place]

    def drop(self, number: int) -> None:
        self.at(number)
        at, place = divmod(number & _INDEX, _CHUNK)
        numbers, things = self.chunks[at]
        things[place] = None
        numbers[place] = number + (1 << _INDEX_BITS)
        self.generation = max(self.generation, (number >> _INDEX_BITS) + 1)
        self.free.append(numbers[place])
        self.used[at] -= 1
        if not self.used[-1]:
            while self.used and not self.used[-1]:
                self.used.pop()
                self.chunks.pop()
            last = len(self.chunks) * _CHUNK
            self.free = [number for number in self.free if number & _INDEX < last]


@final
class SlabForEach:
    """A slab for each client."""

    def __init__(self) -> None:
        self._clients: dict[int, _Slab] = {}

    def grant(self, client: int, thing: object, /) -> int:
        slab = self._clients.get(client)
        if slab is None:
            slab = self._clients[client] = _Slab()
        return slab.put(thing)

    def _of(self, client: int, number: int) -> _Slab:
        try:
            return self._clients[client]
        except KeyError:
            raise UnknownNumber(number) from None

    def get(self, client: int, number: int, /) -> object:
        return self._of(client, number).at(number)

    def release(self, client: int, number: int, /) -> None:
        self._of(client, number).drop(number)

    def leave(self, client: int, /) -> None:
        self._clients.pop(client, None)

    def __len__(self) -> int:
        return sum(sum(slab.used) for slab in self._clients.values())


@final
class TaggedArena:
    """One slab for all clients; each entry is tagged with whose it is."""

    def __init__(self) -> None:
        self._slab = _Slab()

    def grant(self, client: int, thing: object, /) -> int:
        return self._slab.put((client, thing))

    def get(self, client: int, number: int, /) -> object:
        tag, thing = self._slab.at(number)
        if tag != client:
            raise UnknownNumber(number)
        return thing

    def release(self, client: int, number: int, /) -> None:
        self.get(client, number)
        self._slab.drop(number)

    def leave(self, client: int, /) -> None:
        # Nothing lists what is one client's: the whole arena is looked through.
        for numbers, things in list(self._slab.chunks):
            for place, entry in enumerate(things):
                if entry is not None and entry[0] == client:
                    self._slab.drop(numbers[place])

    def __len__(self) -> int:
        return sum(self._slab.used)


@final
class AccessPages:
    """One slab for all clients, and pages that a client has bought: a bit for each entry that it
    may name. The bit is asked before the entry."""

    def __init__(self) -> None:
        self._slab = _Slab()
        # By client and by chunk; what is not bought is no access.
        self._pages: dict[int, dict[int, int]] = {}

    def grant(self, client: int, thing: object, /) -> int:
        number = self._slab.put(thing)
        at, place = divmod(number & _INDEX, _CHUNK)
        pages = self._pages.setdefault(client, {})
        pages[at] = pages.get(at, 0) | 1 << place
        return number

    def get(self, client: int, number: int, /) -> object:
        at, place = divmod(number & _INDEX, _CHUNK)
        pages = self._pages.get(client)
        if pages is None or not pages.get(at, 0) >> place & 1:
            raise UnknownNumber(number)
        return self._slab.at(number)

    def release(self, client: int, number: int, /) -> None:
        self.get(client, number)
        self._slab.drop(number)
        at, place = divmod(number & _INDEX, _CHUNK)
        pages = self._pages[client]
        pages[at] &= ~(1 << place)
        if not pages[at]:
            del pages[at]
            if not pages:
                del self._pages[client]

    def leave(self, client: int, /) -> None:
        for at, bits in self._pages.pop(client, {}).items():
            numbers, _ = self._slab.chunks[at]
            for place in range(_CHUNK):
                if bits >> place & 1:
                    self._slab.drop(numbers[place])

    def __len__(self) -> int:
        return sum(self._slab.used)


@final
class MapForAll:
    """One dict for all clients, from client and number to the object."""

    def __init__(self) -> None:
        self._things: dict[tuple[int, int], object] = {}
        self._free: list[int] = []
        self._count = 0

    def grant(self, client: int, thing: object, /) -> int:
        if self._free:
            number = self._free.pop()
        else:
            number = self._count
            self._count += 1
        self._things[client, number] = thing
        return number

    def get(self, client: int, number: int, /) -> object:
        try:
            return self._things[client, number]
        except KeyError:
            raise UnknownNumber(number) from None

    def release(self, client: int, number: int, /) -> None:
        try:
            del self._things[client, number]
        except KeyError:
            raise UnknownNumber(number) from None
        self._free.append(number + (1 << _INDEX_BITS))

    def leave(self, client: int, /) -> None:
        for own, number in [key for key in self._things if key[0] == client]:
            self.release(own, number)

    def __len__(self) -> int:
        return len(self._things)
