"""A program in a sandbox: ``python -m examples.sandbox``.

The child is a process without a bank. It can open no session, since nobody opens one that is not
paid. All that it has is what its parent, which calls it and pays for that, passes to it: a gate.
Through the gate it asks for everything else, and the parent refuses, hands out less than there is,
or takes back what it has handed out.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from pinfut import executor
from pinfut.executor import VirtualClock
from pinfut.rpc import Interface, SimKernel, Vat, connect, method, serve


class Reader(Interface, Protocol):
    """A file that can only be read."""

    @method
    async def read(self) -> str: ...


class File(Reader, Protocol):
    """A file."""

    @method
    async def write(self, text: str) -> None: ...


class Gate(Interface, Protocol):
    """What a child has of the world."""

    @method
    async def open(self, name: str) -> Reader: ...


class Program(Interface, Protocol):
    """What a parent has of its child."""

    @method
    async def run(self, gate: Gate, wanted: list[str]) -> list[str]: ...


class Plain(File):
    """A file in memory."""

    def __init__(self, text: str) -> None:
        self.text = text

    @method
    async def read(self) -> str:
        return self.text

    @method
    async def write(self, text: str) -> None:
        self.text = text


class Lent(Reader):
    """A file as long as the parent lends it, and no more of it than reading."""

    def __init__(self, file: File) -> None:
        self.file: File | None = file

    @method
    async def read(self) -> str:
        if self.file is None:
            raise PermissionError("it was taken back")
        return await self.file.read()


class Keeper(Gate):
    """The parent's own gate: what may be opened, and what was lent."""

    def __init__(self, files: dict[str, File]) -> None:
        self.files = files
        self.asked: list[str] = []
        self.lent: dict[str, Lent] = {}

    @method
    async def open(self, name: str) -> Reader:
        self.asked.append(name)
        if name not in self.files:
            raise PermissionError(f"{name} is not for you")
        return self.lent.setdefault(name, Lent(self.files[name]))

    def revoke(self, name: str) -> None:
        """Take a file back, whoever has it by now."""
        self.lent[name].file = None


class Child(Program):
    """Reads what it can get."""

    def __init__(self) -> None:
        self.kept: dict[str, Reader] = {}

    @method(answer=4096)
    async def run(self, gate: Gate, wanted: list[str]) -> list[str]:
        told = []
        for name in wanted:
            try:
                file = self.kept.get(name) or await gate.open(name)
                told.append(f"{name}: {await file.read()}")
                self.kept[name] = file
            except Exception as error:
                told.append(f"{name}: {error}")
        return told


WANTED: Final = ["notes", "passwords"]

SIZES: Final[dict[str, Any]] = {"slots": 2, "ring": 1024, "quota": 14}
"""The session with a child. A server may open sessions on behalf of its client, with what that has
left; of this quota nothing is left that would pay for one."""


async def main() -> tuple[list[str], list[str], Keeper]:
    """What the child could read before and after its file was taken back, and the gate."""
    kernel = SimKernel(memory="prices")
    keeper = Keeper({"notes": Plain("milk and bread")})
    bank, parent = kernel.bank("parent", pages=100), Vat(kernel, "parent")
    async with (
        serve(kernel, "child", Child()),
        connect(kernel, "child", Program, bank, vat=parent, **SIZES) as child,
    ):
        before = await child.run(keeper, WANTED)
        keeper.revoke("notes")
        after = await child.run(keeper, WANTED)
    for line in (*before, "-- taken back --", *after):
        print(line)
    return before, after, keeper


if __name__ == "__main__":
    executor.run(main(), clock=VirtualClock())
