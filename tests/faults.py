"""Faults: every call of the executor to the system is made to fail, and Ctrl-C comes everywhere.

``python -m tests.faults`` prints, for each program below, how many calls it makes in the executor's
name and how many instructions of the executor it runs, what became of the run when the n-th of
them was hit, for each n, and that afterwards a run works and nothing is left.

A call fails before it has done anything; one that gives something back fails when it has done so,
as ``close`` does, and so do handlers that are put back. Only in the main thread: in another one
a fault is the function's own.
"""

from __future__ import annotations

import argparse
import contextlib
import dis
import errno
import faulthandler
import gc
import logging
import os
import select
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from io import FileIO
from types import FrameType
from typing import Any, Final, TypeAlias

from pinfut import laws
from pinfut.executor import (
    CancelledError,
    Executor,
    core,
    current_executor,
    from_thread,
    layers,
    sleep,
    spawn,
    to_thread,
    yield_now,
)
from pinfut.executor.current import running
from pinfut.executor.io import run_process, signals, socketpair
from pinfut.executor.pollers import VARIABLE
from pinfut.executor.threads import RemoteWaker
from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll

Program: TypeAlias = Callable[[Executor], object]

PATIENCE: Final = 120
"""Seconds after which a run that does not end has hung: its stack is shown, and all ends."""


# ---- programs ----


class _Woken(FutureBase[None]):
    """Woken through a RemoteWaker."""

    waker: RemoteWaker | None = None

    def poll(self, cx: Context, /) -> Poll[None]:
        if self.waker is not None:
            return None
        self.waker = RemoteWaker(cx.waker)
        self.waker.wake()
        return PENDING

    def drop(self) -> None:
        if self.waker is not None:
            self.waker.drop()


async def _child(log: list[str]) -> None:
    try:
        await sleep(1000)
    finally:
        await yield_now()
        log.append("cleaned up")


async def _small() -> str:
    spawn(_child([]))
    current_executor().call_soon(len, "")
    await yield_now()
    await sleep(0.0001)
    return "done"


async def _wide() -> str:
    """Something of everything: threads, descriptors, signals, timers, tasks."""
    spawn(_child([]))
    one, other = socketpair()
    with one, other, signals(signal.SIGUSR1, signal.SIGUSR2) as stream:

        async def receives() -> bytes:
            return await one.recv(10)

        receiving = spawn(receives())
        await sleep(0.0001)
        await other.sendall(b"bytes")
        assert await receiving == b"bytes"
        current_executor().call_soon(signal.raise_signal, signal.SIGUSR1)
        assert await stream.next() == signal.SIGUSR1
    assert await to_thread(from_thread, _small) == "done"
    await _Woken()
    return "done"


async def _process() -> str:
    assert (await run_process(["cat"], input=b"in")).stdout == b"in"
    return "done"


def small(executor: Executor) -> object:
    return executor.run(_small())


def wide(executor: Executor) -> object:
    return executor.run(_wide())


def process(executor: Executor) -> object:
    return executor.run(_process())


def hosted(executor: Executor) -> object:
    try:
        executor.open()
        main = executor.spawn(_small())
        while not main.done:
            executor.turn(executor.due())
        return main.result()
    finally:
        try:
            executor.close()
        finally:
            executor.close()  # what an interrupt has left of the first


PROGRAMS: Final[dict[str, Program]] = {one.__name__: one for one in (small, hosted, wide, process)}

WAYS: Final = ("epoll", "epoll, checked", "portable", "portable, checked")


