"""SockCalls: asyncio's ``sock_*`` without a call to the system for each wait.

A descriptor stays with the poller, edge-triggered, from its first wait on. That is sound because
each call tries first, and tries again after each report."""

from __future__ import annotations

import asyncio
from asyncio import base_events
from collections.abc import Callable
from functools import partial
from socket import socket
from typing import Any, Final, TypeAlias, TypeVar, final
from weakref import ref

from pinfut.executor.contract import Hooks, Poller
from pinfut.executor.hosts.selector import LevelSource
from pinfut.executor.source import READ, WAKES_READER, WAKES_WRITER, WRITE, EdgeSource

T = TypeVar("T")

Waiter: TypeAlias = "asyncio.Future[None]"

_AGAIN: Final = (BlockingIOError, InterruptedError)


@final
class SockSource(EdgeSource):
    """A socket that has waited in a ``sock_*``, and who waits for its next edge."""

    __slots__ = ("_of", "readers", "writers")

    def __init__(self, sock: socket, fd: int) -> None:
        super().__init__(fd)
        self._of = ref(sock)
        # Several may wait: an edge is for all of them, and each tries.
        self.readers: list[Waiter] = []
        self.writers: list[Waiter] = []

    def is_of(self, sock: socket) -> bool:
        """Whether this is the file that `sock` is: its number may be another's by now."""
        own = self._of()
        return own is sock or (own is not None and own.fileno() == self.fd)

    def fire(self, mask: int, tell: Hooks | None = None) -> int:
        if mask & WAKES_READER and self.readers:
            _wake(self.readers)
        if mask & WAKES_WRITER and self.writers:
            _wake(self.writers)
        return 0


def _wake(waiters: list[Waiter]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()


class SockCalls(asyncio.SelectorEventLoop):
    """The part of the loop that reads from and writes to sockets of the caller's."""

    _debug: bool
    _poller: Poller

    def _check(self, sock: socket) -> None:
        if type(sock) is not socket:
            base_events._check_ssl_socket(sock)  # type: ignore[attr-defined]
        if self._debug and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")

    def _edge(self: Any, sock: socket, writes: bool) -> Waiter:
        """For who has tried and could not: ready when it is worth while again."""
        waiter: Waiter = asyncio.Future(loop=self)
        fd = sock.fileno()
        source: Any = self._poller.known(fd)
        if type(source) is not SockSource or not source.is_of(sock):
            self._ensure_fd_no_transport(fd)
            if type(source) is LevelSource:  # asyncio watches it, too
                add = self._add_writer if writes else self._add_reader
                done = self._sock_write_done if writes else self._sock_read_done
                handle = add(fd, _wake, [waiter])
                waiter.add_done_callback(partial(done, fd, handle=handle))
                return waiter
            source = SockSource(sock, fd)
        wanted = WRITE if writes else READ
        if source.mask & wanted != wanted:
            self._poller.watch(source, source.mask | wanted)
        waiters = source.writers if writes else source.readers
        if waiters:  # those that were cancelled stay no longer than this
            waiters[:] = [one for one in waiters if not one.done()]
        waiters.append(waiter)
        return waiter

    async def _read(self, sock: socket, read: Callable[..., T], *args: Any) -> T:
        self._check(sock)
        while True:
            try:
                return read(*args)
            except _AGAIN:
                pass
            await self._edge(sock, False)

    async def sock_recv(self, sock: socket, nbytes: int) -> bytes:
        return await self._read(sock, sock.recv, nbytes)

    async def sock_recv_into(self, sock: socket, buf: Any) -> int:
        return await self._read(sock, sock.recv_into, buf)

    async def sock_recvfrom(self, sock: socket, bufsize: int) -> tuple[bytes, Any]:
        return await self._read(sock, sock.recvfrom, bufsize)

    async def sock_recvfrom_into(self, sock: socket, buf: Any, nbytes: int = 0) -> tuple[int, Any]:
        return await self._read(sock, sock.recvfrom_into, buf, nbytes or len(buf))

    async def sock_accept(self, sock: socket) -> tuple[socket, Any]:
        accepted, address = await self._read(sock, sock.accept)
        accepted.setblocking(False)
        return accepted, address

    async def sock_sendall(self, sock: socket, data: Any) -> None:
        self._check(sock)
        left = data
        while True:
            try:
                sent = sock.send(left)
            except _AGAIN:
                sent = 0
            if left is data:
                if sent == len(data):
                    return
                left = memoryview(data).cast("B")
            left = left[sent:]
            if not left:
                return
            await self._edge(sock, True)
