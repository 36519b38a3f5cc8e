"""Frame and Pool: memory that serves one call after another.

States of a frame, and what moves it on::

    idle ──begin──▶ begun ──send──▶ suspended ──the call ends──▶ done ──begin──▶ ...
      ▲                                                            │
      └───────────────────────── release ──────────────────────────┘

A call that returns leaves its generator waiting for the next one. A call that raises, is
cancelled or closed ends its generator (its traceback may be kept for a long time, and leads
to it); the next call begins in a new one, of the same size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Final, Generic, ParamSpec, TypeVar, final

from pinfut.unboxed.errors import FrameTooSmall
from pinfut.unboxed.layout import frame_size
from pinfut.unboxed.unit import Unit, unit_of

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _NoResult:
    __slots__ = ()


_NO_RESULT: Final = _NoResult()


@final
class Cell:
    """Where a call leaves its value: fixed, and readable without resuming anything."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        # Invariant: _NO_RESULT but between the end of a call and the release of its frame.
        self.value: Any = _NO_RESULT


@final
class Frame(Coroutine[Any, Any, T_co]):
    """Memory for one call at a time, of at most `size` bytes. Once a call has begun in it, it
    is a coroutine: send, throw and close drive it, and it can be awaited and spawned.

    Not for two owners: whoever took it from a pool gives it back, once, by `release` or by
    letting the pool do so when the call ends.
    """

    __slots__ = ("_args", "_cell", "_generator", "_pool", "_send", "_unit", "size")

    def __init__(self, size: int, pool: Pool[Any, Any] | None = None) -> None:
        self.size = size
        self._cell = Cell()
        self._pool = pool
        self._unit: Unit | None = None
        # Invariant: a generator of `_unit` that waits for arguments, or is in a call; None
        # before the first call, and after one that raised.
        self._generator: Generator[Any, Any, Any] | None = None
        self._send: Callable[[Any], Any] | None = None
        # Invariant: the arguments of a call that has begun and has not been resumed yet.
        self._args: tuple[Any, ...] | None = None

    def begin(
        self, function: Callable[P, Coroutine[Any, Any, Any]], *args: P.args, **kwargs: P.kwargs
    ) -> Frame[T_co]:
        """Begin a call of `function` here; it runs when it is first resumed.

        Raises FrameTooSmall, before anything is written, when its frame is larger than this,
        TypeError when the arguments do not fit, and RuntimeError while another call runs here.
        """
        unit = unit_of(function)
        needed = frame_size(unit)
        if needed > self.size:
            raise FrameTooSmall(unit.code.co_qualname, needed, self.size)
        return self._begin(unit, unit.binder(*args, **kwargs))

    def _begin(self, unit: Unit, args: tuple[Any, ...]) -> Frame[T_co]:
        if self.busy:
            raise RuntimeError(
                f"a call of {unit.code.co_qualname} was to begin in a frame that is in use; "
                "take another one from the pool"
            )
        if self._generator is None or self._unit is not unit:
            self.prepare(unit)
        self._cell.value = _NO_RESULT
        self._args = args
        return self

    def prepare(self, unit: Unit) -> None:
        """Make the memory of a frame of `unit`."""
        if self._generator is not None:
            self._generator.close()
        self._unit = unit
        self._generator = generator = unit.frame(self._cell)
        self._send = generator.send
        generator.send(None)

    @property
    def busy(self) -> bool:
        """Whether a call has begun here and has not ended."""
        generator = self._generator
        if self._args is not None:
            return True
        return generator is not None and self._in_call

    @property
    def _in_call(self) -> bool:
        return self._cell.value is _IN_CALL

    @property
    def done(self) -> bool:
        """Whether the call has returned, so that `result` can be read."""
        value = self._cell.value
        return value is not _NO_RESULT and value is not _IN_CALL

    def result(self) -> T_co:
        """The value of a call that has returned; read without resuming anything. Raises
        RuntimeError before that, and after the release."""
        if not self.done:
            raise RuntimeError("this frame holds no result; its call has not returned")
        return self._cell.value  # type: ignore[no-any-return]

    def send(self, value: Any, /) -> Any:
        """Resume the call; the leaf that it waits for. Raises StopIteration at its end."""
        args = self._args
        if args is not None:
            self._args = None
            self._cell.value = _IN_CALL
            value = args
            del args
        elif self._cell.value is not _IN_CALL:
            raise RuntimeError("cannot reuse already awaited coroutine")
        send = self._send
        assert send is not None
        try:
            leaf = send(value)
        except BaseException:
            self._ended()
            raise
        if leaf is self._cell:
            raise StopIteration(self._returned())
        return leaf

    def throw(
        self,
        kind: Any,
        value: BaseException | object = None,
        traceback: TracebackType | None = None,
        /,
    ) -> Any:
        """Raise an error where the call waits. Raises as `send` does."""
        error: Any = kind if value is None else value
        if isinstance(error, type):
            error = error()
        if traceback is not None:
            error = error.with_traceback(traceback)
        if self._args is not None:
            # Not started yet: nothing of it runs, as with a coroutine.
            self._args = None
            self._ended()
            raise error
        generator = self._generator
        if generator is None or self._cell.value is not _IN_CALL:
            raise RuntimeError("cannot reuse already awaited coroutine")
        try:
            leaf = generator.throw(error)
        except BaseException:
            self._ended()
            raise
        if leaf is self._cell:
            raise StopIteration(self._returned())
        return leaf

    def close(self) -> None:
        """End the call: its ``finally`` blocks run, innermost first. Nothing happens when no
        call runs here. Raises RuntimeError when the call goes on waiting all the same."""
        if self._args is not None:
            self._args = None
            self._give_back()
        elif self._cell.value is _IN_CALL:
            generator = self._generator
            assert generator is not None
            try:
                leaf = generator.throw(GeneratorExit())
            except (GeneratorExit, StopIteration):
                self._ended()
                return
            except BaseException:
                self._ended()
                raise
            if leaf is self._cell:
                self._returned()
                return
            self._generator = None
            self._ended()
            raise RuntimeError("coroutine ignored GeneratorExit")

    def _returned(self) -> Any:
        value = self._cell.value
        if self._pool is not None:
            self._cell.value = _NO_RESULT  # whoever drove it has the value; the pool keeps none
        self._give_back()
        return value

    def _ended(self) -> None:
        # The generator is over; so that nobody finds this call through it, it goes.
        self._generator = None
        self._send = None
        self._cell.value = _NO_RESULT
        self._give_back()

    def _give_back(self) -> None:
        if self._cell.value is _IN_CALL:
            self._cell.value = _NO_RESULT
        if self._pool is not None:
            self._pool.give(self)

    def release(self) -> None:
        """Forget the result, so that the frame holds nothing of its call."""
        if not self.busy:
            self._cell.value = _NO_RESULT

    def __await__(self) -> Generator[Any, Any, T_co]:
        try:
            leaf = self.send(None)
            while True:
                try:
                    value = yield leaf
                except BaseException as error:
                    leaf = self.throw(error)
                else:
                    leaf = self.send(value)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        state = "in a call" if self.busy else "done" if self.done else "idle"
        return f"<Frame of {self.size} bytes, {state}>"


