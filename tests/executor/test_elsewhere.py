"""pinfut imports and runs where neither epoll nor eventfd exists, and says what it lacks."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
""",
    "windows": """\
Unix socket: refused: a socket with a path needs AF_UNIX, which this system does not have; \
use listen_tcp and connect_tcp
dump on a signal: refused: a dump on a signal needs SIGUSR1, which this system does not have; \
call executor.dump()
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
