"""EventLoop: asyncio's event loop, run by an executor (docs/hosts.md).

A subclass of asyncio's selector loop. Replaced are the ready queue (a handle is an entry of the
executor's), the timers, the selector (it is the executor's poller) and the run."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio import base_events, events
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context as ContextVars
from contextvars import copy_context
from threading import get_ident
from typing import Any, Final, TypeVar, TypeVarTuple, cast, final

from pinfut.executor.contract import Clock, Poller
from pinfut.executor.core import Executor
from pinfut.executor.current import running
from pinfut.executor.hosts.across import AsyncioHost, AsyncioTasks
from pinfut.executor.hosts.selector import Fired, PollerSelector
from pinfut.executor.hosts.sock import SockCalls
from pinfut.executor.loop import AllOf
from pinfut.executor.task import NOT_DONE
from pinfut.executor.trace.instrument import Instrument
from pinfut.future import set_hosted
from pinfut.poll import PENDING, Context, Pending

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_new: Final = object.__new__


class _Entry:
    """What a handle needs to stand in a ready queue. (A `__getattr__` would be slow.)"""

    __slots__ = ()

    @property
    def name(self: Any) -> str:
        task = getattr(self._callback, "__self__", None)
        if isinstance(task, asyncio.Task):
            return str(task.get_name())
        return str(getattr(self._callback, "__qualname__", None) or repr(self._callback))

    def wake(self: Any) -> None:
        if not self.queued:
            self.queued = True
            self._loop._ready.append(self)

    def fail(self, error: BaseException, /) -> None:
        """Nothing to tell: asyncio's handles tell of their errors, and others end the run."""


class Handle(_Entry, events.Handle):
    """A callback that stands in the ready queue."""

    __slots__ = ("leaf", "queued")


class TimerHandle(_Entry, events.TimerHandle):
    """A callback that has a deadline, and stands in the ready queue when that is reached."""

    __slots__ = ("leaf", "live", "queued")

    live: bool

    __eq__ = object.__eq__  # asyncio's are equal if they look so; a timer is one of its own
    __hash__ = object.__hash__

    def expire(self: Any) -> None:
        self._scheduled = False
        self.wake()


@final
class _Calls:
    """The leaf of every handle of a loop: runs the one that stands in ``cx.waker``."""

    __slots__ = ("_executor", "_loop", "debug")

    def __init__(self, executor: Executor, loop: EventLoop) -> None:
        self._executor = executor
        self._loop = loop
        self.debug = False

    def poll(self, cx: Context, /) -> Pending:
        handle: Any = cx.waker
        if type(handle) is Fired:
            handle = handle.handle
        self._executor.current = None
        if not handle._cancelled:
            if self.debug:
                self._run_slowly(handle)
            else:
                handle._run()
        handle = None  # an error has this frame below its own, and would keep it
        return PENDING

    def _run_slowly(self, handle: Any) -> None:
        """As asyncio in debug mode: tell of one that takes long."""
        loop, asyncios = cast(Any, self._loop), cast(Any, base_events)
        loop._current_handle = handle
        began = time.monotonic()
        try:
            handle._run()
        finally:
            loop._current_handle = None
        took = time.monotonic() - began
        if took >= loop.slow_callback_duration:
            named = asyncios._format_handle(handle)
            asyncios.logger.warning("Executing %s took %.3f seconds", named, took)
        handle = None  # as in `poll`


class _LoopHost(AsyncioHost):
    """The loop, as waits across know it."""

    is_run = True

    def __init__(self, runner: Executor, loop: EventLoop) -> None:
        self.runner = runner
        self.loop = loop


class _Stop:
    """In place of a task to run until: it is done when the loop is told to stop."""

    _outcome: object = NOT_DONE
    done = False


