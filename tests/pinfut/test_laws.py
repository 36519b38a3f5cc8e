"""The eight laws: what breaks each is named; what keeps them runs."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from pinfut import (
    LAWS,
    PENDING,
    BlockedInPoll,
    Context,
    ContextKept,
    CoroutineFuture,
    ForeignWake,
    Future,
    FutureBase,
    FutureLock,
    LawError,
    LostWakeup,
    NeverTaken,
    PinError,
    Poll,
    PolledAfterReady,
    ReenteredExecutor,
    SlotTable,
    TakenTwice,
    join,
    map,
    pending,
    poll_fn,
    race,
    ready,
    select,
    try_join,
    yield_now,
)
from pinfut.executor import Executor, current_executor, sleep, spawn
from pinfut.executor import run as run_executor
from pinfut.executor.trace.instrument import Instrument
from pinfut.laws import checked_by_default
from pinfut.streams import END, PollNext, StreamBase, merge
from pinfut.sync import OneshotSender, Receiver, Sender, channel, oneshot
from pinfut.testing import CountingWaker
from tests.executor.world import Run, make
from tests.pinfut.hand import Again, Gate, Hand


def new_oneshot() -> tuple[OneshotSender[Any], FutureBase[Any]]:
    return oneshot()


def new_channel() -> tuple[Sender[Any], Receiver[Any]]:
    return channel(1)


def line_of(mark: str) -> str:
    """``file:line`` of the line of this file that ends in the comment `mark`."""
    with open(__file__, encoding="utf-8") as source:
        numbers = [n for n, line in enumerate(source, 1) if line.rstrip().endswith(f"# {mark}")]
    assert len(numbers) == 1
    return f"{__file__}:{numbers[0]}"


def check_message(error: LawError, law: int, *parts: str) -> None:
    assert error.law == law
    for part in (f"law {law}: {LAWS[law]}", *parts):
        assert part in str(error)


# ---- law 1 ----


def test_polling_a_future_after_its_value_is_named() -> None:
    future = Again(0)

    async def main() -> None:
        await future  # polled after its value
        await future

    with pytest.raises(PolledAfterReady) as caught:
        make("checked").run(main())
    check_message(caught.value, 1, "Again", hex(id(future)), line_of("polled after its value"))


def test_polling_a_future_after_its_error_is_named() -> None:
    gate: Gate[int] = Gate()
    gate.open(ValueError("once"))

    async def main() -> None:
        with pytest.raises(ValueError, match="once"):
            await gate  # polled after its error
        await gate

    with pytest.raises(PolledAfterReady) as caught:
        make("checked").run(main())
    check_message(caught.value, 1, "Gate", hex(id(gate)), line_of("polled after its error"))


def test_a_combinator_that_polls_a_child_again_is_named() -> None:
    child = Again(0)

    async def main() -> None:
        await try_join(child, pending(), map(child, str))

    with pytest.raises(PolledAfterReady, match="Again"):
        make("checked").run(main())


# ---- law 2 ----


def test_pending_without_a_waker_is_named() -> None:
    future: FutureBase[int] = poll_fn(lambda cx: PENDING)

    async def main() -> int:
        return await future

    with pytest.raises(LostWakeup) as caught:
        make("checked").run(main())
    check_message(caught.value, 2, "PollFn", hex(id(future)), "cx.waker")
    assert any(entry.name == "main" for entry in caught.traceback), "raised where it is awaited"


def test_a_child_that_drops_the_waker_is_named_behind_a_combinator() -> None:
    child: FutureBase[int] = poll_fn(lambda cx: PENDING)

    async def main() -> None:
        await try_join(sleep(1), child)

    with pytest.raises(LostWakeup, match=hex(id(child))):
        make("checked").run(main())


def test_a_future_that_delegates_its_poll_keeps_its_promise_through_the_child() -> None:
    async def main() -> int:
        child = Again(2)
        return await poll_fn(lambda cx: cx.poll(child))

    assert make("checked").run(main()) == 3


def test_when_everybody_is_parked_each_task_and_its_place_is_named(run: Run) -> None:
    async def other() -> None:
        await pending()  # parked: other

    async def main() -> None:
        spawn(other(), name="the other")
        await pending()  # parked: main

    with pytest.raises(LostWakeup) as caught:
        run(main())
    check_message(
        caught.value,
        2,
        "Task main",
        line_of("parked: main"),
        "Task the other",
        line_of("parked: other"),
        "Never",
    )


# ---- law 3 ----


def _through_a_slot() -> tuple[Future[Any], Callable[[], object]]:
    table: SlotTable[str] = SlotTable(1)
    slot = table.acquire()
    return table.future(slot), lambda: table.complete(slot.x, "value")


def _through_a_oneshot() -> tuple[Future[Any], Callable[[], object]]:
    tx, rx = new_oneshot()
    return rx, lambda: tx.send("value")


def _through_a_channel() -> tuple[Future[Any], Callable[[], object]]:
    tx, rx = new_channel()
    return rx.recv(), lambda: tx.try_send("value")


def _through_a_full_channel() -> tuple[Future[Any], Callable[[], object]]:
    tx, rx = new_channel()
    tx.try_send("in the way")
    return map(tx.send("value"), lambda none: "value"), lambda: Hand(rx.recv()).poll()


def _gated(
    wrap: Callable[[Gate[str]], Future[Any]],
) -> Callable[[], tuple[Future[Any], Callable[[], object]]]:
    def make() -> tuple[Future[Any], Callable[[], object]]:
        gate: Gate[str] = Gate()
        return wrap(gate), lambda: gate.open("value")

    return make


async def _await(gate: Gate[str]) -> str:
    await yield_now()
    return await gate


MAKERS = {
    "slot": _through_a_slot,
    "oneshot": _through_a_oneshot,
    "receiver": _through_a_channel,
    "sender": _through_a_full_channel,
    "join": _gated(lambda gate: map(join(ready(0), gate), lambda both: both[1])),
    "select": _gated(lambda gate: map(select(pending(), gate), lambda won: won.value)),
    "race": _gated(lambda gate: race(pending(), gate)),
    "map": _gated(lambda gate: map(gate, str)),
    "coroutine": _gated(lambda gate: CoroutineFuture(_await(gate))),
    "poll_fn": _gated(lambda gate: poll_fn(lambda cx: cx.poll(gate))),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_spurious_poll_changes_nothing(kind: str) -> None:
    future, finish = MAKERS[kind]()
    hand = Hand(future)
    for _ in range(5):
        assert hand.poll() is PENDING
    seen = hand.wakes
    finish()
    assert hand.wakes == seen + 1, "the newest waker is woken, once"
    assert hand.poll() == "value"


def test_spurious_wakes_of_a_task_change_nothing(run: Run) -> None:
    async def worker(log: list[object]) -> str:
        log.append(await join(sleep(1), map(sleep(2), lambda none: "second")))
        await yield_now()
        log.append(current_executor().now())
        return "done"

    async def main() -> tuple[list[object], str]:
        log: list[object] = []
        task = spawn(worker(log))
        for _ in range(10):
            await yield_now()
            task.wake()
            task.wake()
        return log, await task

    assert run(main()) == ([(None, "second"), 2.0], "done")


# ---- law 4 ----


@pytest.mark.parametrize("how", ["try_join", "direct"])
def test_a_future_polled_by_a_second_task_is_named(how: str) -> None:
    gate: Gate[int] = Gate()

    async def first() -> None:
        await gate  # pinned here

    async def main() -> None:
        spawn(first())
        await yield_now()
        await yield_now()
        await (gate if how == "direct" else try_join(gate))

    with pytest.raises(PinError) as caught:
        make("checked").run(main())
    check_message(caught.value, 4, "Gate", hex(id(gate)), "Task 'main'", line_of("pinned here"))


def test_a_future_may_change_hands_before_its_first_poll() -> None:
    async def first(future: Again) -> int:
        return await future

    async def main() -> int:
        return await spawn(first(Again(2)))

    assert make("checked").run(main()) == 3


def test_a_task_may_poll_its_own_future_through_another_combinator() -> None:
    async def main() -> tuple[int, int]:
        gate: Gate[int] = Gate()
        winner = await select(gate, sleep(1))
        gate.open(7)
        return winner.winner, await race(gate)

    assert make("checked").run(main()) == (1, 7)


def test_a_task_whose_waiter_was_dropped_may_be_awaited_by_another(run: Run) -> None:
    """Law 4 binds a future until it has given its value or was dropped."""

    async def work() -> str:
        await sleep(5)
        return "done"

    async def main() -> str:
        task = spawn(work())

        async def impatient() -> None:
            await task

        waiter = spawn(impatient())
        await sleep(1)
        waiter.cancel()
        await sleep(1)
        assert waiter.done
        return await task

    assert run(main()) == "done"


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("when", ["idle", "pinned", "done"])
def test_a_future_is_never_copied_or_pickled(how: Callable[[object], object], when: str) -> None:
    futures: tuple[FutureBase[Any], ...] = (
        ready(1),
        Gate(),
        join(),
        new_oneshot()[1],
        new_channel()[1].recv(),
        sleep(1),
    )
    for future in futures:
        if when != "idle" and not hasattr(future, "_seconds"):
            if when == "done" and isinstance(future, Gate):
                future.open(1)
            Hand(future, checked=False).poll()
        verb = "pickled" if how is pickle.dumps else "copied"
        with pytest.raises(PinError, match=f"may not be {verb}") as caught:
            how(future)
        check_message(caught.value, 4, type(future).__qualname__)


def test_a_task_is_never_copied_or_pickled(run: Run) -> None:
    async def main() -> None:
        task = spawn(sleep_a_little())
        for how in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(PinError, match="Task"):
                how(task)

    async def sleep_a_little() -> None:
        await sleep(1)

    run(main())


# ---- law 5 ----


@pytest.mark.parametrize(
    "use",
    [
        lambda cx: cx.waker,
        lambda cx: cx.poll(ready(1)),
        lambda cx: cx.derive(current_executor().current),
    ],
    ids=["waker", "poll", "derive"],
)
def test_a_context_used_after_its_poll_is_named(use: Callable[[Context], object]) -> None:
    kept: list[Context] = []

    async def main() -> None:
        def keep(cx: Context) -> Poll[None]:
            kept.append(cx)
            return None

        await poll_fn(keep)
        use(kept[0])

    with pytest.raises(ContextKept) as caught:
        make("checked").run(main())
    check_message(caught.value, 5, "cx.waker, never cx")
    assert any(entry.name == "main" for entry in caught.traceback), "raised where it is used"


def test_a_derived_context_ends_with_the_one_that_it_came_from() -> None:
    kept: list[Context] = []

    async def main() -> None:
        def keep(cx: Context) -> Poll[None]:
            kept.append(cx.derive(cx.waker))
            return None

        await poll_fn(keep)
        kept[0].poll(ready(1))

    with pytest.raises(ContextKept):
        make("checked").run(main())


class Seeing(Instrument):
    """Has each poll told of, which is another context's work."""

    def answered(self, future: Any, value: object, error: BaseException | None) -> None:
        pass


