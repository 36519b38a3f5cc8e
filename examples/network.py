"""A network card and who listens: ``python -m examples.network``.

Packets must not be combined, so each takes a buffer that the receiver has posted and paid; when
none is left it is dropped and counted, and nobody allocates. Requests for connections are packets
too: the backlog is as many buffers as the listener has bought, and what finds none is refused. An
event of the receiver's tells that there is something, once, however much.

The card writes packets into pages of its driver's. The session with the listener moves these to
him, a burst at once and without a copy, for as many that he has posted; the driver has neither his
bank nor his pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from pinfut import executor
from pinfut.executor import VirtualClock
from pinfut.rpc import (
    Bank,
    EventBuffer,
    Interface,
    Session,
    SimKernel,
    Subscription,
    connect,
    current_session,
    method,
    serve,
)
from pinfut.rpc.memory.pages import Region
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
    """A port that somebody listens on, and the session that has memory of his posted."""

    session: Session
    events: Subscription


class Card(Network):
    """The driver of a card, which writes a burst of packets into pages of `bank`."""

    def __init__(self, bank: Bank, burst: int) -> None:
        self.ports: dict[int, Listener] = {}
        self.buffers = [Region(bank, 1, "a packet of the card") for _ in range(burst)]

    @method
    async def listen(self, port: int, key: int) -> None:
        self.ports[port] = Listener(current_session(), subscribe(key))

    def receive(self, port: int, packets: list[bytes]) -> int:
        """A burst has come from the wire: move it, or what there is room for; how much was."""
        listener = self.ports.get(port)
        if listener is None:
            return 0
        filled = self.buffers[: len(packets)]
        for buffer, packet in zip(filled, packets, strict=True):
            buffer.buffer[: len(packet)] = packet
        taken = listener.session.move(filled, [len(packet) for packet in packets])
        self.buffers[: len(taken)] = taken
        for n in range(len(packets)):
            listener.events.post(b"", ARRIVED if n < len(taken) else REFUSED)
        return len(taken)


async def main(flood: int = 1000, backlog: int = 8, burst: int = 4) -> tuple[int, int]:
    """How many requests were let in, and how many refused."""
    kernel = SimKernel()
    driver, bank = kernel.bank("driver", pages=burst), kernel.bank("listener", pages=64)
    card = Card(driver, burst)
    pool = ReceivePool(bank, pages=1, limit=backlog)
    for _ in range(backlog):
        pool.post()
    accepted = 0
    with EventBuffer(bank, places=1, size=0) as events:
        async with (
            serve(kernel, "network", card),
            connect(kernel, "network", Network, bank, events=events, receive=pool) as network,
        ):
            key = events.open()
            await network.listen(80, key)
            held = bank.pages_used
            for first in range(0, flood, burst):
                numbers = range(first, min(flood, first + burst))
                card.receive(80, [b"connect %d" % number for number in numbers])
            assert bank.pages_used == held, "a flood costs nobody a page"
            assert driver.pages_used == burst, "what is moved is exchanged"
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
