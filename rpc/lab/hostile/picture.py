"""The picture of docs/paying.md: a real run, and the tree of banks that it leaves at its height."""

from __future__ import annotations

from typing import Final, Protocol

from pinfut.executor import VirtualClock, run
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.kernel.sim.kernel import SimKernel
from pinfut.rpc.lab.hostile.shop import ItemServer
from pinfut.rpc.objects.interface import Interface, method
from pinfut.rpc.session.charging import charge, keep
from pinfut.rpc.session.serving import current_session, nested
from pinfut.rpc.vat import connect, serve

WIDTH: Final = 30
"""Signs of a bar that is a whole limit long."""


class Disk(Interface, Protocol):
    """What the server behind serves."""

    @method
    async def read(self, n: int) -> int: ...


class Desk(Interface, Protocol):
    """What the server in front serves."""

    @method
    async def open(self, n: int) -> int: ...


class DiskServer(Disk):
    """It pays for nothing that it holds for others, and draws who does."""

    def __init__(self, kernel: SimKernel) -> None:
        self._kernel = kernel
        self.drawn = ""

    @method
    async def read(self, n: int) -> int:
        self.drawn = draw(self._kernel.root)
        return n


class DeskServer(Desk):
    """It keeps something, and asks the disk on its client's behalf."""

    def __init__(self, kernel: SimKernel) -> None:
        self._kernel = kernel

    @method
    async def open(self, n: int) -> int:
        with charge(current_session()):
            kept = keep(ItemServer(), 20_000)
        async with (
            nested(pages=40) as bank,
            connect(self._kernel, "disk", Disk, bank, slots=8) as disk,
        ):
            found = await disk.read(n)
        kept.drop()
        return found


def draw(bank: Bank, depth: int = 0) -> str:
    """A bank and those below it, a line each: pages in use of the limit, and how full it is. What
    is used below is part of what is used above."""
    full = -(-WIDTH * bank.pages_used // bank.page_limit) if bank.page_limit else 0
    name = "  " * depth + bank.name
    bar = "#" * full + "." * (WIDTH - full)
    lines = [f"{name:<32}{bank.pages_used:>5} of {bank.page_limit:>5}  {bar}"]
    lines += [draw(child, depth + 1) for child in bank.children]
    return "\n".join(lines)


def picture() -> str:
    """Two clients of one desk, one of which has the desk ask the disk, at that moment."""

    async def main() -> str:
        kernel = SimKernel(pages=500)
        alice, bob = kernel.bank("alice", pages=200), kernel.bank("bob", pages=100)
        disk = DiskServer(kernel)
        async with (
            serve(kernel, "disk", disk),
            serve(kernel, "desk", DeskServer(kernel)),
            connect(kernel, "desk", Desk, alice, slots=8) as desk,
            connect(kernel, "desk", Desk, bob, slots=8, quota=20),
        ):
            await desk.open(1)
        return disk.drawn

    return run(main(), clock=VirtualClock())
