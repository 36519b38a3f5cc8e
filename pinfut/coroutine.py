"""Coroutines as futures: what a coroutine may yield, and a future that drives one.

A coroutine yields a future, the leaf that it waits for, or YIELD, "again, after the others". The
runner polls the leaf and sends its value in, or throws its error in."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextvars import Context as ContextVars
from contextvars import ContextVar
from inspect import CO_ITERABLE_COROUTINE
from types import CoroutineType
from typing import Any, Final, NoReturn, Protocol, TypeVar, cast, final

from pinfut.core import accelerate
from pinfut.future import FutureBase, drop, drop_of, let_go, tell_undropped
from pinfut.poll import PENDING, Context, Future, Poll, Waker
from pinfut.variables import copy_context

T = TypeVar("T")


class _Yield(list["_Marker"]):
    """An awaitable that yields YIELD once. Being a list, it has an iterator of the
    interpreter's own: a yield makes no generator and runs no Python frame. Backwards, because
    a method is called faster than what stands behind an operator, as ``__iter__`` does."""

    __slots__ = ()
    __await__ = list.__reversed__

    def __repr__(self) -> str:
        return "yield_now()"


class _Marker:
    __slots__ = ()

    def __repr__(self) -> str:
        return "YIELD, which only tasks of pinfut know; elsewhere await from_host(...)"


YIELD: Final = _Marker()
"""What a coroutine yields to be resumed after the others that are ready."""

_YIELD_NOW: Final = cast("Awaitable[None]", _Yield([YIELD]))


def yield_now() -> Awaitable[None]:
    """Let the other ready tasks run first: ``await yield_now()``."""
    return _YIELD_NOW


def not_a_future(thing: object) -> TypeError:
    """The error for a coroutine that yields what nobody can poll."""
    return TypeError(
        f"a coroutine awaited {thing!r}, which is not a pinfut future (it has no poll(cx)). "
        "What asyncio or trio wait for can be awaited only under their own loop: use the "
        "counterpart in pinfut (docs/coming-from-asyncio.md), or a thread: "
        "await to_thread(asyncio.run, ...); in a guest of their loop await to_host(...)"
    )


def native(coro: Coroutine[Any, Any, T]) -> CoroutineType[Any, Any, T]:
    """`coro` as one of the interpreter's own. Raises TypeError for anything but a coroutine."""
    if type(coro) is CoroutineType:
        return coro
    if not isinstance(coro, Coroutine) and not _may_be_awaited(coro):
        raise TypeError(
            f"spawn takes a coroutine, not {coro!r}; call the async function: spawn(f())"
        )

    async def carry() -> T:
        return await coro

    carrier = cast("CoroutineType[Any, Any, T]", carry())
    carrier.__qualname__ = getattr(coro, "__qualname__", type(coro).__qualname__)
    return carrier


def _may_be_awaited(coro: object) -> bool:
    # A generator that `types.coroutine` has marked.
    code = getattr(coro, "gi_code", None)
    return code is not None and bool(code.co_flags & CO_ITERABLE_COROUTINE)


class Interruptible(Protocol):
    """What runs a coroutine and can raise CancelledError where it waits."""

    cancels: int
    """How many cancels have come for the coroutine as a whole."""
    block: Any
    """The innermost block (timeout, scope, shield) that the coroutine is in, or None."""

    @property
    def running(self) -> bool:
        """Whether a step is under way, so that it is not known yet where it will wait."""
        ...

    def interrupt(self) -> None:
        """Raise CancelledError in the coroutine where it waits, before it does anything else.
        Not while it is running. Several before its next step are one."""


class CleansUp(Protocol):
    """Polls a coroutine that was dropped until its clean-up is over."""

    def __call__(self, left: CoroutineFuture[Any], /) -> None: ...


find_cleaner: Callable[[], CleansUp | None] = lambda: None  # noqa: E731
"""Gives who cleans up after what is dropped here and now, or None, when nothing can be waited
for. An executor puts its own here."""


@final
class Interrupt(FutureBase[NoReturn]):
    """Stands in for the leaf of an interrupted coroutine: drops the leaf, then raises."""

    __slots__ = ("_kind", "_leaf")

    def __init__(self, leaf: Any, kind: type[BaseException] = CancelledError) -> None:
        self._leaf = leaf
        self._kind = kind

    def poll(self, cx: Context, /) -> NoReturn:
        leaf, self._leaf = self._leaf, YIELD
        if leaf is not YIELD:
            let_go(leaf)
        raise self._kind

    def drop(self) -> None:
        leaf, self._leaf = self._leaf, YIELD
        if leaf is not YIELD:
            drop(leaf)