@pytest.mark.parametrize("instruments", [[], [Seeing()]], ids=["plain", "watched"])
def test_a_context_that_is_kept_is_dead_in_every_mode(instruments: list[Instrument]) -> None:
    kept: list[Context] = []
    used = []

    def keep(cx: Context) -> Poll[None]:
        kept.append(cx)
        cx.waker.wake()  # it is alive here
        return None if len(kept) % 2 else PENDING

    def use() -> None:
        for cx in kept:
            with pytest.raises(ContextKept, match="law 5"):
                cx.waker.wake()
            used.append(cx)

    def keep_and_raise(cx: Context) -> Poll[None]:
        kept.append(cx)
        raise KeyError

    class Pages(StreamBase[int]):
        def __init__(self) -> None:
            self.left = 2

        def poll_next(self, cx: Context, /) -> PollNext[int]:
            kept.append(cx)
            self.left -= 1
            return self.left if self.left >= 0 else END

    async def fail() -> None:
        with pytest.raises(KeyError):
            await poll_fn(keep_and_raise)
        use()

    async def other() -> None:
        use()

    async def many() -> None:
        await race(poll_fn(keep), pending())
        use()
        await join(poll_fn(keep), poll_fn(keep))
        use()
        with pytest.raises(KeyError):
            await try_join(poll_fn(keep_and_raise), pending())
        async for _ in merge(Pages(), Pages()):
            use()

    async def main() -> None:
        current_executor().call_soon(use)
        await poll_fn(keep)
        use()
        waiting = [spawn(other()), spawn(fail())]
        if not instruments:  # there each child has a context of its own, with its own waker
            waiting.append(spawn(many()))
        for _ in range(3):
            await yield_now()
            use()
        for one in waiting:
            await one

    run_executor(main(), checked=False, instruments=instruments)
    use()
    assert len(used) > 10
    whose = 1 if instruments else 5
    assert len(set(kept)) == whose, "that of the executor, and one of each that has children"


