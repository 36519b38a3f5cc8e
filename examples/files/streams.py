"""The same job with stock asyncio: streams, messages with a length before them, msgpack.

It is written as one writes such a service today: each request is a task of its own on the
server, answers come in any order, and each request names its file by its path, so that
nothing has to be opened and the server keeps nothing between two requests.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from examples.files.client import Parts
from examples.files.digest import Contents
from examples.files.interface import LIST_COUNT, READ_MAX, Entry, Listing
from examples.files.tree import Tree, TreeError

_LENGTH: Final = 4
_MESSAGE_MAX: Final = READ_MAX + 1024


class ListDirectory(msgspec.Struct, tag=0, array_like=True):
    id: int
    path: str
    after: str
    count: int


class ReadFile(msgspec.Struct, tag=1, array_like=True):
    id: int
    path: str
    offset: int
    size: int


class Listed(msgspec.Struct, tag=0, array_like=True):
    id: int
    value: Listing


class Data(msgspec.Struct, tag=1, array_like=True):
    id: int
    value: bytes


class Refused(msgspec.Struct, tag=2, array_like=True):
    id: int
    error: str


Request: TypeAlias = ListDirectory | ReadFile
Answer: TypeAlias = Listed | Data | Refused
Job: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_encode = msgspec.msgpack.Encoder().encode
_decode_request = msgspec.msgpack.Decoder(Request).decode
_decode_answer: Callable[[bytes], Answer] = msgspec.msgpack.Decoder(Answer).decode


class Refusal(Exception):
    """The server refused a request."""


async def _receive(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(_LENGTH), "little")
    if length > _MESSAGE_MAX:
        raise ValueError(f"a message of {length} bytes; up to {_MESSAGE_MAX} are taken")
    return await reader.readexactly(length)


def _send(writer: asyncio.StreamWriter, message: Request | Answer) -> None:
    payload = _encode(message)
    writer.write(len(payload).to_bytes(_LENGTH, "little") + payload)


class Server:
    """Serves a tree to one connection, at most `in_flight` requests at a time."""

    def __init__(self, tree: Tree, in_flight: int) -> None:
        self._tree = tree
        self._room = asyncio.Semaphore(in_flight)
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the other side closes."""
        try:
            while True:
                await self._room.acquire()
                request = _decode_request(await _receive(reader))
                task = asyncio.create_task(self._handle(request, writer))
                self._tasks.add(task)
                task.add_done_callback(self._done)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            writer.close()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _handle(self, request: Request, writer: asyncio.StreamWriter) -> None:
        answer: Answer
        try:
            *folders, name = request.path.split("/")
            path = self._tree.root
            for folder in folders:
                path = self._tree.directory(path, folder)
            if isinstance(request, ReadFile):
                path = self._tree.file(path, name)
                answer = Data(request.id, self._tree.read(path, request.offset, request.size))
            else:
                answer = Listed(request.id, self._tree.list(path, request.after, request.count))
        except TreeError as error:
            answer = Refused(request.id, f"{type(error).__name__}: {error}")
        _send(writer, answer)
        try:
            await writer.drain()
        except ConnectionError:
            pass  # nobody wants the answer any more


class Client:
    """Sends requests and hands out the answers as they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls = 0
        self.in_flight = 0  # the most at one time
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._receiving = asyncio.create_task(self._receive(reader))

    async def list(self, path: str, after: str) -> Listing:
        """Entries of a directory, whose path ends in a slash or is empty."""
        found: Listing = await self._call(ListDirectory(self.calls, path, after, LIST_COUNT))
        return found

    async def read(self, path: str, offset: int, size: int) -> bytes:
        """Bytes of a file."""
        data: bytes = await self._call(ReadFile(self.calls, path, offset, size))
        return data

    async def _call(self, request: Request) -> Any:
        self.calls += 1
        answer = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = answer
        self.in_flight = max(self.in_flight, len(self._waiting))
        _send(self._writer, request)
        await self._writer.drain()
        return await answer

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        error: Exception = ConnectionError("the server closed the connection")
        try:
            while True:
                answer = _decode_answer(await _receive(reader))
                future = self._waiting.pop(answer.id)
                if future.cancelled():
                    continue
                if isinstance(answer, Refused):
                    future.set_exception(Refusal(answer.error))
                else:
                    future.set_result(answer.value)
        except asyncio.IncompleteReadError:
            pass
        except Exception as broken:
            error = broken
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)

    async def close(self) -> None:
        """Close the connection and wait for the end of it."""
        self._writer.close()
        await self._receiving


class Fetch:
    """Reads a tree with `in_flight` tasks, in pieces of `chunk` bytes."""

    def __init__(self, client: Client, *, in_flight: int, chunk: int) -> None:
        self.contents = Contents()
        self._client = client
        self._in_flight = in_flight
        self._chunk = chunk
        self._jobs: asyncio.LifoQueue[Job] = asyncio.LifoQueue()

    async def run(self) -> None:
        """Read everything. Raises Refusal."""
        self._jobs.put_nowait(partial(self._list, "", ""))
        workers = [asyncio.create_task(self._work()) for _ in range(self._in_flight)]
        finished = asyncio.create_task(self._jobs.join())
        try:
            done, _ = await asyncio.wait([finished, *workers], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (finished, *workers):
                task.cancel()
            await asyncio.gather(finished, *workers, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            await job()
            self._jobs.task_done()

    async def _list(self, path: str, after: str) -> None:
        entries = await self._client.list(path, after)
        if len(entries) == LIST_COUNT:
            self._jobs.put_nowait(partial(self._list, path, entries[-1].name))
        for entry in entries:
            if entry.kind == "directory":
                self._jobs.put_nowait(partial(self._list, f"{path}{entry.name}/", ""))
            elif entry.kind == "file":
                self._jobs.put_nowait(partial(self._file, path + entry.name, entry))

    async def _file(self, path: str, entry: Entry) -> None:
        if not entry.size:
            self.contents.add(path, b"")
            return
        parts = Parts(entry.size, self._chunk)
        for offset in reversed(parts.offsets[1:]):
            self._jobs.put_nowait(partial(self._read, path, parts, offset))
        await self._read(path, parts, 0)

    async def _read(self, path: str, parts: Parts, offset: int) -> None:
        whole = parts.put(offset, await self._client.read(path, offset, parts.length(offset)))
        if whole is not None:
            self.contents.add(path, whole)


class Fetched(NamedTuple):
    """What came of a fetch over streams."""

    contents: Contents
    calls: int
    in_flight: int
    seconds: float


async def fetch(tree: Tree, *, in_flight: int, chunk: int) -> Fetched:
    """Read every file of the tree over a pair of sockets; the time is that of the job
    alone, without the connecting and closing."""
    near, far = socket.socketpair()
    serving = asyncio.create_task(
        Server(tree, in_flight).serve(*await asyncio.open_connection(sock=far))
    )
    client = Client(*await asyncio.open_connection(sock=near))
    try:
        job = Fetch(client, in_flight=in_flight, chunk=chunk)
        begin = time.perf_counter()
        await job.run()
        seconds = time.perf_counter() - begin
        return Fetched(job.contents, client.calls, client.in_flight, seconds)
    finally:
        await client.close()
        await serving
