"""Streams of what is not a stream yet: an iterable, an async generator, a receiver."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator
from typing import Any, Final, Protocol, TypeVar, cast, final

from pinfut.coroutine import CoroutineFuture, DriverCell, driver_context
from pinfut.future import drop
from pinfut.poll import PENDING, Context, Future, Poll
from pinfut.streams.stream import END, PollNext, StreamBase
from pinfut.sync.closed import Closed

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_NO_STEP: Final = cast("Coroutine[Any, Any, Any]", None)
"""What a driver has before the first step of its generator."""


class Receives(Protocol[T_co]):
    """What `from_receiver` takes: the receiving end of a channel."""

    def recv(self) -> Future[T_co]:
        """Wait for the next value. Raises Closed when there will be none."""
        ...


@final
class FromIterable(StreamBase[T]):
    """The items of an iterable, each ready at once."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[T]) -> None:
        self._items: Iterator[T] = iter(items)

    def poll_next(self, cx: Context, /) -> PollNext[T]:
        return next(self._items, END)

    def drop(self) -> None:
        """Forget the iterator; a generator is closed."""
        items, self._items = self._items, iter(())
        close = getattr(items, "close", None)
        if close is not None:
            close()


@final
class FromAsyncGenerator(StreamBase[T]):
    """The items of an async generator, which the stream owns and finalises.

    idle ──poll_next──▶ stepping ──it yields──▶ idle
      │                    │ └──it returns, or raises──▶ closed
      └──aclose, drop──▶ closing ──its clean-up ends──▶ closed
    """

    __slots__ = ("_closed", "_closing", "_driver", "_generator", "_step")

    def __init__(self, generator: AsyncGenerator[T, None]) -> None:
        self._generator = generator
        # Invariant: what brings the next item, or the clean-up, while it is under way.
        self._step: Coroutine[Any, Any, T | None] | None = None
        self._closing = False
        self._closed = False
        # One driver for all steps: the generator keeps its context variables and blocks.
        cell = DriverCell()
        self._driver: CoroutineFuture[T | None] = CoroutineFuture(
            _NO_STEP, cell, driver_context(cell)
        )

    def poll_next(self, cx: Context, /) -> PollNext[T]:
        if self._closing or self._closed:
            return END
        if self._step is None:
            self._begin(self._generator.__anext__())
        try:
            item = self._driver.poll(cx)
        except StopAsyncIteration:
            self._closed = True
            return END
        except BaseException:
            self._closed = True
            raise
        if item is not PENDING:
            self._step = None
        return cast("PollNext[T]", item)

    def poll_close(self, cx: Context, /) -> Poll[None]:
        """Close the generator where it stands, and wait for its ``finally`` blocks."""
        if self._closed:
            return None
        if not self._closing:
            self._closing = True
            if self._step is None:
                self._begin(self._generator.aclose())
            else:
                self._driver.exit()
        try:
            if self._driver.poll(cx) is PENDING:
                return PENDING
        except (GeneratorExit, StopAsyncIteration):
            self._closed = True
            return None
        except BaseException:
            self._closed = True
            raise
        self._closed = True
        return None

    def drop(self) -> None:
        """Close the generator; RuntimeError where no executor can wait for its clean-up."""
        if self._closed:
            return
        self._closed = True
        if self._step is not None:
            whole = self._driver.leave(self._step.throw, GeneratorExit)
        else:
            closing = self._generator.aclose()
            self._driver.go_on_with(closing)
            whole = self._driver.leave(closing.send, None)
        if not whole:
            raise RuntimeError(
                f"{self._generator!r} awaits in its clean-up, which a drop cannot wait for where "
                "no executor runs; leave the stream with `await stream.aclose()`"
            )

    def _begin(self, step: Any) -> None:
        self._step = step
        self._driver.go_on_with(step)


@final
class FromReceiver(StreamBase[T]):
    """What a receiver receives, until the channel is closed and empty."""

    __slots__ = ("_receiver", "_recv")

    def __init__(self, receiver: Receives[T]) -> None:
        self._receiver = receiver
        # Invariant: the wait for the next value; a value that is handed to it stays in it.
        self._recv: Future[T] | None = None

    def poll_next(self, cx: Context, /) -> PollNext[T]:
        recv = self._recv
        if recv is None:
            recv = self._recv = self._receiver.recv()
        try:
            value = cx.poll(recv)
        except Closed:
            self._recv = None
            return END
        if value is not PENDING:
            self._recv = None
        return value

    def drop(self) -> None:
        """Leave the queue of the channel; a value at hand goes to the next receiver."""
        recv, self._recv = self._recv, None
        if recv is not None:
            drop(recv)


def from_iterable(items: Iterable[T]) -> StreamBase[T]:
    """A stream of `items`, each ready at once."""
    return FromIterable(items)


def from_async_generator(generator: AsyncGenerator[T, None]) -> StreamBase[T]:
    """A stream of what an async generator yields: ``from_async_generator(lines(path))``. It
    finalises that: its ``finally`` blocks run when the stream ends, is closed or dropped. A
    ``next()`` that is dropped does not disturb the step that is under way."""
    return FromAsyncGenerator(generator)


def from_receiver(receiver: Receives[T]) -> StreamBase[T]:
    """A stream of what comes through a channel, until that is closed and empty."""
    return FromReceiver(receiver)
