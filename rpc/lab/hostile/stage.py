"""Stage: a server, a client that nobody may hurt, and room for one that tries.

Everything is simulated, so one scenario gives the same figures each time. What a message costs
the server is counted: a look at another's messages is time that the victim waits.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, final

from pinfut import checked, join
from pinfut.executor import VirtualClock, current_executor, run, sleep, yield_now
from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.contract import Memory, ServiceSpec
from pinfut.rpc.errors import RpcError
from pinfut.rpc.kernel.sim.endpoint import SimEndpoint
from pinfut.rpc.kernel.sim.kernel import SimKernel
from pinfut.rpc.lab.hostile.raw import Raw, quiet
from pinfut.rpc.lab.hostile.shop import CLEAN_UP, Shop, ShopServer
from pinfut.rpc.memory.event_buffer import EventBuffer
from pinfut.rpc.session.serving import session_of
from pinfut.rpc.session.session import Session
from pinfut.rpc.vat import Vat, connect, serve

MESSAGE: Final = 2_000
"""Simulated nanoseconds that the server takes for one message: to read it, check it, and take
the first step of its handler."""

THING: Final = MESSAGE // 8
"""And for each thing in arguments, to decode and weigh it: 300 ns where a message takes 2.6 us."""

COPIED: Final = 4
"""Bytes that it copies in a nanosecond."""

DENSE: Final = 256
"""Bytes of the longest message of the service "dense", which is the shop by another name."""

CALLS: Final = 64
"""Calls that the victim makes at once, as many as it has slots."""

UNCHARGED: Final = 8192
"""Bytes that a session of an attacker may have the server hold unpaid, at most."""

LONGER: Final = 2
"""How many times as long as alone the victim may wait."""

BESIDE: Final = 125
"""How long others may be served in the rest of the turn in which it was, in hundredths of its wait
alone: answers leave when that ends."""

TURN_TIME: Final = 1e-7
"""Simulated seconds that pass with each turn of an attacker that does not sleep."""

ROUNDS: Final = 18
"""How often it does so."""


Attack = Callable[["Stage"], Coroutine[Any, Any, None]]


@final
class Stage:
    """What a scenario acts on: the kernel, the server, the attacker's bank and its sessions."""

    def __init__(self, kernel: SimKernel, clock: VirtualClock, traced: bool) -> None:
        self.kernel = kernel
        self.bank = kernel.bank("hostile", pages=1 << 20, caps=1 << 20)
        self.shop = ShopServer(kernel.bank("shop", pages=64))
        self.shop.spent = self.spent
        self.vat: Vat
        self._process = kernel.process("hostile")
        self._clock = clock
        self._traced = traced
        # By the attacker's end: what the server reads its messages from; and what those of
        # sessions that are over took.
        self._read: dict[Any, Any] = {}
        self._over = 0
        # The server's sessions, also those that are over; only those that are not, when traced.
        self._served: set[Session] = set()
        self._raws: list[Raw] = []
        self._buffers: list[EventBuffer] = []
        self._banks: list[Bank] = []
        # Bytes that were traced before the attacker came.
        self._base = 0
        # The sessions that the attacker opened in all.
        self.sessions = 0
        # Whether the attacker is: the victim waits for it, so that it meets all of the attack.
        self.ready = False
        # Of the victim: calls answered rightly, calls that were not, and the worst wait in ns.
        self.answered = 0
        self.lost = 0
        self.worst = 0
        # At the moment of the attack when most was traced: bytes charged and bytes traced.
        self.charged = 0
        self.traced = 0
        # The most that was traced above what was charged.
        self.uncharged = 0
        # Whether its bank had everything back when it was gone, and what was traced still.
        self.banks_back = False
        self.left = 0

    # ---- for attackers ----

    async def session(
        self,
        slots: int = 64,
        ring: int = 16_384,
        refund: int = 0,
        cell: int = 1024,
        bank: Bank | None = None,
        service: str = "shop",
    ) -> Raw:
        """A session of the attacker, which has the root as object 0 and ids from `slots` on.
        Raises as `connect` does."""
        payer = bank or self.bank
        raw = Raw(self.kernel, service, payer, slots, ring, self._process, cell, refund)
        self.sessions += 1
        self._raws.append(raw)
        self._count(raw.end)
        await raw.bootstrap(Shop)
        self.ready = True
        if not self._traced:
            self._served.update(self.vat.sessions)
        return raw

    def child(self, name: str) -> Bank:
        """A bank below the attacker's, which is closed when that leaves."""
        bank = self.bank.child(name, pages=200, caps=200)
        self._banks.append(bank)
        return bank

    def events(self, raw: Raw, places: int) -> EventBuffer:
        """Memory for events, which the attacker brings to this session."""
        buffer = EventBuffer(self.bank, places=places, size=8)
        assert raw.channel is not None
        buffer.attach()
        raw.channel.events = buffer
        self._buffers.append(buffer)
        return buffer

    def forget(self, raw: Raw) -> None:
        """The attacker lets go of a session, and of the memory that it mapped."""
        self._over += cost_of(self._read.pop(raw.end))
        raw.leave()
        self._raws.remove(raw)

    def die(self) -> None:
        """The process of the attacker dies with all that it has; it goes on as another one."""
        for raw in self._raws:
            self._over += cost_of(self._read.pop(raw.end))
        self._raws.clear()
        self.kernel.kill(self._process)
        self._process = self.kernel.process("hostile")

    async def turn(self) -> None:
        """Let the others have a turn, and a little time pass: a flood does not sleep."""
        self._clock.advance(TURN_TIME)
        await yield_now()

    def weigh(self) -> tuple[int, int]:
        """Bytes traced and bytes charged since the attack began."""
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - self._base - self._own(), self._all_charged()

    def peak(self) -> int:
        """The most bytes that were traced since `tracemalloc.reset_peak` or the beginning."""
        return tracemalloc.get_traced_memory()[1] - self._base - self._own()

    def _own(self) -> int:
        """What this stage itself keeps of the sessions: a handle, and its place in two lists."""
        return sum(sys.getsizeof(raw) + 16 for raw in self._raws)

    async def sample(self) -> None:
        """Compare what is traced with what is charged, at this moment."""
        await quiet()
        if self._traced:
            traced, charged = self.weigh()
            if traced >= self.traced:
                self.traced, self.charged = traced, charged
            self.uncharged = max(self.uncharged, traced - charged)

    # ---- the victim and the figures ----

    def watch(self, session: Session) -> None:
        """Count the server's work for this session too."""
        self._count(session.end)

    def _count(self, end: Any) -> None:
        other = self.kernel.peer_of(end)
        assert isinstance(other, SimEndpoint), "the session is over"
        self._read[end] = other.requests()

    def spent(self) -> int:
        """Simulated nanoseconds until now: of the server, on messages of all sessions, their
        bytes and what these became; of the kernel, pages that were bought and sold for them
        included; and of timers."""
        work = self._over + sum(map(cost_of, self._read.values())) + THING * self.things
        return work + self.kernel.clock_ns + round(self._clock.now() * 1e9)

    @property
    def things(self) -> int:
        """Things that the server has decoded and weighed in all."""
        return sum(session.things for session in self._served or self.vat.sessions)

    async def suffer(self, shop: Shop) -> None:
        """Be the victim: all slots at once, again and again; each call has to be answered. What
        is waited for is the server until it has handled the last, and the wake."""
        cost = self.kernel.cost
        while not self.ready:
            await sleep(1e-6)
        for n in range(ROUNDS):
            begin = self.spent()
            calls = [shop.buy(CALLS * n + i) for i in range(CALLS)]
            for i, call in enumerate(calls):
                try:
                    right = await call == CALLS * n + i
                except RpcError:
                    right = False
                self.answered += right
                self.lost += not right
            self.worst = max(self.worst, self.shop.sold - begin + cost.wake + cost.jitter)
            for _ in range(n % 6):
                await yield_now()
            if n % 6 == 5:
                await sleep(1e-6)

    def begin(self) -> None:
        """From here on what is traced and charged is the attacker's."""
        gc.collect()
        if self._traced:
            self._base = tracemalloc.get_traced_memory()[0]

    def _all_charged(self) -> int:
        """Bytes charged to the attacker now; of accounts what is in use, not their spare page. On
        arenas it is pages that are in use."""
        least = PAGE if self.kernel.memory == "arenas" else 1
        frees = [raw.charged.free for raw in self._raws if raw.channel is not None]
        spare = sum(free // least * least for free in frees)
        return self.bank.pages_used * PAGE - spare

    async def leave(self) -> None:
        """The attacker is gone; what it held has to be back when the server has cleaned up."""
        while self._raws:
            self._raws.pop().leave()
        await sleep(2 * CLEAN_UP)
        while self._buffers:
            self._buffers.pop().free()
        while self._banks:
            self._banks.pop().close()
        self.banks_back = self.bank.pages_used == self.bank.caps_used == 0
        self._read.clear()
        self._served.clear()
        self.shop.forget()
        if self._traced:
            self.left = self.weigh()[0]


def cost_of(requests: Any) -> int:
    """Simulated nanoseconds that a session's messages took until now, but for what they became."""
    return MESSAGE * int(requests.frames) + int(requests.copied) // COPIED


@final
@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to hurt a server. `history`: what it did to others; `source`: who says so. `own`:
    bytes of the server's own constants that it fills, however many clients there are."""

    name: str
    attack: Attack
    history: str
    source: str
    own: int = 0


@final
@dataclass(frozen=True, slots=True)
class ScenarioOutcome:
    """What a scenario came to. Bytes, calls, and simulated nanoseconds."""

    name: str
    sessions: int
    charged: int
    traced: int
    uncharged: int
    left: int
    returned: bool
    answered: int
    lost: int
    alone: int
    worst: int
    beside: int = 0
    own: int = 0

    @property
    def failures(self) -> list[str]:
        """The marks that were missed."""
        missed = []
        if self.uncharged > UNCHARGED * self.sessions:
            missed.append(f"{self.uncharged} bytes that nobody pays for")
        if self.left > UNCHARGED * self.sessions + self.own or not self.returned:
            missed.append(f"{self.left} bytes are left behind, or the bank has not all back")
        if self.lost or self.answered != CALLS * ROUNDS:
            missed.append(f"{CALLS * ROUNDS - self.answered} calls of the victim are lost")
        if self.worst > LONGER * self.alone:
            missed.append(f"a wait of {self.worst} ns, and of {self.alone} ns alone")
        if 100 * self.beside > BESIDE * self.alone:
            missed.append(f"{self.beside} ns of others in a turn, and {self.alone} ns alone")
        return missed


async def _peace(stage: Stage) -> None:
    """Nobody attacks."""
    stage.ready = True


@cache
def alone(seed: int = 0, mode: Memory = "prices") -> int:
    """The worst wait of the victim without anybody else, in simulated nanoseconds."""
    return perform(_peace, seed, suffers=True, traced=False, mode=mode).worst


def play(scenario: Scenario, seed: int = 0, mode: Memory = "prices") -> ScenarioOutcome:
    """Run a scenario: once for the victim's waits, which also makes what is made once, and once
    for the memory, with the victim idle. `mode`: how memory is paid for."""
    waits = perform(scenario.attack, seed, suffers=True, traced=False, mode=mode)
    memory = perform(scenario.attack, seed, suffers=False, traced=True, mode=mode)
    return ScenarioOutcome(
        scenario.name,
        memory.sessions,
        memory.charged,
        memory.traced,
        max(0, memory.uncharged),
        memory.left,
        memory.banks_back and waits.banks_back,
        waits.answered,
        waits.lost,
        alone(seed, mode),
        waits.worst,
        waits.shop.beside,
        scenario.own,
    )


def perform(
    attack: Attack, seed: int = 0, *, suffers: bool, traced: bool, mode: Memory = "prices"
) -> Stage:
    """Run an attack beside a victim, which calls (`suffers`) or is idle; the stage afterwards."""
    clock = VirtualClock()
    stage = Stage(SimKernel(seed, pages=1 << 21, memory=mode), clock, traced)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            stage.vat = await stack.enter_async_context(serve(stage.kernel, "shop", stage.shop))
            stage.vat.listen("dense", stage.shop, ServiceSpec(message=DENSE))
            bank = stage.kernel.bank("victim", pages=200)
            shop = await stack.enter_async_context(connect(stage.kernel, "shop", Shop, bank))
            stage.watch(session_of(shop))
            await join(*(shop.buy(n) for n in range(CALLS)))  # its memory is bought once
            await quiet()
            stage.begin()
            victim = current_executor().spawn(stage.suffer(shop)) if suffers else None
            await attack(stage)
            await stage.leave()
            if victim is not None:
                await victim
            else:
                assert await shop.count(1) == 1

    keeping, checked.keeping = checked.keeping, False
    tracing = tracemalloc.is_tracing()
    gc.collect()
    gc.freeze()  # what is older than this is looked at no more: the collections below are short
    if traced and not tracing:
        tracemalloc.start()
    try:
        run(main(), clock=clock, checked=False)
    finally:
        if traced and not tracing:
            tracemalloc.stop()
        gc.unfreeze()
        checked.keeping = keeping
    return stage