@contextlib.contextmanager
def poller(way: str) -> Iterator[None]:
    """Executors that are opened here get the poller of `way`."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = way.partition(",")[0]
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


# ---- what is hit ----

_SYSTEM: Final = frozenset({"posix", "select", "_socket", "_signal", "_thread", "_posixsubprocess"})
_OBJECTS: Final = (select.epoll, socket.SocketType, FileIO)
# What cannot fail, whatever the system does, and what programs do here to be hit themselves.
_SAFE: Final = frozenset(
    {
        *("allocate_lock", "RLock", "get_ident", "get_native_id", "getpid", "fspath", "fsencode"),
        *("strerror", "getsignal", "fileno", "raise_signal", "default_int_handler", "detach"),
        *("waitstatus_to_exitcode", "get_inheritable", "getdefaulttimeout", "gettimeout"),
        *("daemon_threads_allowed", "_set_sentinel", "_is_main_interpreter", "stack_size"),
        *("_make_thread_handle", "_get_main_thread_ident"),
    }
)
_CHILDREN: Final = "/subprocess.py"
_GIVES_BACK: Final = frozenset({"close", "closerange", "shutdown"})


def can_fail(call: Any) -> bool:
    """Whether this built-in function asks the system for something."""
    name, owner = getattr(call, "__name__", ""), getattr(call, "__self__", None)
    if name in _SAFE:
        return False
    return isinstance(owner, _OBJECTS) or getattr(owner, "__name__", "") in _SYSTEM


def in_the_executor(frame: FrameType | None) -> bool:
    """Whether the executor makes this call, itself or through the standard library."""
    while frame is not None:
        path = frame.f_code.co_filename
        if "/tests/" in path or path.endswith(_CHILDREN):
            return False  # how the standard library fails to start a child is its own affair
        if "/executor/" in path:
            return True
        frame = frame.f_back
    return False


def gives_back(frame: FrameType | None) -> bool:
    """Whether this call undoes what another has done."""
    while frame is not None and "/tests/" not in frame.f_code.co_filename:
        if frame.f_code.co_name == "give_back":
            return True
        frame = frame.f_back
    return False


def in_a_finalizer(frame: FrameType | None) -> bool:
    """Whether the interpreter would tell of an error here and go on, as if none had come."""
    while frame is not None and "/tests/" not in frame.f_code.co_filename:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class Failing:
    """Has the `at`-th call of the executor to the system fail, or only counts them."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.count = 0
        self.hit: str | None = None
        self._late = False

    def __enter__(self) -> Failing:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, call: Any) -> None:
        if event == "c_return" and self._late:
            self._late = False
            self._fail(call)
        if event != "c_call" or not can_fail(call) or not in_the_executor(frame):
            return
        if in_a_finalizer(frame):
            return
        self.count += 1
        if self.count == self.at:
            self.hit = call.__name__
            if self.hit in _GIVES_BACK or gives_back(frame):
                self._late = True
            else:
                self._fail(call)

    def _fail(self, call: Any) -> None:
        if call.__name__.startswith("start_"):
            raise RuntimeError("can't start new thread")
        raise OSError(errno.ENOMEM, f"a planted fault of {call.__name__}")


