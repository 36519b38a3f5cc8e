"""A file service for a test, which checks that the bank has everything back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from examples.files.interface import Directory
from examples.files.server import TreeDirectory
from examples.files.tree import HIDDEN, Tree
from pinfut import executor
from pinfut.rpc import SimKernel, connect, serve

T = TypeVar("T")


def use(
    path: Path,
    work: Callable[[Directory], Coroutine[Any, Any, T]],
    *,
    hidden: Collection[str] = HIDDEN,
    pages: int = 400,
    slots: int = 64,
) -> T:
    """Serve `path` and give the root to `work`; its result."""
    kernel = SimKernel()
    bank = kernel.bank("client", pages=pages)

    async def main() -> T:
        async with (
            serve(kernel, "files", TreeDirectory(Tree(path, hidden))),
            connect(kernel, "files", Directory, bank, slots=slots) as root,
        ):
            return await work(root)

    result = executor.run(main())
    assert (bank.pages_used, bank.caps_used) == (0, 0)
    assert bank.balance == (pages, 1024)
    assert kernel.root.pages_used == 0
    return result
