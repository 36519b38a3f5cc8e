"""to_thread, from_thread and wakers for other threads."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import Any

import pytest

from pinfut import PENDING, Context, FutureBase, Poll
from pinfut.combinators import join
from pinfut.executor import (
    CancelledError,
    Executor,
    NoExecutor,
    RemoteWaker,
    current_executor,
    from_thread,
    scope,
    sleep,
    spawn,
    timeout,
    to_thread,
    yield_now,
)
from pinfut.executor.current import current_poller
from pinfut.executor.threads import THREADS
from pinfut.future import pending
from tests.executor.world import Run
from tests.pinfut.hand import Gate

NAME: ContextVar[str] = ContextVar("name", default="nobody")


def test_a_function_runs_in_another_thread_with_the_callers_context_variables(run: Run) -> None:
    def work(a: int, *, b: int) -> tuple[int, str, bool]:
        return a + b, NAME.get(), threading.current_thread() is threading.main_thread()

    async def main() -> None:
        NAME.set("ada")
        assert await to_thread(work, 1, b=2) == (3, "ada", False)
        assert current_poller().external == 0

    run(main())


def test_an_error_of_the_function_is_raised_where_it_is_awaited(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await to_thread(lambda: 1 / 0)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await to_thread(next, iter(()))

    run(main())


def test_a_result_is_taken_once(run: Run) -> None:
    async def main() -> None:
        future = to_thread(int)
        await future
        with pytest.raises(RuntimeError):
            await future

    run(main())


def test_more_calls_than_threads_all_run_and_only_so_many_at_a_time(run: Run) -> None:
    lock = threading.Lock()
    now = most = 0

    def work() -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.001)
        with lock:
            now -= 1
        return 1

    async def main() -> None:
        assert sum(await join(*(to_thread(work) for _ in range(10 * THREADS)))) == 10 * THREADS
        assert most <= THREADS

    run(main())


def test_a_call_that_is_cancelled_before_a_thread_was_free_never_runs(run: Run) -> None:
    gate = threading.Event()
    ran: list[int] = []

    async def call(fn: Any, *args: Any) -> None:
        await to_thread(fn, *args)

    async def main() -> None:
        async with scope() as s:
            for _ in range(THREADS):
                s.spawn(call(gate.wait, 30))
            await yield_now()
            late = [s.spawn(call(ran.append, i)) for i in range(5)]
            await yield_now()
            for task in late[:4]:
                task.cancel()
            await yield_now()
            await yield_now()
            gate.set()
        assert ran == [4]
        assert current_poller().external == 0

    run(main())


def test_the_outcome_of_a_call_that_is_cancelled_at_work_is_thrown_away() -> None:
    gate = threading.Event()
    begun = threading.Event()
    ended: list[str] = []

    def work() -> None:
        begun.set()
        gate.wait(30)
        ended.append("work")
        raise ValueError("nobody hears this")

    async def call() -> None:
        await to_thread(work)

    async def main() -> None:
        task = spawn(call())
        await to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        assert current_poller().external == 0
        gate.set()
        ended.append("main")

    Executor().run(main())
    # It cannot be stopped, but `run` does not end before it.
    assert sorted(ended) == ["main", "work"]


def test_a_thread_calls_functions_and_coroutines_in_the_executors_thread(run: Run) -> None:
    home = threading.get_ident()

    async def add(a: int, b: int) -> int:
        await sleep(10)  # simulated: a thread that waits for it does not hold time back
        assert threading.get_ident() == home
        return a + b

    def fail() -> None:
        assert threading.get_ident() == home
        raise LookupError("here")

    def work() -> int:
        with pytest.raises(LookupError, match="here"):
            from_thread(fail)
        assert from_thread(threading.get_ident) == home
        return from_thread(add, 1, 2)

    async def main() -> None:
        assert await to_thread(work) == 3

    run(main())


def test_simulated_time_stands_still_while_a_thread_works(run: Run) -> None:
    async def main() -> None:
        before = current_executor().now()
        with timeout(5):
            await to_thread(threading.Event().wait, 0.01)
        assert current_executor().now() == before

    run(main())


def test_a_foreign_thread_names_the_executor(run: Run, executor: Executor) -> None:
    got: list[object] = []

    async def twice(n: int) -> int:
        return 2 * n

    def foreign() -> None:
        with pytest.raises(NoExecutor, match="executor="):
            from_thread(twice, 1)
        got.append(from_thread(twice, 21, executor=executor))

    async def main() -> None:
        thread = threading.Thread(target=foreign)
        thread.start()
        await to_thread(thread.join)

    run(main())
    assert got == [42]
    with pytest.raises(NoExecutor):
        from_thread(twice, 1, executor=executor)


def test_from_thread_in_the_executors_own_thread_is_an_error_not_a_hang(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="own thread"):
            from_thread(int, executor=current_executor())

    run(main())


def test_a_thread_that_waits_for_a_task_is_let_go_when_the_run_ends() -> None:
    began = threading.Event()
    got: list[BaseException] = []

    async def forever() -> None:
        began.set()
        await sleep(1000)

    def work() -> None:
        try:
            from_thread(forever)
        except BaseException as error:
            got.append(error)
        try:
            from_thread(int)
        except NoExecutor as error:
            got.append(error)

    async def call() -> None:
        await to_thread(work)

    async def main() -> None:
        spawn(call())
        await to_thread(began.wait, 30)

    Executor().run(main())
    assert [type(error) for error in got][:1] == [CancelledError]


def test_a_thread_that_waits_for_a_task_that_will_not_end_is_let_go_too() -> None:
    began = threading.Event()
    got: list[str] = []

    async def stubborn() -> None:
        began.set()
        try:
            await pending()
        except CancelledError:
            await pending()

    def work() -> None:
        try:
            from_thread(stubborn)
        except CancelledError as error:
            got.append(str(error))

    async def call() -> None:
        await to_thread(work)

    async def main() -> None:
        spawn(call())
        await to_thread(began.wait, 30)

    Executor().run(main())
    assert got == ["the run has ended, and the task was closed where it waited"]


class Ring(FutureBase[str]):
    """Rung from another thread."""

    def __init__(self) -> None:
        self.rung = False
        self.waker: RemoteWaker | None = None
        self.thread = threading.Thread(target=self.ring)

    def ring(self) -> None:
        assert self.waker is not None
        self.rung = True
        for _ in range(3):
            self.waker.wake()

    def poll(self, cx: Context, /) -> Poll[str]:
        if self.rung:
            return "rung"
        if self.waker is not None:
            self.waker.drop()
        self.waker = RemoteWaker(cx.waker)
        if self.thread.ident is None:
            self.thread.start()
        return PENDING

    def drop(self) -> None:
        if self.waker is not None:
            self.waker.drop()


def test_many_wakes_of_a_remote_waker_are_one_that_is_under_way() -> None:
    class Many(FutureBase[int]):
        waker: RemoteWaker | None = None

        def poll(self, cx: Context, /) -> Poll[int]:
            if self.waker is not None:
                return len(handed)
            self.waker = RemoteWaker(cx.waker)
            thread = threading.Thread(target=self.wake)
            thread.start()
            thread.join()
            handed.extend(current_poller()._handed)  # type: ignore[attr-defined]
            return PENDING

        def wake(self) -> None:
            assert self.waker is not None
            for _ in range(1_000):
                self.waker.wake()

    handed: list[object] = []

    async def main() -> int:
        return await Many()

    assert Executor().run(main()) == 1


def test_a_remote_waker_wakes_from_any_thread_and_the_executor_sleeps_for_it(run: Run) -> None:
    async def main() -> None:
        for _ in range(50):
            ring = Ring()
            assert await ring == "rung"
            ring.thread.join()
        assert current_poller().external == 0

    run(main())


def test_what_a_thread_hands_over_reaches_a_busy_executor_that_waits_for_nothing(run: Run) -> None:
    async def main() -> list[str]:
        log: list[str] = []
        assert current_poller().hand_over(log.append, "handed over")
        assert current_poller().external == 0
        for _ in range(200):
            await yield_now()
        return list(log)  # as it is now: the end of the run takes over the rest

    assert run(main()) == ["handed over"]


def test_what_a_thread_has_handed_over_comes_before_a_lost_wakeup(run: Run) -> None:
    async def main() -> str:
        gate: Gate[str] = Gate()
        assert current_poller().hand_over(gate.open, "opened")
        return await gate

    assert run(main()) == "opened"


def test_where_no_thread_can_be_started_the_caller_is_told_and_time_goes_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", refuse_to_start)

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(RuntimeError, match="no more threads"):
                await to_thread(print)
        await sleep(3600)
        assert current_poller().working == current_poller().external == 0

    run(main())


def test_a_call_whose_thread_could_not_be_started_never_runs_in_another(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    more = threading.Event()

    async def wait_in_thread() -> None:
        await to_thread(more.wait)

    async def main() -> None:
        first = spawn(wait_in_thread())
        await yield_now()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse_to_start)
            with pytest.raises(RuntimeError, match="no more threads"):
                await to_thread(ran.append, "refused")
        more.set()
        await first
        await to_thread(ran.append, "later")
        assert ran == ["later"]

    run(main())


def refuse_to_start(thread: threading.Thread) -> None:
    raise RuntimeError("no more threads")
