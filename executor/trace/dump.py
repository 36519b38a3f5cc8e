"""dump: what every task of an executor is doing now, as a tree; also on SIGUSR1::

2 tasks, 0 ready, 1 timer main #1: parked on Task 'worker' since 0.000 s
│   prog.py:12 main          await worker
└── worker #2: parked on Sleep since 0.000 s, spawned at prog.py:11
        prog.py:7 work            await sleep(60)
"""

from __future__ import annotations

import linecache
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final, final

from pinfut.coroutine import YIELD, CoroutineFuture
from pinfut.executor.contract import Runner
from pinfut.executor.deadlock import parts
from pinfut.executor.lacking import lacking
from pinfut.executor.layers import handlers
from pinfut.executor.task import Task
from pinfut.executor.trace.texts import named
from pinfut.executor.trace.watched import WatchedTask
from pinfut.places import frames_of, of_house

_DEEPEST: Final = 20  # frames shown of one await chain, and levels of futures inside of futures
_MOST: Final = 100  # children shown of one combinator, and callbacks
_LONGEST: Final = 200  # characters of a callback
_LOOPS: Final = ("pinfut.executor.loop", "pinfut.executor.observed")


def dump(executor: Runner, interrupted: FrameType | None = None) -> str:
    """Every task of `executor`: what it is parked on, where, since when, who spawned it.
    `interrupted`: the frame that a signal handler was given, shown for the running task."""
    tasks = list(executor.tasks)
    timers = len(executor.timers)
    lines = [
        f"{_count(len(tasks), 'task')}, {sum(map(_is_ready, tasks))} ready, "
        f"{_count(timers, 'timer')} at {executor.now():.3f} s"
    ]
    children, roots = _family(executor, tasks)
    # Bounded: each task once. Not recursive, for a chain of parents has any length.
    stack: list[tuple[Task[Any], str, str]] = [(task, "", "") for task in reversed(roots)]
    while stack:
        task, first, rest = stack.pop()
        below = children.get(task, [])
        lines.append(f"{first}{_label(executor, task)}")
        body = rest + ("│   " if below else "    ")
        lines += [body + line for line in _waits(executor, task, interrupted)]
        for child in reversed(below):
            last = child is below[-1]
            stack.append(
                (child, rest + ("└── " if last else "├── "), rest + ("    " if last else "│   "))
            )
    callbacks = list(_callbacks(executor))
    lines += callbacks[:_MOST]
    if len(callbacks) > _MOST:
        lines.append(f"... {len(callbacks) - _MOST} more")
    lines += executor.others
    if tasks and not isinstance(tasks[0], WatchedTask):
        lines.append("since when and who spawned: unknown; run checked or with an instrument")
    return "\n".join(lines)


def _callbacks(executor: Runner) -> Iterator[str]:
    """What will run and is no task, in its order: callbacks of asyncio, and calls put off."""
    for queue in (executor.high, executor.ready, executor.low):
        for entry in list(queue):
            if not isinstance(entry, Task):
                yield f"ready: {entry.name[:_LONGEST]}"
    for call, _ in list(executor.deferred):
        yield f"put off: {getattr(call, '__qualname__', repr(call))[:_LONGEST]}"


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _family(
    executor: Runner, tasks: list[Task[Any]]
) -> tuple[dict[Task[Any], list[Task[Any]]], list[Task[Any]]]:
    """The children of each task, and the tasks whose parent is unknown or has ended. The parent is
    who spawned it; unwatched, who holds the scope that it belongs to."""
    numbers = {task.number: task for task in tasks if isinstance(task, WatchedTask)}
    children: dict[Task[Any], list[Task[Any]]] = {}
    roots: list[Task[Any]] = []
    for task in tasks:
        parent: Any
        if isinstance(task, WatchedTask):
            parent = numbers.get(task.parent)
        else:
            parent = getattr(executor.tasks.get(task), "_owner", None)
        if isinstance(parent, Task):
            children.setdefault(parent, []).append(task)
        else:
            roots.append(task)
    return children, roots


def _is_ready(task: Task[Any]) -> bool:
    return task.queued and not task.running


def _label(executor: Runner, task: Task[Any]) -> str:
    watched = task if isinstance(task, WatchedTask) else None
    label = task.name if watched is None else f"{task.name} #{watched.number}"
    if executor.current is task:
        label += ": running"
    elif _is_ready(task):
        label += ": ready"
    else:
        label += f": parked on {named(task.leaf)}"
        if watched is not None and watched.since is not None:
            label += f" since {watched.since:.3f} s"
    if watched is not None and watched.parent:
        label += f", spawned at {_short(watched.spawned_at)}"
    return label


