"""The peer of the echo benches without an operating system between its ends.

`streams_rpc.py` in all but the transport: what one end writes is in the other's hands in the next
turn, as with pinfut's simulated kernel, and no system call is made. The messages are encoded, and
their number, the size of each and what is held for a slow reader are bounded, as over a socket.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benches.systems.streams_rpc import HIGH_WATER, LARGEST, EchoClient, conversation, encode


class MemoryFrames:
    """One of two ends. What has come stands in a list, which the reader takes as a whole."""

    def __init__(self) -> None:
        # The other end. Invariant: its peer is this one.
        self._peer = self
        self._loop = asyncio.get_running_loop()
        self._arrived: list[memoryview] = []
        # The bytes of `_arrived`.
        self._held = 0
        # Of the reader, while nothing has arrived.
        self._reader: asyncio.Future[None] | None = None
        # Clear while a writer waits for this end's reader.
        self._taken = asyncio.Event()
        self._closed = False

    @classmethod
    def pair(cls) -> tuple["MemoryFrames", "MemoryFrames"]:
        one, other = cls(), cls()
        one._peer, other._peer = other, one
        return one, other

    async def read(self) -> list[memoryview]:
        """The next whole frames, at least one; none at the end of the stream."""
        while not self._arrived:
            if self._closed:
                return []
            self._reader = self._loop.create_future()
            await self._reader
        frames, self._arrived, self._held = self._arrived, [], 0
        if not self._taken.is_set():
            self._taken.set()
        return frames

    def write(self, message: tuple[int, str | None, object], *, alone: bool) -> None:
        body = encode(message)
        size = len(body)
        if size > LARGEST:
            raise ConnectionError("a frame is larger than the other end will hold")
        peer = self._peer
        peer._arrived.append(memoryview(body))
        peer._held += size
        peer._wake()

    def congested(self) -> bool:
        return self._peer._held > HIGH_WATER

    async def drain(self) -> None:
        peer = self._peer
        while peer._held > HIGH_WATER:
            if peer._closed:
                raise ConnectionResetError("the other end reads no more")
            peer._taken.clear()
            await peer._taken.wait()

    async def close(self) -> None:
        """The end of both streams, once what has arrived is read."""
        for end in (self, self._peer):
            end._closed = True
            end._taken.set()
            end._wake()

    def _wake(self) -> None:
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)


@asynccontextmanager
async def connected(slots: int) -> AsyncIterator[EchoClient]:
    """An echo server and its client, both in this event loop, over memory."""
    async with conversation(*MemoryFrames.pair(), slots) as echo:
        yield echo
