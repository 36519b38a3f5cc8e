"""buffered, buffer_unordered, merge: several things of one stream, or several streams, at once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar, final, overload

from pinfut.combinators.group import A, Awaited, B, C, ChildContext, D, Woken
from pinfut.poll import PENDING, Context
from pinfut.streams.stream import END, Adapter, OwningStream, PollNext, Stream, StreamBase
from pinfut.streams.unordered import FuturesOrdered, FuturesUnordered

T = TypeVar("T")


@final
class Buffered(Adapter[Awaited[T], T], Generic[T]):
    """The values of a stream of futures, several of which are in flight."""

    __slots__ = ("_ended", "_futures")

    def __init__(
        self, source: Stream[Awaited[T]], futures: FuturesOrdered[T] | FuturesUnordered[T]
    ) -> None:
        super().__init__(source, futures, source)
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


@final
class Merge(OwningStream[T]):
    """The items of several streams, as they come; one that always has some starves none."""

    __slots__ = ("_cx", "_left", "_streams", "_todo", "_woken")

    def __init__(self, streams: tuple[Stream[T], ...]) -> None:
        super().__init__()
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
            finally:
                self._cx.key = -1
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

    def owned(self) -> list[Stream[T]]:
        return [stream for stream in self._streams if stream is not None]

    def take_owned(self) -> list[Stream[T]]:
        left = self.owned()
        self._streams = [None] * len(self._streams)
        self._left = 0
        return left


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
