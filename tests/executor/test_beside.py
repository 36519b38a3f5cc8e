"""Foreign futures, loops and threads: an error that names the way out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from pinfut import (
    PENDING,
    Context,
    Event,
    ForeignWake,
    FutureBase,
    Lock,
    Poll,
    Waker,
    channel,
    oneshot,
    poll_fn,
)
from pinfut.executor import (
    Executor,
    MonotonicClock,
    from_thread,
    scope,
    sleep,
    spawn,
    to_thread,
    yield_now,
)
from pinfut.executor import run as run_alone
from pinfut.executor.contract import Poller
from pinfut.executor.current import current_poller
from tests.executor.world import Run

# ---- what is another's, in a task here ----


async def nothing() -> None:
    pass


async def a_library_that_asks_for_the_loop() -> None:
    asyncio.get_running_loop().call_soon(print)


async def a_task_group() -> None:
    async with asyncio.TaskGroup():
        pass


async def a_timeout_of_asyncio() -> None:
    async with asyncio.timeout(1):
        pass


async def a_full_queue() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    await queue.put(1)
    await queue.put(2)


async def a_lock_that_is_held() -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    await lock.acquire()


async def an_event_of_asyncio() -> None:
    await asyncio.Event().wait()


OF_ASYNCIO: list[Callable[[], Awaitable[object]]] = [
    lambda: asyncio.sleep(1),
    an_event_of_asyncio,
    a_lock_that_is_held,
    a_full_queue,
    a_task_group,
    a_timeout_of_asyncio,
    a_library_that_asks_for_the_loop,
    lambda: asyncio.to_thread(print),
]


@pytest.mark.parametrize("foreign", OF_ASYNCIO)
def test_what_needs_asyncio_fails_and_names_the_way_out(
    run: Run, foreign: Callable[[], Awaitable[object]]
) -> None:
    async def main() -> None:
        await foreign()

    with pytest.raises((RuntimeError, AttributeError)) as failed:
        run(main())
    (note,) = failed.value.__notes__
    assert "where asyncio has no loop" in note
    assert "docs/coming-from-asyncio.md" in note
    assert "await to_thread(asyncio.run" in note


def test_it_is_said_once_however_many_tasks_the_error_passes(run: Run) -> None:
    async def child() -> None:
        await asyncio.sleep(1)

    async def main() -> None:
        await spawn(child())

    with pytest.raises(RuntimeError) as failed:
        run(main())
    assert len(failed.value.__notes__) == 1


def test_a_task_that_fails_by_itself_is_told_nothing_of_others(run: Run) -> None:
    async def main() -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError) as failed:
        run(main())
    assert not hasattr(failed.value, "__notes__")


@pytest.mark.parametrize("foreign", [lambda: asyncio.sleep(0), lambda: loop_future()])
def test_what_asyncio_alone_can_wait_for_is_refused_with_the_way_out(
    run: Run, foreign: Callable[[], Awaitable[object]]
) -> None:
    async def main() -> None:
        await foreign()

    with pytest.raises(TypeError, match=r"coming-from-asyncio.*to_thread\(asyncio\.run"):
        run(main())


def loop_future() -> asyncio.Future[None]:
    loop = asyncio.new_event_loop()
    loop.close()
    return loop.create_future()


def test_what_needs_trio_fails_and_names_the_way_out(run: Run) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        await trio.sleep(1)

    with pytest.raises(RuntimeError) as failed:
        run(main())
    assert "await to_thread(trio.run" in failed.value.__notes__[0]


def test_who_asks_whether_asyncio_runs_gets_the_true_answer(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        assert await to_thread(asyncio.run, asyncio.sleep(0, "from a thread")) == "from a thread"

    run(main())


# ---- this, in a loop of another's ----


def with_trio(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    pytest.importorskip("trio").run(main)


def with_asyncio(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


OTHERS = pytest.mark.parametrize("other", [with_asyncio, with_trio])


@OTHERS
def test_a_run_inside_of_another_loop_is_refused_for_that_would_stand_still(
    other: Callable[[Any], None], run: Run
) -> None:
    async def main() -> None:
        coro = nothing()
        with pytest.raises(RuntimeError, match=r"thread.*pinfut\.guest\(\)") as refused:
            run(coro)
        name = other.__name__.removeprefix("with_")
        assert f"a loop of {name} runs" in str(refused.value)
        assert coro.cr_frame is None, "it was closed"  # type: ignore[attr-defined]

    other(main)
    run(nothing())


def test_a_host_makes_turns_inside_of_a_running_loop(executor: Executor) -> None:
    async def main() -> int:
        executor.open()
        task = executor.spawn(gives())
        while not task.done:
            executor.turn(0)
            await asyncio.sleep(0)
        executor.close()
        return task.result()

    async def gives() -> int:
        return 5

    assert asyncio.run(main()) == 5


def one_place(value: int | None) -> Any:
    tx, rx = channel_of_int()
    if value is not None:
        assert tx.try_send(value)
    return tx, rx


def channel_of_int() -> Any:
    return channel(1)


def held_by_nobody() -> Lock:
    return Lock()


def set_event() -> Event:
    event = Event()
    event.set()
    return event


AT_ONCE: list[Callable[[], FutureBase[Any]]] = [
    lambda: one_place(1)[1].recv(),
    lambda: one_place(None)[0].send(1),
    lambda: held_by_nobody().acquire(),
    lambda: set_event().wait(),
    lambda: sleep(1),
]


@OTHERS
@pytest.mark.parametrize("future", AT_ONCE)
def test_a_future_awaited_in_another_loop_is_refused_at_first_even_if_it_need_not_wait(
    other: Callable[[Any], None], future: Callable[[], FutureBase[Any]]
) -> None:
    async def main() -> None:
        with pytest.raises((RuntimeError, TypeError), match=r"under pinfut\.executor\.run"):
            await future()

    other(main)


# ---- between two threads ----


class Elsewhere:
    """Runs one coroutine on an executor of another thread, and keeps its error."""

    def __init__(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.work, args=[main])
        self.thread.start()

    def work(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            run_alone(main(), checked=False)
        except BaseException as error:
            self.error = error

    def ended_with(self) -> BaseException | None:
        self.thread.join()
        return self.error


def until_it_sleeps(executor: Executor) -> None:
    while not executor.ready.asleep:
        pass


def wakes_a_receiver() -> tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]]:
    tx, rx = channel_of_int()
    return rx.recv, lambda: tx.send(1)


def wakes_a_sender() -> tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]]:
    tx, rx = one_place(1)
    return lambda: tx.send(2), rx.recv


def wakes_a_oneshot() -> tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]]:
    tx, rx = oneshot_of_int()

    async def sends() -> None:
        tx.send(1)

    return lambda: rx, sends


def oneshot_of_int() -> Any:
    return oneshot()


def wakes_who_waits_for_an_event() -> tuple[Callable[[], Any], Callable[[], Any]]:
    event = Event()

    async def sets() -> None:
        event.set()

    return event.wait, sets


def wakes_who_waits_for_a_lock() -> tuple[Callable[[], Any], Callable[[], Any]]:
    lock = Lock()
    assert lock.try_acquire()

    async def releases() -> None:
        lock.release()

    return lock.acquire, releases


PAIRS = [
    wakes_a_receiver,
    wakes_a_sender,
    wakes_a_oneshot,
    wakes_who_waits_for_an_event,
    wakes_who_waits_for_a_lock,
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.__name__)
@pytest.mark.parametrize("hung", [False, True], ids=["a timer is set", "nothing else comes"])
@pytest.mark.parametrize("checked", [False, True], ids=["plain", "checked"])
def test_a_wake_from_another_executor_is_refused_there_and_nobody_hangs(
    pair: Callable[[], tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]]],
    hung: bool,
    checked: bool,
) -> None:
    waits, wakes = pair()
    executor = Executor(clock=MonotonicClock(), checked=checked)

    async def wakes_once_it_sleeps() -> None:
        until_it_sleeps(executor)
        await wakes()

    async def main() -> None:
        other, poller = Elsewhere(wakes_once_it_sleeps), current_poller()
        if hung:
            poller.external += 1  # as one that waits for a descriptor: it sleeps without end
        else:
            spawn(sleep_long())
        await waits()
        poller.external -= hung
        error = await to_thread(other.ended_with)
        assert isinstance(error, ForeignWake)
        assert ("RemoteWaker" if checked else "from_thread(fn, executor=...)") in str(error)

    async def sleep_long() -> None:
        await sleep(1_000_000)

    executor.run(main())


class WakesAtTheLastMoment:
    """A clock that has another thread wake `task` once, just before the executor sleeps."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.task: Any = None

    def now(self) -> float:
        task, self.task = self.task, None
        if task is not None:
            other = threading.Thread(target=task.wake)
            other.start()
            other.join()
        return 0.0

    def idle(self, poller: Poller, deadline: float | None) -> None:
        raise AssertionError("it would sleep over a task that is ready")


