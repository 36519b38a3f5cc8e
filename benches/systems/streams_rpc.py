"""The peer of the echo benches: the RPC that a competent asyncio programmer would write.

It comes in kinds, which differ in how frames are read and written and in nothing else:
`StreamFrames` uses the streams as their documentation teaches, `BatchedFrames` goes to some
length to be fast.

Client and server are two ends of a socket pair in one process. A frame is a length (4 bytes,
big endian) and a msgpack array: `[id, method, payload]` there, `[id, error, payload]` back.

What it guarantees, as pinfut does: each request is its own task, so that a slow handler holds up
nobody; arguments and results are decoded into declared types and refused otherwise; a handler's
error goes to its caller and to nobody else; calls in flight are bounded on both ends; who
writes faster than the other end reads must wait. What pinfut does beyond that it does not do:
cancel a call at the server, pipeline, account memory.

Tried, in us per call on asyncio / uvloop, 1 and 64 in flight:

    `readexactly` for each length and each body, `write` per frame   71, 15.5 / 22.6, 11.9
    `read(64 KiB)` and cut, `write` per frame                        71, 13   / 23.2,  9.4
    the same, written by a writer task of its own                    85, 8.0  / 26.4,  4.9
    the same, written once per turn by `call_soon`                   69, 7.7  / 23.6,  5.0
    the same, but at once when nothing else is in flight             66, 7.7  / 22.7,  5.0

The first is `StreamFrames`, the last `BatchedFrames`; `memory_rpc.py` has a third kind, which
leaves the operating system out.

One `bytearray` with `encode_into` is no faster than joining a list. Calling `drain()` only when
the buffer is over its mark, rather than each time, is: 4 % with 64 in flight. Decoding the
payload in a second step, by its method's type, costs nothing measurable. A Semaphore for the
bound on each end costs 20 % with 64 in flight; `Room` below does the same and costs nothing.
asyncio's transport allocates 256 KiB for each `recv`, which malloc may map and unmap each time;
with its (undocumented) `max_size` at 64 KiB, a call alone takes 33 us where the table has 66.
"""

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from struct import Struct as Layout
from typing import Any, Protocol

from msgspec import Raw, Struct
from msgspec.msgpack import Decoder, Encoder

# Read at most this much at once.
CHUNK = 64 * 1024
# With more than this unsent, wait for the other end.
HIGH_WATER = 64 * 1024
# No frame may be longer: what has not come whole is held here.
LARGEST = 1024 * 1024

_LENGTH = Layout(">I")
encode = Encoder().encode


def framed(body: bytes) -> bytes:
    return _LENGTH.pack(len(body)) + body


class Request(Struct, array_like=True):
    """`[id, method, payload]`; written as a tuple, so that the payload is encoded in place."""

    id: int
    method: str
    payload: Raw


class Reply(Struct, array_like=True):
    """`[id, error, payload]`: one of the last two is nil."""

    id: int
    error: str | None
    payload: Raw


_TAKEN = Raw()
_decode_request = Decoder(Request).decode
_decode_reply = Decoder(Reply).decode


class CallFailed(Exception):
    """The server's answer to this call was an error."""


class Frames(Protocol):
    """A stream of frames in both directions."""

    async def read(self) -> list[memoryview]:
        """The next whole frames, at least one; none at the end of the stream."""

    def write(self, message: tuple[int, str | None, object], *, alone: bool) -> None:
        """Sends it; `alone`: nothing else is in flight."""

    def congested(self) -> bool:
        """Must the caller await `drain`?"""

    async def drain(self) -> None: ...

    async def close(self) -> None: ...


class StreamFrames:
    """`readexactly` for each length and each body, one `write` for each frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> list[memoryview]:
        try:
            size = _LENGTH.unpack(await self._reader.readexactly(4))[0]
            if size > LARGEST:
                raise ConnectionError("a frame is larger than this end will hold")
            return [memoryview(await self._reader.readexactly(size))]
        except asyncio.IncompleteReadError:
            return []

    def write(self, message: tuple[int, str | None, object], *, alone: bool) -> None:
        self._writer.write(framed(encode(message)))

    def congested(self) -> bool:
        return self._writer.transport.get_write_buffer_size() > HIGH_WATER

    async def drain(self) -> None:
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


class BatchedFrames:
    """Large reads that are cut into frames, and one write for all frames of a turn."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        transport: Any = writer.transport
        if hasattr(transport, "max_size"):  # asyncio's own transport; uvloop has no need
            transport.max_size = CHUNK
        self._loop = asyncio.get_running_loop()
        # The beginning of a frame whose end has not come yet.
        self._rest = b""
        # Invariant: when it is not empty, a `_flush` is due in this turn of the loop.
        self._unsent: list[bytes] = []

    async def read(self) -> list[memoryview]:
        """The next whole frames, at least one; none at the end of the stream."""
        frames: list[memoryview] = []
        while not frames:
            chunk = await self._reader.read(CHUNK)
            if not chunk:
                break
            data = self._rest + chunk if self._rest else chunk
            view = memoryview(data)
            start, size = 0, len(data)
            while size - start >= 4:
                end = start + 4 + _LENGTH.unpack_from(data, start)[0]
                if end > size:
                    if end - start > LARGEST:
                        raise ConnectionError("a frame is larger than this end will hold")
                    break
                frames.append(view[start + 4 : end])
                start = end
            self._rest = data[start:]
        return frames

    def write(self, message: tuple[int, str | None, object], *, alone: bool) -> None:
        """Sends it with the others of this turn, or at once if it is alone in flight."""
        body = encode(message)
        unsent = self._unsent
        if not unsent and not alone:
            self._loop.call_soon(self._flush)
        unsent.append(_LENGTH.pack(len(body)))
        unsent.append(body)
        if alone:
            self._flush()

    def congested(self) -> bool:
        """Must the caller await `drain`?"""
        return self._writer.transport.get_write_buffer_size() > HIGH_WATER

    async def drain(self) -> None:
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    def _flush(self) -> None:
        if self._unsent:
            self._writer.write(b"".join(self._unsent))
            self._unsent.clear()


