"""pinfut imports and runs where neither epoll nor eventfd exists, and says what it lacks."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading

import pytest

from pinfut.executor import run, sleep, timeout
from pinfut.executor.io import PIPE, open_process
from pinfut.executor.pollers import VARIABLE, EpollPoller, PortablePoller, poller_type
from tests.house.imports import ROOT

EVERYWHERE = """\
hidden: True
imported: True True
poller: PortablePoller
TCP: b'over TCP'
threads: 42
pair: b'in a pair'
signal: 15
connect: refused
virtual time: 3600.0
explore: True
b'pin'
Balance(pages=64, caps=1024)
EventFd: refused: EventFd needs Linux's eventfd, which this system does not have; \
use pipe(), or a RemoteWaker for threads
"""

SOMEWHERE = {
    "macos": """\
Unix socket: is there
dump on a signal: is there
process: b'hi\\n'
a descriptor that was passed is inheritable: False
""",
    "windows": """\
Unix socket: refused: a socket with a path needs Unix sockets, which this system does not have; \
use listen_tcp and connect_tcp
dump on a signal: refused: a dump on a signal needs SIGUSR1, which this system does not have; \
call executor.dump()
passing descriptors: refused: passing descriptors needs Unix sockets, which this system does not \
have; send data
""",
}


@pytest.mark.parametrize("system", SOMEWHERE)
def test_a_program_runs_without_the_names_that_only_linux_has(system: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.executor.elsewhere", system],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,  # only so that a hang ends
    )
    assert done.stdout == EVERYWHERE + SOMEWHERE[system], done.stderr
    assert (done.returncode, done.stderr) == (0, "")


def test_the_environment_chooses_a_poller_and_a_wrong_choice_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for asked, kind in (("epoll", EpollPoller), ("portable", PortablePoller), ("", EpollPoller)):
        monkeypatch.setenv(VARIABLE, asked)
        assert poller_type() is kind
    monkeypatch.setenv(VARIABLE, "kqueue")
    with pytest.raises(ValueError, match="'epoll' or 'portable', not 'kqueue'"):
        poller_type()
    monkeypatch.delattr(select, "epoll")
    monkeypatch.setenv(VARIABLE, "epoll")
    with pytest.raises(RuntimeError, match="no epoll: leave"):
        poller_type()
    monkeypatch.delenv(VARIABLE)
    assert poller_type() is PortablePoller


def test_a_child_is_waited_for_by_a_thread_where_there_is_no_pidfd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    threads = threading.active_count()

    async def main() -> None:
        async with open_process(["cat"], stdin=PIPE) as child:
            with pytest.raises(TimeoutError), timeout(0.001):
                await child.wait()
            assert child.returncode is None
        assert child.returncode == 0
        with pytest.raises(ZeroDivisionError):
            async with open_process(["sleep", "1000"]) as child:
                raise ZeroDivisionError
        assert child.returncode == -signal.SIGKILL
        descriptors = len(os.listdir("/proc/self/fd"))
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="no more threads"):
            open_process(["sleep", "1000"])
        assert len(os.listdir("/proc/self/fd")) == descriptors

    run(main())
    assert threading.active_count() == threads


def test_the_thread_that_waited_for_a_child_is_gone_when_the_block_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    main_thread, wait = threading.main_thread(), subprocess.Popen.wait
    lags = threading.Event()

    def lagging(popen: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        code = wait(popen, timeout)
        if threading.current_thread() is not main_thread:
            lags.wait(0.1)  # nobody sets it: the executor is sooner than the thread
        return code

    monkeypatch.setattr(subprocess.Popen, "wait", lagging)

    async def main() -> None:
        async with open_process(["true"]) as child:
            while child.returncode is None:
                await sleep(0.001)
        assert not [one for one in threading.enumerate() if one.name.startswith("waits for")]

    run(main())


def refuse(thread: threading.Thread) -> None:
    raise RuntimeError("no more threads")
