"""What has failed, or was given up, keeps nothing alive: not until a deadline, not until the
collector comes."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest

from pinfut import (
    Closed,
    Condition,
    buffered,
    channel,
    from_async_generator,
    from_iterable,
    join,
    merge,
    race,
    select,
    shared,
    try_join,
)
from pinfut.executor import (
    CancelledError,
    Executor,
    Scope,
    Task,
    from_thread,
    scope,
    sleep,
    spawn,
    timeout,
    to_thread,
    yield_now,
)
from pinfut.executor.io import BufferedReader, connect_tcp, run_process, socketpair
from pinfut.executor.io.connect import Found, first_to_answer
from pinfut.executor.io.sockets import Socket
from tests.executor.world import Run


class Thing:
    """Something that a frame holds."""


@pytest.fixture(autouse=True)
def without_the_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def fails(thing: Thing) -> None:
    await sleep(0.001)
    raise KeyError


async def fails_at_once(thing: Thing) -> None:
    raise KeyError


async def waits(thing: Thing) -> None:
    await sleep(1000)


def raises(thing: Thing) -> None:
    raise KeyError


# ---- what fails ----


async def awaited(thing: Thing) -> None:
    await spawn(fails(thing))


async def tried_together(thing: Thing) -> None:
    await try_join(fails(thing), waits(thing))


async def joined(thing: Thing) -> None:
    await join(fails(thing), fails(thing))


async def raced(thing: Thing) -> None:
    await race(fails(thing), waits(thing))


async def selected(thing: Thing) -> None:
    await select(fails(thing), waits(thing))


async def shared_by_one(thing: Thing) -> None:
    page = shared(fails(thing))
    await page


async def shared_by_two(thing: Thing) -> None:
    page = shared(fails(thing))
    other = page.clone()
    with pytest.raises(KeyError):
        await other
    await page


async def in_a_scope(thing: Thing) -> None:
    async with scope() as s:
        one = s.spawn(fails(thing))
        two = s.spawn(waits(thing))
        await sleep(1)
    del one, two


async def before_it_has_started(thing: Thing) -> None:
    async def child(started: Callable[[None], None]) -> None:
        await fails(thing)

    async with scope() as s:
        await s.start(child)


async def in_a_scope_whose_end_was_cancelled(thing: Thing) -> None:
    async with scope() as s:
        s.spawn(cleans_up_badly(thing))
        spawn(cancels(s))


async def cancels(s: Scope) -> None:
    await yield_now()
    s.cancel()


async def cleans_up_badly(thing: Thing) -> None:
    try:
        await sleep(1000)
    finally:
        await fails(thing)


async def late_in_a_block(thing: Thing) -> None:
    with timeout(0.001):
        await waits(thing)


async def late_as_a_future(thing: Thing) -> None:
    await timeout(0.001, waits(thing))


_known: ContextVar[Thing | None] = ContextVar("known", default=None)


async def late_with_a_variable(thing: Thing) -> None:
    _known.set(thing)
    await timeout(0.001, sleep_for_hours())


async def failing_in_time(thing: Thing) -> None:
    await timeout(100, fails(thing))


async def in_a_thread(thing: Thing) -> None:
    await to_thread(raises, thing)


async def out_of_a_thread(thing: Thing) -> None:
    await to_thread(from_thread, raises, thing)


async def task_out_of_a_thread(thing: Thing) -> None:
    await to_thread(from_thread, fails, thing)


async def connecting(thing: Thing) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    await connect_tcp("127.0.0.1", port)


async def connecting_to_many(thing: Thing) -> None:
    async def refused(address: Found) -> Socket:
        await fails(thing)
        raise AssertionError

    async def refused_by_the_system(address: Found) -> Socket:
        try:
            return await refused(address)
        except KeyError as error:
            raise OSError from error

    found: list[Found] = [(0, 0, 0, "", number) for number in range(3)]
    won, errors = await first_to_answer(found, refused_by_the_system)
    assert won is None
    try:
        raise errors[0]
    finally:
        del errors


async def a_program_that_writes_too_much(thing: Thing) -> None:
    await run_process(["/bin/sh", "-c", "echo much"], limit=1)


async def merged(thing: Thing) -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        yield 1
        await fails(thing)

    async with merge(from_async_generator(numbers()), from_async_generator(numbers())) as both:
        async for _ in both:
            pass


async def in_flight(thing: Thing) -> None:
    async with buffered(from_iterable([fails(thing), fails_at_once(thing)]), 2) as values:
        async for _ in values:
            pass


async def closed_badly(thing: Thing) -> None:
    async def numbers() -> AsyncGenerator[Thing, None]:
        try:
            yield thing
        finally:
            raise KeyError

    both = from_async_generator(numbers()).zip(from_async_generator(numbers()))
    await both.next()
    await both.aclose()


async def sent_into_a_closed_channel(thing: Thing) -> None:
    tx, rx = channel[Thing](1)
    rx.close()
    await tx.send(thing)


async def closed_while_it_was_sent(thing: Thing) -> None:
    tx, rx = channel[Thing](1)
    assert tx.try_send(thing)
    sending = spawn(send(tx.send, thing))
    await sleep(0.001)
    rx.close()
    try:
        await sending
    except Closed:
        raise KeyError from None
    finally:
        del tx, rx


async def send(into: Callable[[Thing], Awaitable[None]], thing: Thing) -> None:
    await into(thing)


async def read_too_far(thing: Thing) -> None:
    ours, theirs = socketpair()
    with ours:
        theirs.close()
        await BufferedReader(ours).read_exactly(3)


FAILING = [
    awaited,
    tried_together,
    joined,
    raced,
    selected,
    shared_by_one,
    shared_by_two,
    in_a_scope,
    before_it_has_started,
    in_a_scope_whose_end_was_cancelled,
    late_in_a_block,
    late_as_a_future,
    late_with_a_variable,
    failing_in_time,
    in_a_thread,
    out_of_a_thread,
    task_out_of_a_thread,
    connecting,
    connecting_to_many,
    a_program_that_writes_too_much,
    merged,
    in_flight,
    closed_badly,
    sent_into_a_closed_channel,
    closed_while_it_was_sent,
    read_too_far,
]


@pytest.mark.parametrize("failing", FAILING, ids=lambda failing: str(failing.__name__))
def test_what_has_failed_holds_nothing(
    run: Run, failing: Callable[[Thing], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> weakref.ref[Thing]:
        thing = Thing()
        alive = weakref.ref(thing)
        task = spawn(failing(thing))
        del thing
        try:
            await task
        except Exception:
            pass
        else:
            raise AssertionError("it has to fail")
        return alive

    # After the run, for the threads that take part have ended then.
    assert run(main())() is None


def in_steps(main: Coroutine[Any, Any, Any]) -> Any:
    return Executor().run(main, steps=100)


@pytest.mark.parametrize("in_steps", [in_steps, None], ids=["steps", "to the end"])
def test_what_a_run_has_raised_holds_nothing(
    run: Run, in_steps: Callable[[Coroutine[Any, Any, Any]], Any] | None
) -> None:
    alive: list[weakref.ref[Thing]] = []

    async def main() -> None:
        thing = Thing()
        alive.append(weakref.ref(thing))
        raise LookupError("with the frame of main in its traceback")

    with suppress(LookupError):
        (in_steps or run)(main())
    assert alive[0]() is None


# ---- what is cancelled and caught ----


async def caught_around_a_scope(thing: Thing) -> None:
    try:
        async with scope() as s:
            s.spawn(waits(thing))
    except CancelledError:
        pass


async def caught_around_a_condition(thing: Thing) -> None:
    condition = Condition()
    async with condition:
        try:
            await condition.wait()
        except CancelledError:
            pass


async def caught_around_a_join(thing: Thing) -> None:
    try:
        await join(fails_at_once(thing), waits(thing))
    except CancelledError:
        pass


async def caught_around_a_future(thing: Thing) -> None:
    try:
        await timeout(1000, waits(thing))
    except CancelledError:
        pass


def test_a_scope_that_its_own_body_cancels_makes_no_cycle(run: Run) -> None:
    async def cancels_itself() -> None:
        async with scope() as s:
            s.spawn(waits(Thing()))
            await yield_now()
            s.cancel()

    async def main() -> int:
        gc.collect()  # what others have left
        for _ in range(100):
            await cancels_itself()
        return gc.collect()

    assert run(main()) < 100


@pytest.mark.parametrize(
    "catching",
    [
        caught_around_a_scope,
        caught_around_a_condition,
        caught_around_a_join,
        caught_around_a_future,
    ],
    ids=lambda catching: str(catching.__name__),
)
def test_a_cancel_that_was_caught_holds_nothing(
    run: Run, catching: Callable[[Thing], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        thing = Thing()
        alive = weakref.ref(thing)
        task = spawn(catching(thing))
        del thing
        await sleep(0.001)
        task.cancel()
        await task
        del task
        await sleep(0.01)
        assert alive() is None

    run(main())


# ---- dead timers ----


async def gives(thing: Thing) -> Thing:
    await sleep(0.001)
    return thing


async def in_time_as_a_task(thing: Thing) -> Thing:
    return await timeout(3600, spawn(gives(thing)))


async def in_time_as_a_coroutine(thing: Thing) -> Thing:
    return await timeout(3600, gives(thing))


async def in_time_in_a_block(thing: Thing) -> Thing:
    async with scope() as s:
        s.spawn(sleep_a_little())
        with timeout(3600):
            return await gives(thing)
    raise AssertionError


async def sleep_a_little() -> None:
    await sleep(0.002)


async def before_a_sleep(thing: Thing) -> Thing:
    value = await race(gives(thing), sleep(3600))
    assert value is thing
    return thing


@pytest.mark.parametrize(
    "timed",
    [in_time_as_a_task, in_time_as_a_coroutine, in_time_in_a_block, before_a_sleep],
    ids=lambda timed: str(timed.__name__),
)
def test_a_timer_that_was_taken_back_holds_nothing_until_its_time(
    run: Run, timed: Callable[[Thing], Coroutine[Any, Any, Thing]]
) -> None:
    """Of two that end in turn, the second leaves its dead entry in the middle of the heap."""

    async def main() -> None:
        later = spawn(sleep_for_hours())
        alive: list[weakref.ref[Thing]] = []
        for _ in range(10):
            things = [Thing(), Thing()]
            alive += map(weakref.ref, things)
            tasks: list[Task[Thing]] = [spawn(timed(thing)) for thing in things]
            del things
            for task in tasks:
                await task
        del task, tasks
        await sleep(0.01)
        assert not [thing for thing in alive if thing() is not None]
        later.cancel()

    run(main())


async def sleep_for_hours() -> None:
    await sleep(7200)


def test_a_sender_that_gave_up_behind_others_leaves_its_value_nowhere(run: Run) -> None:
    async def main() -> None:
        tx, _ = channel[Thing](1)
        assert tx.try_send(Thing())
        things = [Thing() for _ in range(5)]
        tasks = [spawn(send(tx.send, thing)) for thing in things]
        given_up = weakref.ref(things[2])
        del things
        await sleep(0.001)
        tasks[2].cancel()
        del tasks[2]
        await sleep(0.001)
        assert given_up() is None
        for task in tasks:
            task.cancel()

    run(main())


# ---- results ----


def test_a_result_that_is_asked_for_again_and_again_grows_no_traceback(run: Run) -> None:
    async def main() -> None:
        task = spawn(fails_at_once(Thing()))
        await sleep(0.001)
        lengths: list[int] = []
        for _ in range(3):
            with pytest.raises(KeyError) as caught:
                task.result()
            lengths.append(len(caught.traceback))
        with pytest.raises(KeyError) as caught:
            await task
        assert len(set(lengths)) == 1
        assert len(caught.traceback) <= lengths[0] + 2

    run(main())


def test_a_shared_error_goes_with_the_last_clone(run: Run) -> None:
    async def main() -> None:
        page = shared(fails(Thing()))
        other = page.clone()
        lengths: list[int] = []
        for clone in (page, other):
            with pytest.raises(KeyError) as caught:
                await clone
            lengths.append(len(caught.traceback))
        assert lengths[0] == lengths[1]
        with pytest.raises(RuntimeError, match="its error raised, by the last handle"):
            page.clone()

    run(main())
