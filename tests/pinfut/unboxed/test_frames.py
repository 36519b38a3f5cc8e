"""Frames and pools: sized before a call, scrubbed after it, used again."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from pinfut import join, ready, yield_now
from pinfut.executor import spawn
from pinfut.places import suspended_at
from pinfut.unboxed import FrameTooSmall, layout, pool, unboxed
from pinfut.unboxed.frame import Frame
from tests.executor.world import Run, executor, run
from tests.pinfut.unboxed.programs import Leaf

__all__ = ["executor", "run"]


class Thing:
    """Something that a weak reference can watch."""


def touch(thing: object) -> int:
    return id(thing)


@unboxed
async def inner(thing: Any) -> int:
    number = touch(thing)
    await Leaf(number)
    return number


@unboxed
async def outer(thing: Any) -> int:
    return await inner(thing)


@unboxed
async def keeps(thing: Any) -> Any:
    await Leaf("waits")
    return thing


@unboxed
async def rests(first: object, second: object = None) -> object:
    await yield_now()
    return first, second


log: list[str] = []


@unboxed
async def cleans(name: str) -> str:
    try:
        await Leaf(name)
    finally:
        log.append(name)
    return name


@unboxed
async def cleans_twice() -> str:
    try:
        return await cleans("inner")
    finally:
        log.append("outer")


def test_the_size_is_what_a_frame_really_takes() -> None:
    """What a frame of a pool takes while its call waits, everything included."""
    size = layout(rests).size
    frames = pool(rests)
    # What the interpreter keeps ready to be used again is in use, and nothing comes back.
    gc.collect()
    gc.disable()
    ready = [frames.begin(None) for _ in range(256)]
    lists: list[list[Any]] = [[] for _ in range(256)]
    kept: list[Any] = [None] * 256
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    frame: Any = None
    for index in range(256):
        frame = frames.begin(None)
        frame.send(None)
        kept[index] = frame
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    gc.enable()
    generator = sys.getsizeof(kept[0]._generator)
    for each in (*ready, *kept):
        each.close()
    assert len(lists) == 256
    numbers = 4 * 32  # counts that have outgrown the numbers that are always there
    assert abs(taken - 256 * size) <= numbers, (taken / 256, size)
    assert layout(rests).generator == generator
    assert layout(outer).boxed == sum(sys.getsizeof(coro) for coro in _plain()), (
        "what plain coroutines take"
    )
    assert layout(outer).called < layout(outer).boxed


def _plain() -> list[Any]:
    made = [each.__wrapped__(None) for each in (outer, inner)]  # type: ignore[attr-defined]
    for coro in made:
        coro.close()
    fresh = [each.__wrapped__(None) for each in (outer, inner)]  # type: ignore[attr-defined]
    for coro in fresh:
        coro.close()
    return made


def test_a_called_one_has_the_size_that_its_layout_says() -> None:
    coro = outer(1)
    assert sys.getsizeof(coro) == layout(outer).called
    coro.close()


def test_an_argument_that_is_dead_is_dropped_at_the_first_suspension() -> None:
    for start in (outer, pool(outer).begin):
        thing = Thing()
        watch = weakref.ref(thing)
        coro = start(thing)
        del thing
        assert watch() is not None
        coro.send(None)
        assert watch() is None
        coro.close()
    thing = Thing()
    watch = weakref.ref(thing)
    coro = keeps(thing)
    del thing
    coro.send(None)
    assert watch() is not None, "it is read later"
    coro.close()


def test_a_frame_that_is_too_small_traps_before_anything_is_written() -> None:
    size = layout(outer).size
    thing = Thing()
    frame: Frame[int] = Frame(size - 1)
    references = sys.getrefcount(thing)
    with pytest.raises(FrameTooSmall, match=f"takes {size} bytes") as caught:
        frame.begin(outer, thing)
    assert (caught.value.needed, caught.value.given) == (size, size - 1)
    del caught
    gc.collect()
    assert sys.getrefcount(thing) == references
    assert not frame.busy
    frame = Frame(size)
    assert frame.begin(outer, thing).busy
    frame.close()
    assert not frame.busy


def test_the_result_is_read_without_resuming() -> None:
    frame: Frame[Any] = Frame(layout(keeps).size)
    frame.begin(keeps, 7)
    with pytest.raises(RuntimeError, match="has not returned"):
        frame.result()
    frame.send(None)
    with pytest.raises(StopIteration):
        frame.send(None)
    assert frame.done
    assert frame.result() == 7
    assert frame.result() == 7
    frame.release()
    assert not frame.done


def test_a_frame_in_use_takes_no_second_call() -> None:
    frame: Frame[Any] = Frame(layout(keeps).size)
    frame.begin(keeps, 1)
    with pytest.raises(RuntimeError, match="in use"):
        frame.begin(keeps, 2)
    frame.send(None)
    with pytest.raises(RuntimeError, match="in use"):
        frame.begin(keeps, 2)


def _finish(frame: Any) -> Any:
    try:
        while True:
            frame.send(None)
    except StopIteration as stop:
        return stop.value


def _throw(frame: Any) -> None:
    frame.send(None)
    with pytest.raises(KeyError):
        frame.throw(KeyError("k"))


def _close(frame: Any) -> None:
    frame.send(None)
    frame.close()


@pytest.mark.parametrize("end", [_finish, _throw, _close, lambda frame: frame.close()])
def test_nothing_of_a_call_is_left_in_its_frame(end: Callable[[Any], Any]) -> None:
    frames = pool(keeps)
    thing = Thing()
    watch = weakref.ref(thing)
    end(frames.begin(thing))
    del thing
    assert len(frames) == 1
    assert frames.taken == 0
    gc.collect()  # the error that was thrown, and its traceback
    assert watch() is None
    assert _finish(frames.begin(5)) == 5, "the frame is as good as new"
    assert len(frames) == 1


def test_cancel_and_throw_run_every_finally_innermost_first() -> None:
    for end in (_throw, _close):
        log.clear()
        frames = pool(cleans_twice)
        end(frames.begin())
        assert log == ["inner", "outer"]
        assert _finish(frames.begin()) == "inner"


def test_a_pool_is_bounded_and_remembers_its_high_water() -> None:
    frames = pool(keeps, bound=2)
    begun = [frames.begin(number) for number in range(5)]
    assert frames.taken == 5
    assert frames.high_water == 5
    assert [_finish(frame) for frame in begun] == list(range(5))
    assert len(frames) == 2
    assert frames.taken == 0
    assert frames.high_water == 5
    with pytest.raises(ValueError, match="0 frames or more"):
        pool(keeps, bound=-1)


def test_a_frame_that_somebody_still_holds_serves_no_other_call() -> None:
    frames = pool(keeps)
    held = frames.begin("first")
    _finish(held)
    other = frames.begin("second")
    assert other is not held
    with pytest.raises(RuntimeError, match="already awaited"):
        held.send(None)
    assert _finish(other) == "second"


def test_a_hundred_thousand_calls_from_a_pool_allocate_nothing_that_stays() -> None:
    frames = pool(outer)

    async def calls(count: int) -> None:
        for _ in range(count):
            await frames.begin(None)

    def drive(count: int) -> None:
        coro = calls(count)
        try:
            while True:
                coro.send(None)
        except StopIteration:
            pass

    drive(100)
    (only,) = frames._free_list.idle
    frame = weakref.ref(only)
    del only
    gc.collect()  # what other tests have left is not let go of in the middle
    tracemalloc.start()
    drive(10)
    before = tracemalloc.get_traced_memory()[0]
    drive(100_000)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert frames.high_water == 1
    assert frames._free_list.idle == [frame()], "the same one, and not one that is as good"
    assert after - before <= 128, "but for the two numbers themselves"


def test_a_frame_that_is_let_go_of_is_not_in_use_any_more() -> None:
    frames = pool(cleans_twice)
    with pytest.warns(RuntimeWarning, match="cleans_twice was begun and never awaited"):
        frames.begin()
    assert frames.taken == 0
    log.clear()
    frames.begin().send(None)
    assert log == ["inner", "outer"], "its finally blocks ran"
    assert frames.taken == 0


def test_a_pool_that_goes_away_takes_its_frames_along() -> None:
    frames = pool(keeps)
    _finish(frames.begin(1))
    watch = weakref.ref(frames._free_list.idle[0])
    gc.disable()
    try:
        del frames
        assert watch() is None
    finally:
        gc.enable()


def test_a_frame_belongs_to_no_event_loop() -> None:
    seen: list[Any] = []
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(seen.append, seen.append)
    try:
        frame = pool(keeps).begin(1)
        frame.send(None)
        frame.close()
        assert sys.get_asyncgen_hooks() == (seen.append, seen.append)
    finally:
        sys.set_asyncgen_hooks(*before)
    assert seen == []


def test_a_frame_says_where_its_call_waits() -> None:
    async def awaits() -> None:
        await pool(outer).begin(1)

    coro = awaits()
    coro.send(None)
    line = inner.__wrapped__.__code__.co_firstlineno + 3  # type: ignore[attr-defined]
    assert suspended_at(coro) == f"{__file__}:{line}"
    coro.close()
    idle = pool(outer).begin(1)
    idle.close()
    assert idle.cr_frame is None
    assert idle.cr_await is None


@unboxed
async def stops(kind: type[Exception]) -> None:
    await Leaf("waits")
    raise kind


def test_a_stop_that_leaves_a_frame_is_an_error_as_it_is_out_of_a_coroutine() -> None:
    for start in (stops, pool(stops).begin):
        with pytest.raises(RuntimeError, match=r"^coroutine raised StopIteration") as caught:
            _finish(start(StopIteration))
        assert type(caught.value.__cause__) is StopIteration
    with pytest.raises(StopAsyncIteration):
        _finish(stops(StopAsyncIteration))
    # What differs: a frame of a pool is an asynchronous generator to the interpreter.
    with pytest.raises(RuntimeError, match="raised StopAsyncIteration") as caught:
        _finish(pool(stops).begin(StopAsyncIteration))
    assert type(caught.value.__cause__) is StopAsyncIteration


def test_a_frame_can_be_awaited_spawned_and_joined(run: Run) -> None:
    @unboxed
    async def twice(x: int) -> int:
        await yield_now()
        return 2 * await ready(x)

    frames = pool(twice)

    async def main() -> list[Any]:
        task = spawn(frames.begin(2))
        both = await join(frames.begin(3), twice(4))
        return [await frames.begin(1), await task, *both, await twice(5)]

    assert run(main()) == [2, 4, 6, 8, 10]
    assert len(frames) >= 1
    assert frames.taken == 0