class EventLoop(SockCalls):
    """An event loop for asyncio's programs in which pinfut's tasks run, too:
    ``asyncio.Runner(loop_factory=EventLoop)``. The arguments are those of `pinfut.executor.run`.
    Raises OSError where the process may open no more descriptors."""

    # What asyncio's own has, and its types do not say. It is closed until it is made.
    _closed: bool = True
    _selector: PollerSelector

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        checked: bool | None = None,
        instruments: Iterable[Instrument] = (),
    ) -> None:
        self.executor = executor = Executor(clock=clock, checked=checked, instruments=instruments)
        self._stop = _Stop()
        self._timers = executor.timers
        self._leaf = _Calls(executor, self)
        self._host = _LoopHost(executor, self)
        executor.others = AsyncioTasks(self)
        executor.open(hears_signals=False)
        try:
            assert executor.poller is not None, "it is open"
            self._poller = executor.poller
            if clock is not None:
                self.time = clock.now  # type: ignore[method-assign]
            super().__init__(PollerSelector(executor, self._leaf))
        except BaseException:
            executor._release()
            self._closed = True
            raise
        self._ready = executor.ready

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: ContextVars | None = None
    ) -> Handle:
        if self._closed or self._debug:
            debugged: Any = super().call_soon(callback, *args, context=context)
            del debugged._source_traceback[-1]
            return cast(Handle, debugged)
        # What __init__ would do, without two calls.
        handle: Any = _new(Handle)
        handle._context = copy_context() if context is None else context
        handle._callback = callback
        handle._args = args
        handle._loop = self
        handle._cancelled = False
        handle._source_traceback = handle._repr = None
        handle.leaf = self._leaf
        handle.queued = True
        self._ready.append(handle)
        return cast(Handle, handle)

    def _call_soon(self, callback: Any, args: Any, context: ContextVars | None) -> Any:
        # For asyncio's own code, also in other threads.
        handle: Any = Handle(callback, args, self, context)
        if handle._source_traceback:
            del handle._source_traceback[-1]
        handle.leaf = self._leaf
        handle.queued = True
        self._ready.append(handle)
        return handle

    def call_at(
        self: Any,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: ContextVars | None = None,
    ) -> TimerHandle:
        if when is None:
            raise TypeError("when cannot be None")
        if self._closed or self._debug:
            self._check_closed()
            self._check_thread()
            self._check_callback(callback, "call_at")
        timer: Any = TimerHandle(when, callback, args, self, context)
        if timer._source_traceback:
            del timer._source_traceback[-1]
        timer.leaf = self._leaf
        timer.queued = False
        timer._scheduled = True
        self._timers.push(when, timer)
        return cast(TimerHandle, timer)

    def _timer_handle_cancelled(self, handle: Any) -> None:
        handle._scheduled = False
        self._timers.cancel(handle)

    def _add_callback(self, handle: events.Handle) -> None:
        # asyncio's way for the handles that it has made itself: those of signals.
        Fired(self._ready, self._leaf, handle).wake()

    def set_debug(self, enabled: bool) -> None:
        super().set_debug(enabled)
        self._leaf.debug = enabled

    @contextmanager
    def _running(self: Any) -> Iterator[None]:
        """This is the running loop of the thread."""
        hooks = sys.get_asyncgen_hooks()
        before = running.host, running.executor
        self._set_coroutine_origin_tracking(self._debug)
        try:
            self._thread_id = get_ident()
            running.host = self._host
            set_hosted(id(self._host), True)
            sys.set_asyncgen_hooks(self._asyncgen_firstiter_hook, self._asyncgen_finalizer_hook)
            events._set_running_loop(self)
            yield
        finally:
            self._stopping = False
            self._thread_id = None
            running.host, running.executor = before
            set_hosted(id(self._host), False)
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*hooks)

    def run_forever(self: Any) -> None:
        self._check_closed()
        self._check_running()
        self._stop = _Stop()
        if self._stopping:
            self.stop()
        with self._running():
            self.executor.run_until(cast(AllOf, self._stop))

    def stop(self: Any) -> None:
        self._stopping = self._stop.done = True
        self._stop._outcome = None

    def close(self) -> None:
        """End the tasks of pinfut that are left, and give everything back."""
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        executor = self.executor
        try:
            if executor.thread and running.executor is None and not events._get_running_loop():
                executor.thread = get_ident()
                cast(Poller, executor.poller).external -= 1  # nothing comes by the self-pipe
                with self._running():
                    executor.close()
        finally:
            executor._release()  # what an error has left, or a loop that the collector has found
            super().close()


new_event_loop = EventLoop


def run(
    main: Coroutine[Any, Any, T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], EventLoop] = EventLoop,
) -> T:
    """As `asyncio.run`, on a new `EventLoop`: the result of `main`, a task of asyncio."""
    with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)
