"""Threads: functions that block, and what other threads may do with an executor.

A call in another thread, and who moves it on::

    idle ──first poll──▶ queued ──a thread is free──▶ at work ──▶ done
                           │                             │
                           └── drop: it never runs       └── drop: it runs on, its outcome
                                                             is thrown away
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from types import CoroutineType
from typing import Any, Final, ParamSpec, TypeVar, cast, final, overload

from pinfut.executor.contract import JoinHandle, Poller, Runner
from pinfut.executor.current import NoExecutor, current_poller
from pinfut.forgotten import tell_if_forgotten
from pinfut.future import FutureBase
from pinfut.laws import TakenTwice
from pinfut.poll import PENDING, Context, Poll, Waker
from pinfut.variables import copy_context

T = TypeVar("T")
P = ParamSpec("P")

THREADS: Final = min(32, (os.cpu_count() or 1) + 4)
"""How many functions run at the same time. More wait in the tasks that called them."""


class _Home(threading.local):
    poller: Poller | None = None
    call: ToThread[Any] | None = None


_home = _Home()
"""In a thread of `to_thread`: the poller of the executor that it works for, and what it does."""


@final
class RemoteWaker:
    """A waker that any thread may call. Make it in a poll, from ``cx.waker``. While it is neither
    woken nor dropped the executor sleeps for it instead of reporting a lost wakeup, so the one who
    makes it drops it in `drop`."""

    __slots__ = ("_called", "_poller", "_waker")

    def __init__(self, waker: Waker) -> None:
        self._poller = current_poller()
        self._called = False  # whether its wake is under way
        # Invariant: not None while this is counted in `Poller.external`.
        self._waker: Waker | None = waker
        self._poller.external += 1

    def wake(self) -> None:
        """Have the task polled again. Idempotent; harmless when it comes too late."""
        if self._waker is not None and not self._called:
            self._poller.hand_over(self._wake_here)
            self._called = True

    def _wake_here(self) -> None:
        waker = self._waker
        if waker is not None:
            self.drop()
            waker.wake()

    def drop(self) -> None:
        """Nobody waits for it any more. In the executor's thread; idempotent."""
        if self._waker is not None:
            self._waker = None
            self._poller.external -= 1


@final
class Threads:
    """The threads of one executor, and who waits for one."""

    __slots__ = ("_free", "_pool", "_queued", "parked", "poller")

    def __init__(self, poller: Poller) -> None:
        self.poller = poller
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="pinfut")
        # Invariant: empty unless no thread is free, and all in it are parked.
        self._free = THREADS
        self._queued: OrderedDict[ToThread[Any], None] = OrderedDict()
        # Invariant: how many tasks wait for a call here; counted in `Poller.external`, too.
        self.parked = 0

    @property
    def stuck(self) -> bool:
        """Whether nothing may still come but the ends of calls whose threads wait for tasks, or
        for which no thread is free. When no task can go on either, none of them ever ends."""
        poller = self.poller
        return self.parked == poller.external and not (poller.working or poller.notified)

    def submit(self, call: ToThread[Any]) -> None:
        """Have `call` run when a thread is free, and its `done` called here when it has. Raises
        RuntimeError, and nothing is done, where no thread can be started."""
        if not self._free:
            self._queued[call] = None
            return
        job = [call]
        try:
            self._pool.submit(self._work, job)
        except BaseException as error:
            # No thread could be started: take the job back, unless a thread was quicker.
            try:
                job.pop()
            except IndexError:
                if not isinstance(error, RuntimeError):
                    self._count_off()
                    raise
            else:
                raise
        self._count_off()

    def _count_off(self) -> None:
        self._free -= 1
        self.poller.working += 1

    def withdraw(self, call: ToThread[Any]) -> None:
        """Take back a call, unless a thread has begun it."""
        self._queued.pop(call, None)

    def shutdown(self, wait: bool) -> None:
        """Have the threads end when their work is done, and wait for that."""
        self._pool.shutdown(wait=wait)

    def _work(self, job: list[ToThread[Any]]) -> None:
        try:
            call = job.pop()
        except IndexError:
            return  # taken back
        _home.poller = self.poller
        _home.call = call
        value: Any = None
        error: BaseException | None = None
        try:
            value = call.run()
        except BaseException as raised:
            error = raised
        _home.call = None
        self.poller.hand_over(self._worked, call, value, error)
        del call, value, error

    def _worked(self, call: ToThread[Any], value: Any, error: BaseException | None) -> None:
        self._free += 1
        self.poller.working -= 1
        if self._queued:
            following = self._queued.popitem(last=False)[0]
            try:
                self.submit(following)
            except RuntimeError as refused:
                following.done(None, refused)
        call.done(value, error)


