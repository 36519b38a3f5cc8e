"""CapSet: the kernel objects that a process may name, by index and generation."""

from __future__ import annotations

from typing import Generic, TypeVar, final

from pinfut.rpc.errors import UnknownObject

K = TypeVar("K")

_INDEX_BITS = 32
_FEW = 16


@final
class CapSet(Generic[K]):
    """Handles to kernel objects. A handle is index + generation, so one that was removed
    names nothing, also after its index has been used again."""

    __slots__ = ("_entries", "_first", "_free", "_generations")

    def __init__(self) -> None:
        # Invariant: the last is not None, and of the others those are whose indices are in _free,
        # where some may stand that are no more.
        self._entries: list[K | None] = []
        self._generations: list[int] = []
        self._free: list[int] = []
        self._first = 0  # the generation of an index that comes: above those that it had before

    def __len__(self) -> int:
        return len(self.all())

    def insert(self, thing: K) -> int:
        """Add a capability; its handle. The one who inserts has paid for it."""
        index = len(self._entries)
        while self._free and index >= len(self._entries):
            index = self._free.pop()
        if index < len(self._entries):
            self._entries[index] = thing
        else:
            index = len(self._entries)
            self._entries.append(thing)
            self._generations.append(self._first)
        return self._generations[index] << _INDEX_BITS | index

    def get(self, handle: int) -> K:
        """The object of a handle. Raises UnknownObject for a removed or invented one."""
        index = handle & (1 << _INDEX_BITS) - 1
        if handle >= 0 and index < len(self._entries):
            thing = self._entries[index]
            if thing is not None and self._generations[index] == handle >> _INDEX_BITS:
                return thing
        raise UnknownObject(f"no capability under handle {handle:#x} in this process")

    def at(self, index: int) -> K | None:
        """What stands at an index now, whatever its generation; None for an empty place."""
        return self._entries[index] if 0 <= index < len(self._entries) else None

    def all(self) -> list[K]:
        """Every capability held, by index."""
        return [thing for thing in self._entries if thing is not None]

    def remove(self, handle: int) -> K:
        """Give a capability up; its object. Raises UnknownObject."""
        thing = self.get(handle)
        index = handle & (1 << _INDEX_BITS) - 1
        self._entries[index] = None
        self._generations[index] += 1
        self._free.append(index)
        while self._entries and self._entries[-1] is None:
            self._entries.pop()
            self._first = max(self._first, self._generations.pop())
        if len(self._free) > 2 * len(self._entries) + _FEW:
            self._free = [index for index in self._free if index < len(self._entries)]
        return thing