def _raise(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


_NOP: Final = dis.opmap["NOP"]


class Pressing:
    """Has Ctrl-C come before the `at`-th instruction of the executor, or of how the standard
    library starts and asks children for it; or only counts them.

    `times`: so often, each a few instructions after the one before. 0: once, to a handler of the
    program's own, which raises at once and knows nothing of runs.
    """

    def __init__(self, at: int | None, times: int = 1) -> None:
        self.at = at
        self.times = times
        self.count = 0
        self.hit: str | None = None

    def __enter__(self) -> Pressing:
        # Also in the background, where a shell has it ignored.
        self._handler = signal.default_int_handler if self.times else _raise
        self._before = signal.signal(signal.SIGINT, self._handler)
        sys.settrace(self._entered)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        assert signal.getsignal(signal.SIGINT) is self._handler, "it was not put back"
        signal.signal(signal.SIGINT, self._before)

    def _entered(self, frame: FrameType, event: str, _: object) -> Any:
        path = frame.f_code.co_filename
        ours = "/executor/" in path and "/tests/" not in path
        if not (ours or path.endswith(_CHILDREN)) or in_a_finalizer(frame):
            return None
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return self._traced

    def _traced(self, frame: FrameType, event: str, _: object) -> Any:
        # At a NOP, as `try:` is, the interpreter lets nobody in, and no `except` is in force.
        if event == "opcode" and frame.f_code.co_code[frame.f_lasti] != _NOP:
            self.count += 1
            if self.count == self.at:
                self.hit = self.hit or f"{frame.f_code.co_name}:{frame.f_lineno}"
                if self.times > 1:
                    self.times -= 1
                    self.at += 7
                self._press(frame)
        return self._traced

    def _press(self, frame: FrameType) -> None:
        # As the interpreter does, which calls it between two instructions of this frame.
        handler = signal.getsignal(signal.SIGINT)
        assert callable(handler)
        handler(signal.SIGINT, frame)


# ---- what must be so afterwards ----

_NUMBERS: Final = (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


def state() -> dict[str, object]:
    """What a run must leave as it was."""
    wakeup = signal.set_wakeup_fd(-1)
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "children": _children(),
        "threads": threading.active_count(),
        "handlers": [signal.getsignal(number) for number in _NUMBERS],
        "layers": [len(layers.handlers(number)._layers) for number in _NUMBERS],
        "wakeup": (wakeup, len(layers.WAKEUP_FD._layers)),
        "running": running.executor,
        "hooks": tuple(sys.get_asyncgen_hooks()),
        "checked": set(laws.running),
        "open": len(core._opened),
    }


def _children() -> int:
    """How many there are, those that nobody has waited for included."""
    count = 0
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children") as children:
            count += len(children.read().split())
    return count


async def _again() -> str:
    await sleep(0)
    return await to_thread(lambda: "again")


Hit: TypeAlias = Failing | Pressing


def hit(program: Program, way: str, fault: Hit) -> str:
    """Run `program` with `fault`: what became of it. Raises AssertionError for what is left."""
    before = state()
    executor = Executor(checked="checked" in way, dump_on_signal=True)
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    try:
        with fault:
            try:
                outcome = str(program(executor))
            finally:
                # Not later: what follows is not to be hit.
                sys.setprofile(None)
                sys.settrace(None)
    except (Exception, KeyboardInterrupt, CancelledError) as error:
        outcome = type(error).__name__
    finally:
        faulthandler.cancel_dump_traceback_later()
    where = (
        f"{program.__name__}, {way}, {type(fault).__name__} {fault.at} in {fault.hit}: {outcome}"
    )
    assert not executor.tasks, f"{where}: tasks are left"
    assert executor.poller is None, f"{where}: it is open"
    # The threads that Ctrl-C has not waited for end by themselves.
    for thread in threading.enumerate():
        if thread.name.startswith("pinfut"):
            thread.join(PATIENCE)
    if isinstance(fault, Pressing):
        gc.collect()  # an object that was made and never stored may be a cycle, as selectors are
    after = state()
    left = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert not left, f"{where}: {left}"
    for one in (executor, Executor(checked="checked" in way)):
        assert one.run(_again()) == "again", f"{where}: the next run"
    return outcome


def count(program: Program, way: str, fault: Hit) -> int:
    """How many places there are to hit. The first runs fill caches."""
    for _ in range(3):
        fault.count = 0
        assert hit(program, way, fault) == "done"
    return fault.count


def every(
    program: Program, way: str, make: Callable[[int | None], Hit], stride: int = 1
) -> Counter[str]:
    """Hit every `stride`-th place of `program`; how many there are, and what became of it."""
    outcomes: Counter[str] = Counter()
    with poller(way):
        outcomes["places"] = count(program, way, make(None))
        for at in range(1, outcomes["places"] + 1, stride):
            fault = make(at)
            outcome = hit(program, way, fault)
            outcomes["hit"] += fault.hit is not None
            outcomes[outcome] += 1
    return outcomes


KINDS: Final[dict[str, Callable[[int | None], Hit]]] = {
    "calls that fail": Failing,
    "Ctrl-C": Pressing,
    "Ctrl-C, three times": lambda at: Pressing(at, 3),
    "an interrupt of the program's own": lambda at: Pressing(at, 0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--stride", type=int, default=1, help="hit every n-th instruction only")
    parser.add_argument("--only", choices=PROGRAMS, help="this program")
    parser.add_argument("--kind", choices=KINDS, help="this kind of fault")
    args = parser.parse_args()
    logging.disable()
    for name, program in PROGRAMS.items():
        if args.only not in (None, name):
            continue
        for kind, make in KINDS.items():
            if args.kind not in (None, kind):
                continue
            for way in WAYS:
                got = every(program, way, make, 1 if make is Failing else args.stride)
                places, times = got.pop("places"), got.pop("hit")
                became = ", ".join(f"{what} {n:,}" for what, n in got.most_common())
                print(f"{name}, {way}: {kind}: {places:,} places, {times:,} hit: {became}")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