class Room:
    """So many calls at a time, as with a Semaphore; but who finds room does not await.

    Invariant: while anyone waits, `free` is 0; a slot that is left passes to the first waiter.
    """

    def __init__(self, slots: int) -> None:
        self.free = slots
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Only when nothing is free: returns with a slot of one's own."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self.leave()  # the slot came together with the cancel
            raise

    def leave(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.free += 1


class Client:
    def __init__(self, frames: Frames, slots: int) -> None:
        self._frames = frames
        self._room = Room(slots)
        self._pending: dict[int, asyncio.Future[Raw]] = {}
        self._last_id = 0
        self._loop = asyncio.get_running_loop()

    async def call(self, method: str, payload: object) -> Raw:
        room = self._room
        if room.free:
            room.free -= 1
        else:
            await room.wait()
        self._last_id = id_ = self._last_id + 1
        future: asyncio.Future[Raw] = self._loop.create_future()
        self._pending[id_] = future
        try:
            self._frames.write((id_, method, payload), alone=len(self._pending) == 1)
            if self._frames.congested():
                await self._frames.drain()
            return await future
        finally:
            del self._pending[id_]
            room.leave()

    async def run(self) -> None:
        """The reader: gives each reply to who waits for it."""
        pending = self._pending
        while frames := await self._frames.read():
            for frame in frames:
                reply = _decode_reply(frame)
                future = pending.get(reply.id)
                if future is None or future.done():
                    continue  # its caller was cancelled
                if reply.error is None:
                    future.set_result(reply.payload)
                else:
                    future.set_exception(CallFailed(reply.error))
        for future in pending.values():
            if not future.done():
                future.set_exception(ConnectionResetError("the server has gone"))


Handler = Callable[[Any], Awaitable[object]]


class Server:
    def __init__(
        self, frames: Frames, methods: dict[str, tuple[type, Handler]], slots: int
    ) -> None:
        self._frames = frames
        self._methods: dict[str, tuple[Callable[[Raw], Any], Handler]] = {
            name: (Decoder(type_).decode, handler) for name, (type_, handler) in methods.items()
        }
        self._room = Room(slots)
        # The requests at work, by id: asyncio itself holds its tasks only weakly.
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """The reader: makes each request a task.

        With no room, or a client that does not read its replies, it stops reading.
        """
        loop = asyncio.get_running_loop()
        room = self._room
        while frames := await self._frames.read():
            for frame in frames:
                if room.free:
                    room.free -= 1
                else:
                    await room.wait()
                request = _decode_request(frame)
                self._tasks[request.id] = loop.create_task(self._handle(request))
            if self._frames.congested():
                await self._frames.drain()

    async def _handle(self, request: Request) -> None:
        reply: tuple[int, str | None, object]
        try:
            decode, handler = self._methods[request.method]
            argument = decode(request.payload)
            # Its frame is held no longer than it takes: a handler may take its time.
            request.payload = _TAKEN
            result = await handler(argument)
            reply = (request.id, None, result)
        except Exception as error:
            reply = (request.id, repr(error), None)
        finally:
            self._tasks.pop(request.id, None)
            self._room.leave()
        self._frames.write(reply, alone=not self._tasks)


class EchoClient:
    """The stub: what its users call, and where results are checked."""

    def __init__(self, client: Client) -> None:
        self._call = client.call
        self._decode = Decoder(bytes).decode

    async def echo(self, data: bytes) -> bytes:
        return self._decode(await self._call("echo", data))


async def _echo(data: bytes) -> bytes:
    return data


def echo_server(frames: Frames, slots: int) -> Server:
    """A server of `EchoClient`."""
    return Server(frames, {"echo": (bytes, _echo)}, slots)


Make = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Frames]


async def stream(end: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The streams on one end of a socket pair."""
    try:
        return await asyncio.open_unix_connection(sock=end)
    except NotImplementedError:
        return await asyncio.open_connection(sock=end)  # on rloop, where this takes any socket


async def socket_pair(make: Make) -> tuple[Frames, Frames]:
    """Frames of one kind at the two ends of a socket pair."""
    left, right = socket.socketpair()
    return make(*await stream(left)), make(*await stream(right))


@asynccontextmanager
async def conversation(
    client_end: Frames, server_end: Frames, slots: int
) -> AsyncIterator[EchoClient]:
    """An echo server and its client at the two ends of a transport."""
    client = Client(client_end, slots)
    server = echo_server(server_end, slots)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.run())
        group.create_task(server.run())
        yield EchoClient(client)
        await client_end.close()
        await server_end.close()


@asynccontextmanager
async def connected(slots: int, make: Make) -> AsyncIterator[EchoClient]:
    """An echo server and its client, both in this event loop, over frames of one kind."""
    async with conversation(*await socket_pair(make), slots) as echo:
        yield echo
