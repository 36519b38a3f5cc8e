"""One digest for all files of a tree: the same for the service's answers and for the disk."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field

from examples.files.tree import Tree, is_text


@dataclass(slots=True)
class Contents:
    """The files that were read, in whatever order: the size of each, and a digest of it."""

    files: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, path: str, data: bytes) -> None:
        """The file at `path`, its components separated by slashes, holds `data`."""
        self.files[path] = (len(data), hashlib.sha256(data).hexdigest())

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())

    def hexdigest(self) -> str:
        """The digest of all paths, sizes and contents."""
        whole = hashlib.sha256()
        for path, (size, digest) in sorted(self.files.items()):
            whole.update(f"{path}\0{size}\0{digest}\n".encode())
        return whole.hexdigest()


def on_disk(tree: Tree) -> Contents:
    """The files of the tree, read without the service. Raises OSError."""
    contents = Contents()
    for folder, folders, names in os.walk(tree.root, onerror=_raise):
        folders[:] = [name for name in folders if name not in tree.hidden and is_text(name)]
        for name in names:
            path = os.path.join(folder, name)
            if name in tree.hidden or not is_text(name) or os.path.islink(path):
                continue
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    inside = os.path.relpath(path, tree.root).replace(os.sep, "/")
                    contents.add(inside, file.read())
    return contents


def _raise(error: OSError) -> None:
    raise error
