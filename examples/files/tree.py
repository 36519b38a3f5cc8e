"""Tree: a folder on disk, and the rule that nothing outside of it can be named.

A name is one component. A link is followed when what it leads to is in the tree and not
hidden, and refused otherwise. The check looks at the path and the read uses it later: who
can write to the tree at that moment can slip a link in between. A server for such a tree
opens with openat2(RESOLVE_BENEATH) instead, which Python does not have.

Paths are absolute and resolved inside, and relative to the tree in everything that is told.
"""

from __future__ import annotations

import heapq
import os
import stat
import sys
from collections.abc import Collection
from typing import Final

from examples.files.interface import LIST_MAX, READ_MAX, Entry, Kind, Stat

HIDDEN: Final = frozenset(
    {
        ".git",
        ".hg",
        ".venv",
        "__pycache__",
        ".hypothesis",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        "node_modules",
    }
)
"""Names that are hidden from the tree unless it is told others."""

PATH_MAX: Final = 2048
"""Bytes that a path takes in memory, at most: a handle holds one, and its client pays."""

_OFFSET_MAX: Final = (1 << 62) - 1


class TreeError(Exception):
    """Base of all refusals here."""


class BadName(TreeError):
    """What was given is no name of one component."""


class NoSuchName(TreeError):
    """The directory has no such entry, or it is hidden."""


class OutsideTree(TreeError):
    """The name is a link that leads out of the tree."""


class WrongKind(TreeError):
    """A directory was opened, or something entered that is none."""


class Unreadable(TreeError):
    """The operating system refuses the file or directory."""


class PathTooLong(TreeError):
    """The path is longer than a handle may hold."""


class BadRange(TreeError):
    """An offset, size or count that cannot be."""


class Tree:
    """The folder `root`, without what has a name in `hidden`. Raises ValueError unless it
    is a directory."""

    def __init__(self, root: str | os.PathLike[str], hidden: Collection[str] = HIDDEN) -> None:
        self.root = os.path.realpath(root)
        self.hidden = frozenset(hidden)
        if not os.path.isdir(self.root):
            raise ValueError(f"{os.fspath(root)!r} is not a directory")

    def directory(self, parent: str, name: str) -> str:
        """The path of the directory `name` in `parent`. Raises TreeError."""
        path, mode = self._resolve(parent, name)
        if not stat.S_ISDIR(mode):
            raise WrongKind(f"{self._told(path)} is not a directory; open it")
        return path

    def file(self, parent: str, name: str) -> str:
        """The path of the file `name` in `parent`. Raises TreeError."""
        path, mode = self._resolve(parent, name)
        if stat.S_ISDIR(mode):
            raise WrongKind(f"{self._told(path)} is a directory; enter it")
        if not stat.S_ISREG(mode):
            raise WrongKind(f"{self._told(path)} is a device, pipe or socket; only files are read")
        return path

    def list(self, path: str, after: str, count: int) -> list[Entry]:
        """The first `count` entries of a directory behind `after`. Raises TreeError."""
        if not 1 <= count <= LIST_MAX:
            raise BadRange(f"list gives 1 to {LIST_MAX} entries at once, not {count}")
        try:
            with os.scandir(path) as entries:
                # However many there are, only these are kept, and asked for their size.
                chosen = heapq.nsmallest(
                    count,
                    (e for e in entries if e.name > after and self._shown(e.name)),
                    key=lambda e: e.name,
                )
        except OSError as error:
            raise self._refused(path, error) from error
        return [self._entry(entry) for entry in chosen]

    def stat(self, path: str) -> Stat:
        """Size and time of a file. Raises TreeError."""
        found = self._stat(path)
        return Stat(found.st_size, found.st_mtime_ns)

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes of a file from `offset`. Raises TreeError."""
        if not 0 <= offset <= _OFFSET_MAX:
            raise BadRange(f"an offset is 0 or more and below 2**62, not {offset}")
        if not 0 <= size <= READ_MAX:
            raise BadRange(f"a read gives 0 to {READ_MAX} bytes, not {size}; read in parts")
        try:
            # A path is resolved, so a link in its last place was put there since. Without
            # O_NONBLOCK a pipe in its place would hold the whole server.
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return os.pread(fd, size, offset)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._refused(path, error) from error

    def _resolve(self, parent: str, name: str) -> tuple[str, int]:
        """Where `name` in `parent` leads, if that is in the tree, and the mode of what is
        there. `parent` is resolved, so there is at most this one link."""
        if name in ("", ".", "..") or "/" in name or os.sep in name or "\0" in name:
            raise BadName(
                f"{_short(name)} is no name: give one component, without separators, "
                "and enter directories one by one"
            )
        path = os.path.join(parent, name)
        if name in self.hidden:
            raise self._absent(path)
        mode = self._stat(path).st_mode
        if stat.S_ISLNK(mode):
            path, mode = self._follow(path)
        if sys.getsizeof(path) > PATH_MAX:
            raise PathTooLong(
                f"the path of {_short(name)} takes {sys.getsizeof(path)} bytes, and a handle "
                f"holds up to {PATH_MAX}; serve a folder that is nearer to it"
            )
        return path, mode

    def _follow(self, link: str) -> tuple[str, int]:
        """Where a link leads. Whether there is anything outside of the tree is not told."""
        path = os.path.realpath(link)
        if path != self.root and not path.startswith(os.path.join(self.root, "")):
            raise OutsideTree(f"{self._told(link)} is a link that leads out of the tree")
        if not self.hidden.isdisjoint(os.path.relpath(path, self.root).split(os.sep)):
            raise self._absent(link)
        mode = self._stat(path).st_mode
        if stat.S_ISLNK(mode):
            raise NoSuchName(f"{self._told(link)} is a link that leads in a circle")
        return path, mode

    def _shown(self, name: str) -> bool:
        return name not in self.hidden and is_text(name)

    def _entry(self, entry: os.DirEntry[str]) -> Entry:
        kind: Kind = "other"
        size = 0
        try:
            if entry.is_symlink():
                kind = "link"
            elif entry.is_dir():
                kind = "directory"
            elif entry.is_file():
                kind = "file"
                size = entry.stat().st_size
        except OSError:
            kind = "other"  # gone since
        return Entry(entry.name, kind, size)

    def _stat(self, path: str) -> os.stat_result:
        try:
            return os.stat(path, follow_symlinks=False)
        except OSError as error:
            raise self._refused(path, error) from error

    def _refused(self, path: str, error: OSError) -> TreeError:
        if isinstance(error, FileNotFoundError):
            return self._absent(path)
        if isinstance(error, NotADirectoryError):
            return WrongKind(f"{self._told(os.path.dirname(path))} is not a directory; open it")
        return Unreadable(f"{self._told(path)} cannot be read: {error.strerror}")

    def _absent(self, path: str) -> NoSuchName:
        where = self._told(os.path.dirname(path))
        return NoSuchName(f"{where} has no {_short(os.path.basename(path))}; list it to see")

    def _told(self, path: str) -> str:
        """A path as clients may hear it: relative to the tree, and short."""
        relative = os.path.relpath(path, self.root)
        return "the tree" if relative == os.curdir else _short(relative)


def is_text(name: str) -> bool:
    """Whether a name can be sent: one whose bytes are no UTF-8 cannot, and is hidden."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(text: str) -> str:
    """Text from outside, quoted: an error has to fit into the memory kept for it."""
    return repr(text if len(text) <= 60 else text[:40] + "..." + text[-15:])
