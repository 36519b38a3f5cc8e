"""Work done in forks of this process, several at a time, each bounded in CPU and in memory."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

MEMORY: Final = 4 << 30
"""How many bytes of addresses a fork may have. More is a MemoryError in it."""

WAIT: Final = 120.0
"""How many seconds a fork may stand still, for it may have no CPU to run out of. Each report of
its progress begins them anew."""

Report = Callable[[Any], None]


@dataclass(frozen=True)
class Ended:
    """What became of a fork. `said`: its reports, in order; `cpu`: seconds."""

    said: list[Any]
    code: int
    signal: int
    stood_still: bool
    cpu: float


class _Fork:
    def __init__(self, work: Callable[[Report], None]) -> None:
        out, into = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(out)
            _run(work, into)
        os.close(into)
        self.fd = out
        self.raw = bytearray()
        self.heard = time.monotonic()

    def read(self) -> bool:
        """Take what it wrote; False at the end."""
        data = os.read(self.fd, 1 << 20)
        self.raw += data
        self.heard = time.monotonic()
        return bool(data)

    def end(self, *, kill: bool) -> Ended:
        if kill:
            self.kill()
        os.close(self.fd)
        _, status, usage = os.wait4(self.pid, 0)
        said = []
        at = 0
        while at + 4 <= len(self.raw):
            size = int.from_bytes(self.raw[at : at + 4], "big")
            if at + 4 + size > len(self.raw):
                break
            said.append(pickle.loads(self.raw[at + 4 : at + 4 + size]))
            at += 4 + size
        code = os.waitstatus_to_exitcode(status)
        return Ended(said, max(code, 0), max(-code, 0), kill, usage.ru_utime + usage.ru_stime)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def _run(work: Callable[[Report], None], into: int) -> None:
    """The life of a fork."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        quiet = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(quiet, fd)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        def report(thing: Any) -> None:
            raw = pickle.dumps(thing)
            rest = memoryview(len(raw).to_bytes(4, "big") + raw)
            while rest:
                rest = rest[os.write(into, rest) :]

        work(report)
        code = 0
    finally:
        os._exit(code)


def bound_cpu(seconds: float) -> None:
    """From now on this fork may take so much CPU; then SIGPROF ends it."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)


def in_forks(works: Iterable[Callable[[Report], None]], width: int) -> Iterator[tuple[int, Ended]]:
    """Do each work in a fork of its own, up to `width` at a time; give its number and its end,
    in the order in which they end. No fork outlives the iteration."""
    numbered = enumerate(works)
    running: dict[int, tuple[int, _Fork]] = {}
    more = True
    try:
        while True:
            while more and len(running) < width:
                number, work = next(numbered, (-1, None))
                if work is None:
                    more = False
                    break
                fork = _Fork(work)
                running[fork.fd] = number, fork
            if not running:
                return
            ready, _, _ = select.select(list(running), [], [], 1.0)
            late = time.monotonic() - WAIT
            for fd, (number, fork) in list(running.items()):
                if fd in ready:
                    if fork.read():
                        continue
                    late_one = False
                elif fork.heard < late:
                    late_one = True
                else:
                    continue
                del running[fd]
                yield number, fork.end(kill=late_one)
    finally:
        for _, fork in running.values():
            fork.end(kill=True)
