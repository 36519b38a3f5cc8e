"""Task: a coroutine that the executor drives, its own waker, and the future of its result.

States, and who moves a task on (the executor alone runs it)::

    ready ──Loop.run_turns──▶ running ──its leaf is PENDING──▶ parked
      ▲                          │ │                              │
      ├──────yield_now───────────┘ └──returns or raises──▶ done   │
      └────────────────────wake / cancel / interrupt──────────────┘
"""

from __future__ import annotations

from asyncio import CancelledError
from contextvars import Context as ContextVars
from types import CoroutineType
from typing import Any, ClassVar, Final, NoReturn, TypeVar, cast

from pinfut.closing import set_traceback, traceback_of
from pinfut.core import accelerate
from pinfut.coroutine import YIELD, Interrupt
from pinfut.executor.block import Block
from pinfut.executor.contract import JoinHandle, Runner
from pinfut.executor.current import current_executor, report_call
from pinfut.executor.foreign import explain
from pinfut.executor.ready import ReadyQueue, require_own_thread
from pinfut.future import FutureBase, drop
from pinfut.laws import PinError, TakenTwice, describe
from pinfut.places import suspended_at
from pinfut.poll import PENDING, Context, Poll, Waker

T = TypeVar("T")


class _NotDone:
    __slots__ = ()


NOT_DONE: Final = _NotDone()
"""The outcome of a task that has not ended."""


class Failure:
    """How a task failed, until an await has raised it."""

    __slots__ = ("error", "traceback", "unclaimed")

    def __init__(self, error: BaseException, unclaimed: Unclaimed | None) -> None:
        # Invariant: None once an await has raised it.
        self.error: BaseException | None = error
        # As the task left it: each time that it is raised begins with that; none of a cancel.
        self.traceback = None if type(error) is CancelledError else traceback_of(error)
        # Invariant: None once somebody has seen the error, or when there is nothing to report.
        self.unclaimed = unclaimed


