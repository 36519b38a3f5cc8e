"""Ctrl-C: the first cancels main and waits for it, the second is immediate."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from pinfut.executor import (
    CancelledError,
    Executor,
    Instrument,
    MonotonicClock,
    Task,
    VirtualClock,
    current_executor,
    run,
    shield,
    sleep,
    spawn,
    yield_now,
)
from pinfut.executor.interrupt import InterruptsHeld
from tests.executor.world import make

pytestmark = pytest.mark.usefixtures("each_poller")


def outcome(executor: Executor, main: Coroutine[Any, Any, object]) -> object:
    """What `main` gives. A KeyboardInterrupt that came through would end the tests."""
    try:
        return executor.run(main)
    except (KeyboardInterrupt, CancelledError) as error:
        return type(error)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_cancels_main_and_is_raised_when_it_has_cleaned_up(executor: Executor) -> None:
    log: list[object] = []

    async def child() -> None:
        try:
            await sleep(1000)
        finally:
            await sleep(1)
            log.append("child")

    async def main() -> None:
        spawn(child())
        await sleep(1)
        try:
            press()
            log.append("the step goes on")
            await sleep(1000)
        except CancelledError:
            await sleep(5)
            log.append("main")
            raise

    assert outcome(executor, main()) is KeyboardInterrupt
    assert log == ["the step goes on", "main", "child"]


def test_a_second_ctrl_c_is_raised_where_it_comes(executor: Executor) -> None:
    log: list[str] = []

    async def child() -> None:
        try:
            await sleep(1000)
        finally:
            log.append("child")

    async def main() -> None:
        spawn(child())
        await yield_now()
        press()
        try:
            press()
            log.append("not reached")
        except KeyboardInterrupt:
            log.append("at once")
            raise

    assert outcome(executor, main()) is KeyboardInterrupt
    assert log == ["at once", "child"]


def test_ctrl_c_is_raised_although_main_swallowed_its_cancel(executor: Executor) -> None:
    async def main() -> str:
        press()
        try:
            await sleep(1000)
        except CancelledError:
            return "swallowed"
        return "not reached"

    assert outcome(executor, main()) is KeyboardInterrupt


def test_an_error_of_main_in_its_clean_up_comes_before_the_ctrl_c(executor: Executor) -> None:
    async def main() -> None:
        press()
        try:
            await sleep(1000)
        finally:
            raise KeyError("in clean-up")

    with pytest.raises(KeyError, match="in clean-up"):
        outcome(executor, main())


def test_ctrl_c_after_main_has_ended_is_raised_when_the_others_have(executor: Executor) -> None:
    log: list[str] = []

    async def child() -> None:
        try:
            await sleep(1000)
        finally:
            press()
            await sleep(1)
            log.append("child")

    async def main() -> None:
        spawn(child())
        await sleep(1)

    assert outcome(executor, main()) is KeyboardInterrupt
    assert log == ["child"]


def test_an_executor_that_was_interrupted_takes_its_next_ctrl_c_as_the_first(
    executor: Executor,
) -> None:
    log: list[str] = []

    async def main() -> None:
        press()
        try:
            await sleep(1000)
        except CancelledError:
            log.append("cancelled")
            raise

    for _ in range(2):
        assert outcome(executor, main()) is KeyboardInterrupt
    assert log == ["cancelled", "cancelled"]


def test_a_cancel_after_an_interrupted_run_is_no_ctrl_c(executor: Executor) -> None:
    async def interrupted() -> None:
        press()
        await sleep(1000)

    async def cancelled() -> None:
        raise CancelledError

    assert outcome(executor, interrupted()) is KeyboardInterrupt
    assert outcome(executor, cancelled()) is CancelledError


def test_a_keyboard_interrupt_of_a_task_ends_the_run_after_clean_up(executor: Executor) -> None:
    log: list[str] = []

    async def interrupts() -> None:
        await sleep(1)
        raise KeyboardInterrupt

    async def main() -> None:
        spawn(interrupts())
        try:
            await sleep(1000)
        finally:
            log.append("main")

    assert outcome(executor, main()) is KeyboardInterrupt
    assert log == ["main"]


def test_a_system_exit_of_a_task_ends_the_run_after_clean_up(executor: Executor) -> None:
    log: list[str] = []

    async def leaves() -> None:
        await sleep(1)
        raise SystemExit(3)

    async def main() -> None:
        spawn(leaves())
        try:
            await sleep(1000)
        finally:
            await sleep(1)
            log.append("main")

    with pytest.raises(SystemExit) as caught:
        executor.run(main())
    assert caught.value.code == 3
    assert log == ["main"]


def test_a_handler_of_the_program_is_left_alone() -> None:
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))

    async def main() -> str:
        press()
        await sleep(1)
        return "went on"

    try:
        assert outcome(make("everyday"), main()) == "went on"
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert pressed == [signal.SIGINT]


def test_an_interrupt_waits_while_it_is_held_and_comes_once_to_the_handler_of_before() -> None:
    frames: list[object] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: frames.append(frame))
    try:
        handler = signal.getsignal(signal.SIGINT)
        with InterruptsHeld():
            with InterruptsHeld():
                press()
                press()
            press()
            assert not frames
        assert frames == [sys._getframe()], "where the block ends"
        assert signal.getsignal(signal.SIGINT) is handler
        with InterruptsHeld():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN, "set by the block itself"
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_was_held_cancels_main_as_any() -> None:
    async def main() -> None:
        with InterruptsHeld():
            press()
        with pytest.raises(CancelledError):
            await sleep(1000)

    assert outcome(Executor(), main()) is KeyboardInterrupt


def test_in_other_threads_nothing_is_held() -> None:
    held: list[object] = []

    def elsewhere() -> None:
        with InterruptsHeld():
            held.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert held == [before]


def test_an_executor_in_another_thread_leaves_signals_alone() -> None:
    handlers: list[object] = []

    async def main() -> None:
        handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=lambda: run(main()))
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


def test_ctrl_c_wakes_an_executor_that_sleeps() -> None:
    """On the real clock, so that the signal finds it parked."""
    thread = threading.Thread(target=signal.pthread_kill, args=(threading.get_ident(), 2))

    async def main() -> None:
        current_executor().call_soon(thread.start)
        await sleep(1000)

    assert outcome(Executor(clock=MonotonicClock()), main()) is KeyboardInterrupt
    thread.join()


def test_a_second_ctrl_c_in_the_midst_of_the_executors_work_closes_the_task_that_it_hits() -> None:
    class Hit(Instrument):
        armed = False

        def park(self, task: Task[Any], leaf: Any) -> None:
            if self.armed:
                self.armed = False
                press()

    hit = Hit()
    log: list[str] = []

    async def main() -> None:
        try:
            await sleep(1000)
        except CancelledError:
            hit.armed = True
            try:
                await sleep(1000)
            finally:
                log.append("closed")

    async def presses() -> None:
        await sleep(1)
        press()

    async def both() -> None:
        spawn(presses())
        await main()

    executor = Executor(clock=VirtualClock(), instruments=[hit])
    assert outcome(executor, both()) is KeyboardInterrupt
    assert log == ["closed"]
    assert not executor.tasks


PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pinfut.executor import CancelledError, run, sleep

def say(text):
    print(text, flush=True)

async def main():
    try:
        say("ready")
        await sleep(1000)
    except CancelledError:
        say("cancelled")
        if sys.argv[1] == "2":
            await sleep(1000)
        raise
    finally:
        say("finally")

try:
    run(main())
except KeyboardInterrupt:
    say("interrupted")
"""


