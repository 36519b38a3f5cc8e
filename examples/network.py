"""A network card and who listens: ``python -m examples.network``.

Packets must not be combined, so each takes a buffer that the receiver has posted and paid; when
none is left it is dropped and counted, and nobody allocates. Requests for connections are packets
too: the backlog is as many buffers as the listener has bought, and what finds none is refused. An
event of the receiver's tells that there is something, once, however much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from pinfut import executor
from pinfut.executor import VirtualClock
from pinfut.rpc import EventBuffer, Interface, SimKernel, Subscription, connect, method, serve
from pinfut.rpc.memory.receive import ReceivePool
from pinfut.rpc.session.subscriptions import subscribe

ARRIVED: Final = 1
REFUSED: Final = 2


class Network(Interface, Protocol):
    """What both sides know."""

    @method
    async def listen(self, port: int, key: int) -> None: ...


@dataclass
class Listener:
    """A port that somebody listens on, with memory that he has posted."""

    pool: ReceivePool
    events: Subscription


class Card(Network):
    """The driver of a card. What it holds for a port is the listener's."""

    def __init__(self) -> None:
        self.ports: dict[int, Listener] = {}
        # The pools that receivers have mapped into the driver.
        self.pools: dict[int, ReceivePool] = {}

    @method
    async def listen(self, port: int, key: int) -> None:
        self.ports[port] = Listener(self.pools[port], subscribe(key))

    def receive(self, port: int, packet: bytes) -> bool:
        """A packet has come from the wire: put it down, or drop it."""
        listener = self.ports.get(port)
        if listener is None:
            return False
        taken = listener.pool.deliver(packet)
        listener.events.post(b"", ARRIVED if taken else REFUSED)
        return taken


async def main(flood: int = 1000, backlog: int = 8) -> tuple[int, int]:
    """How many requests were let in, and how many refused."""
    kernel, card = SimKernel(), Card()
    bank = kernel.bank("listener", pages=64)
    pool = card.pools[80] = ReceivePool(bank, pages=1, limit=backlog)
    for _ in range(backlog):
        pool.post()
    accepted = 0
    with EventBuffer(bank, places=1, size=0) as events:
        async with (
            serve(kernel, "network", card),
            connect(kernel, "network", Network, bank, events=events) as network,
        ):
            key = events.open()
            await network.listen(80, key)
            held = bank.pages_used
            for number in range(flood):
                card.receive(80, b"connect %d" % number)
            assert bank.pages_used == held, "a flood costs nobody a page"
            event = await events.next()
            refused = "some were refused" if event.bits & REFUSED else "none was refused"
            print(f"{event.version} requests came, {refused}")
            while (packet := pool.take()) is not None:
                buffer, size = packet
                accepted += 1
                if accepted == 1:
                    print("the first:", bytes(buffer.buffer[:size]).decode())
                pool.post(buffer)  # room for one more
                if accepted == backlog:
                    break
            print(f"{accepted} let in, {pool.dropped} refused, {held} pages held all the time")
    pool.close()
    return accepted, pool.dropped


if __name__ == "__main__":
    executor.run(main(), clock=VirtualClock())
