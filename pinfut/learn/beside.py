"""beside: a program run by asyncio on simulated time, told in the format of docs/trace.md.

A lane is a task. Every callback that asyncio puts into its queue is a handle: one that is a step of
a task is told as a step, any other as ``ran``.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from asyncio import Task, TimerHandle
from collections.abc import Callable, Coroutine
from contextvars import Context
from types import ModuleType
from typing import Any, Final, TypeVarTuple, final

Ts = TypeVarTuple("Ts")

MOST_EVENTS: Final = 3_000
PROGRAM: Final = "lesson.py"


@final
class _Jump:
    """In place of a selector: where nothing is ready, time goes on to the next timer."""

    def __init__(self, loop: _Told) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("every task waits, no timer is set, and nobody is left to wake them")
        self._loop.now += timeout
        return []


@final
class _Told(asyncio.BaseEventLoop):
    """A loop of asyncio that tells what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.events: list[dict[str, Any]] = []
        # Whether it was stopped because it had told enough.
        self.enough = False
        self._selector = _Jump(self)
        self._numbers: dict[Any, int] = {}
        self._timers: dict[Any, int] = {}
        # The events of the tasks that have not run yet: a group names its tasks only then.
        self._fresh: dict[int, dict[str, Any]] = {}
        # Whose step runs, and what runs when no task does.
        self._running = 0
        self._cause = "outside"
        self.set_task_factory(self._make_task)

    def tell(self, kind: str, **more: Any) -> None:
        """Add an event; the loop stops when there are too many."""
        if len(self.events) >= MOST_EVENTS:
            self.enough = True
            self.stop()
            return
        found = {key: value for key, value in more.items() if value is not None}
        self.events.append({"k": kind, "t": round(self.now, 9), **found})

    def time(self) -> float:
        return self.now

    def _process_events(self, event_list: Any) -> None:
        pass

    def _make_task(self, loop: Any, coro: Any, **options: Any) -> Task[Any]:
        self._numbers[coro] = number = len(self._numbers) + 1
        name = options.get("name") or coro.__name__
        self.tell("spawn", a=number, n=name, b=self._running or None, at=_place(coro))
        self._fresh[number] = self.events[-1]
        return Task(coro, loop=loop, **options)

    def _number(self, callback: Any) -> int:
        """The task whose step this callback is; 0 for another one."""
        task = getattr(callback, "__self__", None)
        return self._numbers[task.get_coro()] if isinstance(task, Task) else 0

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        number = self._number(callback)
        # A first step is no wake, and who gives way wakes nobody.
        if number and number != self._running and number not in self._fresh:
            by = {"b": self._running} if self._running else {"by": self._cause}
            self.tell("wake", a=number, m=0, **by)

        def handle() -> None:
            self._run(number, callback, args)

        return super().call_soon(handle, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        number = len(self._timers) + 1

        def fired() -> None:
            self.tell("timer", x=number, s="fired", d=round(when, 9))
            self._cause = f"timer {number}"
            try:
                callback(*args)
            finally:
                self._cause = "outside"

        handle = super().call_at(when, fired, context=context)
        self._timers[handle] = number
        self.tell("timer", x=number, s="set", d=round(when, 9), a=self._running or None)
        return handle

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        self.tell("timer", x=self._timers[handle], s="cancelled", d=round(handle.when(), 9))
        super()._timer_handle_cancelled(handle)  # type: ignore[misc]  # not in the stubs

    def _run(self, number: int, callback: Any, args: Any) -> None:
        if not number:
            name = getattr(callback, "__qualname__", type(callback).__name__)
            self.tell("ran", n=name)
            self._cause = f"The callback {name}"
            try:
                callback(*args)
            finally:
                self._cause = "outside"
            return
        task: Task[Any] = callback.__self__
        coro: Any = task.get_coro()
        fresh = self._fresh.pop(number, None)
        if fresh is not None and not task.get_name().startswith("Task-"):
            fresh["n"] = task.get_name()
        self.tell("resume", a=number, at=_place(coro))
        self._running = number
        try:
            callback(*args)
        finally:
            self._running = 0
            if task.done():
                self.tell("finish", a=number, **_outcome(task))
            elif task._fut_waiter is None:  # type: ignore[attr-defined]  # not in the stubs
                self.tell("yield", a=number, at=_place(coro))
            else:
                waiter = type(task._fut_waiter).__name__  # type: ignore[attr-defined]
                self.tell("park", a=number, tr={"f": 0, "n": waiter}, at=_place(coro))


def _outcome(task: Task[Any]) -> dict[str, Any]:
    if task.cancelled():
        return {"how": "cancelled"}
    error = task.exception()
    if error is not None:
        return {"how": "error", "v": type(error).__name__}
    value = task.result()
    return {"how": "value"} if value is None else {"how": "value", "v": repr(value)[:80]}


def _place(coro: Any) -> str | None:
    """Where the innermost coroutine of the program stands."""
    place = None
    while coro is not None:
        frame = getattr(coro, "cr_frame", None)
        if frame is not None and frame.f_code.co_filename == PROGRAM:
            place = f"{PROGRAM}:{frame.f_lineno}"
        coro = getattr(coro, "cr_await", None)
    return place


@final
class _Prints(io.TextIOBase):
    def __init__(self, loop: _Told) -> None:
        self._loop = loop

    def write(self, text: str, /) -> int:
        if text.strip():
            self._loop.tell("out", v=text)
        return len(text)


def run_beside(load: Callable[[], ModuleType], sources: dict[str, str]) -> dict[str, Any]:
    """The trace of the program's `main` under asyncio, whatever becomes of it."""
    loop = _Told()
    header: dict[str, Any] = {"title": "The same under asyncio", "clock": "virtual", "lost": 0}
    header["runner"] = "asyncio"
    header["sources"] = [{"name": name, "text": text} for name, text in sources.items()]
    # A browser's page has a loop that runs always.
    outer = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        with contextlib.redirect_stdout(_Prints(loop)):
            main: Coroutine[Any, Any, object] = load().main()
            loop.run_until_complete(main)
    except Exception as error:
        kind, text = type(error).__name__, str(error)
        if loop.enough:
            kind, text = "TooManySteps", "it never ends"
        header["error"] = {"type": kind, "text": text, "law": None, "at": None}
    finally:
        asyncio._set_running_loop(None)
        try:
            _end(loop)
        finally:
            asyncio._set_running_loop(outer)
    return {"header": header, "events": loop.events}


def _end(loop: _Told) -> None:
    """Cancel what is left, and close the loop. What happens now is not told."""
    told, loop.events = loop.events, []
    with contextlib.suppress(BaseException):
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.events = told
    loop.close()
