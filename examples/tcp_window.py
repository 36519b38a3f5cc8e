"""The receive window of a TCP connection as credit: ``python -m examples.tcp_window``.

TCP does not drop what its receiver has no room for: the window says how much may come, and the
sender waits. So the window is memory that somebody decides on and somebody else holds. Here it is
bought: a connection may keep as many bytes in the system as its owner has paid pages for, a wider
window is bought before the system is told, and what is not paid for is not asked for.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

from pinfut import executor
from pinfut.executor import io
from pinfut.rpc import PAGE, Bank, OutOfPages, SimKernel

LEAST: Final = 2
"""Pages of the smallest window: Linux gives no less than 2,304 bytes, and counts what it adds."""


class Window:
    """The window of `sock`, as pages of `bank`, until `close`. Raises OutOfPages and ValueError.

    The system counts its own bookkeeping in, and doubles what it is asked for: it is asked for
    half, so the size that it keeps to is what was bought. A window is not taken back while data
    may lie in it, so it only grows.
    """

    def __init__(self, bank: Bank, sock: socket.socket, pages: int) -> None:
        if pages < LEAST:
            raise ValueError(f"a window has {LEAST} pages or more, not {pages}")
        self._bank = bank
        self._sock = sock
        self.pages = 0
        self.widen(pages)

    def widen(self, pages: int) -> None:
        """Buy more of it, and tell the system. Raises OutOfPages; then the window is as it was."""
        self._bank.buy(pages, why="the window of a connection")
        try:
            size = (self.pages + pages) * PAGE // 2
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        except BaseException:
            self._bank.sell(pages)
            raise
        self.pages += pages

    def take_over(self, sock: socket.socket) -> None:
        """A connection has come, and with it the window of the socket that listened for it."""
        self._sock = sock

    @property
    def bytes(self) -> int:
        """What the system says that it keeps at most."""
        return self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def close(self) -> None:
        """The connection is closed: what was bought is sold."""
        pages, self.pages = self.pages, 0
        self._bank.sell(pages)


def push(sock: socket.socket, data: bytes) -> int:
    """Send as much of `data` as goes out at once; how much that was."""
    sent = 0
    with suppress(BlockingIOError):
        while sent < len(data):
            sent += sock.send(data[sent : sent + PAGE])
    return sent


async def main(pages: int = 8, wider: int = 32, size: int = 1 << 20) -> tuple[int, int, int]:
    """Send `size` bytes to one who does not read at first: how many went out then, how many both
    sides may keep, with a window of `pages`, and how many came in the end, with a wider one."""
    bank = SimKernel().bank("receiver", pages=wider)
    with io.listen_tcp(0) as listener:
        window = Window(bank, listener.raw, pages)  # a connection takes it over from its listener
        port = listener.raw.getsockname()[1]
        with (
            await io.connect_tcp("127.0.0.1", port) as sender,
            await listener.accept() as receiver,
        ):
            window.take_over(receiver.raw)
            sender.raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PAGE)
            own = sender.raw.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            out, most = push(sender.raw, bytes(size)), window.bytes + own
            print(f"the sender waits after {out} bytes, and both sides keep {most} at most")
            try:
                window.widen(wider - pages + 1)
            except OutOfPages as error:
                print(f"a wider window is refused: {error.short} page is missing")
            assert window.bytes + own == most, "what was refused has changed nothing"
            window.widen(wider - pages)
            assert bank.pages_used * PAGE >= window.bytes > most - own

            async def send_rest() -> None:
                await sender.sendall(bytes(size - out))
                sender.send_eof()

            task = executor.spawn(send_rest())
            came = 0
            while data := await receiver.recv(PAGE):
                came += len(data)
            await task
            print(f"{came} bytes came, with {bank.pages_used} pages bought and none dropped")
        window.close()
    assert bank.pages_used == 0
    return out, most, came


if __name__ == "__main__":
    executor.run(main())
