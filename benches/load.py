"""The clients of the `socket-cpu` benches: a process of its own, the same for every system.

    python -m benches.load 40123 5

connects to a port of this machine, and takes orders from descriptor 5: a number of requests,
as eight bytes. It sends them over all connections, each with one request under way at a time,
checks every answer, and reports with one byte when all have come.
"""

import os
import select
import socket
import struct
import subprocess
import sys
from pathlib import Path
from types import TracebackType

CONNECTIONS = 32
SIZE = 1000

_ORDER = struct.Struct("!Q")
_ROOT = Path(__file__).resolve().parents[1]


class Load:
    """A listening socket, and a process with clients that connect to it.

    The server takes connections from `listener` and echoes what comes. It gives orders on
    `control`: it sends `order(requests)`, and receives one byte when they were answered.
    """

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS)
        # Accepted sockets inherit it; asyncio and trio set it on each.
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.control, theirs = socket.socketpair()
        with theirs:
            port = self.listener.getsockname()[1]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benches.load", str(port), str(theirs.fileno())],
                cwd=_ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    @staticmethod
    def order(requests: int) -> bytes:
        return _ORDER.pack(requests)

    def __enter__(self) -> "Load":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self.listener.close()
        self.control.close()


def serve_orders(port: int, control: socket.socket) -> None:
    connections = {}
    poll = select.epoll()
    for _ in range(CONNECTIONS):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[client.fileno()] = client
        poll.register(client.fileno(), select.EPOLLIN)
    message = os.urandom(SIZE)
    while order := control.recv(_ORDER.size, socket.MSG_WAITALL):
        (left,) = _ORDER.unpack(order)
        waiting = 0
        for client in connections.values():
            if left:
                client.sendall(message)
                left -= 1
                waiting += 1
        while waiting:
            for fd, _ in poll.poll():
                client = connections[fd]
                answer = client.recv(SIZE, socket.MSG_WAITALL)
                if answer != message:
                    raise SystemExit(f"the server's echo is wrong: {len(answer)} bytes")
                if left:
                    client.sendall(message)
                    left -= 1
                else:
                    waiting -= 1
        control.sendall(b"!")


if __name__ == "__main__":
    serve_orders(int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
