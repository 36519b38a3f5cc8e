"""Where the objects that a client may name are kept: five designs behind one contract.

A number is an index and a generation, so that one which was released names nothing. The designs
differ in who shares a table, in what a table is, and in how it is known that a client may.
"""

from __future__ import annotations

from array import array
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


class _Map:
    def __init__(self) -> None:
        self.things: dict[int, object] = {}
        self._free: list[int] = []
        self._count = 0
        # The most things since the tables were last made small.
        self._high = _CHUNK

    def put(self, thing: object) -> int:
        if self._free:
            number = self._free.pop()
        else:
            number = self._count
            self._count += 1
        self.things[number] = thing
        self._high = max(self._high, len(self.things))
        return number

    def drop(self, number: int) -> None:
        del self.things[number]
        self._free.append(number + (1 << _INDEX_BITS))
        if len(self.things) < self._high // 4:
            # A dict does not shrink by itself. An index that is forgotten here is not used again.
            self._high = max(_CHUNK, len(self.things))
            self.things = dict(self.things)
            self._free = self._free[-self._high :]


@final
class MapForEach:
    """A dict for each client, from the whole number to the object. Whoever holds the ring may
    send: nothing else is asked."""

    def __init__(self) -> None:
        self._clients: dict[int, _Map] = {}

    def grant(self, client: int, thing: object, /) -> int:
        own = self._clients.get(client)
        if own is None:
            own = self._clients[client] = _Map()
        return own.put(thing)

    def get(self, client: int, number: int, /) -> object:
        try:
            return self._clients[client].things[number]
        except KeyError:
            raise UnknownNumber(number) from None

    def release(self, client: int, number: int, /) -> None:
        try:
            self._clients[client].drop(number)
        except KeyError:
            raise UnknownNumber(number) from None

    def leave(self, client: int, /) -> None:
        self._clients.pop(client, None)

    def __len__(self) -> int:
        return sum(len(own.things) for own in self._clients.values())


class _Chunk:
    def __init__(self, generation: int) -> None:
        self.generations = array("I", [generation]) * _CHUNK
        self.things: list[Any] = [None] * _CHUNK
        self.free = array("B", range(_CHUNK))


def _number(chunk: _Chunk, at: int, place: int) -> int:
    return chunk.generations[place] << _INDEX_BITS | at * _CHUNK + place


class _Slab:
    """An array in chunks. An empty chunk is given back, unless it is the only one: so whoever
    grants and releases at an edge does not buy a chunk each time."""

    def __init__(self) -> None:
        self.chunks: list[_Chunk | None] = []
        # Chunks with a free place; places where a chunk was; the empty chunk that is kept.
        self._open: dict[int, None] = {}
        self._holes: list[int] = []
        self._spare: int | None = None
        # The highest that a chunk which is gone may have used, and one more.
        self._generation = 0

    def __len__(self) -> int:
        return sum(_CHUNK - len(chunk.free) for chunk in self.chunks if chunk is not None)

    def put(self, thing: object) -> int:
        if self._open:
            at = next(reversed(self._open))
            chunk = self.chunks[at]
            assert chunk is not None
        else:
            chunk = _Chunk(self._generation)
            if self._holes:
                at = self._holes.pop()
                self.chunks[at] = chunk
            else:
                at = len(self.chunks)
                self.chunks.append(chunk)
            self._open[at] = None
        if at == self._spare:
            self._spare = None
        place = chunk.free.pop()
        if not chunk.free:
            del self._open[at]
        chunk.things[place] = thing
        return _number(chunk, at, place)

    def at(self, number: int) -> Any:
        at, place = divmod(number & _INDEX, _CHUNK)
        if at < len(self.chunks):
            chunk = self.chunks[at]
            if chunk is not None and chunk.generations[place] == number >> _INDEX_BITS:
                thing = chunk.things[place]
                if thing is not None:
                    return thing
        raise UnknownNumber(number)

    def drop(self, number: int) -> None:
        self.at(number)
        at, place = divmod(number & _INDEX, _CHUNK)
        chunk = self.chunks[at]
        assert chunk is not None
        chunk.things[place] = None
        chunk.generations[place] += 1
        chunk.free.append(place)
        self._open[at] = None
        if len(chunk.free) < _CHUNK:
            return
        if self._spare is None:
            self._spare = at
            return
        self._generation = max(self._generation, *chunk.generations)
        self.chunks[at] = None
        self._holes.append(at)
        del self._open[at]


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
        return sum(map(len, self._clients.values()))


@final
class TaggedArena:
    """One slab for all clients, and a tag for each entry: whose it is."""

    def __init__(self) -> None:
        self._slab = _Slab()
        # By index. What is free has an old tag, and the slab knows that it is free.
        self._tags = array("I")

    def grant(self, client: int, thing: object, /) -> int:
        number = self._slab.put(thing)
        index = number & _INDEX
        if index >= len(self._tags):
            self._tags.extend([0] * (index + 1 - len(self._tags)))
        self._tags[index] = client
        return number

    def get(self, client: int, number: int, /) -> object:
        thing = self._slab.at(number)
        if self._tags[number & _INDEX] != client:
            raise UnknownNumber(number)
        return thing

    def release(self, client: int, number: int, /) -> None:
        self.get(client, number)
        self._slab.drop(number)

    def leave(self, client: int, /) -> None:
        # Nothing lists what is one client's: the whole arena is looked through.
        for index, tag in enumerate(self._tags):
            if tag == client:
                at, place = divmod(index, _CHUNK)
                chunk = self._slab.chunks[at]
                if chunk is not None and chunk.things[place] is not None:
                    self._slab.drop(_number(chunk, at, place))

    def __len__(self) -> int:
        return len(self._slab)


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
            chunk = self._slab.chunks[at]
            assert chunk is not None
            for place in range(_CHUNK):
                if bits >> place & 1:
                    self._slab.drop(_number(chunk, at, place))

    def __len__(self) -> int:
        return len(self._slab)


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
