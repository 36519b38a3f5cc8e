"""Input and output: sockets, pipes, signals, processes, files (`pinfut.executor.io`).

Every operation is tried first and parks its task only when it would block."""

from __future__ import annotations

from pinfut.executor.io.connect import connect_tcp, getaddrinfo
from pinfut.executor.io.files import File, open_file
from pinfut.executor.io.pipes import EventFd, PipeReader, PipeWriter, pipe
from pinfut.executor.io.process import DEVNULL, PIPE, ChildProcess, open_process, run_process
from pinfut.executor.io.reader import BufferedReader, ByteStream, IncompleteRead, LimitOverrun
from pinfut.executor.io.serve import serve
from pinfut.executor.io.signals import Signals, signals
from pinfut.executor.io.sockets import (
    Socket,
    connect_unix,
    listen_tcp,
    listen_unix,
    socketpair,
    udp,
)
from pinfut.executor.io.tls import TLSStream, connect_tls, tls
from pinfut.executor.source import Busy
from pinfut.sync.closed import Closed

__all__ = [
    "DEVNULL", "PIPE", "BufferedReader", "Busy", "ByteStream", "ChildProcess", "Closed", "EventFd",
    "File", "IncompleteRead", "LimitOverrun", "PipeReader", "PipeWriter", "Signals", "Socket",
    "TLSStream", "connect_tcp", "connect_tls", "connect_unix", "getaddrinfo", "listen_tcp",
    "listen_unix", "open_file", "open_process", "pipe", "run_process", "serve", "signals",
    "socketpair", "tls", "udp",
]  # fmt: skip
