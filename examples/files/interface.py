"""What a file service offers: directories to enter, files to read. Both sides use this."""

from __future__ import annotations

from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from pinfut.rpc import Interface, method

HEAD: Final = 64
"""Bytes around the data of an answer, at most."""

READ_MAX: Final = 64 * 1024 - HEAD
"""The most bytes of one read: with its head, such an answer fills 16 pages."""

ENTRY: Final = 288
"""Bytes of one entry in an answer, at most: a name is 255 bytes or shorter."""

LIST_COUNT: Final = 56
"""How many entries a list asks for by default: with their head they fill 4 pages."""

LIST_MAX: Final = 224
"""The most entries of one list."""

Kind: TypeAlias = Literal["file", "directory", "link", "other"]


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One name in a directory. The size is that of a file, and 0 for everything else."""

    name: str
    kind: Kind
    size: int


class Stat(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a file: its size in bytes, and when it was changed last."""

    size: int
    changed_ns: int


# Beside a method that is called `list`, the annotation `list[Entry]` would mean the method.
Listing: TypeAlias = list[Entry]


# An answer is bounded whatever is asked for: what is out of range is refused by the server,
# with an error that says why, and the error needs little room.
def read_room(offset: int, size: int) -> int:
    """Bytes to reserve for the answer of a read."""
    return HEAD + min(max(size, 0), READ_MAX)


def list_room(after: str, count: int) -> int:
    """Bytes to reserve for the answer of a list."""
    return HEAD + ENTRY * min(max(count, 0), LIST_MAX)


class File(Interface, Protocol):
    """A regular file."""

    @method(answer=read_room)
    async def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`: fewer at the end of the file, none behind it.

        The error is BadRange for a negative offset or size, and for more than READ_MAX.
        """
        ...

    @method
    async def stat(self) -> Stat:
        """The size and the time of the last change."""
        ...


class Directory(Interface, Protocol):
    """A directory. A name is one component of a path, never a path."""

    @method
    async def enter(self, name: str) -> Directory:
        """A directory in this one.

        The error is BadName, NoSuchName, OutsideTree, WrongKind, Unreadable or PathTooLong.
        """
        ...

    @method
    async def open(self, name: str) -> File:
        """A file in this directory. The errors are those of `enter`."""
        ...

    @method(answer=list_room)
    async def list(self, after: str = "", count: int = LIST_COUNT) -> Listing:
        """The first `count` entries behind the name `after`, sorted by name. Fewer than
        `count` are the last.

        The error is BadRange for a count that is not 1 to LIST_MAX.
        """
        ...
