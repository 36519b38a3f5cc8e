"""Wire: one connection: who reads it, what waits to be sent on it, and whether it lives.

::

    open ──finish──▶ finishing ──all is sent, and the other side has closed, or LINGER──▶ closed
      └──cut, or an error, or the other side's end──────────────────────────────────────────▲
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, Protocol, final

from pinfut.coroutine import yield_now
from pinfut.executor.contract import JoinHandle, Runner, Timer
from pinfut.executor.io.sockets import Socket
from pinfut.executor.task import INTERNAL
from pinfut.rpc.errors import PeerDied, ProtocolError, RpcError
from pinfut.rpc.kernel.stream.parts import BEAT, Decoder, Sink, pack
from pinfut.sync.closed import Closed

CHUNK: Final = 1 << 16
"""Bytes that are received, or sent by a task, at once."""

BEATS: Final = 3
"""Heartbeats of the other side that may fail to come."""

LINGER: Final = 2.0
"""Seconds that the last bytes of a session have to get away."""


class Duplex(Protocol):
    """A connection: a `Socket` or a `TLSStream`."""

    def recv(self, size: int, /) -> Awaitable[bytes]: ...
    def sendall(self, data: bytes, /) -> Awaitable[None]: ...
    def close(self) -> None: ...


class Reader(Sink, Protocol):
    """Who has a wire."""

    def fed(self) -> None:
        """What came at once was taken."""

    def sent(self) -> None:
        """Some of what waited to be sent has gone."""

    def rested(self) -> None:
        """The time between two heartbeats is over."""

    def lost(self, error: RpcError, /) -> None:
        """The wire is closed, and not by this side; `gone` follows."""

    def gone(self) -> None:
        """The wire is closed. Called once."""


@final
class Wire:
    """One connection of `reader`. `beat`: seconds between two heartbeats."""

    __slots__ = (
        "_beat", "_decoder", "_executor", "_finishing", "_heard", "_missed", "_outbox", "_sending",
        "_spoke", "_stream", "_timer", "_try", "_writer", "closed", "reader",
    )  # fmt: skip

    def __init__(self, stream: Duplex, reader: Reader, executor: Runner, beat: float) -> None:
        self._stream = stream
        self.reader = reader
        self._decoder = Decoder(reader)
        self._executor = executor
        self._beat = beat
        # What a plain socket takes at once needs no task.
        self._try = stream.raw.send if isinstance(stream, Socket) else None
        self._outbox = bytearray()
        self._sending = 0  # bytes that the writer has taken out of it
        self._writer: JoinHandle[None] | None = None
        self._finishing = self.closed = False
        # Since the last beat: whether anything came and went; and how many beats have failed.
        self._heard = self._spoke = False
        self._missed = 0
        self._timer: Timer = executor.timers.add(executor.now() + beat, self._tick)

    def hand(self, reader: Reader) -> None:
        """Another has it from the next part on."""
        self.reader = self._decoder.sink = reader

    @property
    def size(self) -> int:
        """Bytes that wait to be sent."""
        return len(self._outbox) + self._sending

    def send(self, data: bytes) -> None:
        """Send at once what the system takes, and the rest when it takes more."""
        if self.closed or self._finishing:
            return
        self._spoke = True
        if self._try is not None and self._writer is None:
            try:
                sent = self._try(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # who receives is told
            if sent == len(data):
                return
            data = data[sent:]
        self._outbox += data
        if self._writer is None:
            self._writer = self._executor.spawn(self._write(), name="a wire", owner=INTERNAL)

    async def _write(self) -> None:
        try:
            while self._outbox:
                piece = bytes(self._outbox[:CHUNK])
                del self._outbox[:CHUNK]
                self._sending = len(piece)
                await self._stream.sendall(piece)
                self._sending = 0
                if not self.closed:
                    self._spoke = True
                    self.reader.sent()
        except (OSError, Closed):
            pass  # who receives is told
        finally:
            self._writer = None

    async def read(self) -> None:
        """Give the reader what comes until the wire is closed."""
        try:
            while data := await self._stream.recv(CHUNK):
                self._heard = True
                if not self._finishing:
                    self._decoder.feed(data)
                    if not self.closed:
                        self.reader.fed()
                if len(data) == CHUNK:
                    await yield_now()  # there is more, and there are others
            held = self._decoder.held
            what = f"within a part, {held} bytes of which have come" if held else "without a word"
            self._lose(PeerDied(f"the connection has ended {what}"))
        except ProtocolError as error:
            self._lose(error)
        except (OSError, Closed) as error:
            self._lose(PeerDied(f"the connection is broken: {error}"))
        finally:
            self.cut()

    def _lose(self, error: RpcError) -> None:
        if not (self.closed or self._finishing):
            self.reader.lost(error)

    def _tick(self) -> None:
        self._missed = 0 if self._heard else self._missed + 1
        if self._missed >= BEATS:
            self._lose(PeerDied(f"the other side was silent for {BEATS * self._beat:g} s"))
            self.cut()
            return
        if not self._spoke and not self.size:
            self.send(pack(BEAT))
        self._heard = self._spoke = False
        self.reader.rested()
        self._timer = self._executor.timers.add(self._executor.now() + self._beat, self._tick)

    def finish(self, data: bytes) -> None:
        """Send the last bytes, and close when they have gone."""
        self.send(data)
        if not self.closed:
            self._finishing = self._decoder.over = True
            self._executor.timers.cancel(self._timer)
            self._timer = self._executor.timers.add(self._executor.now() + LINGER, self.cut)

    def cut(self) -> None:
        """Close it now, whatever waits. Idempotent."""
        if not self.closed:
            self.closed = self._decoder.over = True
            self._executor.timers.cancel(self._timer)
            self._outbox.clear()
            self._stream.close()
            self.reader.gone()
