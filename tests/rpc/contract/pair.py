"""Two processes with a session between them, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from pinfut import executor
from pinfut.executor import VirtualClock, sleep, timeout
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.contract import (
    Endpoint,
    Kernel,
    Port,
    Process,
    Requests,
    ServiceSpec,
    SessionSpec,
)

SPEC = SessionSpec(slots=4, ring=4096)
ALL = 1 << 40


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Run a test in simulated time; one that waits forever fails."""

    async def bounded() -> None:
        with timeout(1_000.0):
            await main()

    executor.run(bounded(), clock=VirtualClock())


async def arrived() -> None:
    """By now every signal has arrived, on whatever kernel."""
    for _ in range(3):
        await sleep(1e-6)


class Pair:
    """A server, a client, and both ends of their session; `bank` pays."""

    def __init__(self, kernel: Kernel, spec: SessionSpec = SPEC, pages: int = 200) -> None:
        self.kernel = kernel
        # A kernel's own way to make banks is no part of the contract.
        self.bank: Bank = kernel.bank("client", pages=pages, caps=100)  # type: ignore[attr-defined]
        self.server: Process = kernel.process("server")
        self.client: Process = kernel.process("client")
        self.port: Port = kernel.listen(self.server, "it", ServiceSpec())
        self.near: Endpoint = kernel.connect(self.client, "it", self.bank, spec)
        (self.far,) = self.port.accept()

    @property
    def used(self) -> tuple[int, int]:
        """Pages and capabilities that are bought."""
        return self.bank.pages_used, self.bank.caps_used

    def incoming(self) -> Requests:
        """The client's calls, as the server receives them."""
        requests = self.far.requests()
        assert requests is not None
        return requests

    def close(self) -> None:
        """Both sides let go."""
        self.near.close()
        self.far.close()


def frame(length: int, fill: int = 1) -> bytes:
    """A frame: its length in 32 bits, then bytes that tell it from others."""
    return length.to_bytes(4, "little") + bytes([fill % 251]) * (length - 4)
