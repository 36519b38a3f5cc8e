"""pinfut as asyncio's event loop: what it promises beyond what asyncio's own tests ask for."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import signal
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

import pinfut.asyncio
from pinfut import FutureBase, OneshotSender, channel, oneshot
from pinfut.asyncio import EventLoop, new_event_loop
from pinfut.executor import (
    CancelledError,
    Executor,
    Instrument,
    NoExecutor,
    VirtualClock,
    current_executor,
    dump,
    scope,
    sleep,
    spawn,
)
from pinfut.executor import run as pinfut_run
from pinfut.executor.contract import Entry
from pinfut.executor.ready import TURN
from pinfut.laws import ReenteredExecutor
from tests.hosts.world import Make, descriptors, maker, run


def make_oneshot() -> tuple[OneshotSender[Any], FutureBase[Any]]:
    return oneshot()


# ---- one order ----


def test_callbacks_and_tasks_of_both_run_in_the_order_in_which_they_became_ready(
    make: Make,
) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def own(name: str) -> None:
            log.append(name)

        loop = asyncio.get_running_loop()
        loop.call_soon(log.append, "first")
        spawn(own("second"))
        theirs = asyncio.create_task(own("third"))
        loop.call_soon(log.append, "fourth")
        spawn(own("fifth"))
        await theirs
        await asyncio.sleep(0)
        return log

    assert run(make, main()) == ["first", "second", "third", "fourth", "fifth"]


def test_a_task_of_high_priority_goes_before_callbacks_that_wait(make: Make) -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def own() -> None:
            log.append("urgent")

        for _ in range(3):
            asyncio.get_running_loop().call_soon(log.append, "callback")
        spawn(own(), priority="high")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return log

    assert run(make, main()) == ["urgent", "callback", "callback", "callback"]


def test_a_value_goes_through_a_channel_from_asyncio_to_pinfut_and_back(make: Make) -> None:
    async def main() -> list[int]:
        send, receive = channel[int](1)
        found: list[int] = []
        over = asyncio.get_running_loop().create_future()

        async def own() -> None:
            for _ in range(3):
                found.append(await receive.recv())
            over.set_result(None)

        spawn(own())
        for number in range(3):
            while not send.try_send(number):
                await asyncio.sleep(0)
        await over
        return found

    assert run(make, main()) == [0, 1, 2]


def test_stop_ends_after_one_turn_and_the_rest_is_for_the_next_run(loop: EventLoop) -> None:
    ran: list[int] = []
    loop.call_soon(loop.stop)
    for number in range(2 * TURN):
        loop.call_soon(ran.append, number)
    loop.run_forever()
    assert ran == list(range(TURN - 1))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == list(range(2 * TURN))


def test_timers_of_one_moment_fire_in_the_order_in_which_they_were_set(loop: EventLoop) -> None:
    log: list[int] = []
    when = loop.time()
    # Equal in everything: asyncio's handles would be equal, too.
    for _ in range(3):
        loop.call_at(when, log.append, 7)
    last = loop.call_at(when, log.append, 8)
    loop.call_at(when, log.append, 9).cancel()
    loop.call_at(when, loop.stop)
    loop.run_forever()
    assert log == [7, 7, 7, 8]
    last.cancel()


def test_asyncio_sleeps_on_virtual_time() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(3600)
        async with asyncio.timeout(7200):
            task = spawn(sleep_own())
            while not task.done:
                await asyncio.sleep(60)
        return loop.time(), current_executor().now()

    async def sleep_own() -> None:
        await sleep(3600)

    theirs, ours = pinfut.asyncio.run(
        main(), loop_factory=partial(new_event_loop, clock=VirtualClock())
    )
    assert theirs == ours == 7200


# ---- one end ----


def test_closing_cancels_the_tasks_of_pinfut_and_waits_while_the_loop_answers(make: Make) -> None:
    log: list[str] = []

    async def own() -> None:
        try:
            await sleep(3600)
        except CancelledError:
            loop = asyncio.get_running_loop()
            say, heard = make_oneshot()
            loop.call_later(0.001, say.send, "from a callback")
            log.append(await heard)
            await sleep(0.001)
            log.append("cleaned up")
            raise

    async def main() -> None:
        spawn(own())
        await asyncio.sleep(0)

    run(make, main())
    assert log == ["from a callback", "cleaned up"]


def test_tasks_of_pinfut_go_on_over_several_runs(loop: EventLoop) -> None:
    log: list[str] = []

    async def own(gate: Any) -> None:
        log.append(await gate)

    async def first() -> Any:
        say, heard = make_oneshot()
        spawn(own(heard))
        await asyncio.sleep(0)
        return say

    say = loop.run_until_complete(first())
    assert log == []

    async def second() -> None:
        say.send("later")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run_until_complete(second())
    assert log == ["later"]


def test_the_end_is_bounded_also_for_who_catches_the_cancel_and_waits_on(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    keep: list[Any] = []

    async def waits() -> None:
        try:
            await sleep(3600)
        except CancelledError:
            say, heard = make_oneshot()
            keep.append(say)
            await heard

    async def main() -> None:
        spawn(waits())
        await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR):
        run(make, main())
    assert "wait for what cannot come" in caplog.text


def test_a_loop_that_nobody_closed_gives_its_descriptors_back(make: Make) -> None:
    before = descriptors()
    loop = make()
    loop.run_until_complete(asyncio.sleep(0))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        del loop
        gc.collect()
    assert [one.category for one in warned] == [ResourceWarning]
    assert descriptors() == before


def test_a_loop_is_made_in_one_thread_run_in_another_and_closed_in_a_third(make: Make) -> None:
    async def main() -> int:
        return await asyncio.to_thread(threading.get_ident)

    loop = make()
    found: list[int] = []
    for step in (lambda: found.append(loop.run_until_complete(main())), loop.close):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert len(found) == 1
    assert loop.is_closed()


def test_a_loop_takes_nothing_of_the_process_but_descriptors(make: Make) -> None:
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    hooks = sys.get_asyncgen_hooks()
    loop = make()
    found = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(found)
    assert found == fd

    async def main() -> None:
        assert current_executor() is loop.executor

    loop.run_until_complete(main())
    assert sys.get_asyncgen_hooks() == hooks
    with pytest.raises(NoExecutor):
        current_executor()
    loop.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_no_part_in_the_loop_and_may_run_its_own(make: Make) -> None:
    async def child() -> int:
        await asyncio.sleep(0.001)
        return 7

    async def main(host: str, port: int) -> int:
        loop = asyncio.get_running_loop()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads of the tests'
            pid = os.fork()
        if pid == 0:
            status = 1
            try:
                asyncio._set_running_loop(None)
                loop._thread_id = None  # type: ignore[attr-defined]
                loop.close()
                status = run(make, child())
            finally:
                os._exit(status)
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"  # the parent's poller is as before
        writer.close()
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        return os.waitstatus_to_exitcode(status)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(5))
        writer.close()

    async def serve() -> int:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            return await main(*server.sockets[0].getsockname())

    assert run(make, serve()) == 7


# ---- beside one another ----


def test_loops_and_runs_do_not_nest(make: Make) -> None:
    async def nothing() -> None:
        pass

    async def main() -> None:
        with pytest.raises(ReenteredExecutor):
            pinfut_run(nothing())
        never = nothing()
        with pytest.raises(RuntimeError, match="running event loop"):
            asyncio.run(never)
        never.close()

    run(make, main())

    async def own() -> None:
        loop = make()
        with pytest.raises(ReenteredExecutor):
            loop.run_forever()
        loop.close()

    pinfut_run(own())


def test_a_block_of_pinfut_in_a_task_of_asyncio_says_that_there_is_no_task(make: Make) -> None:
    async def main() -> None:
        with pytest.raises(NoExecutor, match="no task is running here"):
            async with scope():
                pass

    run(make, main())


# ---- async generators ----


@pytest.mark.parametrize("leave", ["by itself", "by the collector"])
def test_each_side_closes_the_generators_that_it_began(make: Make, leave: str) -> None:
    log: list[str] = []

    async def lines(wait: Callable[[float], Any], name: str) -> AsyncIterator[int]:
        cycle: list[Any] = []
        if leave == "by the collector":
            cycle.append(cycle)
        try:
            yield 1
            yield 2
        finally:
            await wait(0.001)
            log.append(name)

    async def use(wait: Callable[[float], Any], name: str) -> None:
        for _ in range(3):
            async for _ in lines(wait, "to its end"):
                pass
        generator = lines(wait, name)
        async for _ in generator:
            break
        if leave == "by the collector":
            circle: list[Any] = [generator]
            circle.append(circle)

    async def main() -> None:
        task = spawn(use(sleep, "pinfut's"))
        await use(asyncio.sleep, "asyncio's")
        while not task.done:
            await asyncio.sleep(0.001)
        gc.collect()
        async with asyncio.timeout(60):  # only so that a hang ends
            while len(log) < 8:
                await asyncio.sleep(0.001)

    run(make, main())
    assert sorted(log) == ["asyncio's", "pinfut's"] + ["to its end"] * 6


def test_generators_that_are_held_at_the_end_are_closed_by_who_began_them(make: Make) -> None:
    log: list[str] = []
    held: list[Any] = []

    async def lines(wait: Callable[[float], Any], name: str) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await wait(0.001)
            log.append(name)

    async def begin(wait: Callable[[float], Any], name: str) -> None:
        generator = lines(wait, name)
        held.append(generator)
        await anext(generator)

    async def main() -> None:
        spawn(begin(sleep, "pinfut's"))
        await begin(asyncio.sleep, "asyncio's")
        await asyncio.sleep(0)

    run(make, main())
    assert log == ["asyncio's", "pinfut's"]


# ---- errors ----


def test_the_error_of_a_callback_goes_to_the_exception_handler(loop: EventLoop) -> None:
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))

    def fails(error: BaseException) -> None:
        raise error

    for error in (ValueError("x"), StopIteration(3), CancelledError()):
        loop.call_soon(fails, error)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert [type(one["exception"]) for one in told] == [ValueError, StopIteration, CancelledError]
    assert all("fails" in one["message"] for one in told)
    assert isinstance(told[0]["handle"], asyncio.Handle)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_ends_the_run_and_the_loop_may_run_again(
    loop: EventLoop, kind: type[BaseException]
) -> None:
    told: list[Any] = []
    loop.set_exception_handler(lambda _, context: told.append(context))

    def ends() -> None:
        raise kind

    log: list[str] = []
    loop.call_soon(ends)
    loop.call_soon(log.append, "after it")
    with pytest.raises(kind):
        loop.run_forever()
    assert log == told == []
    assert loop.run_until_complete(asyncio.sleep(0, "again")) == "again"
    assert log == ["after it"]


def test_ctrl_c_cancels_the_main_task_of_a_runner(make: Make) -> None:
    log: list[str] = []

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(3600)
        except CancelledError:
            log.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt):
        run(make, main())
    assert log == ["cancelled"]


# ---- what is seen ----


def test_instruments_hear_of_callbacks_by_the_names_of_their_tasks() -> None:
    told: list[str] = []

    class Told(Instrument):
        def ran(self, entry: Entry) -> None:
            told.append(entry.name)

    def a_callback() -> None:
        pass

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(a_callback)
        loop.call_later(0, a_callback)
        loop.call_soon_threadsafe(a_callback)
        await asyncio.create_task(asyncio.sleep(0.001), name="a task")

    pinfut.asyncio.run(main(), loop_factory=partial(new_event_loop, instruments=[Told()]))
    assert "a task" in told
    assert sum("a_callback" in name for name in told) == 3
    assert any("_read_from_self" in name for name in told)


def test_a_dump_shows_the_tasks_of_both_and_what_is_called_next(make: Make) -> None:
    async def waits_in_pinfut() -> None:
        await sleep(3600)

    async def waits_in_asyncio() -> None:
        await asyncio.sleep(3600)

    def called_next() -> None:
        """It is put off before the dump, and runs after it."""

    async def main() -> str:
        spawn(waits_in_pinfut())
        task = asyncio.create_task(waits_in_asyncio(), name="of theirs")
        begins = asyncio.create_task(asyncio.sleep(0), name="begins")
        asyncio.current_task().set_name("shows")  # type: ignore[union-attr]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(called_next)
        shown = dump()
        task.cancel()
        begins.cancel()
        return shown

    shown = run(make, main())
    assert "waits_in_pinfut" in shown
    assert f"ready: {called_next.__qualname__}" in shown.splitlines()
    assert "of theirs of asyncio: waits for Future" in shown
    assert "await asyncio.sleep(3600)" in shown
    assert "shows of asyncio: running" in shown
    assert "begins of asyncio: ready" in shown


def test_checked_mode_tells_of_a_callback_that_held_the_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pinfut import checked as records

    now = [0.0]
    monkeypatch.setattr(records, "clock", lambda: now[0])
    monkeypatch.setattr(records, "patience", 1.0)

    def holds() -> None:
        now[0] += 60

    async def main() -> None:
        asyncio.get_running_loop().call_soon(holds)
        await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING):
        pinfut.asyncio.run(main(), loop_factory=partial(new_event_loop, checked=True))
    assert "60.000 s" in caplog.text
    assert "holds" in caplog.text


def test_debug_mode_may_be_switched_on_in_the_middle(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def slow() -> None:
        pass

    async def main() -> None:
        loop = asyncio.get_running_loop()
        before = [loop.call_later(3600, slow), loop.call_soon(slow)]
        loop.set_debug(True)
        loop.slow_callback_duration = 0
        for handle in before:
            handle.cancel()
            assert handle.cancelled()
        made = loop.call_soon(slow)
        assert made._source_traceback[-1].name == "main"  # type: ignore[attr-defined]
        timer = loop.call_later(3600, slow)
        assert timer._source_traceback[-1].name == "main"  # type: ignore[attr-defined]
        timer.cancel()
        assert "cancelled" in repr(timer)
        with pytest.raises(TypeError):
            loop.call_soon(main)  # type: ignore[arg-type,unused-ignore]
        await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING):
        run(make, main())
    assert re.search(r"Executing <Handle \S*slow\(\)", caplog.text)


@pytest.mark.parametrize("mode", ["everyday", "checked"])
def test_a_loop_keeps_nothing_of_a_callback_that_has_run(mode: str) -> None:
    class Thing:
        def call(self) -> None:
            pass

    async def main() -> None:
        thing = Thing()
        gone = weakref.ref(thing)
        loop = asyncio.get_running_loop()
        loop.call_soon(thing.call)
        loop.call_later(3600, thing.call).cancel()
        del thing
        await asyncio.sleep(0.001)
        assert gone() is None

    run(maker(mode), main())


@pytest.mark.parametrize("debug", [False, True])
def test_a_failed_task_that_nobody_holds_is_told_of_at_once(make: Make, debug: bool) -> None:
    async def fails() -> None:
        raise ValueError("nobody looks")

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        told: list[str] = []
        loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
        gone = weakref.ref(asyncio.create_task(fails()))
        await asyncio.sleep(0)
        assert gone() is None, "only the collector would find it"
        return told

    assert run(make, main()) == ["nobody looks"]


# ---- the ways in ----


def test_run_gives_the_result_and_takes_what_asyncio_takes() -> None:
    async def main() -> tuple[bool, type[Any]]:
        loop = asyncio.get_running_loop()
        return loop.get_debug(), type(loop)

    assert pinfut.asyncio.run(main(), debug=True) == (True, EventLoop)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(main())[1] is EventLoop


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="policies end")
def test_a_policy_makes_loops_of_pinfut_for_programs_that_name_none() -> None:
    async def main() -> type[Any]:
        return type(asyncio.get_running_loop())

    asyncio.set_event_loop_policy(pinfut.asyncio.EventLoopPolicy())
    try:
        assert asyncio.run(main()) is EventLoop
    finally:
        asyncio.set_event_loop_policy(None)


def test_a_loop_that_cannot_be_made_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors()

    def fails(self: object) -> None:
        raise OSError("no more sockets")

    monkeypatch.setattr(EventLoop, "_make_self_pipe", fails)
    with pytest.raises(OSError, match="no more sockets"):
        new_event_loop()
    assert descriptors() == before


def test_an_executor_of_a_loop_is_its_loop_s_alone(loop: EventLoop) -> None:
    executor: Executor = loop.executor

    async def nothing() -> None:
        pass

    with pytest.raises(RuntimeError, match="open already"):
        executor.run(nothing())
