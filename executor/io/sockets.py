"""Socket: a `socket.socket` whose operations are futures; connecting and listening."""

from __future__ import annotations

import errno
import os
import socket
from array import array
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, TypeAlias, final

from pinfut.closing import close_each, closed_on_error
from pinfut.executor.io.operations import Connect, ReadOperation, Receive, WriteAll, WriteOperation
from pinfut.executor.lacking import lacking
from pinfut.executor.source import EdgeSource
from pinfut.executor.timers import sleep
from pinfut.future import FutureBase

Bytes: TypeAlias = bytes | bytearray | memoryview

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_BACKLOG: Final = 1024

_OF_ONE_VISITOR: Final = frozenset(
    getattr(errno, name)
    for name in (
        "ECONNABORTED",
        "ECONNRESET",
        "EPROTO",
        "ENOPROTOOPT",
        "ENETDOWN",
        "ENETUNREACH",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "ENONET",
        "ETIMEDOUT",
    )
    if hasattr(errno, name)
)
"""What accept says of the connection that it has taken off the backlog (``man 2 accept``)."""

_CLOSE_ON_EXEC: Final[int] = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
"""Not everywhere; without it descriptors could be inherited for a moment."""


@final
class Socket:
    """A socket for one executor; it owns `sock`. At a time one task may receive (or accept) and one
    may send; Busy tells the others. Closed here while a task waits, it raises Closed there. Use it
    as a context manager. Everything that never waits is on `raw`."""

    __slots__ = ("_recv", "_send", "_source", "raw")

    def __init__(self, sock: socket.socket) -> None:
        try:
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        self.raw = sock  # the socket itself, for `getsockname`, `setsockopt` and the like
        self._source = EdgeSource(
            sock.fileno(), drains=sock.family in _INTERNET and sock.type == socket.SOCK_STREAM
        )
        self._recv = sock.recv
        self._send = sock.send

    def recv(self, size: int) -> FutureBase[bytes]:
        """At most `size` bytes, ``b""`` at the end. Cancelled, it has taken nothing."""
        return Receive(self._source, self._recv, size)

    def recv_into(self, buffer: bytearray | memoryview) -> FutureBase[int]:
        """Receive into `buffer`; how many bytes, 0 at the end."""
        return ReadOperation(self._source, self.raw.recv_into, buffer)

    def send(self, data: Bytes) -> FutureBase[int]:
        """Send what the system takes of `data`; how many bytes. Cancelled, it has sent none."""
        return WriteOperation(self._source, self._send, data)

    def sendall(self, data: Bytes) -> FutureBase[None]:
        """Send all of `data`; waits while the other side does not read. Cancelled, it may have sent
        a part: close the socket, or use `send` where that matters."""
        return WriteAll(self._source, self._send, data)

    def send_eof(self) -> None:
        """Half-close: the other side reads the end, and can still send."""
        self.raw.shutdown(socket.SHUT_WR)

    def accept(self) -> FutureBase[Socket]:
        """The next connection; one that has broken before is passed over. A cancelled accept has
        taken none: it stays in the backlog. A server is `serve`, which survives more."""
        return ReadOperation(self._source, self._accept)

    def _accept(self) -> Socket:
        while True:
            try:
                return Socket(self.raw.accept()[0])
            except OSError as error:
                if error.errno not in _OF_ONE_VISITOR:
                    raise
                # Gone before it was taken; the backlog bounds how many.

    def connect(self, address: Any) -> FutureBase[None]:
        """Connect to `address`: a numeric host and a port, or a path. Raises ValueError for the
        name of a host: resolve it with `getaddrinfo`, or use `connect_tcp`; BlockingIOError when
        the backlog of a path is full, for which `connect_unix` waits. Cancelled, the attempt goes
        on: close the socket."""
        return Connect(self._source, self.raw, self._numeric(address))

    def recvfrom(self, size: int) -> FutureBase[tuple[bytes, Any]]:
        """The next datagram, cut off at `size` bytes, and whose it is."""
        return ReadOperation(self._source, self.raw.recvfrom, size)

    def sendto(self, data: Bytes, address: Any) -> FutureBase[int]:
        """Send one datagram to a numeric address. Raises ValueError for a host's name."""
        return WriteOperation(self._source, self.raw.sendto, data, self._numeric(address))

    def send_fds(self, data: bytes, fds: Iterable[int]) -> FutureBase[int]:
        """Send descriptors, which stay open here, with some `data`, over a Unix socket."""
        if not data:
            raise ValueError("descriptors travel with at least one byte of data")
        _require_unix("passing descriptors", "send data")
        return WriteOperation(self._source, socket.send_fds, self.raw, [data], list(fds))

    def recv_fds(self, size: int, most: int) -> FutureBase[tuple[bytes, list[int]]]:
        """Data, and at most `most` descriptors, closed on exec, that came with it; they are the
        caller's. Raises OSError, and closes those that came, when there were more."""
        _require_unix("passing descriptors", "send data")
        return ReadOperation(self._source, self._recv_fds, size, most)

    def _recv_fds(self, size: int, most: int) -> tuple[bytes, list[int]]:
        # Not `socket.recv_fds`, which drops its flags, so that the descriptors would be inherited.
        fds = array("i")
        data, ancillary, flags, _ = self.raw.recvmsg(
            size, socket.CMSG_LEN(most * fds.itemsize), _CLOSE_ON_EXEC
        )
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        if flags & socket.MSG_CTRUNC:
            close_each([partial(os.close, fd) for fd in fds])
            raise OSError(f"more than {most} descriptors came at once; raise `most`")
        if not _CLOSE_ON_EXEC:
            for fd in fds:
                os.set_inheritable(fd, False)
        return data, list(fds)

    def close(self) -> None:
        """Close the socket; who waits for it gets Closed. Idempotent."""
        self._source.close()
        self.raw.close()

    def detach(self) -> int:
        """Give the open descriptor away; this socket is closed afterwards."""
        self._source.close()
        return self.raw.detach()

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Socket {self.raw!r}>"

    def _numeric(self, address: Any) -> Any:
        """`address`, unless a look-up would be needed, which blocks."""
        family = self.raw.family
        if family in _INTERNET and address[0] not in ("", "<broadcast>"):
            try:
                socket.inet_pton(family, address[0].partition("%")[0])
            except OSError:
                raise ValueError(
                    f"{address[0]!r} is not a numeric address, and looking it up would block; "
                    "resolve it first: await getaddrinfo(host, port), or use connect_tcp"
                ) from None
        return address


