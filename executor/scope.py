"""scope: tasks that cannot outlive the block that started them."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, ClassVar, TypeVar, final

from pinfut.executor.block import Block
from pinfut.executor.contract import JoinHandle, Priority
from pinfut.executor.task import Task
from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker

T = TypeVar("T")


@final
class Scope(Block):
    """``async with scope() as s: s.spawn(...)``: the block ends when every child has.

    When a child or the body fails, the others are cancelled; when all have ended, the
    errors are raised together as an ExceptionGroup. A cancel of the task that holds the
    scope reaches the children too, and is raised when they have ended.
    """

    __slots__ = ("_cancelled", "_children", "_errors", "_left", "_open", "_waiter")

    def __init__(self) -> None:
        super().__init__()
        # Invariant: the children that have not ended, oldest first.
        self._children: dict[JoinHandle[Any], None] = {}
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
        """Start `coro` as a child of this scope; `name` and `priority` as `spawn` takes them.

        In a scope that is being cancelled the child is cancelled at its first wait. Raises
        RuntimeError (and closes `coro`) outside of the block.
        """
        if not self._open:
            coro.close()
            raise RuntimeError("this scope is not open; spawn inside 'async with scope() as s:'")
        child = self.executor.spawn(coro, name=name, priority=priority, owner=self)
        self._children[child] = None
        if self._cancelled:
            child.cancel()
        return child  # type: ignore[return-value]  # every runner's handles are tasks

    def cancel(self) -> None:
        """Cancel the body and every child, once; the block then ends without an error."""
        if self._cancelled:
            return
        self._cancelled = True
        if self._waiter is None:
            self.fire()
        for child in list(self._children):
            child.cancel()

    def ended(self, child: JoinHandle[Any], /) -> None:
        """A child has ended. For its task."""
        del self._children[child]
        if self._left:
            return  # nobody will raise its error here, so it is reported like any other
        error = child.error()
        if error is not None and not isinstance(error, CancelledError):
            self._errors.append(error)
            self.cancel()
        if not self._children and self._waiter is not None:
            self._waiter.wake()

    async def __aenter__(self) -> Scope:
        self.open()
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._waiter = waiter = _AllEnded(self._children)
        if isinstance(error, GeneratorExit):
            # The coroutine is being closed and can neither wait any more nor raise.
            self.cancel()
            self._left = True
            self._open = False
            self.close()
            for lost in self._errors:
                self.executor.report("scope", lost)
            self._errors.clear()
            return False
        if error is not None:
            if not isinstance(error, CancelledError) and error not in self._errors:
                self._errors.append(error)
            self.cancel()
        cancelled: CancelledError | None = None
        while self._children:
            try:
                await waiter
            except CancelledError as late:
                # Our own wait was cancelled; the children have to end all the same.
                cancelled = late
                self._cancelled = True
                for child in list(self._children):
                    child.cancel()
                self._waiter = waiter = _AllEnded(self._children)
        self._open = False
        own = self.close()
        if self._errors:
            errors, self._errors = self._errors, []
            raise BaseExceptionGroup("errors in a scope", errors) from None
        if own:
            return True
        if cancelled is not None and error is None:
            try:
                raise cancelled
            finally:
                cancelled = None  # or its traceback would keep this frame, and the frame it
        return False


@final
class _AllEnded(FutureBase[None]):
    """Ready when a scope has no children left."""

    __slots__ = ("_children", "_waker")

    # Nobody waits where there are no children, or no time to wait.
    must_be_taken: ClassVar[bool] = False

    def __init__(self, children: dict[JoinHandle[Any], None]) -> None:
        self._children = children
        self._waker: Waker | None = None

    def poll(self, cx: Context, /) -> Poll[None]:
        if not self._children:
            return None
        self._waker = cx.waker
        return PENDING

    def wake(self) -> None:
        if self._waker is not None:
            self._waker.wake()


def scope() -> Scope:
    """A block whose tasks end with it: ``async with scope() as s: s.spawn(work())``.

    Raises an ExceptionGroup with the errors of the children and of the body.
    """
    return Scope()
