"""A chat over TCP: ``python -m examples.chat``, then ``nc localhost 4000`` a few times.

Everybody hears what anybody says. A visitor who does not read is sent away, so that nobody
else has to wait or to remember for him. Ctrl-C or SIGTERM ends it.
"""

from __future__ import annotations

import signal
import sys

from pinfut import Lock, executor
from pinfut.executor import io, scope, timeout

PATIENCE = 5.0
"""Seconds that a visitor may keep the others waiting."""


class Room:
    """Who is here."""

    def __init__(self) -> None:
        # Each with a lock: several may have something to tell him at once.
        self.visitors: dict[io.Socket, Lock] = {}

    async def say(self, text: str) -> None:
        """Tell everybody who is here."""
        for visitor, turn in list(self.visitors.items()):
            async with turn:
                try:
                    with timeout(PATIENCE):
                        await visitor.sendall(text.encode() + b"\n")
                except (OSError, TimeoutError, io.Closed):
                    self.visitors.pop(visitor, None)
                    visitor.close()

    async def visit(self, socket: io.Socket) -> None:
        """One visitor, from the name to the end of the connection."""
        lines = io.BufferedReader(socket, limit=1000)
        name = ""
        try:
            await socket.sendall(b"your name?\n")
            name = (await lines.read_line()).decode(errors="replace").strip()
            self.visitors[socket] = Lock()
            await self.say(f"* {name} is here")
            while line := await lines.read_line():
                await self.say(f"{name}: {line.decode(errors='replace').strip()}")
        except (OSError, io.Closed, io.LimitOverrun):
            pass  # gone, sent away, or too long a line
        finally:
            self.visitors.pop(socket, None)
            socket.close()
        if name:
            await self.say(f"* {name} has left")


async def main(port: int) -> None:
    with (
        io.listen_tcp(port) as listener,
        io.signals(signal.SIGINT, signal.SIGTERM) as stop,
    ):
        print("listening on port", listener.raw.getsockname()[1], flush=True)
        async with scope() as tasks:
            tasks.spawn(io.serve(listener, Room().visit))
            await stop.next()
            tasks.cancel()
    print("closed", flush=True)


if __name__ == "__main__":
    executor.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000))
