"""An executor in somebody else's loop: open, turn, close, and the doorbell."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from select import select
from typing import Any

import pytest

from pinfut import FutureBase, LostWakeup, OneshotSender, ReenteredExecutor, oneshot, race
from pinfut.executor import (
    CancelledError,
    Executor,
    NoExecutor,
    Recorder,
    TooManySteps,
    VirtualClock,
    current_executor,
    from_thread,
    run,
    sleep,
    to_thread,
    yield_now,
)
from pinfut.executor.ready import TURN
from pinfut.executor.schedule import Seeded
from pinfut.laws import ContextKept, ForeignWake
from tests.pinfut.hand import Again

WAYS = ("everyday", "watched", "checked", "seeded")


def options(way: str) -> dict[str, Any]:
    """What makes an executor of that way; its own, for a schedule goes on drawing."""
    return {
        "checked": way in ("checked", "seeded"),
        "instruments": [Recorder()] if way == "watched" else (),
        "schedule": Seeded(1) if way == "seeded" else None,
    }


class Hosted:
    """An executor that is open, and how often its doorbell has rung."""

    def __init__(self, way: str, clock: VirtualClock | None) -> None:
        self.way = way
        self.rings = 0
        self.executor = Executor(clock=clock, doorbell=self.ring, **options(way))
        self.executor.open()

    def ring(self) -> None:
        self.rings += 1


@pytest.fixture(params=WAYS)
def hosted(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    one = Hosted(request.param, VirtualClock())
    yield one
    one.executor.close()


@pytest.fixture(params=WAYS)
def in_real_time(request: pytest.FixtureRequest, each_poller: str) -> Iterator[Hosted]:
    one = Hosted(request.param, None)
    yield one
    one.executor.close()


def pair() -> tuple[OneshotSender[str], FutureBase[str]]:
    return oneshot()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# ---- turns ----


def test_a_turn_steps_each_ready_task_once_and_says_whether_more_is_ready(hosted: Hosted) -> None:
    log: list[str] = []

    async def twice(name: str) -> None:
        log.append(name)
        await yield_now()
        log.append(name)

    executor = hosted.executor
    for name in "ab":
        executor.spawn(twice(name))
    assert executor.turn(0) is True
    if hosted.way == "seeded":
        assert len(log) == 2  # a schedule may take one twice
    else:
        assert log == ["a", "b"]
    for _ in range(2):
        executor.turn(0)
    assert sorted(log) == ["a", "a", "b", "b"]
    assert executor.turn(0) is False


def test_steps_bound_a_visit_and_are_all_used_while_something_is_ready(hosted: Hosted) -> None:
    log: list[int] = []

    async def forever() -> None:
        for step in range(1_000):
            log.append(step)
            await yield_now()

    executor = hosted.executor
    for _ in range(3):
        executor.spawn(forever())
    assert executor.turn(0, steps=2) is True
    assert len(log) == 2
    assert executor.turn(0, steps=100) is True
    assert len(log) == 102


def test_a_turn_runs_what_was_put_off_and_what_that_wakes_in_the_next(hosted: Hosted) -> None:
    tx, rx = pair()

    async def waits() -> str:
        return await rx

    executor = hosted.executor
    task = executor.spawn(waits())
    executor.turn(0)
    executor.call_soon(tx.send, "sent")
    assert executor.turn(0) is True
    assert executor.turn(0) is False
    assert task.result() == "sent"


def test_a_turn_lets_no_more_time_pass_than_it_is_given(hosted: Hosted) -> None:
    executor = hosted.executor
    task = executor.spawn(sleep_for(10))
    executor.turn(0)
    assert executor.due() == 10
    executor.turn(4)
    assert executor.now() == 4
    assert executor.due() == 6
    executor.turn(0)
    assert executor.now() == 4
    executor.turn(None)
    assert executor.now() == 10
    assert task.done or executor.turn(0) is False
    assert task.done


async def sleep_for(seconds: float) -> None:
    await sleep(seconds)


def test_with_nothing_to_do_a_turn_returns_also_without_a_timeout(hosted: Hosted) -> None:
    async def parked() -> None:
        await pair()[1]

    assert hosted.executor.turn(None) is False
    hosted.executor.spawn(parked())
    # Its host may wake it yet.
    assert hosted.executor.turn(None) is False
    assert hosted.executor.turn(None) is False


def test_without_a_doorbell_a_turn_without_a_timeout_names_who_is_lost() -> None:
    kept: list[object] = []

    async def parked() -> None:
        tx, rx = pair()
        kept.append(tx)
        await rx

    executor = Executor(clock=VirtualClock())
    executor.open()
    try:
        executor.spawn(parked())
        assert executor.turn(0) is False
        with pytest.raises(LostWakeup, match="parked"):
            executor.turn(None)
    finally:
        executor.close()


def test_outside_of_a_turn_no_executor_runs_in_the_thread(hosted: Hosted) -> None:
    seen: list[object] = []

    async def looks() -> None:
        seen.append(current_executor())

    hosted.executor.spawn(looks())
    with pytest.raises(NoExecutor):
        current_executor()
    hosted.executor.turn(0)
    assert seen == [hosted.executor]
    with pytest.raises(NoExecutor):
        current_executor()
    # So the host may run another one in between.
    assert run(sleep_for(1), clock=VirtualClock()) is None


@pytest.mark.parametrize("visit", [{}, {"steps": 10}])
def test_calls_that_put_themselves_off_again_do_not_hold_a_visit(
    hosted: Hosted, visit: dict[str, int]
) -> None:
    called: list[int] = []

    def again() -> None:
        called.append(1)
        if len(called) < 10_000:
            hosted.executor.call_soon(again)

    again()
    assert hosted.executor.turn(0, **visit) is True
    assert 1 < len(called) <= 1 + 4 * 10


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_between_turns_no_task_is_current_also_after_what_ends_a_program(
    hosted: Hosted, kind: type[BaseException]
) -> None:
    log: list[str] = []

    async def ends() -> None:
        raise kind

    async def goes_on() -> None:
        log.append("went on")

    executor = hosted.executor
    executor.spawn(ends())
    others = [executor.spawn(goes_on()) for _ in range(2)]
    with pytest.raises(kind):
        executor.turn(0)
    assert executor.current is None
    with pytest.raises(ContextKept, match="no poll was under way"):
        executor.cx.waker.wake()
    executor.turn(0)
    assert all(task.done for task in others)
    assert log == ["went on", "went on"]


def test_a_call_that_raises_a_cancel_is_reported_and_ends_no_turn(
    hosted: Hosted, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[int] = []

    def raises() -> None:
        raise CancelledError

    hosted.executor.call_soon(raises)
    hosted.executor.call_soon(log.append, 1)
    hosted.executor.turn(0)
    assert log == [1]
    assert "raises' failed and nobody awaited it" in caplog.text


def test_without_end_is_no_time_that_could_come(hosted: Hosted) -> None:
    executor = hosted.executor
    assert executor.turn(float("inf")) is False
    assert executor.now() == 0
    executor.spawn(sleep_for(float("inf")))
    executor.turn(0)
    assert executor.due() is None


def test_steps_that_went_on_with_much_count_beside_the_others_of_their_turn(
    hosted: Hosted,
) -> None:
    log: list[int] = []

    async def yields() -> None:
        for _ in range(100):
            log.append(1)
            await yield_now()

    async def goes_on() -> None:
        for _ in range(10_000):
            await Again(0)

    for _ in range(300):
        hosted.executor.spawn(yields())
    hosted.executor.spawn(goes_on())
    hosted.executor.turn(0, steps=600)
    assert len(log) <= 600


def test_a_step_that_goes_on_with_much_counts_for_many_of_a_visit(hosted: Hosted) -> None:
    log: list[int] = []

    async def goes_on() -> None:
        while True:
            log.append(1)
            await Again(0)

    hosted.executor.spawn(goes_on())
    hosted.executor.turn(0, steps=128)
    assert TURN <= len(log) <= 4 * TURN


def test_two_hosted_executors_share_a_thread() -> None:
    one, other = Hosted("everyday", VirtualClock()), Hosted("checked", VirtualClock())
    tx, rx = pair()

    async def waits() -> str:
        return await rx

    task = one.executor.spawn(waits())
    one.executor.turn(0)
    other.executor.call_soon(tx.send, "across")
    rings = one.rings
    other.executor.turn(0)
    assert one.rings == rings + 1
    one.executor.turn(0)
    assert task.result() == "across"
    one.executor.close()
    other.executor.close()


# ---- what is refused ----


def test_a_turn_of_what_is_not_open_is_refused() -> None:
    executor = Executor()
    with pytest.raises(RuntimeError, match=r"call open\(\) first"):
        executor.turn(0)
    with pytest.raises(RuntimeError, match=r"call open\(\) first"):
        executor.fileno()
    executor.close()  # nothing to close
    executor.open()
    with pytest.raises(RuntimeError, match="open already"):
        executor.open()
    coro = sleep_for(0)
    with pytest.raises(RuntimeError, match="open already"):
        executor.run(coro)
    executor.close()
    assert executor.run(sleep_for(0)) is None


def test_a_turn_in_another_thread_is_refused(hosted: Hosted) -> None:
    errors: list[str] = []

    def elsewhere() -> None:
        for call in (lambda: hosted.executor.turn(0), hosted.executor.close):
            try:
                call()
            except RuntimeError as error:
                errors.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(errors) == 2
    assert all("in another thread" in error for error in errors)


def test_a_turn_inside_a_turn_is_refused(hosted: Hosted) -> None:
    seen: list[BaseException] = []

    async def turns() -> None:
        for call in (lambda: hosted.executor.turn(0), hosted.executor.close):
            try:
                call()
            except ReenteredExecutor as error:
                seen.append(error)

    task = hosted.executor.spawn(turns(), name="turns")
    hosted.executor.turn(0)
    assert task.done
    assert ["'turns'" in str(error) for error in seen] == [True, True]
    assert hosted.executor.turn(0) is False, "and the turn it was in went on"


@pytest.mark.parametrize(
    ("timeout", "steps"), [(-1, None), (float("nan"), None), (0, 0), (None, -3)]
)
def test_a_turn_of_less_than_nothing_is_refused(
    hosted: Hosted, timeout: float | None, steps: int | None
) -> None:
    with pytest.raises(ValueError, match="a turn takes"):
        hosted.executor.turn(timeout, steps=steps)


def test_a_call_from_the_own_thread_is_refused_between_turns_too(hosted: Hosted) -> None:
    with pytest.raises(RuntimeError, match="own thread"):
        from_thread(len, "", executor=hosted.executor)


def test_threads_that_wait_for_the_host_are_not_lost(in_real_time: Hosted) -> None:
    """No more than a task that waits for it: the host wakes between two turns."""
    executor = in_real_time.executor
    tx, rx = pair()

    async def waits() -> str:
        return await rx

    async def in_thread() -> str:
        return await to_thread(lambda: from_thread(waits))

    task = executor.spawn(in_thread())
    for _ in range(1_000):
        executor.turn(0.01)
        if executor.poller.threads.stuck:  # type: ignore[union-attr]
            break
    else:
        raise AssertionError("the thread never waited for its task")
    assert executor.turn(None) is False
    tx.send("sent")
    for _ in range(1_000):
        executor.turn(0.01)
        if task.done:
            break
    assert task.result() == "sent"


@pytest.mark.parametrize("way", WAYS)
def test_who_is_spawned_before_the_opening_belongs_to_the_thread_that_opens(way: str) -> None:
    tx, rx = pair()

    async def waits() -> str:
        return await rx

    async def sends() -> None:
        tx.send("sent")

    executor = Executor(clock=VirtualClock(), **options(way))
    task = executor.spawn(waits())
    executor.spawn(sends())

    def elsewhere() -> None:
        executor.open()
        executor.turn(0, steps=100)
        executor.close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert task.result() == "sent"


# ---- the doorbell ----


def by_waking(hosted: Hosted, tx: Any) -> None:
    tx.send("rung")


def by_spawning(hosted: Hosted, tx: Any) -> None:
    async def sends() -> None:
        tx.send("rung")

    hosted.executor.spawn(sends())


def by_spawning_urgently(hosted: Hosted, tx: Any) -> None:
    async def sends() -> None:
        tx.send("rung")

    hosted.executor.spawn(sends(), priority="high")


def by_spawning_unhurriedly(hosted: Hosted, tx: Any) -> None:
    async def sends() -> None:
        tx.send("rung")

    hosted.executor.spawn(sends(), priority="low")


def by_putting_a_call_off(hosted: Hosted, tx: Any) -> None:
    hosted.executor.call_soon(tx.send, "rung")


def by_setting_a_timer(hosted: Hosted, tx: Any) -> None:
    hosted.executor.timers.add(hosted.executor.now(), lambda: tx.send("rung"))


@pytest.mark.parametrize(
    "how",
    [
        by_waking,
        by_spawning,
        by_spawning_urgently,
        by_spawning_unhurriedly,
        by_putting_a_call_off,
        by_setting_a_timer,
    ],
)
def test_whatever_becomes_ready_between_turns_rings(
    hosted: Hosted, how: Callable[[Hosted, Any], None]
) -> None:
    tx, rx = pair()

    async def waits() -> str:
        return await rx

    task = hosted.executor.spawn(waits())
    assert hosted.rings == 1
    hosted.executor.turn(0)
    assert hosted.rings == 1, "what becomes ready inside a turn does not ring"
    how(hosted, tx)
    assert hosted.rings == 2
    assert hosted.executor.due() == 0
    hosted.executor.turn(0, steps=10)
    assert task.result() == "rung"


@pytest.mark.parametrize(
    "how",
    [
        by_waking,
        by_spawning,
        by_spawning_urgently,
        by_spawning_unhurriedly,
        by_putting_a_call_off,
        by_setting_a_timer,
    ],
)
def test_from_another_thread_nothing_rings_and_who_tries_is_told(
    in_real_time: Hosted, how: Callable[[Hosted, Any], None]
) -> None:
    hosted = in_real_time
    tx, rx = pair()

    async def waits() -> str:
        return await rx

    async def sends() -> None:
        if not task.done:
            tx.send("rung")

    task = hosted.executor.spawn(waits())
    hosted.executor.turn(0)
    rings, errors = hosted.rings, list[BaseException]()

    def elsewhere() -> None:
        try:
            how(hosted, tx)
        except ForeignWake as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert hosted.rings == rings
    if how is by_waking and hosted.executor.checked:
        return  # refused before it is done
    assert "from_thread" in str(errors[0])
    # What it has woken all the same is not lost: the host's own sleep ends.
    assert select([hosted.executor.fileno()], [], [], 30)[0]
    hosted.executor.turn(0, steps=10)
    if how in (by_spawning, by_spawning_urgently, by_spawning_unhurriedly):
        assert not task.done, "the spawn was refused"
        tx.send("rung")
        hosted.executor.turn(0, steps=10)
    assert task.result() == "rung"


def test_it_rings_once_until_the_next_turn(hosted: Hosted) -> None:
    for _ in range(5):
        hosted.executor.spawn(sleep_for(1))
    assert hosted.rings == 1
    hosted.executor.turn(0)
    hosted.executor.spawn(sleep_for(1))
    hosted.executor.call_soon(len, "")
    assert hosted.rings == 2


def test_a_doorbell_that_raises_is_reported_and_rings_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rings: list[int] = []

    def ring() -> None:
        rings.append(1)
        if len(rings) == 1:
            raise ValueError("nobody heard")

    executor = Executor(clock=VirtualClock(), doorbell=ring)
    executor.open()
    executor.call_soon(len, "")
    assert "nobody heard" in caplog.text
    executor.call_soon(len, "")
    executor.call_soon(len, "")
    assert len(rings) == 2
    executor.close()


def test_a_host_that_makes_its_turn_in_the_doorbell_sees_the_spawn_before_the_step() -> None:
    recorder = Recorder()
    executor = Executor(
        clock=VirtualClock(), instruments=[recorder], doorbell=lambda: executor.turn(0)
    )
    executor.open()
    task = executor.spawn(sleep_for(0))
    executor.turn(0)
    assert task.done
    assert [event["k"] for event in recorder.events][:3] == ["spawn", "turn", "resume"]
    executor.close()


def test_a_thread_makes_the_descriptor_readable(in_real_time: Hosted) -> None:
    import select

    executor = in_real_time.executor

    async def works() -> str:
        return await to_thread(lambda: from_thread(lambda: "from a thread"))

    task = executor.spawn(works())
    executor.turn(0)
    # Bounded: two hand-overs, each of which makes the descriptor readable.
    for _ in range(4):
        if task.done:
            break
        readable, _, _ = select.select([executor.fileno()], [], [], 60)
        assert readable
        executor.turn(0, steps=10)
    assert task.result() == "from a thread"


def test_what_threads_hand_over_is_not_lost_when_one_call_ends_the_turn(
    in_real_time: Hosted,
) -> None:
    import select

    executor = in_real_time.executor
    log: list[int] = []

    def interrupts() -> None:
        raise KeyboardInterrupt

    assert executor.poller is not None
    executor.poller.hand_over(interrupts)
    executor.poller.hand_over(log.append, 1)
    with pytest.raises(KeyboardInterrupt):
        executor.turn(0)
    assert select.select([executor.fileno()], [], [], 0)[0] == [executor.fileno()]
    executor.turn(0)
    assert log == [1]


def test_a_descriptor_makes_the_descriptor_readable(in_real_time: Hosted) -> None:
    import select

    from pinfut.executor.io import pipe

    executor = in_real_time.executor
    reader, writer = pipe()

    async def reads() -> bytes:
        with reader:
            return await reader.recv(10)

    task = executor.spawn(reads())
    executor.turn(0)
    assert select.select([executor.fileno()], [], [], 0)[0] == []
    os.write(writer.fileno(), b"bytes")
    assert select.select([executor.fileno()], [], [], 60)[0] == [executor.fileno()]
    executor.turn(0, steps=10)
    assert task.result() == b"bytes"
    writer.close()


def test_descriptors_are_looked_at_in_each_turn_however_much_is_ready(
    in_real_time: Hosted,
) -> None:
    from pinfut.executor.io import pipe

    executor = in_real_time.executor
    reader, writer = pipe()

    async def reads() -> bytes:
        with reader:
            return await reader.recv(10)

    async def greedy() -> None:
        while True:
            await yield_now()

    task = executor.spawn(reads())
    executor.spawn(greedy())
    executor.turn(0)
    os.write(writer.fileno(), b"bytes")
    for _ in range(3):
        executor.turn(0)
    assert task.done
    writer.close()


# ---- the end ----


def test_close_cancels_what_is_left_and_gives_the_descriptors_back() -> None:
    before = descriptors()
    log: list[str] = []

    async def cleans_up() -> None:
        try:
            await sleep(60)
        except CancelledError:
            await yield_now()
            log.append("cleaned up")
            raise

    hosted = Hosted("everyday", VirtualClock())
    hosted.executor.spawn(cleans_up())
    hosted.executor.turn(0)
    assert descriptors() > before
    hosted.executor.close()
    assert log == ["cleaned up"]
    assert descriptors() == before
    hosted.executor.close()
    hosted.executor.open()  # and it can be opened anew
    task = hosted.executor.spawn(sleep_for(0))
    hosted.executor.turn(0, steps=10)
    assert task.done
    hosted.executor.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_close_that_is_interrupted_leaves_nobody_to_run(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = descriptors()
    log: list[str] = []

    async def interrupts() -> None:
        try:
            await sleep(60)
        finally:
            raise KeyboardInterrupt

    async def cleans_up() -> None:
        try:
            await sleep(60)
        finally:
            log.append("cleaned up")

    async def awaits_in_the_end() -> None:
        try:
            await sleep(60)
        finally:
            await sleep(1)
            log.append("not reached")

    hosted = Hosted(way, VirtualClock())
    executor = hosted.executor
    for _ in range(2):
        executor.spawn(awaits_in_the_end())
        executor.spawn(cleans_up())
    executor.spawn(interrupts())
    executor.turn(0, steps=5)
    with pytest.raises(KeyboardInterrupt):
        executor.close()
    assert log == ["cleaned up"] * 2
    assert not executor.tasks
    assert executor.current is None
    assert descriptors() == before
    # Whom it gave up may stand in the queue still, and is not run again.
    executor.open()
    executor.turn(0, steps=20)
    executor.turn(5)
    executor.close()
    assert log == ["cleaned up"] * 2


@pytest.mark.parametrize("way", WAYS)
def test_an_end_that_calls_put_off_again_and_again_comes(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    executor = Executor(clock=VirtualClock(), **options(way))

    def again() -> None:
        executor.call_soon(again)

    async def main() -> str:
        again()
        return "done"

    assert executor.run(main()) == "done"
    assert "put off again and again" in caplog.text
    assert not executor.deferred


# ---- a run of so many steps ----


@pytest.mark.parametrize("way", WAYS)
def test_a_run_in_which_only_calls_go_on_is_ended_after_its_steps(way: str) -> None:
    executor = Executor(clock=VirtualClock(), **options(way))

    def again() -> None:
        executor.call_soon(again)

    async def main() -> None:
        again()
        await sleep(1)

    with pytest.raises(TooManySteps, match="1 calls are put off"):
        executor.run(main(), steps=100)


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_never_ends_is_ended_after_its_steps(way: str) -> None:
    steps: list[int] = []

    async def main() -> None:
        while True:
            steps.append(1)
            await yield_now()

    with pytest.raises(TooManySteps, match="ready are main"):
        Executor(clock=VirtualClock(), **options(way)).run(main(), steps=100)
    assert len(steps) == 100


@pytest.mark.parametrize("way", WAYS)
def test_a_run_of_timers_that_never_ends_is_ended_after_its_steps(way: str) -> None:
    async def main() -> None:
        while True:
            await race(sleep(1), sleep(2))

    executor = Executor(clock=VirtualClock(), **options(way))
    with pytest.raises(TooManySteps):
        executor.run(main(), steps=1_000)
    assert executor.now() > 400


@pytest.mark.parametrize("way", WAYS)
def test_a_step_that_never_gives_the_others_a_turn_counts_for_many(way: str) -> None:
    async def main() -> None:
        while True:
            await Again(0)

    with pytest.raises(TooManySteps):
        Executor(clock=VirtualClock(), **options(way)).run(main(), steps=1_000)


def test_a_task_that_will_not_end_is_abandoned_after_as_many_steps(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def stubborn() -> None:
        while True:
            try:
                await yield_now()
            except CancelledError:
                pass

    async def main() -> None:
        current_executor().spawn(stubborn())
        await yield_now()

    run(main(), clock=VirtualClock(), steps=50)
    assert "caught their cancel and go on" in caplog.text


def test_enough_steps_change_nothing() -> None:
    async def worker(tx: OneshotSender[str], n: int) -> None:
        await sleep(n)
        executor = current_executor()
        executor.call_soon(tx.send, "from a call")
        await yield_now()

    def history(steps: int | None) -> list[str]:
        recorder = Recorder()
        executor = Executor(clock=VirtualClock(), checked=False, instruments=[recorder])

        async def main() -> None:
            for n in range(20):
                tx, rx = pair()
                executor.spawn(worker(tx, n % 7))
                await rx
            await sleep(10)

        executor.run(main(), steps=steps)
        assert any(event.get("by", "").startswith("call ") for event in recorder.events)
        return recorder.text().splitlines()

    assert history(None) == history(10_000)


@pytest.mark.parametrize("steps", [0, -1])
def test_a_run_of_no_steps_is_refused(steps: int) -> None:
    with pytest.raises(ValueError, match="1 step or more"):
        run(sleep_for(0), steps=steps)
