"""TLS over a Socket, by the standard library's `ssl` over memory, so that it never blocks::

    plain ──raw.write──▶ _outgoing ──_flush──▶ socket     one record, or a piece of 16 KiB
    plain ◀──raw.read─── _incoming ◀──_fill─── socket     a receive, and a part of a record

What reads and writes want to send stands in `_outgoing`, and one task at a time sends that."""

from __future__ import annotations

from typing import Final, final

from pinfut.closing import closed_on_error
from pinfut.combinators import race
from pinfut.coroutine import yield_now
from pinfut.executor.io.connect import connect_tcp
from pinfut.executor.io.operations import SPREE
from pinfut.executor.io.sockets import Bytes, Socket
from pinfut.executor.lacking import lacking
from pinfut.executor.source import Busy
from pinfut.executor.threads import to_thread
from pinfut.executor.timeout import timeout
from pinfut.sync.closed import Closed
from pinfut.sync.lock import Lock

try:
    import ssl
except ImportError:  # a Python that was built without OpenSSL
    ssl = None  # type: ignore[assignment]

PIECE: Final = 16384
"""Bytes that are encrypted before they are sent: what fits into one record."""

CHUNK: Final = 32768
"""Bytes that one receive asks for, and that may wait to be sent while a task reads."""

LINGER: Final = 2.0
"""Seconds that leaving a block waits for the other side's close_notify."""


async def connect_tls(
    host: str,
    port: int,
    context: ssl.SSLContext | None = None,
    *,
    server_hostname: str | None = None,
    suppress_ragged_eofs: bool = False,
) -> TLSStream:
    """Connect to a host as `connect_tcp` does, and shake hands: a client. Without a context it is
    `ssl.create_default_context`, which checks the certificate against the system's and against
    `server_hostname` (`host` by default). Raises as `connect_tcp` and `tls`."""
    _require_ssl()
    if context is None:
        context = await to_thread(ssl.create_default_context)  # it reads files
    return await tls(
        await connect_tcp(host, port),
        context,
        server_hostname=host if server_hostname is None else server_hostname,
        suppress_ragged_eofs=suppress_ragged_eofs,
    )


async def tls(
    socket: Socket,
    context: ssl.SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    suppress_ragged_eofs: bool = False,
) -> TLSStream:
    """Shake hands over a connected `socket`, and own it from here on. Raises what `ssl` raises
    (SSLCertVerificationError, SSLEOFError when the other side closes, SSLError), OSError of the
    socket, and ValueError without a name that `context` is to check. The socket is closed then, and
    when it is cancelled; a `timeout` block is its deadline."""
    _require_ssl()
    with closed_on_error(socket):
        # `ssl` itself makes sure of that for its own sockets, and not over memory.
        if context.check_hostname and not (server_side or server_hostname):
            raise ValueError(
                "the context checks the name in the certificate: pass server_hostname=, or set "
                "context.check_hostname = False if nobody need be sure who answers"
            )
        stream = TLSStream(socket, context, server_side, server_hostname, suppress_ragged_eofs)
        await stream._shake_hands()
    return stream