@pytest.mark.parametrize("times", [1, 2])
def test_a_program_that_is_interrupted_ends_cleanly(times: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(times)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cancelled\n"
        if times == 2:
            process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "finally\ninterrupted\n"
    assert process.returncode == 0


def test_a_task_that_an_interrupt_has_kept_from_its_step_has_its_clean_up(
    executor: Executor,
) -> None:
    log: list[str] = []

    async def main() -> None:
        try:
            await sleep(0)
            log.append("went on")
        finally:
            await sleep(1)
            log.append("cleaned up")

    executor.open()
    executor.spawn(main())
    executor.turn(0)
    executor.ready.clear()  # as where one comes between the taking off the queue and the step
    executor.close()
    assert log == ["cleaned up"]


@pytest.mark.parametrize("others", ["none", "shielded"])
@pytest.mark.parametrize("stands", ["in a shield", "in shields, again and again", "swallowing"])
def test_a_second_ctrl_c_that_comes_in_a_sleep_gets_through_shields_and_swallowing(
    executor: Executor, stands: str, others: str
) -> None:
    log: list[str] = []

    async def child() -> None:
        with shield():
            try:
                await sleep(1000)
            except CancelledError:
                await sleep(1)
                log.append("child cleaned up")
                raise

    async def main() -> None:
        if others == "shielded":
            spawn(child())
        for after in (2, 4):
            executor.timers.add(after, press)
        try:
            while True:
                if stands == "swallowing":
                    try:
                        await sleep(1)
                    except CancelledError:
                        log.append("swallowed")
                else:
                    with shield():
                        await sleep(1 if "again" in stands else 1000)
        except KeyboardInterrupt:
            log.append(f"at {executor.now():g}")
            raise

    assert outcome(executor, main()) is KeyboardInterrupt
    log = [one for one in log if one != "swallowed"]
    assert log == ["at 4"] + ["child cleaned up"] * (others == "shielded")
    assert executor.now() == 4 + (others == "shielded")
