"""Frame: memory that serves one call after another.

States of a frame, and what moves it on::

    idle ──begin──▶ begun ──first step──▶ suspended ──the call ends──▶ done ──begin──▶ ...
      ▲                                                                  │
      └───────────────────────────── release ────────────────────────────┘

The memory is an asynchronous generator of the interpreter's: what it yields plainly is a leaf, and
what it yields as an item ends a call, which leaves it waiting for the next one. A call that raises,
is cancelled or closed ends it; the next call begins in a new one, of the same size."""

from __future__ import annotations

import sys
import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from types import FrameType, TracebackType
from typing import Any, Final, ParamSpec, TypeVar, cast, final
from weakref import getweakrefs, ref

from pinfut.payers import current
from pinfut.unboxed.binding import binder
from pinfut.unboxed.compiled import further_size
from pinfut.unboxed.errors import FrameTooSmall
from pinfut.unboxed.generate import Generated, looping
from pinfut.unboxed.sizes import CELL
from pinfut.unboxed.unit import Unit, unit_of

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)


_NO_RESULT: Final = object()


@final
class FreeList:
    """The idle frames of a pool, and how many are in use."""

    __slots__ = ("bound", "high_water", "idle", "payer", "size", "taken", "unit")

    def __init__(self, unit: Unit, size: int, bound: int) -> None:
        self.unit = unit
        self.size = size  # bytes of each
        self.payer = current()[0]  # who pays for the pool, if anybody does
        # Invariant: at most `bound` frames, each idle and scrubbed, and each of `payer`.
        self.idle: list[Frame[Any]] = []
        self.bound = bound
        # Frames that are in use, and the most that ever were.
        self.taken = 0
        self.high_water = 0

    def put(self, frame: Frame[Any]) -> None:
        """A call has ended in `frame`."""
        self.taken -= 1
        if len(self.idle) < self.bound:
            self.idle.append(frame)


def _over() -> Any:
    raise RuntimeError("cannot reuse already awaited coroutine")


