"""A server and clients over real sockets, and what stands between them or in the place of one."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from pinfut import executor
from pinfut.executor import VirtualClock, scope, sleep, timeout
from pinfut.executor.io import Closed, Socket, connect_unix, listen_unix
from pinfut.rpc import Bank, Interface, connect, serve
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.kernel.stream import ANYONE, StreamKernel, Unix
from pinfut.rpc.kernel.stream.parts import HEAD, Hello, pack_hello
from tests.rpc.services import Desk, DeskServer

SPEC = SessionSpec(slots=4, ring=2048)


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Run a test in simulated time; one that waits for ever fails. What comes over a socket of this
    machine is there at once."""

    async def bounded() -> None:
        with timeout(10_000.0):
            await main()

    executor.run(bounded(), clock=VirtualClock())


class Place:
    """A server at a path, and what its client has; both have everything back in the end."""

    def __init__(self, folder: Path, *, pages: int = 2000) -> None:
        self.path = str(folder / "s")
        self.server = Unix(self.path)
        self.granted = self.server.bank("granted", pages=pages)
        self.server.grant(ANYONE, self.granted)
        self.client = Unix(self.path)
        self.bank = self.client.bank("client", pages=1000)

    @asynccontextmanager
    async def served(self, root: Interface | None = None, **limits: Any) -> AsyncIterator[None]:
        """While the server serves; when nobody is left, both banks are whole."""
        async with serve(self.server, "desk", root or DeskServer(), **limits) as vat:
            yield
            await settled(lambda: not (vat.sessions or self.granted.pages_used))
            await settled(lambda: not self.server._unknown)
        self.check()

    def check(self) -> None:
        """Nothing is held for anybody."""
        for bank in (self.granted, self.bank):
            assert (bank.pages_used, bank.caps_used) == (0, 0)

    def connected(
        self, kernel: StreamKernel | None = None, bank: Bank | None = None, **how: Any
    ) -> Any:
        """A session of the client's."""
        return connect(kernel or self.client, "desk", Desk, bank or self.bank, **how)


async def settled(done: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with timeout(1000.0):
        while not done():
            await sleep(0.1)


class Raw:
    """A connection of somebody who keeps to nothing."""

    def __init__(self, sock: Socket) -> None:
        self.sock = sock
        self.came = b""

    @classmethod
    async def to(cls, path: str, spec: SessionSpec | None = SPEC) -> Raw:
        """Connected; with a `spec` as one that has greeted."""
        raw = cls(await connect_unix(path))
        if spec is not None:
            await raw.sock.sendall(pack_hello(Hello.of("desk", "raw>desk#1", spec)))
            await raw.part()
        return raw

    async def part(self) -> tuple[int, bytes]:
        """The next part: its kind and bytes. Raises EOFError."""
        while True:
            if len(self.came) >= HEAD.size:
                kind, length, _, _ = HEAD.unpack_from(self.came)
                end = HEAD.size + length
                if len(self.came) >= end:
                    data, self.came = self.came[HEAD.size : end], self.came[end:]
                    return kind, data
            more = await self.sock.recv(1 << 16)
            if not more:
                raise EOFError
            self.came += more

    async def end(self) -> bytes:
        """What came until the other side has closed."""
        try:
            while more := await self.sock.recv(1 << 16):
                self.came += more
        except ConnectionResetError:
            pass
        self.sock.close()
        return self.came


class Relay:
    """Between a client and the server, at a path of its own: passes bytes on in pieces of any size,
    after any time, until it is told to `stall`, to `cut` or to `reset`."""

    def __init__(self, folder: Path, to: str, seed: int = 0) -> None:
        self.path = str(folder / "relay")
        self._to = to
        self._random = random.Random(f"relay {seed}")
        self.passed = 0
        self.pieces = 0
        self.most: int | None = None  # bytes that are passed on to the client in all
        self.stalled = False
        self.sockets: list[Socket] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with listen_unix(self.path) as listener:
            async with scope() as tasks:
                tasks.spawn(self._accept(listener, tasks))
                yield
                tasks.cancel()
        for sock in self.sockets:
            sock.close()

    async def _accept(self, listener: Socket, tasks: Any) -> None:
        while True:
            near = await listener.accept()
            far = await connect_unix(self._to)
            self.sockets += near, far
            tasks.spawn(self._pass(near, far, False))
            tasks.spawn(self._pass(far, near, True))

    async def _pass(self, one: Socket, other: Socket, back: bool) -> None:
        try:
            while data := await one.recv(self._random.choice((1, 7, 100, 5000))):
                await sleep(self._random.choice((0.0, 0.0, 0.001, 0.2)))
                while self.stalled:
                    await sleep(1.0)
                if back:
                    if self.most is not None and self.passed + len(data) > self.most:
                        await other.sendall(data[: self.most - self.passed])
                        break
                    self.passed += len(data)
                self.pieces += 1
                await other.sendall(data)
        except (OSError, Closed):
            pass
        one.close()
        other.close()

    def reset(self) -> None:
        """Close the connections with bytes in them that nobody has read."""
        for sock in self.sockets:
            if sock.raw.fileno() >= 0:
                sock.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()


@contextmanager
def process(*arguments: str, checked: bool = True) -> Iterator[subprocess.Popen[str]]:
    """Another process: ``python -m tests.rpc.kernel.other ...``"""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.rpc.kernel.other", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PINFUT_CHECKED": "1" if checked else "0"},
    ) as other:
        try:
            yield other
        finally:
            other.kill()
