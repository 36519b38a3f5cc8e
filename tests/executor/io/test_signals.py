"""Signals as a stream; the handlers of before come back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from pinfut.executor import CancelledError, Executor, current_executor, sleep, spawn, yield_now
from pinfut.executor.current import current_poller
from pinfut.executor.io import Busy, signals
from pinfut.executor.io.signals import Signals
from tests.executor.world import Run
from tests.house.imports import ROOT


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_signals_come_in_order_each_once_until_taken(run: Run) -> None:
    before = signal.getsignal(signal.SIGUSR1)

    async def main() -> None:
        with signals(signal.SIGUSR1, signal.SIGUSR2) as stream:
            send(signal.SIGUSR2)
            send(signal.SIGUSR1)
            send(signal.SIGUSR1)
            assert await stream.next() == signal.SIGUSR2
            assert await stream.next() == signal.SIGUSR1
            got = []
            task = spawn(later())
            async for number in stream:
                got.append(number)
                if len(got) == 2:
                    break
            await task
            assert got == [signal.SIGUSR1, signal.SIGUSR2]
        assert current_poller().external == 0

    async def later() -> None:
        await sleep(1)
        send(signal.SIGUSR1)
        await sleep(1)
        send(signal.SIGUSR2)

    run(main())
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_cancelled_wait_takes_no_signal_and_a_second_waiter_is_told(run: Run) -> None:
    async def main() -> None:
        async def wait() -> int:
            return await stream.next()

        with signals(signal.SIGUSR1) as stream:
            task = spawn(wait())
            await yield_now()
            with pytest.raises(Busy):
                await stream.next()
            send(signal.SIGUSR1)
            task.cancel()
            with pytest.raises(CancelledError):
                await task
            assert await stream.next() == signal.SIGUSR1
        with pytest.raises(RuntimeError, match="inside of the block"):
            await stream.next()
        assert current_poller().external == 0

    run(main())


def test_who_waits_when_the_block_ends_is_told(run: Run) -> None:
    async def main() -> None:
        async def wait() -> int:
            return await stream.next()

        with signals(signal.SIGUSR1) as stream:
            task = spawn(wait())
            await yield_now()
        with pytest.raises(RuntimeError, match="inside of the block"):
            await task
        assert current_poller().external == 0

    run(main())


def test_a_signal_that_is_taken_before_its_wake_comes_leaves_nobody_waiting(run: Run) -> None:
    async def main() -> None:
        async def wait() -> int:
            return await stream.next()

        with signals(signal.SIGUSR1) as stream:
            for _ in range(3):
                task = spawn(wait())
                await yield_now()
                send(signal.SIGUSR1)
                task.wake()
                assert await task == signal.SIGUSR1
                assert current_poller().external == 0

    run(main())


def test_handlers_come_back_when_one_of_the_signals_cannot_be_caught(run: Run) -> None:
    before = signal.getsignal(signal.SIGUSR1)

    async def main() -> None:
        with pytest.raises(OSError, match="Invalid"), signals(signal.SIGUSR1, signal.SIGKILL):
            pass

    run(main())
    assert signal.getsignal(signal.SIGUSR1) is before
    with pytest.raises(ValueError, match="name the signals"):
        signals()


def test_outside_of_the_main_thread_signals_are_refused() -> None:
    errors: list[str] = []

    async def main() -> None:
        try:
            with signals(signal.SIGUSR1):
                pass
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=lambda: Executor().run(main()))
    thread.start()
    thread.join()
    assert "main thread" in errors[0]


def test_a_service_ends_cleanly_at_sigterm_also_while_it_sleeps() -> None:
    program = """
from signal import SIGTERM
from pinfut import executor
from pinfut.executor.io import signals

async def main():
    with signals(SIGTERM) as stream:
        print("ready", flush=True)
        async for number in stream:
            print("got", number, flush=True)
            return

executor.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGTERM)
        assert child.stdout.read() == f"got {signal.SIGTERM.value}\n"
        assert child.wait(30) == 0


def test_a_flood_of_signals_in_one_step_hands_over_one_wake_and_the_next_one_wakes_again() -> None:
    async def main() -> list[int]:
        with signals(signal.SIGUSR1, signal.SIGUSR2) as stream:
            waits = spawn(_next(stream))
            await yield_now()
            for _ in range(500):
                signal.raise_signal(signal.SIGUSR1)
            handed = len(current_poller()._handed)  # type: ignore[attr-defined]
            first = await waits
            waits = spawn(_next(stream))
            await yield_now()
            current_executor().call_soon(signal.raise_signal, signal.SIGUSR2)
            return [handed, first, await waits]

    assert Executor().run(main()) == [1, signal.SIGUSR1, signal.SIGUSR2]


async def _next(stream: Signals) -> int:
    return await stream.next()
