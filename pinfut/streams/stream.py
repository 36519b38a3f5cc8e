"""Streams: many values, one after the other, each when it comes.

States, and who moves a stream on::

    open ──poll_next gives items──▶ open ──gives END, or raises──▶ ended
      │
      └── drop, aclose ──▶ dropped (what it had started is cancelled)

A ``next()`` that is dropped loses no item: what was begun stays in the stream. So a stream has one
consumer at a time, and one that leaves it before its end drops it (``async with`` does)."""

from __future__ import annotations

import enum
import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar, final

from pinfut.closing import ENDS_THE_RUN, raise_first, tell
from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Pending, Poll
from pinfut.variables import copy_context

_log = logging.getLogger("pinfut")

T = TypeVar("T")
U = TypeVar("U")
A = TypeVar("A")
T_co = TypeVar("T_co", covariant=True)


class _End(enum.Enum):
    END = "END"

    def __repr__(self) -> str:
        return "END"


END: Final = _End.END
"""What a stream gives when there will be no more items. Compare with ``is``."""

End: TypeAlias = Literal[_End.END]
"""The type of END."""

PollNext: TypeAlias = T | Pending | End
"""What `poll_next` gives: ``PollNext[int]`` is an int, PENDING or END."""


class Full(RuntimeError):
    """More was put somewhere than it was made for; take something out first."""


class Stream(Protocol[T_co]):
    """Whatever gives items one by one when it is polled."""

    def poll_next(self, cx: Context, /) -> PollNext[T_co]:
        """The next item, or PENDING (then ``cx.waker`` is registered), or END, or raises. After END
        or an error nobody polls it again, unless its class says otherwise."""
        ...

    def drop(self) -> None:
        """The owner polls no more: cancel what was started. Idempotent."""

    def poll_close(self, cx: Context, /) -> Poll[None]:
        """Drop the stream in a way that may wait for what has to be undone. Idempotent."""
        ...


class StreamBase(Generic[T_co]):
    """Base of the streams here: ``async for item in stream``, adapters, ``async with``. A subclass
    writes `poll_next`, and `drop` when there is something to undo. Adapters own the stream that
    they were made of."""

    __slots__ = ()

    def poll_next(self, cx: Context, /) -> PollNext[T_co]:
        """The next item, or PENDING (then ``cx.waker`` is registered), or END, or raises."""
        raise NotImplementedError(f"{type(self).__name__} has to define poll_next(cx)")

    def drop(self) -> None:
        """The owner polls no more; nothing was started here, so there is nothing to undo."""

    def poll_close(self, cx: Context, /) -> Poll[None]:
        """Drop the stream in a way that may wait for what has to be undone."""
        self.drop()
        return None

    def next(self) -> FutureBase[T_co | End]:
        """The next item, or END: ``item = await stream.next()``. Dropping it loses no item."""
        return Next(self)

    def __aiter__(self) -> StreamBase[T_co]:
        return self

    def __anext__(self) -> FutureBase[T_co]:
        return AsyncNext(self)

    def aclose(self) -> FutureBase[None]:
        """Drop the stream and wait until what it had begun is undone."""
        return Close(self)

    async def __aenter__(self) -> StreamBase[T_co]:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if issubclass(type(error), GeneratorExit):
            # The coroutine is being closed and cannot wait any more.
            self.drop()
            return
        try:
            await self.aclose()
        except CancelledError:
            self.drop()
            raise
        except (*ENDS_THE_RUN, GeneratorExit):
            raise
        except BaseException as late:
            if error is None:
                raise
            # What happened first is what is raised; this is an error of undoing it.
            tell(_log.error, late, "%r could not be closed", self)

    async def collect(self, limit: int) -> list[T_co]:
        """All items. `limit` is the most that there may be: one more raises Full."""
        items: list[T_co] = []
        async for item in self:
            if len(items) >= limit:
                await self.aclose()
                raise Full(f"the stream has more than the {limit} items that collect was given")
            items.append(item)
        return items

    async def fold(self, start: A, fn: Callable[[A, T_co], A]) -> A:
        """``fn(so_far, item)`` over all items, from `start` on."""
        async for item in self:
            start = fn(start, item)
        return start

    async def for_each(self, fn: Callable[[T_co], Awaitable[object]]) -> None:
        """Await ``fn(item)`` for one item after the other."""
        async for item in self:
            await fn(item)

    def map(self, fn: Callable[[T_co], U]) -> StreamBase[U]:
        """``fn`` of each item."""
        return Mapped(self, fn)

    def filter(self, fn: Callable[[T_co], object]) -> StreamBase[T_co]:
        """The items for which `fn` is true."""
        return Filtered(self, fn)

    def take(self, count: int) -> StreamBase[T_co]:
        """The first `count` items; the rest is dropped with them."""
        return Taken(self, count)

    def chunks(self, size: int) -> StreamBase[list[T_co]]:
        """Lists of `size` items; the last may be shorter. Raises ValueError below 1."""
        return Chunked(self, size)

    def zip(self, other: Stream[U]) -> StreamBase[tuple[T_co, U]]:
        """Pairs of items, as long as both streams have one."""
        return Zipped(self, other)


