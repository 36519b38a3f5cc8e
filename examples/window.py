"""A window server: a cursor that moves far more often than its client looks.

``python -m examples.window``. The client sleeps; the server combines what it misses in one record
that the client has paid for, and keeps counting. Nobody waits for anybody, and nothing grows.
"""

from __future__ import annotations

import struct
from typing import Final, Protocol

from pinfut import executor
from pinfut.executor import VirtualClock, scope, sleep
from pinfut.rpc import (
    EventBuffer,
    EventSource,
    Interface,
    SimKernel,
    SourceEvent,
    connect,
    method,
    serve,
)

POSITION: Final = struct.Struct("<ii")

MOVED: Final = 1
CLICKED: Final = 2


class Window(Interface, Protocol):
    """What both sides know."""

    @method
    async def follow_cursor(self, key: int) -> None: ...


class WindowServer(Window):
    """Has a cursor, and whoever follows it."""

    def __init__(self) -> None:
        self.cursor = EventSource()

    @method
    async def follow_cursor(self, key: int) -> None:
        self.cursor.subscribe(key)

    async def play(self, moves: int) -> None:
        """A hand that moves 100 times a second, and clicks at every hundredth step."""
        for step in range(1, moves + 1):
            bits = MOVED | (CLICKED if step % 100 == 0 else 0)
            self.cursor.post(POSITION.pack(step, -step), bits)
            await sleep(0.01)


async def follow(events: EventBuffer, until: int, naps: float) -> list[SourceEvent]:
    """Look at the cursor until it is there, and sleep between the looks."""
    seen = []
    async for event in events:
        seen.append(event)
        if POSITION.unpack(event.state)[0] >= until:
            break
        await sleep(naps)
    return seen


async def main(moves: int = 250, naps: float = 0.7) -> list[SourceEvent]:
    kernel, server = SimKernel(), WindowServer()
    bank = kernel.bank("client", pages=32)
    with EventBuffer(bank, places=1, size=POSITION.size, keep=3) as events:
        async with (
            serve(kernel, "window", server),
            connect(kernel, "window", Window, bank, events=events) as window,
            scope() as tasks,
        ):
            await window.follow_cursor(events.open())
            tasks.spawn(server.play(moves))
            seen = await follow(events, moves, naps)
    for event in seen:
        path = " ".join(str(POSITION.unpack(state)) for state in event.states)
        clicked = ", clicked" if event.bits & CLICKED else ""
        print(f"{event.version:4} moves: {path}, {event.lost} lost{clicked}")
    return seen


if __name__ == "__main__":
    executor.run(main(), clock=VirtualClock())