def _waits(executor: Runner, task: Task[Any], interrupted: FrameType | None) -> Iterator[str]:
    """The await chain of a task, outermost first, and what its leaf waits for."""
    if executor.current is task and interrupted is not None:
        yield from _stack(interrupted)
        return
    yield from chain(task._coro)
    yield from _inside(task.leaf, _DEEPEST)


def chain(coro: Any) -> Iterator[str]:
    """The await chain of a suspended coroutine, outermost first."""
    yield from _frames(list(frames_of(coro)))


def _stack(innermost: FrameType) -> Iterator[str]:
    """The frames of the interrupted step: those above the executor's own."""
    frames: list[FrameType] = []
    frame: FrameType | None = innermost
    while frame is not None and frame.f_globals.get("__name__") not in _LOOPS:
        frames.append(frame)
        frame = frame.f_back
    yield from _frames(frames[::-1])


def _frames(frames: list[FrameType]) -> Iterator[str]:
    shown = [frame for frame in frames if not of_house(frame)] or frames
    hidden = len(shown) - _DEEPEST
    if hidden > 0:
        yield f"... {_count(hidden, 'frame')} more above"
        shown = shown[hidden:]
    for frame in shown:
        code = frame.f_code
        place = f"{_short(code.co_filename)}:{frame.f_lineno} {code.co_name}"
        yield f"{place:<32}  {linecache.getline(code.co_filename, frame.f_lineno).strip()}".rstrip()


def _inside(leaf: Any, depth: int) -> Iterator[str]:
    """The futures that `leaf` polls in place, each with its own await chain."""
    if not depth:
        yield "..."
        return
    if isinstance(leaf, CoroutineFuture):
        yield from chain(leaf._coro)
        yield from _inside(leaf._leaf, depth - 1)
        return
    children = parts(leaf)
    for index, part in enumerate(children[:_MOST]):
        if part is not None:
            # A coroutine is seen through to what it waits for.
            inner = part._leaf if isinstance(part, CoroutineFuture) else part
            yield f"[{index}] {'ready' if inner is YIELD else named(inner)}"
            for line in _inside(part, depth - 1):
                yield f"    {line}"
    if len(children) > _MOST:
        yield f"... {len(children) - _MOST} more"


def _short(path: str) -> str:
    """A path as seen from here, if that is shorter."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # on another drive
        return path
    return min(path, relative, key=len)


@final
class DumpOnSignal:
    """SIGUSR1 writes the dump of an executor to stderr, from `take_over` to `give_back`."""

    __slots__ = ("_executor",)

    def __init__(self, executor: Runner) -> None:
        self._executor = executor

    def take_over(self, asked: bool | None) -> None:
        """`asked`: None for what the environment says (``PINFUT_DUMP`` not empty, not 0), which
        does nothing where it cannot: outside of the main thread, or when the program has a handler
        of its own. Asked for outright, that raises RuntimeError, and OSError without a SIGUSR1."""
        if not (os.environ.get("PINFUT_DUMP", "0") not in ("", "0") if asked is None else asked):
            return
        if not hasattr(signal, "SIGUSR1"):
            if asked:
                raise lacking("a dump on a signal", "SIGUSR1", "call executor.dump()")
            return
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
        ):
            handlers(signal.SIGUSR1).take(self._write)
        elif asked:
            raise RuntimeError(
                "SIGUSR1 can dump only from the main thread of a program that does not handle "
                "it itself; call executor.dump() from that handler instead"
            )

    def give_back(self) -> None:
        """The handler of before again, unless the program has set another. Idempotent."""
        if hasattr(signal, "SIGUSR1"):
            handlers(signal.SIGUSR1).give_back(self._write)

    def _write(self, number: int, frame: FrameType | None) -> None:
        try:
            shown = dump(self._executor, frame)
        except Exception as error:
            # A future of somebody's own; raised here it would end whatever runs now.
            shown = f"the tasks cannot be shown: {error!r}"
        # Not through sys.stderr: the signal may have come in the middle of a write to it.
        text = f"pinfut: {shown}\n".encode(errors="replace")
        while text:
            text = text[os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text) :]