@final
class DriverCell:
    """The driver of one CoroutineFuture, or of the siblings that a combinator polls one after the
    other. The context variables of these lead to it, and it leads to the one whose coroutine is
    running; so a coroutine finds its driver and the two do not keep each other alive."""

    __slots__ = ("driver", "outer")

    def __init__(self) -> None:
        # Invariant: None but while a coroutine that belongs here is running.
        self.driver: CoroutineFuture[Any] | None = None
        # The cell of the coroutine in which this one was made, if that has one.
        self.outer: DriverCell | None = None


_CELL: ContextVar[DriverCell | None] = ContextVar("pinfut driver", default=None)


def driver() -> CoroutineFuture[Any] | None:
    """The CoroutineFuture whose coroutine is running here, if it is not a task's own."""
    # A task that was spawned in there inherits the cell; while it runs, that is empty.
    cell = _CELL.get()
    return None if cell is None else cell.driver


def driver_context(cell: DriverCell) -> ContextVars:
    """A copy of the context variables for coroutines that have their driver in `cell`."""
    outer = _CELL.get()
    if outer is not None and outer.driver is not None:
        cell.outer = outer
    context = copy_context()
    context.run(_CELL.set, cell)
    return context


def drivers() -> Iterator[CoroutineFuture[Any]]:
    """Every CoroutineFuture whose coroutine is running here, the innermost first."""
    cell = _CELL.get()
    while cell is not None and cell.driver is not None:
        yield cell.driver
        cell = cell.outer


def task_context() -> ContextVars:
    """A copy of the context variables for a task of its own."""
    context = copy_context()
    if _CELL.get() is not None:
        context.run(_CELL.set, None)
    return context


