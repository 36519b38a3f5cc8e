"""What is dropped cleans up: awaits in the clean-up of a coroutine that has lost."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any

import pytest

from pinfut import (
    CoroutineFuture,
    FuturesUnordered,
    buffer_unordered,
    buffered,
    from_async_generator,
    from_iterable,
    pending,
    pin,
    race,
    ready,
    select,
    shared,
    try_join,
)
from pinfut.executor import (
    CancelledError,
    Executor,
    VirtualClock,
    current_executor,
    scope,
    shield,
    sleep,
    spawn,
    timeout,
)
from pinfut.executor.cleanup import CLEAN_UP
from pinfut.future import drop
from pinfut.sync import Lock
from tests.executor.world import Run

Log = list[tuple[float, object]]


def now() -> float:
    return current_executor().now()


async def works(log: Log, clean_up: float = 1) -> None:
    try:
        await sleep(100)
    except BaseException as error:
        log.append((now(), type(error).__name__))
        raise
    finally:
        await sleep(clean_up)
        log.append((now(), "clean"))


async def fails() -> None:
    await sleep(2)
    raise KeyError("the real one")


CLEANED = [(2.0, "CancelledError"), (3.0, "clean")]


async def by_race(log: Log) -> None:
    await race(works(log), sleep(2))


async def by_race_with_an_error(log: Log) -> None:
    with pytest.raises(KeyError):
        await race(works(log), fails())


async def by_try_join(log: Log) -> None:
    with pytest.raises(KeyError, match="the real one"):
        await try_join(works(log), fails())


async def by_select(log: Log) -> None:
    won = await select(works(log), sleep(2))
    assert won.winner == 1
    del won


async def by_hand(log: Log) -> None:
    work = pin(works(log))
    await select(work, sleep(2))
    drop(work)


async def by_the_last_clone(log: Log) -> None:
    work = shared(works(log))
    await race(work.clone(), sleep(2))
    work.drop()


async def by_a_cancel_of_the_combinator(log: Log) -> None:
    task = spawn(waits_for_both(log))
    await sleep(2)
    task.cancel()
    with pytest.raises(CancelledError):
        await task


async def waits_for_both(log: Log) -> None:
    await race(works(log), sleep(50))


async def by_a_timeout_of_the_combinator(log: Log) -> None:
    with pytest.raises(TimeoutError):
        await timeout(2, race(works(log), sleep(50)))


WAYS = [
    by_race,
    by_race_with_an_error,
    by_try_join,
    by_select,
    by_hand,
    by_the_last_clone,
    by_a_cancel_of_the_combinator,
    by_a_timeout_of_the_combinator,
]


@pytest.mark.parametrize("way", WAYS)
def test_what_loses_is_cancelled_and_its_clean_up_may_wait(
    run: Run, way: Callable[[Log], Awaitable[None]]
) -> None:
    log: Log = []

    async def main() -> float:
        await way(log)
        seen = now()
        await sleep(5)
        return seen

    assert run(main()) == 2, "the outcome does not wait for the clean-up"
    assert log == CLEANED


@pytest.mark.parametrize("way", WAYS)
def test_the_end_of_a_run_waits_for_the_clean_ups(
    run: Run, way: Callable[[Log], Coroutine[Any, Any, None]]
) -> None:
    log: Log = []
    run(way(log))
    assert log == CLEANED


def test_nested_losers_clean_up_each(run: Run) -> None:
    log: Log = []

    async def inner() -> None:
        try:
            await try_join(works(log, 1), works(log, 2))
        finally:
            await sleep(3)
            log.append((now(), "inner"))

    async def main() -> None:
        await race(inner(), sleep(2))

    run(main())
    assert log[2:] == [(3, "clean"), (4, "clean"), (5, "inner")]


def test_a_scope_that_loses_waits_for_its_children(run: Run) -> None:
    log: Log = []

    async def inner() -> None:
        async with scope() as s:
            s.spawn(works(log))
        log.append((now(), "never"))

    async def main() -> None:
        await race(inner(), sleep(2))

    run(main())
    assert log == CLEANED


def test_a_lock_that_a_loser_has_is_given_back_when_it_has_cleaned_up(run: Run) -> None:
    lock = Lock()

    async def holds() -> None:
        async with lock:
            try:
                await sleep(100)
            finally:
                await sleep(3)

    async def main() -> float:
        await race(holds(), sleep(2))
        async with lock:
            return now()

    assert run(main()) == 5


def test_a_loser_that_does_not_wait_in_its_clean_up_makes_no_task(run: Run) -> None:
    async def main() -> tuple[int, list[str]]:
        log: list[str] = []

        async def quick() -> None:
            try:
                await sleep(100)
            finally:
                log.append("clean")

        await race(quick(), sleep(2))
        return len(current_executor().tasks), log

    assert run(main()) == (1, ["clean"])


def test_a_loser_that_had_not_begun_is_closed(run: Run) -> None:
    log: Log = []

    async def main() -> None:
        await race(ready(1), works(log))
        drop(CoroutineFuture(works(log)))

    run(main())
    assert log == []


# ---- the bound ----


@pytest.mark.parametrize("ends", [False, True])
def test_a_clean_up_that_takes_too_long_is_reported_and_closed(
    run: Run, caplog: pytest.LogCaptureFixture, ends: bool
) -> None:
    log: list[object] = []

    async def stuck() -> None:
        try:
            await sleep(100)
        finally:
            try:
                await sleep(1000)
            except BaseException as error:
                log.append((now(), type(error).__name__))
                raise

    async def main() -> None:
        await race(stuck(), sleep(2))
        if not ends:
            await sleep(50)

    with caplog.at_level(logging.ERROR, logger="pinfut.executor"):
        run(main())
    assert log == [(2 + CLEAN_UP, "GeneratorExit")]
    (record,) = caplog.records
    assert record.exc_info is not None
    text = str(record.exc_info[1])
    assert "stuck was dropped" in text
    assert "test_cleanup.py:" in text
    assert "Bound what" in text


def test_a_run_that_ends_at_once_still_cleans_up_what_was_dropped_last(run: Run) -> None:
    """Cancelled by the end of the run before its first step."""
    log: Log = []

    async def main() -> None:
        work = CoroutineFuture(works(log))
        await select(work, sleep(2))
        work.drop()

    run(main())
    assert log == CLEANED


def test_a_clean_up_that_is_dropped_again_is_closed(run: Run) -> None:
    log: Log = []

    async def main() -> None:
        work = CoroutineFuture(works(log))
        await select(work, sleep(2))
        work.drop()
        with pytest.raises(RuntimeError, match="GeneratorExit"):
            work.drop()

    async def works(log: Log) -> None:
        try:
            await sleep(100)
        finally:
            try:
                await sleep(1)
            finally:
                log.append((now(), "closed"))
                await sleep(1)

    run(main())
    assert log == [(2, "closed")]


# ---- errors ----


async def breaks() -> None:
    try:
        await sleep(100)
    finally:
        await sleep(1)
        raise ValueError("of the clean-up")


async def breaks_at_once() -> None:
    try:
        await sleep(100)
    finally:
        raise ValueError("of the clean-up")


@pytest.mark.parametrize("breaking", [breaks, breaks_at_once])
@pytest.mark.parametrize("combinator", [race, try_join])
def test_an_error_of_a_clean_up_is_reported_beside_the_real_one(
    run: Run, caplog: pytest.LogCaptureFixture, breaking: Any, combinator: Any
) -> None:
    async def main() -> None:
        with pytest.raises(KeyError, match="the real one"):
            await combinator(breaking(), fails())

    with caplog.at_level(logging.ERROR):
        run(main())
    told = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [str(error) for error in told] == ["of the clean-up"]


@pytest.mark.parametrize("breaking", [breaks, breaks_at_once])
@pytest.mark.parametrize("buffer", [buffered, buffer_unordered])
@pytest.mark.parametrize("source_fails", [False, True])
def test_a_buffer_raises_the_real_error_when_its_clean_ups_have_ended(
    run: Run,
    caplog: pytest.LogCaptureFixture,
    breaking: Any,
    buffer: Any,
    source_fails: bool,
) -> None:
    log: Log = []

    async def one(n: int) -> None:
        if source_fails and n == 0:
            await fails()
        await (works(log) if n == 1 else breaking())

    async def takes() -> None:
        async with buffer(from_iterable(range(3)).map(one), 3) as stream:
            if source_fails:
                await stream.collect(3)
            else:
                await select(stream.next(), sleep(2))
                raise KeyError("the real one")

    async def main() -> float:
        with pytest.raises(KeyError, match="the real one"):
            await takes()
        return now()

    with caplog.at_level(logging.ERROR):
        assert run(main()) == 3, "it waits until what it had begun is undone"
    assert log == CLEANED
    told = [record.exc_info[1] for record in caplog.records if record.exc_info]
    texts = [str(error) for error in told]
    assert texts == ["of the clean-up"]
    assert len(getattr(told[0], "__notes__", [])) == (0 if source_fails else 1), "the second one"


def test_a_buffer_that_is_closed_without_an_error_raises_those_of_the_clean_ups(run: Run) -> None:
    async def one(n: int) -> None:
        await breaks()

    async def takes() -> None:
        async with buffered(from_iterable(range(2)).map(one), 2) as stream:
            await select(stream.next(), sleep(2))

    async def main() -> None:
        with pytest.raises(ValueError, match="of the clean-up") as caught:
            await takes()
        assert caught.value.__notes__ == ["closing the others: ValueError: of the clean-up"]

    run(main())


def test_a_buffer_whose_closing_is_cancelled_leaves_its_clean_ups_undisturbed(run: Run) -> None:
    log: Log = []

    async def one(n: int) -> None:
        await works(log, 5)

    async def takes() -> None:
        async with buffered(from_iterable(range(1)).map(one), 1) as stream:
            await select(stream.next(), sleep(2))

    async def main() -> float:
        task = spawn(takes())
        await sleep(3)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        return now()

    assert run(main()) == 3
    assert log == [(2, "CancelledError"), (7, "clean")]


def test_a_buffer_whose_clean_up_fails_closes_its_source_all_the_same(run: Run) -> None:
    log: list[str] = []

    async def makes() -> AsyncGenerator[int, None]:
        try:
            for n in range(9):
                yield n
        finally:
            log.append("closed")

    async def one(n: int) -> None:
        await breaks()

    async def takes() -> None:
        async with buffered(from_async_generator(makes()).map(one), 1) as stream:
            await select(stream.next(), sleep(2))

    async def main() -> None:
        with pytest.raises(ValueError, match="of the clean-up"):
            await takes()
        assert log == ["closed"]

    run(main())


def test_futures_in_flight_can_be_closed_once_more(run: Run) -> None:
    log: Log = []

    async def main() -> None:
        flight: FuturesUnordered[None] = FuturesUnordered(2)
        for _ in range(2):
            flight.push(works(log))
            await select(flight.next(), sleep(2))
            await flight.aclose()

    run(main())
    assert log == [*CLEANED, (5, "CancelledError"), (6, "clean")]


# ---- where nobody can wait ----


def test_a_clean_up_that_is_closed_before_its_first_step_drops_what_it_waits_for(run: Run) -> None:
    async def shielded() -> None:
        with shield():
            await sleep(100)

    async def main() -> int:
        await race(shielded(), sleep(2))
        (task,) = (task for task in current_executor().tasks if "clean-up" in task.name)
        task.abandon()
        del current_executor().tasks[task]
        return len(current_executor().timers)

    assert run(main()) == 0


def test_outside_of_a_run_what_is_dropped_is_closed(run: Run) -> None:
    log: list[str] = []
    kept: list[CoroutineFuture[None]] = []

    async def quick() -> None:
        try:
            await sleep(100)
        except BaseException as error:
            log.append(type(error).__name__)
            raise

    async def main() -> None:
        kept.append(CoroutineFuture(quick()))
        await select(kept[0], sleep(2))

    run(main())
    kept[0].drop()
    assert log == ["GeneratorExit"]


def test_a_task_that_is_closed_for_good_closes_what_it_drops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[str] = []

    async def forever() -> None:
        try:
            await sleep(10**9)
        except BaseException as error:
            log.append(type(error).__name__)
            raise

    async def main() -> None:
        task = spawn(race_forever())
        await sleep(1)
        task.abandon()
        task.executor.tasks.pop(task)
        assert not task.executor.ending

    async def race_forever() -> None:
        await race(forever(), sleep(10**9))

    with caplog.at_level(logging.ERROR):
        Executor(clock=VirtualClock()).run(main())
    assert log == ["GeneratorExit"]
    assert not caplog.records


class Panic(BaseException):
    """What an extension raises when it panics."""


@pytest.mark.parametrize("kind", [KeyError, Panic])
def test_the_error_of_a_clean_up_replaces_nothing_whatever_its_kind(
    run: Run, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    async def loses() -> None:
        try:
            await pending()
        finally:
            raise kind("of the clean-up")

    async def fails() -> None:
        await sleep(1)
        raise ValueError("real")

    async def main() -> object:
        with pytest.raises(ValueError, match="real"):
            await try_join(loses(), fails())
        return await race(loses(), sleep(1))

    assert run(main()) is None
    assert caplog.text.count("of the clean-up") >= 2
