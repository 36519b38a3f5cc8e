"""The file service: what it hands out for a tree.

Reads of the disk are done in the handler, which holds every client up for as long as they
take. With small pieces of files that the operating system has in memory these are a few
microseconds; a service for slow disks would hand them to threads. In return no handler
ever waits, so at most one of them is holding a piece of a file at a time, and that is the
server's own, fixed budget however many clients there are.
"""

from __future__ import annotations

from typing import Final

from examples.files.interface import LIST_COUNT, Directory, File, Listing, Stat
from examples.files.tree import PATH_MAX, Tree
from pinfut.rpc import method

HANDLE: Final = PATH_MAX + 512
"""Bytes that a handle holds, at most: a path and the object around it."""


class TreeFile(File, charge=HANDLE):
    """A file of a tree."""

    def __init__(self, tree: Tree, path: str) -> None:
        self._tree = tree
        self._path = path

    @method
    async def read(self, offset: int, size: int) -> bytes:
        return self._tree.read(self._path, offset, size)

    @method
    async def stat(self) -> Stat:
        return self._tree.stat(self._path)


class TreeDirectory(Directory, charge=HANDLE):
    """A directory of a tree; its root if no path is given."""

    def __init__(self, tree: Tree, path: str | None = None) -> None:
        self._tree = tree
        self._path = tree.root if path is None else path

    @method
    async def enter(self, name: str) -> Directory:
        return TreeDirectory(self._tree, self._tree.directory(self._path, name))

    @method
    async def open(self, name: str) -> File:
        return TreeFile(self._tree, self._tree.file(self._path, name))

    @method
    async def list(self, after: str = "", count: int = LIST_COUNT) -> Listing:
        return self._tree.list(self._path, after, count)