def listen_tcp(port: int, host: str = "127.0.0.1", *, backlog: int = _BACKLOG) -> Socket:
    """A listening socket at a numeric address; port 0 lets the system choose one.

    Only this machine reaches the default address; ``"::"`` is every address there is."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.inet_pton(family, host)
    return Socket(
        socket.create_server(
            (host, port), family=family, backlog=backlog, dualstack_ipv6=host == "::"
        )
    )


async def connect_unix(path: str) -> Socket:
    """Connect to a Unix stream socket by its path. While the backlog there is full it tries again
    and again, in the end every 50 ms: put a timeout around it."""
    sock = Socket(_unix_socket())
    pause = 0.001
    with closed_on_error(sock):
        while True:
            try:
                await sock.connect(path)
                return sock
            except BlockingIOError:
                await sleep(pause)
                pause = min(2 * pause, 0.05)


def listen_unix(path: str, *, backlog: int = _BACKLOG) -> Socket:
    """A listening Unix stream socket at `path`, which must not exist; unlink it yourself."""
    sock = _unix_socket()
    with closed_on_error(sock):
        sock.bind(path)
        sock.listen(backlog)
    return Socket(sock)


def _require_unix(what: str, instead: str) -> None:
    if not hasattr(socket, "AF_UNIX"):
        raise lacking(what, "Unix sockets", instead)


def _unix_socket() -> socket.socket:
    _require_unix("a socket with a path", "use listen_tcp and connect_tcp")
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


def udp(port: int = 0, host: str = "127.0.0.1") -> Socket:
    """A UDP socket, bound to a numeric address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.inet_pton(family, host)
    sock = socket.socket(family, socket.SOCK_DGRAM)
    with closed_on_error(sock):
        sock.bind((host, port))
    return Socket(sock)


def socketpair(kind: int = socket.SOCK_STREAM) -> tuple[Socket, Socket]:
    """Two connected Unix sockets; `kind` may be ``SOCK_DGRAM`` or ``SOCK_SEQPACKET``. Where there
    are no Unix sockets they are TCP's, and a stream is all they can be."""
    one, other = socket.socketpair(type=kind)
    with closed_on_error(one, other):
        return Socket(one), Socket(other)
