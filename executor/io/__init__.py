"""Input and output: sockets, pipes, signals, processes, files (`pinfut.executor.io`).

Every operation is tried first and parks its task only when it would block.
"""

from __future__ import annotations

from pinfut.executor.io.pipes import EventFd, PipeReader, PipeWriter, pipe
from pinfut.executor.io.reader import BufferedReader, ByteStream, IncompleteRead, LimitOverrun
from pinfut.executor.io.sockets import (
    Socket,
    connect_tcp,
    connect_unix,
    getaddrinfo,
    listen_tcp,
    listen_unix,
    socketpair,
    udp,
)
from pinfut.executor.source import Busy

__all__ = [
    "BufferedReader",
    "Busy",
    "ByteStream",
    "EventFd",
    "IncompleteRead",
    "LimitOverrun",
    "PipeReader",
    "PipeWriter",
    "Socket",
    "connect_tcp",
    "connect_unix",
    "getaddrinfo",
    "listen_tcp",
    "listen_unix",
    "pipe",
    "socketpair",
    "udp",
]