def test_only_an_executor_makes_a_context_and_nobody_copies_one() -> None:
    with pytest.raises(TypeError, match=r"only an executor.*Hand"):
        Context(CountingWaker())  # type: ignore[arg-type]

    def read(cx: Context) -> Poll[None]:
        for how in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(ContextKept, match="copied"):
                how(cx)
        return None

    async def main() -> None:
        await poll_fn(read)

    for checked in (False, True):
        run_executor(main(), checked=checked)


def test_a_waker_outlives_its_context() -> None:
    gate: Gate[int] = Gate()

    async def main() -> int:
        current_executor().call_soon(gate.open, 3)
        return await gate

    assert make("checked").run(main()) == 3


# ---- law 6 is what test_slots shows ----


# ---- law 7 ----


def test_a_result_is_taken_once_without_checked_mode_too() -> None:
    table: SlotTable[int] = SlotTable(1)
    slot = table.acquire()
    table.complete(slot.x, 1)
    tx, receiver = new_oneshot()
    tx.send(1)
    for future in (table.future(slot), receiver):
        hand = Hand(future, checked=False)
        assert hand.poll() == 1
        with pytest.raises(TakenTwice) as caught:
            hand.poll()
        check_message(caught.value, 7)


def test_the_result_of_a_task_cannot_be_read_before_it_is_there(run: Run) -> None:
    async def main() -> None:
        task = spawn(child())
        with pytest.raises(TakenTwice, match="no result yet") as caught:
            task.result()
        check_message(caught.value, 7, "child")
        await task
        assert task.result() == 1

    async def child() -> int:
        return 1

    run(main())


