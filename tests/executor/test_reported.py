"""Errors of what nobody waits for are reported; the run goes on, and so do the others."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from pinfut.executor import (
    CancelledError,
    Executor,
    Instrument,
    VirtualClock,
    current_executor,
    sleep,
    spawn,
    yield_now,
)
from pinfut.executor.contract import JoinHandle
from pinfut.executor.current import current_poller
from pinfut.executor.io import socketpair
from pinfut.executor.source import EdgeSource
from tests.executor.world import Run, make


class Refuses(BaseException):
    """An error that no `except Exception` sees."""


ERRORS = (ValueError, Refuses, CancelledError)


@pytest.fixture(params=ERRORS, ids=lambda kind: kind.__name__)
def fails(request: pytest.FixtureRequest) -> Callable[..., None]:
    """What raises, whatever it is given."""

    def raises(*_: object) -> None:
        raise request.param("planted")

    return raises


def reports(caplog: pytest.LogCaptureFixture) -> int:
    """How many errors were logged, each once."""
    return sum("planted" in str(record.exc_info) for record in caplog.records)


@pytest.mark.parametrize("how", ["call_soon", "timer", "hand over"])
def test_a_call_that_fails_is_reported_and_the_next_one_is_made(
    run: Run, fails: Callable[..., None], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    async def main() -> str:
        executor = current_executor()
        for call in (fails, lambda: log.append("the next")):
            if how == "call_soon":
                executor.call_soon(call)
            elif how == "timer":
                executor.timers.add(1.0, call)
            else:
                current_poller().hand_over(call)
        await sleep(2)
        return "went on"

    assert run(main()) == "went on"
    assert log == ["the next"]
    assert reports(caplog) == 1


def test_an_owner_that_fails_is_reported_and_who_awaits_the_task_is_woken(
    executor: Executor, fails: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    class Owner:
        def ended(self, task: JoinHandle[object], /) -> None:
            fails()

    async def work() -> str:
        await sleep(1)
        return "worked"

    async def main() -> str:
        return await executor.spawn(work(), owner=Owner())

    assert executor.run(main()) == "worked"
    assert reports(caplog) == 1


def test_a_waker_that_fails_is_reported_and_the_other_events_of_the_look_come(
    run: Run, fails: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    class Waiter:
        class waker:
            wake = staticmethod(fails)

    async def main() -> None:
        one, other = socketpair()
        third, fourth = socketpair()
        with one, other, third, fourth:
            source = EdgeSource(one.raw.fileno())
            source.wait_read(Waiter)  # type: ignore[arg-type]

            async def receives() -> bytes:
                return await third.recv(10)

            receiving = spawn(receives())
            await yield_now()
            await other.sendall(b"for one")
            await fourth.sendall(b"for three")
            assert await receiving == b"for three"
            source.close()
        assert current_poller().external == 0

    run(main())
    assert reports(caplog) == 1


def test_an_instrument_that_fails_is_reported_and_the_others_are_told(
    fails: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    class Fails(Instrument):
        resume = finish = fails

    class Told(Instrument):
        finished = 0

        def finish(self, task: object) -> None:
            self.finished += 1

    async def main() -> str:
        return "done"

    told = Told()
    executor = Executor(clock=VirtualClock(), instruments=[Fails(), told])
    assert executor.run(main()) == "done"
    assert told.finished == 1
    assert reports(caplog) == 2


def test_a_doorbell_that_fails_is_reported_and_rings_again(
    fails: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    executor = Executor(clock=VirtualClock(), doorbell=fails)
    caplog.set_level(logging.ERROR)
    executor.call_soon(len, "")
    executor.call_soon(len, "")
    assert reports(caplog) == 2
    executor.open()
    executor.turn(0)
    executor.close()


def test_what_ends_a_run_still_does_from_a_call_that_was_put_off() -> None:
    def leaves() -> None:
        raise SystemExit(3)

    async def main() -> None:
        current_executor().call_soon(leaves)
        await sleep(1)

    with pytest.raises(SystemExit):
        make("everyday").run(main())