@final
class Frame(Coroutine[Any, Any, T_co]):
    """Memory for one call at a time, of at most `size` bytes. Once a call has begun in it, it is a
    coroutine. Not for two owners: one taken from a pool is given up when its call has ended."""

    __slots__ = (
        "__next__", "__weakref__", "_free_list", "_generator", "_unit", "_value", "busy", "size",
    )  # fmt: skip

    # One step of the call with None: the interpreter takes it from here itself.
    __next__: Callable[[], Any]

    def __init__(self, size: int, free_list: FreeList | None = None) -> None:
        self.size = size
        self._free_list = free_list  # where it goes back to when a call ends
        self._unit: Unit | None = None
        # Invariant: a generator of `_unit`; None before the first call, and after one that raised.
        self._generator: AsyncGenerator[Any, Any] | None = None
        self.busy = False  # whether a call has begun here and has not ended
        # Invariant: _NO_RESULT but from the end of a call to the release, and always in a pool.
        self._value: Any = _NO_RESULT
        self.__next__ = _over

    def begin(
        self, function: Callable[P, Coroutine[Any, Any, Any]], *args: P.args, **kwargs: P.kwargs
    ) -> Frame[T_co]:
        """Begin a call of `function` here; it runs when it is first resumed. Raises FrameTooSmall,
        before anything is written, TypeError when the arguments do not fit, and RuntimeError while
        another call runs here."""
        unit = unit_of(function)
        needed = frame_size(unit)
        if needed > self.size:
            raise FrameTooSmall(unit.code.co_qualname, needed, self.size)
        if self.busy:
            raise RuntimeError(
                f"a call of {unit.code.co_qualname} was to begin in a frame that is in use; "
                "take another one"
            )
        bound = (unit.binder or binder(unit))(*args, **kwargs)
        generator = self._generator
        if generator is None or self._unit is not unit:
            generator = self.prepare(unit)
        self._value = _NO_RESULT
        self.busy = True
        self.__next__ = generator.asend(bound).__next__  # type: ignore[attr-defined]
        return self

    def prepare(self, unit: Unit) -> AsyncGenerator[Any, Any]:
        """Make the memory of a frame of `unit`."""
        self._unit = unit
        # It belongs to no event loop, whatever loops do with asynchronous generators.
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            function = unit.frame or generated_frame(unit).function
            self._generator = generator = function(ref(self), self._free_list)
            first: Any = generator.asend(None)
            try:
                first.send(None)
            except StopIteration:
                pass
        finally:
            sys.set_asyncgen_hooks(*hooks)
        return cast("AsyncGenerator[Any, Any]", generator)

    @property
    def done(self) -> bool:
        """Whether the call has returned, so that `result` can be read."""
        return self._value is not _NO_RESULT

    def result(self) -> T_co:
        """The value of a call that has returned; read without resuming anything. Raises
        RuntimeError before that, after the release, and in a frame of a pool, which keeps
        nothing."""
        if self._value is _NO_RESULT:
            raise RuntimeError("this frame holds no result; its call has not returned")
        return self._value  # type: ignore[no-any-return]

    @property
    def _step(self) -> Any:
        # The awaitable of the call that has begun last.
        if not self.busy:
            _over()
        return cast(Any, self.__next__).__self__

    @property
    def _started(self) -> bool:
        generator = cast(Any, self._generator)
        return bool(generator.ag_running)

    def send(self, value: Any, /) -> Any:
        """Resume the call; the leaf that it waits for. Raises StopIteration at its end."""
        return self._step.send(value)

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
        step = self._step
        if not self._started:
            # Nothing of it runs, as with a coroutine.
            self._forget()
            raise error
        return step.throw(error)

    def close(self) -> None:
        """End the call: its ``finally`` blocks run, innermost first. Nothing happens when no
        call runs here. Raises RuntimeError when the call goes on waiting all the same."""
        if not self.busy:
            return
        if not self._started:
            self._forget()
            return
        try:
            self._step.throw(GeneratorExit())
        except (GeneratorExit, StopIteration):
            return
        raise RuntimeError("coroutine ignored GeneratorExit")

    def _forget(self) -> None:
        """A call that has begun never runs."""
        # Some versions do this by ending the generator, some report what was not closed.
        self._step.close()
        self._generator = None
        self.busy = False
        self.__next__ = _over
        if self._free_list is not None:
            self._free_list.put(self)

    @property
    def cr_frame(self) -> FrameType | None:
        """The interpreter's frame of the call, as coroutines have it: where it waits."""
        return cast(Any, self._generator).ag_frame if self.busy else None

    @property
    def cr_await(self) -> Any:
        """The boxed coroutine or further frame that the call waits for, if it does."""
        return cast(Any, self._generator).ag_await if self.busy else None

    def release(self) -> None:
        """Forget the result, so that the frame holds nothing of its call."""
        self._value = _NO_RESULT

    def __await__(self) -> Generator[Any, Any, T_co]:
        return cast("Generator[Any, Any, T_co]", self)

    def __iter__(self) -> Iterator[Any]:
        return cast("Iterator[Any]", self)

    def __del__(self) -> None:
        if self.busy and not self._started:
            warnings.warn(
                f"a call of {cast(Unit, self._unit).code.co_qualname} was begun and never awaited",
                RuntimeWarning,
                stacklevel=2,
            )
            self._step.close()
            if self._free_list is not None:
                self._free_list.taken -= 1

    def __repr__(self) -> str:
        state = "in a call" if self.busy else "done" if self.done else "idle"
        return f"<Frame of {self.size} bytes, {state}>"


def ended(home: ref[Frame[Any]], free_list: FreeList | None, value: Any, _: None) -> Any:
    """A call is about to return. For generated code; `_` is evaluated after the others."""
    frame = home()
    if frame is not None and frame.busy:
        frame.busy = False
        if free_list is None:
            frame._value = value
        else:
            # As `put` does, but for the call.
            free_list.taken -= 1
            idle = free_list.idle
            if len(idle) < free_list.bound:
                idle.append(frame)
    return value


def failed(home: ref[Frame[Any]], free_list: FreeList | None) -> None:
    """A call is about to raise, which ends its generator. For generated code."""
    frame = home()
    if frame is None:  # it was given up during its call
        if free_list is not None:
            free_list.taken -= 1
        return
    frame.busy = False
    frame._generator = None
    if free_list is not None:
        free_list.put(frame)


def generated_frame(unit: Unit) -> Generated:
    """The frame of `unit`, made anew; its generator function alone is kept, the first time."""
    made = looping(unit, ended, failed)
    if unit.frame is None:
        unit.frame = made.function
    return made


def frame_size(unit: Unit) -> int:
    """Bytes of a frame of `unit` in a pool, everything included."""
    if unit.size is None:
        made = generated_frame(unit)
        frame: Frame[Any] = Frame(0)
        generator: Any = frame.prepare(unit)
        args: list[Any] = [None]
        step = generator.asend(args)
        args.clear()
        parts = [frame, getweakrefs(frame)[0], generator, step, step.__next__, args]
        unit.size = sum(sys.getsizeof(part) for part in parts)
        unit.size += made.cells * CELL + further_size(made)
        step.close()
    return unit.size
