"""scope: tasks that cannot outlive the block that started them."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar, cast, final

from pinfut.executor.block import Block
from pinfut.executor.contract import JoinHandle, Priority
from pinfut.executor.task import Task
from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Pending, Poll, Waker

T = TypeVar("T")


@final
class Scope(Block):
    """A block whose tasks end with it: ``async with scope() as s: s.spawn(work())``. When a child
    or the body fails, the others are cancelled; when all have ended, the errors are raised as an
    ExceptionGroup. A cancel reaches the children too, and is raised when they have ended."""

    __slots__ = ("_cancelled", "_children", "_errors", "_left", "_open", "_waiter")

    def __init__(self) -> None:
        super().__init__()
        # Invariant: the children that run, oldest first; with each, who waits for it in `start`.
        self._children: dict[JoinHandle[Any], _Started[Any] | None] = {}
        self._errors: list[BaseException] = []
        self._open = False
        # Whether its coroutine was closed inside of the block, so that nobody waits any more.
        self._left = False
        # Set while the body has ended and the scope waits for its children.
        self._waiter: _AllEnded | None = None
        self._cancelled = False

    def spawn(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        priority: Priority = "normal",
    ) -> Task[T]:
        """Start `coro` as a child of this scope; `name` and `priority` as `spawn` takes them. In a
        scope that is being cancelled the child is cancelled at its first wait. Raises RuntimeError
        (and closes `coro`) outside of the block."""
        if not self._open:
            coro.close()
            raise RuntimeError("this scope is not open; spawn inside 'async with scope() as s:'")
        child = self.executor.spawn(coro, name=name, priority=priority, owner=self)
        self._children[child] = None
        if self._cancelled:
            child.cancel()
        return child  # type: ignore[return-value]  # every runner's handles are tasks

    async def start(
        self,
        fn: Callable[[Callable[[T], None]], Coroutine[Any, Any, object]],
        *,
        name: str | None = None,
        priority: Priority = "normal",
    ) -> T:
        """Start the coroutine ``fn(started)`` as a child and wait until it calls
        ``started(value)``; that value: ``port = await s.start(serve)``. What it raises before that
        is raised here, and does not fail the scope; RuntimeError when it returns before that.
        Cancelled, this cancels the child. Otherwise as `spawn`."""
        started: _Started[T] = _Started()
        child = started.child = self.spawn(fn(started), name=name, priority=priority)
        self._children[child] = started
        try:
            return await started
        except CancelledError:
            child.cancel()
            raise
        finally:
            if child in self._children:
                self._children[child] = None

    def cancel(self) -> None:
        """Cancel the body and every child, once; the block then ends without an error."""
        if self._cancelled:
            return
        if self._waiter is None:
            self.fire()
        self._cancel_children()

    def _cancel_children(self) -> None:
        self._cancelled = True
        for child in list(self._children):
            child.cancel()

    def ended(self, child: JoinHandle[Any], /) -> None:
        """A child has ended. For its task."""
        started = self._children.pop(child)
        if started is not None and started._value is PENDING:
            started.wake()  # `start` raises what there is to raise
            error = None
        elif self._left:
            return  # nobody will raise its error here, so it is reported like any other
        else:
            error = child.error()
        if error is not None and not issubclass(type(error), CancelledError):
            self._errors.append(error)
            self.cancel()
        if not self._children and self._waiter is not None:
            self._waiter.wake()

    async def __aenter__(self) -> Scope:
        self.open()
        self._open = True
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        self._waiter = waiter = _AllEnded(self._children)
        if issubclass(type(error), GeneratorExit):
            self._leave(cast(GeneratorExit, error))
            return False
        if error is not None:
            known = any(one is error for one in self._errors)  # from a child that it awaited
            if not issubclass(type(error), CancelledError) and not known:
                self._errors.append(error)
            self.cancel()
        cancelled: CancelledError | None = None
        group: BaseExceptionGroup[BaseException] | None = None
        try:
            while self._children:
                try:
                    await waiter
                except CancelledError as late:
                    # Our own wait was cancelled; the children have to end all the same.
                    cancelled = late
                    self._cancel_children()
                    self._waiter = waiter = _AllEnded(self._children)
                except GeneratorExit as closed:
                    self._leave(closed)
                    raise
            self._open = False
            errors, self._errors = self._errors, []
            group = BaseExceptionGroup("errors in a scope", errors) if errors else None
            try:
                own = self.close(group)
            except RuntimeError as misplaced:
                errors.append(misplaced)
                group = BaseExceptionGroup("errors in a scope", errors)
                own = False
            if group is not None:
                raise group from None
            if cancelled is not None and error is None and not own:
                raise cancelled
            return own
        finally:
            # Or their tracebacks would keep this frame, and the frame them.
            cancelled = group = None

    def _leave(self, closed: GeneratorExit) -> None:
        """The coroutine is being closed and cannot wait any more."""
        self._left = True
        self._open = False
        self._cancel_children()
        errors, self._errors = self._errors, []
        for lost in errors:
            self.executor.report("scope", lost)
        self.close(closed)

    def __repr__(self) -> str:
        return "scope()"


class _Woken(FutureBase[T]):
    """A future that its scope wakes."""

    __slots__ = ("_waker",)

    # Nobody waits where there is nothing to wait for, or no time.
    must_be_taken: ClassVar[bool] = False

    def __init__(self) -> None:
        self._waker: Waker | None = None

    def wake(self) -> None:
        if self._waker is not None:
            self._waker.wake()


@final
class _Started(_Woken[T]):
    """What a child of `Scope.start` is given, to be called once: ``started(value)``. For the one
    who waits in `start` it is the future of that value."""

    __slots__ = ("_value", "child")

    child: JoinHandle[Any]  # the child; set before its first step

    def __init__(self) -> None:
        super().__init__()
        self._value: T | Pending = PENDING

    def __call__(self, value: T) -> None:
        """The child has started. Raises RuntimeError the second time."""
        if self._value is not PENDING:
            raise RuntimeError(f"{self.child.name} has called started(value) already")
        self._value = value
        self.wake()

    def poll(self, cx: Context, /) -> Poll[T]:
        if self._value is PENDING and self.child.done:
            if self.child.error() is None:
                raise RuntimeError(f"{self.child.name} returned and had not called started(value)")
            self.child.poll(cx)  # as an await of it: that raises the error, and gives it up
        self._waker = cx.waker
        return self._value


@final
class _AllEnded(_Woken[None]):
    """Ready when a scope has no children left."""

    __slots__ = ("_tasks",)

    def __init__(self, tasks: dict[JoinHandle[Any], Any]) -> None:
        super().__init__()
        self._tasks = tasks

    def poll(self, cx: Context, /) -> Poll[None]:
        if not self._tasks:
            return None
        self._waker = cx.waker
        return PENDING


scope = Scope
