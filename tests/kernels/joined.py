"""JoinedKernel: both ends of the kernel over streams in one process, over a socketpair each.

Bytes go through the system, and are read at once, or later and cut anywhere, as a seed says. One
bank pays for both sides, so that what either holds is seen."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from functools import partial
from typing import Final, cast, final

from pinfut.executor.current import running
from pinfut.rpc.errors import PeerDied, ProtocolError, RpcError
from pinfut.rpc.kernel.stream.endpoint import StreamEndpoint
from pinfut.rpc.kernel.stream.kernel import ANYONE, Stranger, StreamKernel
from pinfut.rpc.kernel.stream.parts import Decoder
from pinfut.rpc.kernel.stream.wire import Reader, Wire

ROOM: Final = 1 << 21
"""Bytes that the system keeps of each direction, so that a test need not wait for it."""


@final
class Joined:
    """One end of a connection: a `Wire` without a task or a clock."""

    def __init__(self, kernel: JoinedKernel, sock: socket.socket, reader: Reader) -> None:
        self._kernel = kernel
        self._sock = sock
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        self.reader = reader
        self.decoder = Decoder(reader)
        self.other: Joined
        self.closed = self.finishing = False
        self.size = 0

    def hand(self, reader: Reader) -> None:
        self.reader = self.decoder.sink = reader

    def send(self, data: bytes) -> None:
        if not (self.closed or self.finishing) and data:
            with suppress(BrokenPipeError):  # who receives is told
                assert self._sock.send(data) == len(data), "a socketpair is large enough here"
            self._kernel.carry()

    def look(self, most: int) -> bool:
        """Read what has come, at most so many bytes; whether there was anything."""
        if self.closed:
            return False
        try:
            data = self._sock.recv(most)
        except BlockingIOError:
            return False
        except OSError as error:
            self.lose(PeerDied(f"the connection is broken: {error}"))
            return True
        if not data:
            self.lose(PeerDied("the connection has ended without a word"))
            return True
        if not self.finishing:
            try:
                self.decoder.feed(data)
            except ProtocolError as error:
                self.lose(error)
            else:
                if not self.closed:
                    self.reader.fed()
        return True

    def lose(self, error: RpcError) -> None:
        if not (self.closed or self.finishing):
            self.reader.lost(error)
        self.cut()

    def finish(self, data: bytes) -> None:
        self.send(data)
        self.finishing = self.decoder.over = True
        if self.other.closed:
            self.cut()

    def cut(self) -> None:
        if not self.closed:
            self.closed = self.decoder.over = True
            self._sock.close()
            self.reader.gone()
            self._kernel.carry()


@final
class JoinedKernel(StreamKernel):
    """`seed`: draws when bytes arrive, and where they are cut; None for at once and whole."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1 << 20)
        self._random = None if seed is None else random.Random(f"joined {seed}")
        self._carrying = False
        self._wires: list[Joined] = []

    def close(self) -> None:
        """Close what a test has left open."""
        for wire in self._wires:
            wire.cut()

    def _begin(self) -> None:
        """Nobody has to listen."""

    def _dial(self, end: StreamEndpoint, hello: bytes) -> None:
        held = end._held
        assert held is not None
        self._grants[ANYONE] = held.funds.bank
        one, two = socket.socketpair()
        self._unknown += 1
        stranger = Stranger(self, "")
        near, far = Joined(self, one, end), Joined(self, two, stranger)
        near.other, far.other = far, near
        stranger.wire = cast(Wire, far)
        self._wires = [wire for wire in self._wires if not wire.closed] + [near, far]
        far_random, self._random = self._random, None
        end.attach(cast(Wire, near), hello)
        self._random = far_random
        if end.ending is not None:
            # Where nobody has to wait for it, who connects is told.
            error = end.ending
            end.close()
            raise error

    def carry(self) -> None:
        """Bytes are under way."""
        executor = running.executor
        if self._random is None or executor is None or self._random.random() < 0.3:
            self._carry_all()
        else:
            executor.call_soon(partial(self._carry_some, self._random.randrange(1, 200)))

    def _carry_some(self, most: int) -> None:
        for wire in self._wires:
            wire.look(most)
        if self._random is not None and any(not wire.closed for wire in self._wires):
            self._carry_all()

    def _carry_all(self) -> None:
        if self._carrying:
            return  # who began it goes on
        self._carrying = True
        try:
            while sum(wire.look(1 << 16) for wire in list(self._wires)):
                pass
        finally:
            self._carrying = False