@final
class TLSStream:
    """A TLS connection whose handshake is done: what `tls` and `connect_tls` give.

    At a time one task may receive and one may send; Busy tells the others. Use it as
    ``async with``, which ends it cleanly; `close` closes it at once. What never waits is on
    `raw`: `selected_alpn_protocol`, `getpeercert`, `version`; it must not read nor write there.

    Writing, and what moves it on::

        open ──send_eof──▶ ended
          └──a sendall is cancelled or fails midway──▶ broken
    """

    __slots__ = (
        "_broken", "_ended", "_incoming", "_outgoing", "_over", "_plain", "_ragged", "_sending",
        "_spree", "_truncated", "_unsent", "_writing", "raw", "socket",
    )  # fmt: skip

    def __init__(
        self,
        socket: Socket,
        context: ssl.SSLContext,
        server_side: bool,
        server_hostname: str | None,
        suppress_ragged_eofs: bool,
    ) -> None:
        """For `tls`."""
        self.socket = socket
        # Invariant: less than a record, or what the last receive has brought.
        self._incoming = ssl.MemoryBIO()
        # Invariant: at most a piece, encrypted, and a chunk that reads have made.
        self._outgoing = ssl.MemoryBIO()
        self.raw = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self._unsent = memoryview(b"")  # Invariant: taken out of `_outgoing`, and not sent yet
        self._sending = Lock()  # held by the task that sends what stands there
        # Invariant: decrypted before close_notify was sent, and not given out yet.
        self._plain = b""
        self._ragged = suppress_ragged_eofs
        # Nothing more will come from the other side; and whether it has not said so itself.
        self._over = False
        self._truncated = False
        self._ended = False
        # Invariant: True from the encryption of a write's first byte until its last one is sent.
        self._broken = False
        self._writing = False
        self._spree = 0  # reads that did not have to wait, since the others were let run

    async def recv(self, size: int) -> bytes:
        """``data = await s.recv(4096)``: at most `size` bytes, ``b""`` after close_notify. A
        cancelled recv has taken nothing. Raises ssl.SSLEOFError when the stream is truncated."""
        self._spree += 1
        if self._spree >= SPREE:
            self._spree = 0
            await yield_now()
        if size < 1:
            raise ValueError(f"recv takes a size of 1 byte or more, not {size}")
        while True:
            if self._plain:
                data, self._plain = self._plain[:size], self._plain[size:]
                return data
            received = self._decrypt(size)
            if received is not None:
                return received
            await self._fill()
            self._spree = 0

    async def sendall(self, data: Bytes) -> None:
        """Send all of `data`; waits while the other side does not read. Cancelled midway the stream
        is broken: further writes raise Closed, and the other side sees a truncated stream."""
        self._require_writable()
        self._writing = True
        try:
            await self._flush()  # what reads have left, and a cancel here breaks nothing
            left = memoryview(data).cast("B")
            while left:
                self._broken = True
                self._encrypt(left[:PIECE])
                left = left[PIECE:]
                await self._flush()
            self._broken = False
        finally:
            self._writing = False

    async def send_eof(self) -> None:
        """Send close_notify: the other side reads the end, and can still send. Idempotent.
        Cancelled, it has been sent or it will be, by the next call."""
        if not self._ended:
            self._require_writable()
            # OpenSSL trips over data before the other side's close_notify: a chunk at most.
            while not self._over and (more := self._decrypt(PIECE)):
                self._plain += more
            self._ended = True
            try:
                self.raw.unwrap()
            except ssl.SSLWantReadError:
                pass  # that of the other side is yet to come
        await self._flush()

    def close(self) -> None:
        """Close the socket, without close_notify; who waits for it gets Closed. Idempotent."""
        self.socket.close()

    async def __aenter__(self) -> TLSStream:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            if error is None and not self._broken and not self._writing:
                await self._end_cleanly()
        except (OSError, Closed, Busy):
            pass  # the other side went first, and the block had all that it wanted
        finally:
            self.close()

    async def _end_cleanly(self) -> None:
        await self.send_eof()
        # TLS 1.3: closed over unread session tickets, it is reset and may lose what was sent last.
        with timeout(LINGER):
            while await self.recv(PIECE):
                pass

    async def _shake_hands(self) -> None:
        while True:
            try:
                self.raw.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            except BaseException:
                self._try_send()  # an alert, which says why
                raise
            await self._flush()
            if done:
                return
            if self._over:
                raise ssl.SSLEOFError(
                    ssl.SSL_ERROR_EOF,
                    "the other side closed the connection in the handshake: it may not speak TLS, "
                    "or may refuse what it was offered",
                )
            await self._fill()

    def _decrypt(self, size: int) -> bytes | None:
        """What has come, or the end; None when nothing has."""
        try:
            data = self.raw.read(size)
        except ssl.SSLWantReadError:
            if self._truncated:
                raise ssl.SSLEOFError(
                    ssl.SSL_ERROR_EOF,
                    "the stream is truncated: the connection ended without close_notify, and more "
                    "may have been meant; if the protocol says itself where a message ends, pass "
                    "suppress_ragged_eofs=True",
                ) from None
            return b"" if self._over else None
        except ssl.SSLZeroReturnError:
            data = b""
        except ssl.SSLError:
            self._try_send()  # an alert
            raise
        if not data:
            self._over = True
        return data

    def _encrypt(self, data: memoryview) -> None:
        try:
            self.raw.write(data)
        except ssl.SSLWantReadError:
            raise OSError(
                "the other side renegotiates TLS, which is not supported; refuse that with "
                "context.options |= ssl.OP_NO_RENEGOTIATION"
            ) from None

    async def _fill(self) -> None:
        """Receive once, and see that what reads have to send is sent meanwhile."""
        waiting = self._outgoing.pending + len(self._unsent)
        if waiting > CHUNK:
            # It makes us answer and does not read the answers.
            await self._flush()
        elif waiting and not self._sending.locked and not self._try_send():
            if not await race(self._flush(), self._receive()):
                await self._receive()
            return
        await self._receive()

    async def _receive(self) -> bool:
        data = await self.socket.recv(CHUNK)
        if data:
            self._incoming.write(data)
        else:
            self._over = True
            self._truncated = not self._ragged
        return True

    async def _flush(self) -> None:
        """Send all that is to be sent. Cancelled, it has lost nothing: the next one goes on."""
        async with self._sending:
            while self._take():
                sent = await self.socket.send(self._unsent)
                self._unsent = self._unsent[sent:]

    def _try_send(self) -> bool:
        """As `_flush`, without waiting. True when all was sent."""
        if self._sending.locked:
            return False
        try:
            while self._take():
                self._unsent = self._unsent[self.socket.raw.send(self._unsent) :]
        except OSError:
            return False  # it would block; or a flush or a receive will tell
        return True

    def _take(self) -> bool:
        """Whether there is something to send, in `_unsent`."""
        if not self._unsent:
            self._unsent = memoryview(self._outgoing.read())
        return bool(self._unsent)

    def _require_writable(self) -> None:
        if self._writing:
            raise Busy(
                "a task writes to this TLS stream already; one at a time may: have one task own "
                "that, or guard it with a lock"
            )
        if self._broken:
            raise Closed("a write was cancelled or failed midway, so this TLS stream is truncated")
        if self._ended:
            raise Closed("close_notify was sent on this TLS stream; nothing can follow it")

    def __repr__(self) -> str:
        return f"<TLSStream {self.raw.version()} over {self.socket!r}>"


def _require_ssl() -> None:
    if ssl is None:
        raise lacking("TLS", "Python's ssl", "use a Python that was built with OpenSSL")