@final
class CoroutineFuture(FutureBase[T]):
    """A coroutine polled in place: no task is made, the frame is the future's state.

    It runs in a copy of the context variables with which it was made, and a timeout or a
    scope in it interrupts it alone. States::

        made ──poll──▶ waiting ──poll──▶ done
         │                │
         │                └─drop: CancelledError where it waits─▶ done, or cleaning up,
         │                                   polled by whom `find_cleaner` names ──▶ done
         └─drop──▶ closed ◀──drop (or nobody to clean up), with GeneratorExit──┘
    """

    __slots__ = ("_cell", "_context", "_coro", "_dropped", "_leaf", "_waker", "block", "cancels")

    def __init__(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, Any, T],
        cell: DriverCell | None = None,
        context: ContextVars | None = None,
    ) -> None:
        """`cell` and `context`, a copy of `driver_context`: for combinators, for all children."""
        if cell is None or context is None:
            cell = DriverCell()
            context = driver_context(cell)
        self._coro = coro
        self._cell = cell
        self._context = context
        # Invariant: the future that it is suspended on; YIELD before its start and after a yield.
        self._leaf: Any = YIELD
        # Invariant: the newest waker, from the first PENDING on; None once it is over.
        self._waker: Waker | None = None
        self._dropped = False  # whether it was dropped while it waited
        self.cancels = 0
        self.block: Any = None

    @property
    def running(self) -> bool:
        """Whether a step of it is under way, so that its leaf is not known yet."""
        return self._cell.driver is self

    def poll(self, cx: Context, /) -> Poll[T]:
        cell = self._cell
        # Another one of the same cell may be awaiting this one.
        outer = cell.driver
        cell.driver = self
        leaf = self._leaf
        try:
            while True:
                if leaf is YIELD:
                    leaf = self._context.run(self._coro.send, None)
                else:
                    try:
                        value = cx.poll(leaf)
                    except BaseException as error:
                        known = hasattr(leaf, "poll")
                        leaf = self._context.run(
                            self._coro.throw, error if known else not_a_future(leaf)
                        )
                    else:
                        if value is PENDING:
                            self._leaf = leaf
                            self._waker = cx.waker
                            return PENDING
                        leaf = self._context.run(self._coro.send, value)
                if leaf is YIELD:
                    self._leaf = YIELD
                    self._waker = waker = cx.waker
                    waker.wake()
                    return PENDING
        except StopIteration as stop:
            if self.block is not None:
                self._over(None)
            else:  # as `_over`, which costs a call
                self._leaf = YIELD
                self._waker = None
            return cast(T, stop.value)
        except BaseException as error:
            self._over(error)
            raise
        finally:
            cell.driver = outer

    def _over(self, error: BaseException | None) -> None:
        self._leaf = YIELD
        self._waker = None
        # (The steps of an async generator have one end each; a block may be open between two.)
        if self.block is not None and type(self._coro) is CoroutineType:
            self.block.outlive(error)

    def interrupt(self) -> None:
        """Raise CancelledError in the coroutine where it waits; a no-op when it is over."""
        if type(self._leaf) is not Interrupt and getattr(self._coro, "cr_frame", True):
            self._leaf = Interrupt(self._leaf)
            if self._waker is not None:
                self._waker.wake()

    def cancel(self) -> None:
        """Interrupt the coroutine as a whole, once; polling goes on until it has ended. Behind
        a shield that waits until the shield has ended."""
        if self.block is None or self.block.admit(None, self.cancel):
            self.cancels += 1
            self.interrupt()

    def drop(self) -> None:
        """Give the coroutine up: CancelledError is raised where it waits, so that its clean-up
        runs, here and now until that waits itself. The rest is up to the one whom `find_cleaner`
        names; without one, and when dropped a second time, the coroutine is closed, and its
        clean-up must not wait."""
        cleaner = find_cleaner()
        last = cleaner is None or self._waker is None or self._dropped
        if not last and cleaner is not None:
            if self.cancels or not (self.block is None or self.block.admit(None, self.cancel)):
                # It is cleaning up already, or in a shield: it waits on for what it waits for.
                self._dropped = True
                cleaner(self)
                return
            self.cancels += 1
        # Here, as a helper would stand between two levels (see `drop_of`).
        leaf, self._leaf = self._leaf, YIELD
        self._waker = None
        if leaf is not YIELD:
            try:
                drop_of(leaf)()
            except BaseException as error:
                tell_undropped(leaf, error)
        if last:
            self._last_step(self._coro.close)
        else:
            self.leave(self._coro.throw, CancelledError)  # no instance: it would keep this frame

    def leave(self, step: Callable[..., Any], *args: Any) -> bool:
        """Drop the leaf and end the coroutine by ``step(*args)``, which raises something in it.
        If it goes on to wait all the same, the one whom `find_cleaner` names polls it on.
        False when there is nobody."""
        cleaner = find_cleaner()
        self._dropped = True
        try:
            self._leaf = self._last_step(step, *args)
        except (CancelledError, GeneratorExit, StopIteration, StopAsyncIteration):
            self._over(None)
            return True
        except BaseException as error:
            self._over(error)
            raise
        if cleaner is None:
            return False
        cleaner(self)
        return True

    def _last_step(self, step: Callable[..., Any], *args: Any) -> Any:
        """Drop the leaf and run ``step(*args)`` as this coroutine; what it waits for next."""
        leaf, self._leaf = self._leaf, YIELD
        self._waker = None
        cell = self._cell
        if leaf is not YIELD:
            let_go(leaf)
        outer, cell.driver = cell.driver, self
        try:
            return self._context.run(step, *args)
        finally:
            cell.driver = outer

    def go_on_with(self, coro: Coroutine[Any, Any, T]) -> None:
        """Drive `coro` from here on: the next step of an async generator, say."""
        self._coro = coro

    def exit(self) -> None:
        """Have GeneratorExit raised where the coroutine waits; polling goes on."""
        self._leaf = Interrupt(self._leaf, GeneratorExit)


def into_future(awaitable: Awaitable[T] | Future[T]) -> Future[T]:
    """The future behind anything that can be awaited: a future is itself, a coroutine is
    driven in place. Raises TypeError for the rest."""
    if type(awaitable) is CoroutineType:  # what it mostly is, and a look at its class is cheap
        return CoroutineFuture(awaitable)
    if hasattr(awaitable, "poll"):
        return cast("Future[T]", awaitable)
    pinned = getattr(awaitable, "__pinned__", None)
    if pinned is not None:
        return cast("Future[T]", pinned())
    if isinstance(awaitable, Coroutine):
        return CoroutineFuture(awaitable)
    bridge = getattr(awaitable, "__await__", None)
    if bridge is None:
        if _may_be_awaited(awaitable):
            return CoroutineFuture(cast("Generator[Any, Any, T]", awaitable))
        raise TypeError(f"{awaitable!r} is neither a future nor awaitable; did you forget to call?")
    return CoroutineFuture(bridge())


accelerate(globals())