_IN_CALL: Final = _NoResult()


@final
class Pool(Generic[P, T]):
    """Frames of one function, used again and again. It grows to what was needed at once, up
    to `bound` idle frames; one more than that is freed when it comes back."""

    __slots__ = ("_idle", "_unit", "bound", "high_water", "size", "taken")

    def __init__(self, function: Callable[P, Coroutine[Any, Any, T]], bound: int = 64) -> None:
        """Raises TypeError for a function that is not unboxed, and ValueError for a bound
        below 0."""
        if bound < 0:
            raise ValueError(f"a pool keeps 0 frames or more, not {bound}")
        self._unit = unit_of(function)
        # Bytes of each frame: what is charged to whoever uses one.
        self.size: int = frame_size(self._unit)
        self.bound = bound
        # Invariant: at most `bound` frames, each idle and scrubbed.
        self._idle: list[Frame[T]] = []
        # Frames that are in use, and the most that ever were.
        self.taken = 0
        self.high_water = 0

    def __len__(self) -> int:
        return len(self._idle)

    def begin(self, *args: P.args, **kwargs: P.kwargs) -> Frame[T]:
        """Begin a call in a frame of the pool, or a new one. It comes back when the call
        ends, in whatever way. Raises TypeError when the arguments do not fit."""
        bound = self._unit.binder(*args, **kwargs)
        frame = self._take()
        self.taken += 1
        if self.taken > self.high_water:
            self.high_water = self.taken
        return frame._begin(self._unit, bound)

    def _take(self) -> Frame[T]:
        idle = self._idle
        if idle:
            frame = idle.pop()
            # `frame` and the argument of getrefcount: nobody else knows it. A frame that
            # somebody still holds is his, done for ever; it does not serve another call.
            if sys.getrefcount(frame) == 2:
                frame._cell.value = _NO_RESULT
                return frame
            frame._pool = None
        frame = Frame(self.size, self)
        frame.prepare(self._unit)
        return frame

    def give(self, frame: Frame[T]) -> None:
        """A call has ended in `frame`. For the frame itself."""
        self.taken -= 1
        if len(self._idle) < self.bound:
            self._idle.append(frame)
        else:
            frame._pool = None


def pool(function: Callable[P, Coroutine[Any, Any, T]], bound: int = 64) -> Pool[P, T]:
    """A pool of frames of `function`: ``frames = pool(f); await frames.begin(x)``."""
    return Pool(function, bound)
