"""Futures: their base class, the bridge into ``await``, dropping, and the simplest ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, TypeVar, final

from pinfut import core, laws
from pinfut.checked import Record, keep_records
from pinfut.closing import ENDS_THE_RUN, tell
from pinfut.core import Awaits, accelerate
from pinfut.laws import PinError, checked_by_default
from pinfut.poll import PENDING, Context, Poll
from pinfut.variables import copy_context

_log = logging.getLogger("pinfut")

T_co = TypeVar("T_co", covariant=True)


class FutureBase(Awaits, Generic[T_co]):
    """Base of the futures here: awaitable, and it may not be copied or pickled. A subclass writes
    `poll`, and `drop` when there is something to undo. `poll` runs outside of every task's context
    variables; keep a `copy_context()` where that matters."""

    # `_law` holds the record of checked mode; without it the slot stays empty.
    __slots__ = ("_law",)

    _law: Record

    must_be_taken: ClassVar[bool] = True
    """Whether checked mode reports one that was thrown away, neither polled nor dropped."""

    def poll(self, cx: Context, /) -> Poll[T_co]:
        """The value, or PENDING (then ``cx.waker`` is registered), or raises."""
        raise NotImplementedError(f"{type(self).__name__} has to define poll(cx)")

    def drop(self) -> None:
        """The owner polls no more; nothing was started here, so there is nothing to undo."""

    def registrations(self) -> int:
        """How many references to it stand where it waits: in a queue, with the timers. A future
        that is held there and nowhere else is held by nobody; see `pinfut.pin.Pinned`."""
        return 0

    if TYPE_CHECKING:

        def __await__(self) -> Generator[Any, Any, T_co]:
            raise NotImplementedError

    def __repr__(self) -> str:
        # What asyncio and trio say of a future that they cannot wait for.
        kind = type(self).__qualname__
        return (
            f"<{kind} at {id(self):#x}, a future for tasks under pinfut.executor.run; within "
            "pinfut.guest() await from_host(...) elsewhere>"
        )

    def __bool__(self) -> bool:
        # ``if lock.acquire():`` would go on without the lock.
        raise TypeError(
            f"{type(self).__qualname__} is a future, and neither true nor false: await it, as in "
            "'if await ...:', or ask 'is not None' whether there is one"
        )

    def __copy__(self) -> NoReturn:
        raise PinError(self, "copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise PinError(self, "copied")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise PinError(self, "pickled")


REFUSALS: Final = (RuntimeError, TypeError)
"""What the loops of asyncio and trio raise in a task that has yielded a future of pinfut's."""


find_wait: Callable[[Any], Generator[Any, Any, Any] | None] = lambda future: None  # noqa: E731
"""Gives the wait to go on with where one of the REFUSALS was raised at the yield of a future; None
when that was an error of its own. Set by the hosts."""


def _await_in_hosts(self: FutureBase[Any]) -> Generator[Any, Any, Any]:
    try:
        return (yield self)
    except REFUSALS:
        wait = find_wait(self)
        if wait is None:
            raise
    return (yield from wait)


open_hosts: Final[set[int]] = set()
"""The hosts that are open, by their ids."""


def set_hosted(host: int, is_open: bool) -> None:
    """While a host, by its id, is open, awaits ask `find_wait`; elsewhere no await pays."""
    (open_hosts.add if is_open else open_hosts.discard)(host)
    core.set_hosted(_await_in_hosts if open_hosts else None)


if checked_by_default():
    keep_records(FutureBase)


def drop(future: object) -> None:
    """Drop `future` in its pinned form where it has one; a plain future needs no word."""
    drop_of(future)()


def drop_of(future: Any) -> Callable[[], object]:
    """What drops `future` when it is called, with no frame in between: a chain of futures takes
    no more of the stack when it is dropped than when it is polled."""
    if laws.recording:
        record: Record | None = getattr(future, "_law", None)
        if record is not None:
            record.forget()
    return getattr(future, "drop", int)


def let_go(future: object) -> None:
    """Drop `future`, whose outcome nobody waits for any more. An error of that has nobody to go
    to, and is logged; raises what ends the program."""
    try:
        drop_of(future)()
    except BaseException as error:
        tell_undropped(future, error)


def tell_undropped(future: object, error: BaseException) -> None:
    """As `let_go` does with the `error` of a drop."""
    if issubclass(type(error), ENDS_THE_RUN):
        raise error
    tell(_log.error, error, "%r could not be dropped", future)


@final
class Ready(FutureBase[T_co]):
    """A future that gives `value` at its first poll."""

    __slots__ = ("_value",)

    def __init__(self, value: T_co) -> None:
        self._value = value

    def poll(self, cx: Context, /) -> Poll[T_co]:
        return self._value


@final
class Never(FutureBase[NoReturn]):
    """A future that never gives a value. It keeps its promise of law 2 trivially: no waker
    would ever be called, so a task parked on it ends by cancellation alone."""

    __slots__ = ("_waker",)

    def poll(self, cx: Context, /) -> Poll[NoReturn]:
        self._waker = cx.waker
        return PENDING


@final
class PollFn(FutureBase[T_co]):
    """The future whose poll is ``fn(cx)``: PENDING only with ``cx.waker`` registered."""

    __slots__ = ("_context", "_fn")

    def __init__(self, fn: Callable[[Context], Poll[T_co]]) -> None:
        self._fn = fn
        self._context = copy_context()

    def poll(self, cx: Context, /) -> Poll[T_co]:
        return self._context.run(self._fn, cx)


ready = Ready
pending = Never
poll_fn = PollFn


accelerate(globals())
