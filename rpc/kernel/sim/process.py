"""Processes as they see themselves, and the names that they serve."""

from __future__ import annotations

from typing import Protocol, final

from pinfut.rpc import contract
from pinfut.rpc.kernel.sim.capset import CapSet
from pinfut.rpc.memory.notification import Notification


class Accepting(Protocol):
    """The kernel, as a port calls it."""

    def accept(self, port: SimPort, /) -> list[contract.Endpoint]: ...


@final
class SimPort:
    """A name that others connect to (`pinfut.rpc.contract.Port`)."""

    __slots__ = ("_kernel", "handle", "name")

    def __init__(self, kernel: Accepting, name: str) -> None:
        self._kernel = kernel
        self.name = name
        self.handle = -1  # what its process calls it; the kernel's

    def accept(self) -> list[contract.Endpoint]:
        return self._kernel.accept(self)


@final
class SimProcess(Notification):
    """A protection domain (`pinfut.rpc.contract.Process`): what it may name, and the words that
    tell it what of that is ready."""

    __slots__ = ("alive", "caps")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.caps: CapSet[contract.Endpoint | contract.Port] = CapSet()
        self.alive = True

    def at(self, badge: int, /) -> contract.Endpoint | contract.Port | None:
        return self.caps.at(badge)

    def nudge(self, badge: int, /) -> None:
        self.signal(badge)
        self.wake()

    def __repr__(self) -> str:
        return f"<Process {self.name!r}{'' if self.alive else ', dead'}>"