def test_a_wake_that_came_just_before_the_sleep_is_not_slept_over() -> None:
    executor = Executor(checked=False)
    clock = WakesAtTheLastMoment(executor)
    executor.clock = clock
    polled = 0

    def polls(cx: Context) -> Poll[int]:
        nonlocal polled
        polled += 1
        if polled == 1:
            executor.call_soon(arm, cx.waker)
            return PENDING
        return polled

    def arm(waker: Waker) -> None:
        clock.task = waker

    async def main() -> int:
        spawn(sleep_long())
        await yield_now()  # its timer is set
        return await poll_fn(polls)

    async def sleep_long() -> None:
        await sleep(1_000_000)

    assert executor.run(main()) == 2


def test_a_spawn_from_another_thread_is_refused_and_the_coroutine_closed() -> None:
    executor = Executor(clock=MonotonicClock(), checked=False)
    came: list[object] = []

    def foreign() -> None:
        until_it_sleeps(executor)
        coro = nothing()
        try:
            executor.spawn(coro)
        except ForeignWake as error:
            came.append(str(error))
            came.append(coro.cr_frame)  # type: ignore[attr-defined]
        came.append(from_thread(gives, executor=executor))

    async def gives() -> str:
        return "the way out"

    async def main() -> None:
        async with scope() as s:
            s.spawn(work_elsewhere())

    async def work_elsewhere() -> None:
        thread = threading.Thread(target=foreign)
        thread.start()
        await to_thread(thread.join)

    executor.run(main())
    message, frame, value = came
    assert "from_thread" in str(message)
    assert frame is None
    assert value == "the way out"
