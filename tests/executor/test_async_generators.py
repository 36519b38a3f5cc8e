"""An async generator that is left midway gets its clean-up, also one that awaits."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from pinfut import Event, from_async_generator
from pinfut.executor import Executor, VirtualClock, sleep, spawn, to_thread
from pinfut.executor import run as run_anew
from pinfut.executor.cleanup import CLEAN_UP
from tests.executor.world import Run


class Story(list[str]):
    """What has happened, and a generator that tells of it."""

    async def numbers(self, name: str = "it", seconds: float = 1) -> AsyncGenerator[int, None]:
        try:
            for number in range(100):
                yield number
        finally:
            self.append(f"{name} is left")
            await sleep(seconds)
            self.append(f"{name} is clean")


def test_one_that_nobody_holds_any_more_is_closed_while_the_others_go_on(run: Run) -> None:
    story = Story()

    async def main() -> None:
        async for _ in story.numbers():
            break
        story.append("main goes on")
        await sleep(2)
        story.append("main ends")

    run(main())
    assert story == ["main goes on", "it is left", "it is clean", "main ends"]


def test_one_in_a_cycle_is_closed_when_the_collector_comes(run: Run) -> None:
    story = Story()

    async def main() -> None:
        numbers = story.numbers()
        ring: list[Any] = [numbers]
        ring.append(ring)
        await anext(numbers)
        del numbers, ring
        gc.collect()
        await sleep(2)

    run(main())
    assert story == ["it is left", "it is clean"]


def test_the_end_of_a_run_waits_for_what_was_left_just_before(run: Run) -> None:
    story = Story()

    async def main() -> None:
        async for _ in story.numbers():
            break
        await sleep(0.5)  # its clean-up is under way
        async for _ in story.numbers("another"):
            return

    run(main())
    assert story == ["it is left", "another is left", "it is clean", "another is clean"]


def test_the_end_of_a_run_closes_what_somebody_holds_in_the_order_of_their_first_steps(
    run: Run,
) -> None:
    story = Story()
    held = [story.numbers(name) for name in "abc"]

    async def main() -> None:
        for numbers in reversed(held):
            await anext(numbers)
        story.append("main ends")

    run(main())
    assert story[:4] == ["main ends", "c is left", "b is left", "a is left"]
    assert sorted(story[4:]) == ["a is clean", "b is clean", "c is clean"]
    assert held


def test_a_task_that_is_cancelled_in_the_middle_of_one_leaves_it_clean(run: Run) -> None:
    story = Story()

    async def reads() -> None:
        async for _ in story.numbers():
            await sleep(100)

    async def main() -> None:
        spawn(reads())
        await sleep(1)

    run(main())
    assert story == ["it is left", "it is clean"]


def test_an_error_in_the_clean_up_is_reported(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await sleep(1)
            raise KeyError("in the clean-up")

    async def main() -> None:
        async for _ in fails():
            break
        await sleep(2)

    run(main())
    (record,) = caplog.records
    assert "aclose" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


def test_a_clean_up_that_waits_for_what_cannot_come_does_not_hold_the_run(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def waits() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await Event().wait()

    story = Story()
    held = [waits(), story.numbers()]

    async def main() -> None:
        for numbers in held:
            await anext(numbers)

    with caplog.at_level(logging.CRITICAL):
        run(main())
    assert story == ["it is left", "it is clean"]


def test_clean_ups_that_leave_generators_in_turn_come_to_an_end(run: Run) -> None:
    begun = 0
    held: list[AsyncGenerator[int, None]] = []

    async def hydra() -> AsyncGenerator[int, None]:
        nonlocal begun
        begun += 1
        try:
            yield 1
        finally:
            another = hydra()
            held.append(another)
            await anext(another)

    async def main() -> None:
        held.append(hydra())
        await anext(held[0])

    run(main())
    assert 2 < begun < 20
    with pytest.MonkeyPatch.context() as patch:
        # The last one is closed by hand: its clean-up begins another, outside of any run.
        patch.setattr(sys, "unraisablehook", lambda _: None)
        held.clear()


def test_one_whose_last_holder_is_another_thread_is_closed_in_the_executors(run: Run) -> None:
    where: list[int] = []
    closed = Event()

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            where.append(threading.get_ident())
            await sleep(1)
            closed.set()

    async def main() -> None:
        held = [numbers()]
        await anext(held[0])
        await to_thread(held.clear)
        await closed.wait()

    run(main())
    assert where == [threading.get_ident()]


def test_the_hooks_of_the_thread_are_its_own_again_after_a_run_and_between_turns() -> None:
    def theirs(_: object) -> None:
        raise AssertionError("none was begun outside of a run")

    async def inside() -> Any:
        hooks = sys.get_asyncgen_hooks()
        assert hooks.firstiter is not theirs
        return await to_thread(sys.get_asyncgen_hooks)

    async def fails() -> None:
        raise KeyError

    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(theirs, theirs)
    try:
        assert run_anew(inside()) == (None, None)  # those of another thread are left alone
        assert sys.get_asyncgen_hooks() == (theirs, theirs)
        with pytest.raises(KeyError):
            run_anew(fails())
        assert sys.get_asyncgen_hooks() == (theirs, theirs)
        hosted = Executor(clock=VirtualClock())
        hosted.open()
        hosted.spawn(inside())
        assert sys.get_asyncgen_hooks() == (theirs, theirs)
        hosted.turn(0)
        assert sys.get_asyncgen_hooks() == (theirs, theirs)
        hosted.close()
        assert sys.get_asyncgen_hooks() == (theirs, theirs)
    finally:
        sys.set_asyncgen_hooks(*before)


def test_one_that_is_left_between_two_turns_rings_the_bell_and_is_closed_in_the_next() -> None:
    story = Story()
    rings: list[None] = []
    hosted = Executor(clock=VirtualClock(), doorbell=lambda: rings.append(None))
    hosted.open()
    held = [story.numbers(seconds=0)]

    async def begins() -> None:
        await anext(held[0])

    hosted.spawn(begins())
    while hosted.turn(0):
        pass
    rings.clear()
    held.clear()
    assert rings
    assert not story
    while hosted.turn(0):
        pass
    assert story == ["it is left", "it is clean"]
    hosted.close()


def test_one_that_outlives_its_run_by_a_failing_clean_up_holds_nothing_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = Executor(clock=VirtualClock())
    story = Story()

    async def stubborn() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            yield 2  # which no generator may: closing it fails, and it goes on

    async def main() -> AsyncGenerator[int, None]:
        one = stubborn()
        await anext(one)
        return one

    one = executor.run(main())
    assert "ignored GeneratorExit" in caplog.text
    del one
    assert not story


def test_a_stream_that_is_let_go_without_a_word_has_its_generator_closed(run: Run) -> None:
    story = Story()

    async def main() -> None:
        stream = from_async_generator(story.numbers())
        assert await stream.next() == 0
        del stream
        await sleep(2)

    run(main())
    assert story == ["it is left", "it is clean"]


def test_a_clean_up_at_the_end_of_a_run_has_the_time_that_all_share(
    executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    held: list[AsyncGenerator[int, None]] = []

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            while True:
                await sleep(1)

    async def main() -> float:
        held.append(numbers())
        assert await anext(held[0]) == 1
        return executor.now()

    ended = executor.run(main())
    assert executor.now() == ended + CLEAN_UP
    assert "TimeoutError" in caplog.text