def _not_an_end(stream: Stream[Any]) -> RuntimeError:
    """The error for a StopAsyncIteration, which would be taken for an end (as PEP 479)."""
    return RuntimeError(f"{type(stream).__name__} raised StopAsyncIteration; an end is END")


class _OfStream(FutureBase[T_co]):
    __slots__ = ("_stream",)

    def __init__(self, stream: Stream[Any]) -> None:
        self._stream = stream


@final
class Next(_OfStream[T_co | End]):
    """Waits for the next item of a stream, and keeps nothing of it."""

    __slots__ = ()

    def poll(self, cx: Context, /) -> Poll[T_co | End]:
        try:
            return self._stream.poll_next(cx)
        except StopAsyncIteration as error:
            raise _not_an_end(self._stream) from error


@final
class AsyncNext(_OfStream[T_co]):
    """`Next` in the form of ``async for``: END is StopAsyncIteration."""

    __slots__ = ()

    def poll(self, cx: Context, /) -> Poll[T_co]:
        try:
            item = self._stream.poll_next(cx)
        except StopAsyncIteration as error:
            raise _not_an_end(self._stream) from error
        if item is END:
            raise StopAsyncIteration
        return item


@final
class Close(_OfStream[None]):
    """Waits until a stream is closed."""

    __slots__ = ()

    def poll(self, cx: Context, /) -> Poll[None]:
        return self._stream.poll_close(cx)


class OwningStream(StreamBase[T_co]):
    """A stream that owns others: it closes or drops all, and then raises as `raise_first`. No
    helper stands between two levels, so that a long chain takes no more of the stack than when it
    is polled."""

    __slots__ = ("_errors", "_unclosed")

    def __init__(self) -> None:
        # Invariant: those that are not closed yet; None before `poll_close`.
        self._unclosed: list[Stream[Any]] | None = None
        self._errors: list[BaseException] = []

    def owned(self) -> Iterable[Stream[Any]]:
        """Those that have not ended, in the order in which they are closed."""
        raise NotImplementedError

    def take_owned(self) -> Iterable[Stream[Any]]:
        """As `owned`; they are polled no more."""
        return self.owned()

    def drop(self) -> None:
        """Drop what it is made of."""
        errors: list[BaseException] = []
        for stream in self.take_owned():
            try:
                stream.drop()
            except BaseException as error:
                errors.append(error)
        if errors:
            raise_first(errors)

    def poll_close(self, cx: Context, /) -> Poll[None]:
        """Close what it is made of, all at the same time."""
        streams = self.owned() if self._unclosed is None else self._unclosed
        self._unclosed = left = []
        for stream in streams:
            try:
                if stream.poll_close(cx) is PENDING:
                    left.append(stream)
            except BaseException as error:
                self._errors.append(error)
        if left:
            return PENDING
        if self._errors:
            raise_first(self._errors)
        return None