@final
class ToThread(FutureBase[T]):
    """The future of `to_thread`."""

    __slots__ = ("_context", "_error", "_fn", "_threads", "_value", "_waker", "task")

    def __init__(self, fn: Callable[[], T]) -> None:
        self._fn = fn
        self._context = copy_context()
        # What its thread waits for, while it does so in `from_thread`.
        self.task: JoinHandle[Any] | None = None
        # Invariant: not None from the first poll on.
        self._threads: Threads | None = None
        # Invariant: not None while a task waits; counted in `Poller.external` then.
        self._waker: Waker | None = None
        # Invariant: the outcome, from `done` to the poll that takes it.
        self._value: Poll[T] = PENDING
        self._error: BaseException | None = None

    def run(self) -> T:
        """Call the function. In its thread."""
        return self._context.run(self._fn)

    def poll(self, cx: Context, /) -> Poll[T]:
        threads = self._threads
        if threads is None:
            poller = current_poller()
            if poller.threads is None:
                poller.threads = Threads(poller)
            threads = cast(Threads, poller.threads)
            threads.submit(self)
            self._threads = threads
            threads.poller.external += 1
            threads.parked += 1
            self._waker = cx.waker
            return PENDING
        if self._waker is not None:
            self._waker = cx.waker
            return PENDING
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # or it and this frame, which its traceback holds, keep each other
        value, self._value = self._value, PENDING
        if value is PENDING:
            raise TakenTwice(
                "the result of a to_thread was taken a second time, or it was dropped", self
            )
        return value

    def __del__(self) -> None:
        if self._threads is None:
            tell_if_forgotten(self)

    def done(self, value: T, error: BaseException | None) -> None:
        """The function has ended. In the executor's thread."""
        waker, self._waker = self._waker, None
        if waker is not None:
            self._count_off()
            self._value = value
            self._error = error
            waker.wake()

    def drop(self) -> None:
        """Never begin it, or throw its outcome away: a thread at work cannot be stopped."""
        if self._waker is not None:
            self._waker = None
            self._count_off()
            cast(Threads, self._threads).withdraw(self)
        self._value, self._error = PENDING, None

    def _count_off(self) -> None:
        threads = cast(Threads, self._threads)
        threads.poller.external -= 1
        threads.parked -= 1

    def waits_for(self) -> str:
        """What keeps it from its end, for who reads an error."""
        task = self.task
        if task is None:
            return f"one of {THREADS} threads, none of which is free"
        return f"its thread, which waits in from_thread for {task!r}"


def to_thread(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> FutureBase[T]:
    """Call a function that blocks in a thread: ``data = await to_thread(path.read_bytes)``. It runs
    in a copy of the context variables of here. At most `THREADS` run at a time, the others wait
    their turn. A cancel before it has begun means that it never runs; later it runs to its end and
    its outcome is thrown away. `run` returns when all have ended."""
    return ToThread(partial(fn, *args, **kwargs))


@overload
def from_thread(
    fn: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, executor: Runner | None = None
) -> T: ...
@overload
def from_thread(fn: Callable[..., T], /, *args: Any, executor: Runner | None = None) -> T: ...


def from_thread(fn: Callable[..., Any], /, *args: Any, executor: Runner | None = None) -> Any:
    """From another thread: have ``fn(*args)`` called in the executor's thread; its result.

    The result of an async function is awaited, in a task of its own. In a thread of `to_thread` the
    executor is known; other threads name it. Raises what `fn` raises, CancelledError when the run
    ends before the task, NoExecutor when the executor does not run (or was interrupted before the
    call), and RuntimeError in the executor's own thread, where it would wait for itself."""
    poller = _home.poller if executor is None else executor.poller
    if poller is None:
        raise NoExecutor(
            "no running executor is known in this thread; call from_thread inside of to_thread, "
            "or name one that runs: from_thread(fn, executor=...)"
        )
    if poller.runner.thread == threading.get_ident():
        raise RuntimeError(
            "from_thread was called in the executor's own thread, which would wait for itself; "
            "call the function, or await it"
        )
    relay = Relay(poller, _home.call if _home.poller is poller else None, partial(fn, *args))
    if not poller.hand_over(relay.begin):
        relay.settle(None)
        raise NoExecutor("the executor's run is over; nothing can be called in its thread")
    value, error = relay.outcome.get()
    if error is None:
        return value
    try:
        raise error
    finally:
        # The error has this frame in its traceback.
        del error, relay


@final
class Relay:
    """A call of `from_thread`, and the owner of the task that it may start::

        handed over ──begin──▶ called ──it returns or raises──▶ settled
             │                   └──it gives a coroutine──▶ a task ──it ends──▶ settled
             └──give_up: the run is over, and an interrupt has kept it from more──▶ settled

    It is owed to its thread from the beginning, so that whatever is interrupted, and wherever,
    the thread has an outcome when the run is over."""

    __slots__ = ("_call", "_context", "_ours", "_poller", "outcome")

    def __init__(self, poller: Poller, ours: ToThread[Any] | None, call: Callable[[], Any]) -> None:
        self._poller = poller
        # What our thread does that waits; while it does so for a task it is not at work, and time
        # may pass.
        self._ours = ours
        self._call = call
        self._context = copy_context()
        # The first that comes is the outcome; a queue of C takes it whole or not at all.
        self.outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        poller.owed.add(self)

    def begin(self) -> None:
        """Make the call. In the executor's thread, as all that follows."""
        poller = self._poller
        try:
            value = self._context.run(self._call)
            if isinstance(value, CoroutineType):
                if poller.is_closed:
                    value.close()
                    raise NoExecutor("the executor's run is over; no task can be started in it")
                task = self._context.run(partial(poller.runner.spawn, value, owner=self))
                if self._ours is not None:
                    self._ours.task = task
                    poller.working -= 1
                return
        except BaseException as error:
            self.settle(None, error)
            if issubclass(type(error), KeyboardInterrupt):
                raise  # that is for the run, too
        else:
            self.settle(value)

    def ended(self, task: JoinHandle[Any], /) -> None:
        error = task.error()
        self.settle(None if error is not None else task.result(), error)

    def give_up(self) -> None:
        """The run is over: let the thread go."""
        self.settle(None, NoExecutor("the executor's run was interrupted before the call's end"))

    def settle(self, value: Any, error: BaseException | None = None) -> None:
        """The thread goes on, with this outcome. Once more is harmless."""
        if self._ours is not None and self._ours.task is not None:
            self._ours.task = None
            self._poller.working += 1
        self.outcome.put((value, error))
        self._poller.owed.discard(self)
