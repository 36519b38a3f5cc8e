"""A simulated machine for a test, which checks that every bank has everything back."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from pinfut import executor
from pinfut.executor import Instrument, VirtualClock, sleep, timeout
from pinfut.rpc import Balance, Bank, Interface, Session, SimKernel, Vat, connect, serve
from pinfut.rpc.kernel.sim.arrival import Arrival
from pinfut.rpc.kernel.sim.endpoint import SimEndpoint

I = TypeVar("I", bound=Interface)  # noqa: E741
T = TypeVar("T")

LONG = 10_000.0
"""Simulated seconds after which a test counts as hung."""

KERNEL: ContextVar[Callable[[int], Any] | None] = ContextVar("kernel", default=None)
"""What makes the kernel of a world from its seed, where a test does not say; None for SimKernel.
Set by the fixture `each_kernel`."""


class World:
    """A kernel and the banks that the test made."""

    def __init__(
        self,
        seed: int,
        record: bool = False,
        arrival: Arrival | None = None,
        kernel: Callable[[int], Any] | None = None,
    ) -> None:
        kernel = kernel or KERNEL.get()
        # Of another kernel only what the contract says may be used, and `bank` and `root`.
        self.kernel = (
            SimKernel(seed, record=record, arrival=arrival)
            if kernel is None
            else cast("SimKernel", kernel(seed))
        )
        self.whole = self.kernel.root.balance
        self.banks: list[Bank] = []
        # What was logged as an error: failures that nobody saw.
        self.logged: list[str] = []

    def bank(self, name: str = "client", *, pages: int = 400, caps: int = 1024) -> Bank:
        """A bank whose balance is checked when the test ends."""
        bank = self.kernel.bank(name, pages=pages, caps=caps)
        self.banks.append(bank)
        return bank

    @asynccontextmanager
    async def session(
        self,
        interface: Callable[..., I],
        root: Interface,
        *,
        name: str = "service",
        bank: Bank | None = None,
        **sizes: Any,
    ) -> AsyncIterator[I]:
        """A service and one client of it."""
        async with (
            self.served(name, root),
            connect(self.kernel, name, interface, bank or self.bank(), **sizes) as proxy,
        ):
            yield proxy

    @asynccontextmanager
    async def served(self, name: str, root: Interface) -> AsyncIterator[Vat]:
        """A service; when the block ends well, no session of it may be left."""
        async with serve(self.kernel, name, root) as vat:
            yield vat
            await quiet()
            assert vat.sessions == [], "the server keeps sessions that are over"

    def check(self) -> None:
        """Every bank is back at its start, no failure went unseen, no signal came too early."""
        arrivals = getattr(self.kernel, "arrivals", None)
        if arrivals is not None and arrivals.error is not None:
            raise arrivals.error
        for bank in self.banks:
            assert bank.balance == Balance(bank.page_limit, bank.cap_limit), f"{bank} holds memory"
        assert self.kernel.root.balance == self.whole
        assert self.logged == []


class _Logged(logging.Handler):
    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(record.getMessage())


def run(
    main: Callable[[World], Coroutine[Any, Any, T]],
    *,
    seed: int = 0,
    record: bool = False,
    checked: bool | None = None,
    instruments: Iterable[Instrument] = (),
    arrival: Arrival | None = None,
    kernel: Callable[[int], Any] | None = None,
) -> T:
    """Run a test in simulated time, then check every bank. `kernel` makes another one than
    SimKernel, from the seed."""
    world = World(seed, record, arrival, kernel)

    async def bounded() -> T:
        with timeout(LONG):
            return await main(world)

    handler = _Logged(world.logged)
    logger = logging.getLogger("pinfut")
    logger.addHandler(handler)
    try:
        value = executor.run(
            bounded(), clock=VirtualClock(), checked=checked, instruments=instruments
        )
    finally:
        logger.removeHandler(handler)
    world.check()
    return value


def far_of(client: Session, kernel: SimKernel) -> SimEndpoint:
    """The serving side's endpoint of a client's session."""
    end = kernel.peer_of(client.end)
    assert end is not None, "the session is over"
    return end


def path_of(session: Session, kernel: SimKernel) -> str:
    """Who pays for a session, from the machine down."""
    channel = kernel.channel_of(session.end)
    assert channel is not None, "the session is over"
    return channel.funds.bank.path


async def quiet() -> None:
    """Let everything that is under way without a long timer come to its end."""
    for _ in range(3):
        await sleep(1e-6)


def only(vat: Vat) -> Session:
    """The one session of a vat."""
    (session,) = vat.sessions
    return session
