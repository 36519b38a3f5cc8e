"""buffered, buffer_unordered, merge: several things of one stream, or several streams, at once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar, final, overload

from pinfut.combinators.group import Awaited, ChildContext, Woken
from pinfut.poll import PENDING, Context, Poll
from pinfut.streams.stream import END, Adapter, PollNext, Stream, StreamBase
from pinfut.streams.unordered import FuturesOrdered, FuturesUnordered

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")


@final
class Buffered(Adapter[Awaited[T], T], Generic[T]):
    """The values of a stream of futures, several of which are in flight."""

    __slots__ = ("_ended", "_futures")

    def __init__(
        self, source: Stream[Awaited[T]], futures: FuturesOrdered[T] | FuturesUnordered[T]
    ) -> None:
        super().__init__(source)
        self._futures = futures
        self._ended = False

    def poll_next(self, cx: Context, /) -> PollNext[T]:
        futures = self._futures
        while not self._ended and not futures.full:
            item = self._source.poll_next(cx)
            if item is PENDING:
                break
            if item is END:
                self._ended = True
            else:
                futures.push(item)
        value = futures.poll_next(cx)
        if value is END and not self._ended:
            return PENDING  # the source has the waker
        return value

    def drop(self) -> None:
        """Drop what is in flight, then the stream inside."""
        try:
            self._futures.drop()
        finally:
            super().drop()

    def poll_close(self, cx: Context, /) -> Poll[None]:
        """Wait for the clean-ups of what is in flight, then close the stream inside."""
        try:
            if self._futures.poll_close(cx) is PENDING:
                return PENDING
        except BaseException:
            super().drop()
            raise
        return super().poll_close(cx)


@final
class Merge(StreamBase[T]):
    """The items of several streams, as they come. One that always has an item does not
    keep the others from giving theirs."""

    __slots__ = ("_cx", "_left", "_streams", "_todo", "_woken")

    def __init__(self, streams: tuple[Stream[T], ...]) -> None:
        # Invariant: None where the stream has ended; `_left` have not.
        self._streams: list[Stream[T] | None] = list(streams)
        self._left = len(streams)
        self._woken = Woken(range(len(streams)))
        self._cx = ChildContext(self._woken)
        # Invariant: those to be polled next, each before it gets its second turn.
        self._todo: OrderedDict[int, None] = OrderedDict()

    def poll_next(self, cx: Context, /) -> PollNext[T]:
        woken, todo, streams = self._woken, self._todo, self._streams
        woken.parent = None
        todo.update(woken.keys)
        woken.keys.clear()
        while todo:
            key, _ = todo.popitem(last=False)
            stream = streams[key]
            if stream is None:
                continue
            try:
                item = stream.poll_next(self._cx.child(cx, key))
            except BaseException:
                self._ended(key)
                raise
            if item is END:
                self._ended(key)
            elif item is not PENDING:
                # It may have more, and nobody will wake for that.
                woken.keys[key] = None
                return item
        if not self._left:
            return END
        woken.rest(cx)
        return PENDING

    def _ended(self, key: int) -> None:
        self._streams[key] = None
        self._left -= 1

    def drop(self) -> None:
        """Drop every stream; of several errors the first is raised when all are dropped."""
        first: BaseException | None = None
        for key, stream in enumerate(self._streams):
            if stream is not None:
                self._ended(key)
                try:
                    stream.drop()
                except BaseException as error:
                    first = first or error
        if first is not None:
            raise first

    def poll_close(self, cx: Context, /) -> Poll[None]:
        closing: list[Any] = [stream for stream in self._streams if stream is not None]
        ends = [stream.poll_close(cx) for stream in closing]
        return PENDING if PENDING in ends else None


def buffered(source: Stream[Awaited[T]], count: int) -> StreamBase[T]:
    """The values of a stream of futures or coroutines, in its order, with up to `count` of
    them in flight: ``buffered(urls.map(fetch), 8)``. Raises ValueError below 1."""
    return Buffered(source, FuturesOrdered(count))


def buffer_unordered(source: Stream[Awaited[T]], count: int) -> StreamBase[T]:
    """As `buffered`, but each value as it comes."""
    return Buffered(source, FuturesUnordered(count))


@overload
def merge(a: Stream[A], b: Stream[B], /) -> StreamBase[A | B]: ...
@overload
def merge(a: Stream[A], b: Stream[B], c: Stream[C], /) -> StreamBase[A | B | C]: ...
@overload
def merge(
    a: Stream[A], b: Stream[B], c: Stream[C], d: Stream[D], /
) -> StreamBase[A | B | C | D]: ...
@overload
def merge(*streams: Stream[T]) -> StreamBase[T]: ...
def merge(*streams: Stream[Any]) -> StreamBase[Any]:
    """The items of all `streams`, as they come; it ends when all have ended."""
    return Merge(streams)