class Adapter(OwningStream[U], Generic[T, U]):
    """A stream made of one other, or of several."""

    __slots__ = ("_owned", "_source")

    def __init__(self, source: Stream[T], *owned: Stream[Any]) -> None:
        """`owned`: all of them, where there are others."""
        super().__init__()
        self._source = source
        self._owned = owned or (source,)

    def owned(self) -> Iterable[Stream[Any]]:
        return self._owned


class _WithFunction(Adapter[T, U]):
    """An adapter that calls a function, in the context variables of here."""

    __slots__ = ("_context", "_fn")

    def __init__(self, source: Stream[T], fn: Callable[[T], Any]) -> None:
        super().__init__(source)
        self._fn = fn
        self._context = copy_context()


@final
class Mapped(_WithFunction[T, U]):
    """A function of each item."""

    __slots__ = ()

    def poll_next(self, cx: Context, /) -> PollNext[U]:
        item = self._source.poll_next(cx)
        if item is PENDING or item is END:
            return item
        return self._context.run(self._fn, item)


def _closed(stream: Stream[Any], cx: Context) -> Pending | End:
    """END, once `stream` is closed."""
    return PENDING if stream.poll_close(cx) is PENDING else END


_AT_ONCE: Final = 128  # how many items a poll refuses before it lets others run


@final
class Filtered(_WithFunction[T, T]):
    """The items for which a function is true."""

    __slots__ = ()

    def poll_next(self, cx: Context, /) -> PollNext[T]:
        for _ in range(_AT_ONCE):
            item = self._source.poll_next(cx)
            if item is PENDING or item is END or self._context.run(self._fn, item):
                return item
        cx.waker.wake()
        return PENDING


@final
class Taken(Adapter[T, T]):
    """The first so many items."""

    __slots__ = ("_left",)

    def __init__(self, source: Stream[T], count: int) -> None:
        if count < 0:
            raise ValueError(f"take needs a count of 0 or more, not {count}")
        super().__init__(source)
        self._left = count

    def poll_next(self, cx: Context, /) -> PollNext[T]:
        if not self._left:
            return _closed(self._source, cx)
        item = self._source.poll_next(cx)
        if item is not PENDING:
            self._left -= 1
        return item


@final
class Chunked(Adapter[T, list[T]]):
    """Lists of so many items."""

    __slots__ = ("_chunk", "_ended", "_size")

    def __init__(self, source: Stream[T], size: int) -> None:
        if size < 1:
            raise ValueError(f"chunks needs a size of 1 or more, not {size}")
        super().__init__(source)
        self._size = size
        self._chunk: list[T] = []  # Invariant: shorter than a chunk between the polls
        self._ended = False

    def poll_next(self, cx: Context, /) -> PollNext[list[T]]:
        chunk = self._chunk
        while not self._ended and len(chunk) < self._size:
            item = self._source.poll_next(cx)
            if item is PENDING:
                return PENDING
            if item is END:
                self._ended = True
            else:
                chunk.append(item)
        if not chunk:
            return END
        self._chunk = []
        return chunk


@final
class Zipped(Adapter[T, tuple[T, U]], Generic[T, U]):
    """Pairs of the items of two streams."""

    __slots__ = ("_first", "_other", "_rest")

    def __init__(self, source: Stream[T], other: Stream[U]) -> None:
        super().__init__(source, source, other)
        self._other = other
        # Invariant: the item that waits for its partner; PENDING if there is none.
        self._first: T | Pending = PENDING
        self._rest: Stream[Any] | None = None  # set once the other of the two has ended

    def poll_next(self, cx: Context, /) -> PollNext[tuple[T, U]]:
        if self._rest is not None:
            return _closed(self._rest, cx)
        first = self._first
        if first is PENDING:
            item = self._source.poll_next(cx)
            if item is PENDING:
                return PENDING
            if item is END:
                self._rest = self._other
                return _closed(self._other, cx)
            self._first = first = item
        second = self._other.poll_next(cx)
        if second is PENDING:
            return PENDING
        self._first = PENDING
        if second is END:
            self._rest = self._source
            return _closed(self._source, cx)
        return first, second