def test_the_error_of_a_task_is_taken_by_its_await(run: Run) -> None:
    async def main() -> None:
        task = spawn(child())
        with pytest.raises(ValueError, match="mine"):
            await task
        for read in (task.result, task.error):
            with pytest.raises(TakenTwice, match="was raised by its await"):
                read()

    async def child() -> None:
        raise ValueError("mine")

    run(main())


# ---- law 8 ----


def test_running_an_executor_inside_a_running_one_is_named(run: Run) -> None:
    async def inner() -> int:
        return 1

    async def main() -> int:
        own = current_executor()
        assert isinstance(own, Executor)
        for reenter in (run_executor, make("everyday").run, own.run):
            with pytest.raises(ReenteredExecutor) as caught:
                reenter(inner())
            check_message(caught.value, 8, "await the coroutine, or spawn it")
        return await inner()

    assert run(main()) == 1


def test_a_poll_that_runs_an_executor_is_named(run: Run) -> None:
    async def inner() -> None: ...

    async def main() -> None:
        await poll_fn(lambda cx: run_executor(inner()))

    with pytest.raises(ReenteredExecutor):
        run(main())


# ---- all of them ----


def test_lawful_programs_run_in_checked_mode_as_they_do_without(run: Run) -> None:
    async def echo(log: list[str]) -> None:
        tx, rx = new_channel()

        async def producer() -> None:
            for i in range(5):
                await tx.send(i)
            tx.close()

        task = spawn(producer())
        total = 0
        for _ in range(5):
            won = await select(rx.recv(), sleep(10))
            total += won.value or 0
        log.append(f"{total} {await join(Again(3), map(task, str), race(sleep(1), pending()))}")

    async def main() -> list[str]:
        log: list[str] = []
        await join(spawn(echo(log)), spawn(echo(log)))
        return log

    assert run(main()) == ["10 (4, 'None', None)"] * 2


@pytest.mark.parametrize(("value", "on"), [("", False), ("0", False), ("1", True), ("yes", True)])
def test_the_environment_asks_for_checked_mode(
    monkeypatch: pytest.MonkeyPatch, value: str, on: bool
) -> None:
    monkeypatch.setenv("PINFUT_CHECKED", value)
    assert checked_by_default() is on
    future = ready(1)

    async def main() -> None:
        await future
        if on:
            with pytest.raises(PolledAfterReady):
                await future
        else:
            await future

    run_executor(main())


def test_every_law_has_its_number_and_its_error() -> None:
    errors = {error: error.law for error in LawError.__subclasses__()}
    assert errors == {
        PolledAfterReady: 1,
        LostWakeup: 2,
        ForeignWake: 2,
        PinError: 4,
        ContextKept: 5,
        TakenTwice: 7,
        NeverTaken: 7,
        ReenteredExecutor: 8,
        BlockedInPoll: 8,
    }
    assert issubclass(FutureLock, LostWakeup)
    assert list(LAWS) == [1, 2, 3, 4, 5, 6, 7, 8]
