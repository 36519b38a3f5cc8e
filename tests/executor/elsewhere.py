"""A program for a system that lacks what Linux has: ``python -m tests.executor.elsewhere NAME``.

It takes the names that the system lacks out of the standard library before anything imports
pinfut, runs a little of everything, and prints what worked.
"""

from __future__ import annotations

import asyncio  # noqa: F401  # what stands on the names is imported before they go
import os
import pkgutil
import re
import select
import selectors
import signal
import socket
import subprocess  # noqa: F401
import sys
from importlib import import_module
from types import ModuleType
from typing import Any, Final

LINUX: Final = r"epoll|EPOLL\w+|eventfd\w*|EFD_\w+|pidfd_open|timerfd\w*|TFD_\w+|pipe2|memfd_\w+"
MACOS: Final = rf"{LINUX}|waitid|MSG_CMSG_CLOEXEC|SOCK_CLOEXEC|SOCK_NONBLOCK|\w*sigtimedwait"
WINDOWS: Final = (
    rf"{MACOS}|poll|POLL\w+|AF_UNIX|send_fds|recv_fds|CMSG_\w+|SCM_\w+|MSG_CTRUNC|MSG_DONTWAIT"
    r"|SO_REUSEPORT|SIGUSR\d|SIGHUP|SIGQUIT|SIGALRM|SIGCHLD|pthread_\w+|setitimer|siginterrupt"
    r"|fork\w*"
)

HIDDEN: Final = {"macos": MACOS, "windows": WINDOWS}
"""What each system lacks."""


def hide(names: str) -> int:
    """Take the names that match out of the standard library; how many those were."""
    hidden = 0
    for module in (select, os, socket, signal):
        for name in [name for name in vars(module) if re.fullmatch(names, name)]:
            delattr(module, name)
            hidden += 1
    return hidden


def import_everything(package: ModuleType) -> int:
    """Import all modules of a package; how many there are."""
    found = [
        module.name
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
        if not module.name.endswith("__main__")
    ]
    for name in found:
        import_module(name)
    return len(found)


def tcp_pair(*args: object, **kwargs: object) -> tuple[socket.socket, socket.socket]:
    """`socket.socketpair` as Python has it on Windows."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]


def error_of(call: Any, *args: Any, **kwargs: Any) -> str:
    try:
        call(*args, **kwargs)
    except OSError as error:
        return f"refused: {error.strerror}"
    return "is there"


def main(system: str) -> None:
    left: Any = selectors.SelectSelector if system == "windows" else selectors.PollSelector
    selectors.DefaultSelector = left  # type: ignore[misc]
    if system == "windows":
        socket.socketpair = tcp_pair
        for name in ("fcntl", "resource", "pwd", "grp", "termios"):
            sys.modules[name] = None  # type: ignore[assignment]
    print("hidden:", hide(HIDDEN[system]) > 20)

    import examples
    import pinfut
    from pinfut.executor import (
        Executor,
        VirtualClock,
        from_thread,
        run,
        scope,
        sleep,
        to_thread,
        yield_now,
    )
    from pinfut.executor import io as pio
    from pinfut.executor.pollers import poller_type
    from pinfut.executor.testing import explore
    from tests.house.readme import runnable_blocks

    print("imported:", import_everything(pinfut) > 100, import_everything(examples) > 5)
    print("poller:", poller_type().__name__)

    async def echo(listener: Any) -> None:
        with await listener.accept() as sock:
            while data := await sock.recv(1000):
                await sock.sendall(data)

    async def tcp() -> bytes:
        with pio.listen_tcp(0) as listener:
            async with scope() as s:
                s.spawn(echo(listener))
                port = listener.raw.getsockname()[1]
                with await pio.connect_tcp("localhost", port) as sock:
                    await sock.sendall(b"over TCP")
                    data = await sock.recv(100)
        return data

    async def half() -> int:
        await sleep(0.001)
        return 21

    async def threads() -> int:
        return await to_thread(lambda: 2 * from_thread(half))

    async def pair() -> bytes:
        one, other = pio.socketpair()
        with one, other:
            async with scope() as s:
                reading = s.spawn(receive(one))
                await sleep(0.001)
                await other.sendall(b"in a pair")
        return reading.result()

    async def receive(sock: Any) -> bytes:
        data: bytes = await sock.recv(100)
        return data

    async def hour() -> None:
        await sleep(3600)

    async def interrupted() -> int:
        with pio.signals(signal.SIGTERM) as stream:
            signal.raise_signal(signal.SIGTERM)
            return await stream.next()

    async def refused() -> None:
        try:
            await pio.connect_tcp("127.0.0.1", port)
        except ConnectionRefusedError:
            print("connect: refused")

    print("TCP:", run(tcp()))
    print("threads:", run(threads()))
    print("pair:", run(pair()))
    print("signal:", run(interrupted()))
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    run(refused())
    clock = VirtualClock()
    Executor(clock=clock).run(hour())
    print("virtual time:", clock.now())

    async def orders() -> None:
        async with scope() as s:
            for _ in range(2):
                s.spawn(steps())

    async def steps() -> None:
        await yield_now()

    print("explore:", explore(orders).runs > 1)
    exec(runnable_blocks(starts=("# service.py",))[0].code, {"__name__": "service"})

    print("EventFd:", error_of(pio.EventFd))
    print("Unix socket:", error_of(lambda: pio.listen_unix("").close()))
    print("dump on a signal:", error_of(run, half(), dump_on_signal=True))

    async def child() -> Any:
        return (await pio.run_process([sys.executable, "-c", "print(input())"], input=b"hi")).stdout

    async def descriptors() -> bool:
        one, other = pio.socketpair()
        with one, other:
            await one.send_fds(b"x", [0])
            _, (received,) = await other.recv_fds(1, most=1)
        try:
            return os.get_inheritable(received)
        finally:
            os.close(received)

    if system == "macos":
        print("process:", run(child()))
        print("a descriptor that was passed is inheritable:", run(descriptors()))
    else:
        print("passing descriptors:", error_of(run, descriptors()))


if __name__ == "__main__":
    main(sys.argv[1])