class Unclaimed:
    """An error that nobody has looked at. When the last handle of its task goes away, or the
    executor ends, it is reported: no failure is silent."""

    __slots__ = ("__weakref__", "_name", "_runner", "error")

    def __init__(self, runner: Runner, name: str, error: BaseException) -> None:
        self._runner = runner
        self._name = name
        self.error: BaseException | None = error  # Invariant: None once claimed or reported

    def report(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            self._runner.report(self._name, error)

    def __del__(self) -> None:
        self.report()


# What somebody asked for, or what `run` raises: nothing to report.
_ASKED_FOR: Final = (CancelledError, KeyboardInterrupt, SystemExit)

_EXCEPTIONS: Final[Any] = BaseExceptionGroup.__dict__["exceptions"]


def _asked_for(error: BaseException) -> bool:
    # Not by `split`, which is recursive: groups may be nested as deep as joins are.
    left: list[BaseException] = [error]
    while left:
        one = left.pop()
        if issubclass(type(one), BaseExceptionGroup):
            left += _EXCEPTIONS.__get__(one)
        elif not issubclass(type(one), _ASKED_FOR):
            return False
    return True


class Task(FutureBase[T]):
    """A spawned coroutine. Await it for its result: ``value = await task``. Its result is taken by
    one await; `result()` reads it any number of times. Dropping the handle does not stop the
    task."""

    # Its work is done whether anybody waits for it or not; its failure is reported.
    must_be_taken: ClassVar[bool] = False

    __slots__ = (
        "_context", "_coro", "_joiner", "_outcome", "_queue", "block", "cancels", "leaf", "queued",
    )  # fmt: skip

    def __init__(
        self, queue: ReadyQueue, coro: CoroutineType[Any, Any, T], context: ContextVars
    ) -> None:
        # Where it stands when it is ready: its priority, and the way to its executor.
        self._queue = queue
        self._coro = coro
        self._context = context
        # Invariant: the future that the coroutine is suspended on; YIELD before the start
        # and after a yield; None in the middle of a step that is running another task's.
        self.leaf: Any = YIELD
        # Invariant: True exactly while the task is in the ready queue or will be put there
        # by the step that is running it; forever True once it is done, so that late wakes
        # do nothing. That is what keeps a task in the queue at most once.
        self.queued = True
        self._joiner: Waker | None = None
        self._outcome: T | Failure | _NotDone = NOT_DONE
        self.cancels = 0  # how many cancels have come; one that a shield holds has not
        # The innermost block (timeout, scope) that the coroutine is in.
        self.block: Block | None = None

    @property
    def executor(self) -> Runner:
        """The executor that runs the task."""
        return self._queue.runner

    @property
    def name(self) -> str:
        """The name of the coroutine, which `spawn` sets if it is given one."""
        return str(getattr(self._coro, "__qualname__", self._coro))

    @property
    def done(self) -> bool:
        """Whether the coroutine has ended, in whatever way."""
        return self._outcome is not NOT_DONE

    def wake(self) -> None:
        """Put the task into the ready queue, unless it is there. It is its own waker."""
        if not self.queued:
            self.queued = True
            queue = self._queue
            try:
                queue.append(self)
            except RecursionError:
                self.queued = False
                raise
            if queue.asleep:
                require_own_thread(queue.runner, self)

    def cancel(self) -> bool:
        """Have CancelledError raised in the task where it waits, or at its next wait. False when it
        is done already. It arrives once, however the coroutine is shielded at the moment, and once
        for several calls before that; one that catches it may clean up with further awaits."""
        if self._outcome is not NOT_DONE:
            return False
        if self.leaf is None or self._queue.runner.current is self:
            # When the turn ends it is parked, queued or done, and maybe inside a shield.
            self._queue.runner.call_soon(self.cancel)
        elif self.block is None or self.block.admit(None, self.cancel):
            self.cancels += 1
            self.interrupt()
        return True

    def interrupt(self) -> None:
        """Raise CancelledError in the task without counting it as somebody's cancel: for
        blocks, which turn it into their own error. Not while it is running."""
        leaf = self.leaf
        if type(leaf) is not Interrupt and leaf is not OVER:
            self.leaf = Interrupt(leaf)
            if not self.queued:
                self.wake()

    @property
    def running(self) -> bool:
        """Whether a step of it is under way, so that its leaf is not known yet."""
        return self.executor.current is self or self.leaf is None

    def result(self) -> T:
        """The result, or the error, of a task that is done. Raises TakenTwice before that, and when
        an await has raised the error already. The task keeps the error, and its traceback the
        frames that the error goes through: one of these that holds the task waits for the
        collector, as one that awaits does not."""
        error = self.error()
        outcome = self._outcome
        if type(outcome) is not Failure:
            return cast(T, outcome)
        del self  # or the traceback would keep the task, and the task the traceback
        try:
            raise set_traceback(cast(BaseException, error), outcome.traceback)
        finally:
            del error, outcome

    def error(self) -> BaseException | None:
        """The error of a task that is done, or None. Raises as `result` does."""
        outcome = self._outcome
        if outcome is NOT_DONE:
            raise TakenTwice(f"{self!r} has no result yet; await it", self)
        if type(outcome) is not Failure:
            return None
        error = outcome.error
        if error is None:
            raise TakenTwice(f"the error of {self!r} was raised by its await", self)
        if outcome.unclaimed is not None:
            outcome.unclaimed.error = None
            outcome.unclaimed = None
        return error

    def poll(self, cx: Context, /) -> Poll[T]:
        outcome = self._outcome
        if outcome is NOT_DONE:
            waker = cx.waker
            joiner = self._joiner
            if joiner is not None and joiner is not waker:
                self._require_alone(joiner, waker)
            self._joiner = waker
            return PENDING
        if type(outcome) is not Failure:
            return outcome  # type: ignore[return-value]  # neither NOT_DONE nor a Failure
        # Who awaits has the error now, and this task in its traceback: the task gives it up.
        error = outcome.error
        if error is None or outcome.unclaimed is not None:
            error = cast(BaseException, self.error())
        set_traceback(error, outcome.traceback)
        outcome.error = outcome.traceback = None
        del self, outcome, cx
        try:
            raise error
        finally:
            del error

    def _require_alone(self, joiner: Waker, waker: Waker) -> None:
        # A combinator's waker says nothing about whose it is, and may be an old one.
        if isinstance(joiner, Task) and isinstance(waker, Task) and joiner.leaf is self:
            raise PinError(
                self,
                f"awaited by {describe(waker)}, for {describe(joiner)} awaits it: one would "
                "never be woken. Give each a clone of shared(task)",
            )

    def drop(self) -> None:
        """Nobody joins any more. The task goes on: `cancel` is what stops it."""
        self._joiner = None

    def where(self) -> str:
        """Where the coroutine is suspended, as ``file:line``."""
        return suspended_at(self._coro)

    def finish(self, value: T, /) -> None:
        """The coroutine has returned. For the executor."""
        if self.block is not None:
            try:
                self.block.outlive(value.error if isinstance(value, Failure) else None)
            except RuntimeError as error:
                self.fail(error)
                return
        self._outcome = value
        self.queued = True
        # It may stand in the queue once more, woken by what it has left behind.
        self.leaf = OVER
        owner = self._queue.runner.tasks.pop(self)
        if owner is not None:
            try:
                owner.ended(self)
            except BaseException as error:
                report_call(owner.ended, error)
        joiner = self._joiner
        if joiner is not None:
            self._joiner = None
            try:
                joiner.wake()
            except BaseException as error:
                report_call(joiner.wake, error)

    def fail(self, error: BaseException) -> None:
        """The coroutine has raised. For the executor."""
        unclaimed = None
        if type(error) is CancelledError:
            # What the frames of a task that was given up hold is let go of now.
            error.__traceback__ = error.__context__ = None
        elif not _asked_for(error):
            explain(error)
            unclaimed = Unclaimed(self.executor, self.name, error)
            self.executor.failed(unclaimed)
        self.finish(Failure(error, unclaimed))  # type: ignore[arg-type]

    def abandon(self) -> None:
        """The executor ends and the task will not: close the coroutine for good. `fail` follows."""
        self.queued = True
        leaf, self.leaf = self.leaf, OVER
        executor = self.executor
        outer, executor.ending = executor.ending, True
        for last in (lambda: None if leaf is YIELD else drop(leaf), self._coro.close):
            try:
                self._context.run(last)
            except BaseException as error:
                executor.report(self.name, error)
        executor.ending = outer

    def __bool__(self) -> bool:
        """True: a task goes on by itself, and ``if task:`` asks whether there is one."""
        return True

    def __repr__(self) -> str:
        if self.done:
            state = "done"
        elif self.queued:
            state = "ready"
        else:
            state = f"parked on {describe(self.leaf)} at {self.where()}"
        return f"<Task {self.name}, {state}>"


class _Over(FutureBase[NoReturn]):
    """The leaf of a task that is done: never ready, if it is polled once more."""

    __slots__ = ()

    def poll(self, cx: Context, /) -> Poll[NoReturn]:
        # The executor has taken the task off the queue, where nothing may put it again.
        cast("Task[Any]", cx.waker).queued = True
        return PENDING


OVER: Final = _Over()
"""The leaf of a task that is done."""


class Internal:
    """Owns the runtime's own tasks: nobody hears of their ends, and tools leave them alone."""

    __slots__ = ()

    def ended(self, task: JoinHandle[Any], /) -> None:
        """An error is reported, as that of any task that nobody awaits."""


INTERNAL: Final = Internal()


def current_task() -> Task[Any]:
    """The task whose step is running. Raises NoExecutor outside of any task."""
    executor = current_executor()
    task = executor.current
    return cast("Task[Any]", executor.ensure_task() if task is None else task)


accelerate(globals())
