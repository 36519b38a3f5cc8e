"""What the parts of the executor may assume of one another; the docstrings are the specification.

No part knows the class that assembles them (`pinfut.executor.core.Executor`), or inherits from a
protocol, and no loop asks whether something is one."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from contextvars import Context as ContextVars
from types import CoroutineType
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from pinfut.coroutine import Interruptible
from pinfut.poll import Context, Poll, Waker

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Priority: TypeAlias = Literal["high", "normal", "low"]
"""How urgent a task is. `pinfut.executor.ready.select_batch` says what that means in a turn."""

FirstStep: TypeAlias = "tuple[CoroutineType[Any, Any, Any], ContextVars, Owner, Any]"
"""A coroutine whose first step runs inside another task's, its context variables, its owner, and
the `pinfut.payers.Payer` of its task, where that is not in the context variables, or None."""


# ---- what is run ----


class Entry(Protocol):
    """What may stand in a ready queue: a task, or a handle of another loop. A step takes it off its
    queue, sets `queued` to False, and polls `leaf` with the entry as the waker; it stands in the
    queue again once somebody wakes it. (A task's leaf may give a value, for the coroutine.)

    An entry that is no task sets `Runner.current` to None at the beginning of its poll, and calls
    whom it likes then. What its poll raises goes to `fail`; a KeyboardInterrupt or SystemExit ends
    the run after that."""

    leaf: Any
    queued: bool
    """True exactly while it stands in a queue, or will be put there by the step that runs it.
    That is what keeps it in the queue at most once."""

    @property
    def name(self) -> str:
        """What it is called in traces and errors."""

    def wake(self) -> None:
        """Put it into its queue, unless it is there. Idempotent."""

    def fail(self, error: BaseException, /) -> None:
        """Its poll has raised `error`. Must not raise."""


class JoinHandle(Entry, Interruptible, Protocol[T_co]):
    """A task, as far as those need to know it who do not drive it: what `Runner.spawn` gives."""

    @property
    def done(self) -> bool:
        """Whether the coroutine has ended, in whatever way."""

    def poll(self, cx: Context, /) -> Poll[T_co]:
        """The result once it is done; raises its error. It is taken once."""
        ...

    def __await__(self) -> Generator[Any, Any, T_co]: ...

    def cancel(self) -> bool:
        """Have CancelledError raised where the coroutine waits. False when it is done."""

    def result(self) -> T_co:
        """The result, or the error, of a task that is done."""

    def error(self) -> BaseException | None:
        """The error of a task that is done, or None."""

    def where(self) -> str:
        """Where the coroutine is suspended, as ``file:line``."""

    def abandon(self) -> None:
        """Close the coroutine for good; `fail` follows. What that raises is reported."""


class Owner(Protocol):
    """Who has to know that a task has ended: a scope, or the call that it serves. An `Internal` of
    `pinfut.executor.task` says that the task is the runtime's own."""

    def ended(self, task: JoinHandle[Any], /) -> None:
        """`task` is done; called once, from the step in which it ended."""


class Reportable(Protocol):
    """An error that nobody has looked at yet."""

    def report(self) -> None:
        """Report it, unless someone has it already. Idempotent."""


# ---- time ----


class Timer(Protocol):
    """What has a deadline."""

    live: bool
    """Invariant: True from `TimerQueue.push` until it has expired or was cancelled."""

    def expire(self) -> None:
        """The deadline is reached. Called once at most."""


class TimerQueue(Protocol):
    """The deadlines of one executor, in seconds of its clock. Every call does a bounded amount
    of work, however many timers there are."""

    @property
    def references(self) -> int:
        """How many references to a live timer stand here."""

    def __len__(self) -> int: ...

    def push(self, deadline: float, timer: Timer, /) -> None:
        """Have `timer` expire once `deadline` is reached. Once in the life of a timer."""

    def add(self, deadline: float, call: Callable[[], object], /) -> Timer:
        """Have `call` called once `deadline` is reached; the timer that does so."""
        ...

    def cancel(self, timer: Timer, /) -> None:
        """Take a timer back; a no-op when it has expired."""

    def clear(self) -> None:
        """Take every timer back: the run is over."""

    def next_deadline(self) -> float | None:
        """The first deadline, or None. Never too late; possibly too early."""

    def fire(self, now: float, /) -> None:
        """Expire what is due at `now`, the oldest of equal deadlines first."""


class Clock(Protocol):
    """Time for timers, in seconds from some fixed point; never goes back."""

    def now(self) -> float:
        """The time."""

    def idle(self, poller: Poller, deadline: float | None, /) -> None:
        """Let time pass until `deadline`, if any, or until `poller` has something."""


# ---- descriptors and other threads ----


class Waiting(Protocol):
    """A future that waits for a source."""

    waker: Waker | None
    """The newest waker; not None while it waits."""


class Source(Protocol):
    """One descriptor, as a poller knows it. It does not own the descriptor. `mask` is what the
    poller has been asked for, in the bits of epoll on every system."""

    fd: int
    mask: int
    readable: bool
    writable: bool
    reader: Waiting | None
    writer: Waiting | None

    @property
    def poller(self) -> Poller | None:
        """Where it is registered."""

    def attach(self, poller: Poller, mask: int, /) -> None:
        """`poller` watches it for `mask` from here on."""

    def detach(self, displaced: bool = False) -> None:
        """Nobody watches it any more, or another in its place (`displaced`); wakes nobody."""

    def fire(self, mask: int, tell: Hooks | None = None, /) -> int:
        """The poller reports `mask`: wake who waits for it. How many were woken."""

    def tell_cancelled(self) -> None:
        """Nothing will fire here any more: tell who watches so, for each wait."""

    def close(self) -> None:
        """The descriptor is about to be closed: forget it, and wake who waits for it."""


class Poller(Protocol):
    """The one place where the executor's thread sleeps, for one opening of an executor: for
    descriptors, the time and other threads. `hand_over` and `unpark` are for any thread and for
    signal handlers; the rest is for the executor's own thread."""

    runner: Runner
    home: Runner | None
    """The runner where a wait of a known source need only be counted; None where it is told to
    instruments, too."""
    tell: Hooks | None
    """Whom waits and what fires are told to; None where nobody watches."""
    external: int
    """How many wakes may still come from outside (threads, descriptors): while it is zero, a
    sleep without a timer would be for ever."""
    working: int
    """How many threads of `to_thread` are at work: they will end, so virtual time waits."""
    owed: set[Any]
    """The calls that other threads wait for, and the blocks that hold signals: each has
    ``give_up()`` for the end of the run. Any thread may add one."""
    threads: Any
    """The threads of `to_thread`, with ``shutdown(wait)``, from the first use on; else None."""

    notified: bool
    """Whether calls that were handed over wait for the next `park`."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing is taken from other threads any more."""

    def fileno(self) -> int:
        """A descriptor, readable when `park` would find something. Raises OSError if none is."""

    def park(self, timeout: float | None, /) -> bool:
        """Sleep for at most `timeout` seconds (None: without end), or until something comes;
        whether it has. Wakes who waits, and runs what threads have handed over. What has come is
        reported again only after a wait for it was armed anew, or (edge-triggered) when there is
        news."""

    def unpark(self) -> None:
        """End the present park, or the next one."""

    def hand_over(self, call: Callable[..., object], /, *args: Any) -> bool:
        """Have ``call(*args)`` run in the executor's thread. False, and nothing is done, when
        the run is over."""

    def watch(self, source: Source, mask: int, /) -> None:
        """Report `mask` of `source` from here on, and what is ready already. Raises PermissionError
        for what never keeps anybody waiting (regular files), and OSError for a descriptor that is
        none."""

    def forget(self, source: Source, /) -> None:
        """Report nothing more of `source`. Idempotent."""

    def readable(self, fd: int, /) -> Awaitable[None]:
        """Until a read of a descriptor of the caller's would not block, or would fail."""
        ...

    def writable(self, fd: int, /) -> Awaitable[None]:
        """As `readable`, for a write."""
        ...

    def closing(self, fd: int, /) -> None:
        """`fd` is about to be closed: who waits for it gets Closed."""

    def known(self, fd: int, /) -> Source | None:
        """What is watched under this descriptor."""

    def hear_signals(self) -> None:
        """Have signals in any thread end the sleep. A no-op but in the main thread."""

    def finish(self, wait: bool = True) -> None:
        """Take nothing more from threads, and `wait` for those at work. Idempotent."""

    def close(self) -> None:
        """Wait for nothing, and give the descriptors back. Idempotent."""

    def leave(self) -> None:
        """In a forked child: close the copies of the descriptors, and nothing else."""


# ---- who watches ----


class Hooks(Protocol):
    """The events that others than the loop tell instruments. False when nobody
    listens. `pinfut.executor.trace.instrument.Instrument` says what each means."""

    cause: str
    """What runs while no task does; wakes that come then are put down to it."""

    def __bool__(self) -> bool: ...

    def io(self, fd: int, event: str, state: str, /) -> None: ...
    def session(self, name: str, slots: int, bank: str, /) -> None: ...
    def slot(self, session: str, x: int, state: str, /, **about: Any) -> None: ...
    def serve(self, session: str, x: int, /, **about: Any) -> None: ...
    def charge(self, bank: str, pages: int, caps: int, /, **about: Any) -> None: ...
    def flush(self, session: str, size: int, /) -> None: ...


# ---- who runs ----


class Runner(Protocol):
    """What tasks, timers, blocks, sessions and hosts may assume of an executor. Only
    `Poller.hand_over` and `Poller.unpark` are for other threads than its own."""

    checked: bool
    """Whether the laws of polling are enforced."""
    ending: bool
    """Whether a task is being closed for good, so that nobody cleans up after what it drops."""
    clean_ups_end: float
    """When the time of what cleans up at the end of the run is over, for all of it together; inf
    before the end has begun."""
    thread: int
    """The thread that opened it, 0 while it is not open."""
    first: FirstStep | None
    """The coroutine whose first step runs inside another's."""
    others: Iterable[str]
    """What else runs here, as the tasks of an event loop: lines for `dump`."""
    current: JoinHandle[Any] | None
    """The task whose step is running; None between the steps."""

    @property
    def tasks(self) -> dict[Any, Owner | None]:
        """Every task that is not done, oldest first, with who hears of its end. Ask anew each
        time: after `tidy` it is another."""

    def tidy(self) -> None:
        """Many tasks may be over: give up the room that they took in tables."""

    @property
    def ready(self) -> deque[Any]:
        """The entries of normal priority that are ready."""

    @property
    def high(self) -> deque[Any]:
        """The ready entries of high priority."""

    @property
    def low(self) -> deque[Any]:
        """The ready entries of low priority."""

    @property
    def deferred(self) -> deque[tuple[Callable[..., object], tuple[Any, ...]]]:
        """The calls for the end of the turn, oldest first."""

    @property
    def clock(self) -> Clock: ...
    @property
    def timers(self) -> TimerQueue: ...
    @property
    def poller(self) -> Poller | None:
        """None unless the executor is open."""

    @property
    def instruments(self) -> Hooks: ...

    def spawn(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        priority: Priority = "normal",
        owner: Owner | None = None,
    ) -> JoinHandle[T]:
        """Start `coro` as a task; it runs for the first time in the next turn."""
        ...

    def call_soon(self, call: Callable[..., object], /, *args: Any) -> None:
        """Have ``call(*args)`` run when this turn ends, after the tasks that are ready."""

    def turn(self, timeout: float | None, steps: int | None = None) -> bool:
        """Run one turn, or up to `steps` steps; whether something is ready at once."""

    def now(self) -> float:
        """The time of the clock, in seconds."""

    def report(self, name: str, error: BaseException, /) -> None:
        """Tell of an error that nobody waits for."""

    def failed(self, error: Reportable, /) -> None:
        """Remember an error until somebody claims it."""

    def dump(self) -> str:
        """Every task and what it is parked on, for people."""

    def begin_inline(self) -> tuple[Any, Any]:
        """From here on first steps run inside the present step; what `end_inline` takes."""

    def end_inline(self, outside: tuple[Any, Any], /) -> None:
        """Back to the task that was current before."""

    def ensure_task(self) -> JoinHandle[Any]:
        """The task of the coroutine in `first`. Raises NoExecutor when there is none."""

    def adopt(self, leaf: Any, /) -> JoinHandle[Any]:
        """The first step has ended and the coroutine waits for `leaf`: its task goes on."""

    def end_first(self, value: object, error: BaseException | None, /) -> None:
        """The coroutine in `first` is over, and its task had been asked for."""
