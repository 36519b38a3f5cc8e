"""A guest in asyncio, uvloop and trio: what runs in it, who drives it, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Protocol

import pytest
import trio
import trio.testing

import pinfut
from pinfut import Receiver, Sender, channel, join, yield_now
from pinfut.executor import (
    CancelledError,
    Executor,
    NoExecutor,
    current_executor,
    from_host,
    guest,
    run,
    scope,
    sleep,
    spawn,
    timeout,
    to_thread,
)
from pinfut.executor.hosts.guest import AT_ONCE, STEPS, TrioGuest
from pinfut.executor.io import pipe
from pinfut.rpc import Interface, SimKernel, connect, method, serve
from tests.hosts.each_host import Held, Host, OnAsyncio, OnUvloop, host, refuses

__all__ = ["host"]


async def pours(seconds: float = 0) -> str:
    await sleep(seconds)
    return "tea"


async def parked() -> None:
    await pinfut.pending()


def pair() -> tuple[Sender[int], Receiver[int]]:
    return channel(1)


def test_it_is_what_pinfut_itself_gives() -> None:
    assert pinfut.guest is guest
    with pytest.raises(AttributeError, match="gest"):
        pinfut.gest  # noqa: B018


@pytest.mark.parametrize("checked", [True, False])
def test_tasks_of_the_host_spawn_and_await(host: Host, checked: bool) -> None:
    async def main() -> list[str]:
        async with guest(checked=checked) as executor:
            assert current_executor() is executor
            assert executor.checked is checked
            return [await spawn(pours()), await spawn(pours(0.01)), await from_host(pours(0.01))]

    assert host.run(main) == ["tea"] * 3


@pytest.mark.parametrize("checked", [True, False])
def test_futures_of_every_kind_are_awaited_as_they_are(host: Host, checked: bool) -> None:
    async def main() -> list[object]:
        async with guest(checked=checked):
            tx, rx = pair()
            values: list[object] = [*await join(sleep(0.001), sleep(0))]

            async def sends() -> None:
                for number in range(3):
                    await tx.send(number)
                tx.close()

            async def fills() -> None:
                async for number in rx:
                    values.append(number)

            task = spawn(sends())
            await fills()
            await task
            lock = pinfut.Lock()
            async with lock:
                waiting = spawn(takes(lock))
                await sleep(0)
                assert not waiting.done
            values.append(await waiting)
            values += await join(pours(0.001), pours())
            values.append(await pinfut.pin(pours()))
            values.append(await pinfut.pin(sleep(0.001)))
            values.append(await timeout(1, spawn(pours())))
            values.append(await to_thread(lambda: "thread"))
            return values

    async def takes(lock: pinfut.Lock) -> str:
        async with lock:
            return "lock"

    assert host.run(main) == [
        *(None, None, 0, 1, 2, "lock", "tea", "tea", "tea", None, "tea", "thread")
    ]


@pytest.mark.parametrize("checked", [True, False])
def test_bytes_are_read_and_written_by_tasks_of_both_sides(host: Host, checked: bool) -> None:
    rounds = 300  # more than an operation goes on with before it lets others run

    async def main() -> int:
        async with guest(checked=checked):
            reader, writer = pipe()
            with reader, writer:

                async def writes() -> None:
                    for _ in range(rounds):
                        await writer.sendall(b"0123456789" * 100)

                task = spawn(writes())
                read = 0
                while read < rounds * 1_000:
                    read += len(await reader.recv(100))
                await task
                return read

    assert host.run(main) == rounds * 1_000


def test_an_error_crosses_as_it_is_and_groups_do(host: Host) -> None:
    async def fails() -> None:
        await sleep(0)
        raise RuntimeError("mine")

    async def fails_in_a_scope() -> None:
        async with scope() as s:
            s.spawn(fails())
            s.spawn(fails())

    async def main() -> None:
        async with guest():
            waits: list[Callable[[], Awaitable[None]]]
            waits = [lambda: spawn(fails()), lambda: from_host(fails())]
            for wait in waits:
                with pytest.raises(RuntimeError, match=r"^mine$") as failed:
                    await wait()
                assert failed.value.__cause__ is None
            with pytest.raises(ExceptionGroup) as several:
                await from_host(fails_in_a_scope())
            assert str(several.value.exceptions[0]) == "mine"

    host.run(main)


VARIABLE: ContextVar[str] = ContextVar("variable", default="none")


def test_context_variables_follow(host: Host) -> None:
    async def reads() -> str:
        await sleep(0)
        before = VARIABLE.get()
        VARIABLE.set("pinfut's")
        return before

    async def main() -> list[str]:
        async with guest():
            VARIABLE.set("host's")
            seen = [await from_host(reads()), await spawn(reads())]
            return [*seen, VARIABLE.get()]

    assert host.run(main) == ["host's"] * 3


@pytest.mark.parametrize("host", [OnAsyncio(), OnUvloop()], ids=lambda host: host.name)
def test_a_dump_shows_the_tasks_of_asyncio(host: Host) -> None:
    async def main() -> str:
        async with guest() as executor:
            spawn(parked())
            task = asyncio.create_task(asyncio.sleep(3600), name="of theirs")
            await host.sleep(0.001)
            shown = executor.dump()
            task.cancel()
            return shown

    shown = host.run(main)
    assert "parked" in shown
    assert "of theirs of asyncio: waits for " in shown
    assert "of asyncio: running" in shown


# ---- services ----


class Counter(Interface, Protocol):
    @method
    async def add(self, by: int) -> int: ...

    @method
    async def hold(self) -> None: ...

    @method
    async def child(self) -> Counter: ...


class CounterService(Counter):
    def __init__(self) -> None:
        self.total = 0
        self.held: list[str] = []

    @method
    async def add(self, by: int) -> int:
        self.total += by
        return self.total

    @method
    async def hold(self) -> None:
        self.held.append("begun")
        try:
            await sleep(3600)
        except CancelledError:
            self.held.append("cancelled")
            raise

    @method
    async def child(self) -> Counter:
        await sleep(0)
        return CounterService()


def test_a_service_is_called_from_tasks_of_the_host_and_refunded(host: Host) -> None:
    service = CounterService()
    kernel = SimKernel()
    bank = kernel.bank("client", pages=64)

    async def main() -> None:
        async with (
            guest(),
            serve(kernel, "counter", service),
            connect(kernel, "counter", Counter, bank) as counter,
        ):
            assert await counter.add(3) == 3
            assert await counter.child().add(4) == 4  # on what has not come yet
            child = await counter.child()
            assert await child.add(5) == 5

            async def other() -> None:
                for _ in range(50):
                    await counter.add(1)

            await host.beside(other, other)
            assert await from_host(counter.add(1)) == 104
            assert bank.pages_used > 0
        assert bank.pages_used == 0

    host.run(main)


def test_a_cancel_of_the_host_cancels_the_call_at_its_server(host: Host) -> None:
    service = CounterService()
    kernel = SimKernel()
    bank = kernel.bank("client", pages=64)

    async def main() -> None:
        async with (
            guest(),
            serve(kernel, "counter", service),
            connect(kernel, "counter", Counter, bank) as counter,
        ):

            async def calls() -> None:
                await counter.hold()

            error = await host.cancel_after(20, calls)
            assert isinstance(error, host.cancelled)
            while len(service.held) < 2:
                await sleep(0.001)
            assert await counter.add(1) == 1

    host.run(main)
    assert service.held == ["begun", "cancelled"]
    assert bank.pages_used == 0


# ---- who drives it ----


def test_time_is_the_mock_clock_of_trio() -> None:
    async def main() -> tuple[float, float, str]:
        async with guest() as executor:
            started = trio.current_time()
            await from_host(pours(3600))
            with trio.move_on_after(1000) as moved:
                await sleep(2000)
            assert moved.cancelled_caught
            assert not executor.timers.next_deadline()
            try:
                with trio.fail_after(7200):
                    await from_host(timed())
            except TimeoutError as error:
                return trio.current_time() - started, executor.now(), str(error)
        raise AssertionError("no timeout")

    async def timed() -> None:
        with timeout(400):
            await parked()

    clock = trio.testing.MockClock(autojump_threshold=0)
    passed, now, error = trio.run(main, clock=clock)
    assert passed == 3600 + 1000 + 400
    assert now == clock.current_time()
    assert error == "timed out after 400 s"


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer when nothing is ready."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def jump(seconds: float | None = None) -> Any:
            found = select(0)
            if not found and seconds:
                self.at += seconds
            return found

        selector.select = jump

    def time(self) -> float:
        return self.at


def test_time_is_that_of_a_loop_of_asyncio_with_a_time_of_its_own() -> None:
    async def main() -> float:
        async with guest():
            await from_host(pours(3600))
            await spawn(pours(3600))
            return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert 7200 <= runner.run(main()) < 7201


@pytest.mark.parametrize("virtual", ["asyncio", "trio"])
def test_timers_fire_in_their_order(virtual: str) -> None:
    woken: list[float] = []

    async def sleeps(seconds: float) -> None:
        await sleep(seconds)
        woken.append(seconds)

    async def main() -> None:
        async with guest():
            tasks = [spawn(sleeps(seconds)) for seconds in (60, 3, 1, 2, 1)]
            for task in tasks[1:]:
                await task

    if virtual == "trio":
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    else:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main())
    assert woken == [1, 1, 2, 3]


def test_a_nearer_timer_does_not_wait_for_one_that_was_set_before(host: Host) -> None:
    async def main() -> str:
        async with guest():
            spawn(pours(3600))
            await host.sleep(0.001)
            return await spawn(pours(0.001))

    assert host.run(main) == "tea"


def test_a_greedy_task_holds_neither_the_host_nor_descriptors_nor_timers(host: Host) -> None:
    steps = 0

    async def greedy() -> None:
        nonlocal steps
        while True:
            steps += 1
            await yield_now()

    async def main() -> None:
        async with guest():
            spawn(greedy())
            most = 0
            for _ in range(50):
                before = steps
                await host.sleep(0)
                most = max(most, steps - before)
            assert 0 < most <= 2 * STEPS, "at most two visits in one turn of the host's"
            await sleep(0.001)
            reader, writer = pipe()
            with reader, writer:
                os.write(writer.fileno(), b"bytes")
                assert await from_host(reader.recv(10)) == b"bytes"
            await to_thread(lambda: None)

    host.run(main)


def test_what_a_descriptor_wakes_goes_on_while_the_host_does_nothing_else(host: Host) -> None:
    async def works() -> str:
        await to_thread(int)
        for _ in range(3 * STEPS):  # more than the visit that the descriptor brings
            await yield_now()
        await to_thread(int)
        return await pours(0.001)  # a timer that such a visit sets

    async def main() -> str:
        async with guest():
            return await from_host(works())

    assert host.run(main) == "tea"


def test_a_guest_that_waits_makes_no_visits(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0
    turn = Executor.turn

    def counted(self: Executor, *args: Any, **kwargs: Any) -> bool:
        nonlocal turns
        turns += 1
        return turn(self, *args, **kwargs)

    monkeypatch.setattr(Executor, "turn", counted)

    async def main() -> int:
        async with guest():
            spawn(pours(3600))
            reader, writer = pipe()
            with reader, writer:
                reading = spawn(reads(reader))
                for _ in range(50):
                    await host.sleep(0)
                before = turns
                for _ in range(50):
                    await host.sleep(0)
                assert 0 < turns == before
                os.write(writer.fileno(), b"x")
                await reading
            before = turns
            await from_host(pours())
            for _ in range(50):
                await host.sleep(0)
            assert turns == before + 1, "that of the task itself"
            return turns

    async def reads(reader: Any) -> bytes:
        data: bytes = await reader.recv(1)
        return data

    assert 0 < host.run(main) < 20


def test_in_a_turn_no_task_of_the_host_is_current(host: Host) -> None:
    seen: list[object] = []

    async def looks() -> None:
        seen.append(host.name == "trio" and trio.lowlevel.in_trio_task())
        seen.append(host.name != "trio" and asyncio.current_task())

    async def main() -> None:
        async with guest():
            await from_host(looks())
            await spawn(looks())
            assert host.name != "trio" or trio.lowlevel.in_trio_task()

    host.run(main)
    assert [bool(one) for one in seen] == [False] * 4


def test_a_coroutine_that_need_not_wait_costs_no_round_of_the_hosts_which_has_its_turn_in_time(
    host: Host,
) -> None:
    rounds = 0
    seen: list[int] = []

    async def counts() -> None:
        nonlocal rounds
        while len(seen) < 202:
            rounds += 1
            await host.sleep(0)

    async def answers() -> None:
        seen.append(rounds)

    async def asks() -> None:
        for _ in range(200):
            await from_host(answers())
        before = rounds
        # Twice: between two waits lies a whole round of trio's, whose order is drawn.
        for _ in range(2):
            spawn(pours())  # it is ready, and goes first, when the host makes a visit
            await from_host(answers())
        assert rounds > before

    async def main() -> None:
        async with guest():
            await host.beside(counts, asks)

    host.run(main)
    at_once = max(map(seen.count, seen))
    assert 1 < at_once <= STEPS // AT_ONCE + 1, seen
    assert len(set(seen)) < 50


def test_what_a_task_of_the_host_runs_at_once_has_not_its_context_variables(host: Host) -> None:
    seen: list[str] = []

    async def puts_off() -> str:
        current_executor().call_soon(lambda: seen.append(VARIABLE.get()))
        return VARIABLE.get()

    async def main() -> str:
        async with guest():
            VARIABLE.set("host's")
            return await from_host(puts_off())

    assert host.run(main) == "host's"
    assert seen == ["none"]


def test_a_timer_and_a_wake_of_what_runs_at_once_are_not_lost(host: Host) -> None:
    async def steps() -> str:
        for _ in range(10 * AT_ONCE):
            await yield_now()
        return await pours(0.001)

    async def main() -> list[str]:
        async with guest():
            return [await from_host(steps()), await from_host(pours(0.001))]

    assert host.run(main) == ["tea", "tea"]


def test_a_thread_and_a_guest_in_it_are_each_for_themselves(host: Host) -> None:
    async def main() -> list[str]:
        async with guest():
            done = await to_thread(host.run, inner)
            return [done, await from_host(pours())]

    async def inner() -> str:
        async with guest():
            return await from_host(pours(0.01))

    assert host.run(main) == ["tea", "tea"]


# ---- the end ----


def test_the_end_leaves_nothing(host: Host) -> None:
    log: list[str] = []

    async def cleans_up(name: str) -> None:
        try:
            await sleep(3600)
        finally:
            await sleep(0.005)
            log.append(name)

    async def works() -> None:
        await to_thread(threading.Event().wait, 0.01)

    async def generates() -> Any:
        try:
            yield 1
        finally:
            await sleep(0.001)
            log.append("generator")

    async def starts_a_generator() -> Any:
        generator = generates()
        await anext(generator)
        return generator

    async def main() -> tuple[Held, Held]:
        await host.sleep(0)
        before = host.held()
        async with guest() as executor:
            for name in "ab":
                spawn(cleans_up(name))
            spawn(works())
            spawn(parked())
            generator = await from_host(starts_a_generator())
            spawn(pours(3600))
            await sleep(0.001)
            assert host.held() != before
        assert not executor.tasks
        assert executor.poller is None
        assert generator is not None
        await host.sleep(0)
        return before, host.held()

    before, after = host.run(main)
    assert after == before
    assert sorted(log) == ["a", "b", "generator"]


def test_the_end_takes_back_a_timer_that_nobody_waits_for_any_more(host: Host) -> None:
    async def main() -> tuple[int, int, int]:
        await host.sleep(0)
        before = host.timers()
        async with guest():
            spawn(pours(3600))
            await host.sleep(0.001)
            during = host.timers()
        gc.collect()
        return before, during, host.timers()

    before, during, after = host.run(main)
    assert before == after < during


def test_the_host_goes_on_while_the_block_ends(host: Host) -> None:
    ticks = 0
    seen: list[int] = []

    async def main() -> None:
        async def ticking() -> None:
            nonlocal ticks
            while len(seen) < 2:
                ticks += 1
                await host.sleep(0)

        async def body() -> None:
            async with guest():
                spawn(slow())
                await sleep(0)

        await host.beside(ticking, body)

    async def slow() -> None:
        try:
            await parked()
        finally:
            seen.append(ticks)
            for _ in range(10):
                await yield_now()
                await sleep(0.001)
            seen.append(ticks)

    host.run(main)
    assert seen[0] + 10 <= seen[1]


def test_a_thread_that_nobody_waits_for_any_more_does_not_hold_the_host(host: Host) -> None:
    go_on = threading.Event()
    seen: list[bool] = []

    async def main() -> None:
        async def block() -> None:
            async with guest() as executor:
                task = spawn(blocks())
                await sleep(0.005)
                task.cancel()
                while executor.tasks:
                    await sleep(0.001)

        async def lets_go() -> None:
            await host.sleep(0.03)
            go_on.set()

        await host.beside(lets_go, block)

    async def blocks() -> None:
        await to_thread(lambda: seen.append(go_on.wait(30)))

    host.run(main)
    assert seen == [True]


def test_what_clean_ups_start_ends_too_also_if_it_goes_on_without_end(host: Host) -> None:
    started = 0

    async def again() -> None:
        nonlocal started
        started += 1
        try:
            await parked()
        finally:
            spawn(again())

    async def main() -> None:
        async with guest() as executor:
            spawn(again())
            await sleep(0)
            await sleep(0)
        assert not executor.tasks

    host.run(main)
    assert 16 <= started < 40


def test_a_cancel_of_the_body_arrives_when_the_clean_ups_have_ended(host: Host) -> None:
    log: list[str] = []

    async def cleans_up() -> None:
        try:
            await parked()
        finally:
            for _ in range(3):
                await sleep(0.002)
            log.append("cleaned up")

    async def block() -> None:
        try:
            async with guest():
                spawn(cleans_up())
                await parked()
        finally:
            log.append("left")

    async def main() -> None:
        assert isinstance(await host.cancel_after(10, block), host.cancelled)

    host.run(main)
    assert log == ["cleaned up", "left"]


def test_a_cancel_that_comes_while_the_block_ends_is_not_lost(host: Host) -> None:
    log: list[str] = []

    async def cleans_up() -> None:
        try:
            await parked()
        finally:
            await was_cancelled.wait()
            log.append("cleaned up")

    async def block() -> None:
        async with guest():
            spawn(cleans_up())
            await sleep(0)
        log.append("the end")
        await host.sleep(0)  # where trio raises it
        log.append("not reached")

    async def main() -> None:
        error = await host.cancel_after(30, block, then=was_cancelled.set)
        assert isinstance(error, host.cancelled)

    was_cancelled = pinfut.Event()
    host.run(main)
    assert log[0] == "cleaned up"
    assert "not reached" not in log


def test_an_error_of_the_body_leaves_as_it_is(host: Host) -> None:
    async def main() -> None:
        async with guest():
            spawn(parked())
            raise ValueError("of the body")

    with pytest.raises(ValueError, match="of the body"):
        host.run(main)


def test_what_ends_a_program_is_not_lost_in_an_error_of_the_body(host: Host) -> None:
    async def ends() -> None:
        raise SystemExit

    async def main() -> None:
        async with guest():
            spawn(ends())
            try:
                await host.sleep(60)
            except host.cancelled:
                raise ValueError("of the body") from None

    with pytest.raises(SystemExit):
        host.run(main)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_ends_the_host_and_the_others_clean_up(
    host: Host, kind: type[BaseException], at_once: bool
) -> None:
    log: list[str] = []

    async def cleans_up() -> None:
        try:
            await parked()
        finally:
            await sleep(0.001)
            log.append("cleaned up")

    async def ends() -> None:
        if not at_once:
            await sleep(0.001)
        raise kind

    async def main() -> None:
        async with guest():
            spawn(cleans_up())
            await sleep(0.001)
            await from_host(ends()) if at_once else spawn(ends())
            await host.sleep(60)

    with pytest.raises(kind):
        host.run(main)
    assert log == ["cleaned up"]


def test_ctrl_c_is_the_hosts(host: Host) -> None:
    log: list[str] = []
    before = signal.getsignal(signal.SIGINT)

    async def cleans_up() -> None:
        try:
            await parked()
        finally:
            await sleep(0.001)
            log.append("cleaned up")

    async def main() -> None:
        async with guest():
            spawn(cleans_up())
            spawn(presses())
            await parked()
        raise AssertionError("it went on")

    async def presses() -> None:
        await sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
        await parked()

    with pytest.raises(KeyboardInterrupt):
        host.run(main)
    assert log == ["cleaned up"]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_does_not_come_in_a_step_that_a_task_of_the_host_makes(host: Host) -> None:
    log: list[str] = []

    async def presses() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        log.append("went on")

    async def main() -> None:
        async with guest():
            await from_host(presses())
            await host.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        host.run(main)
    assert log == ["went on"]


def test_ctrl_c_does_not_come_between_such_a_step_and_what_follows_it_in_trio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[bool] = []
    here = TrioGuest._visit_here

    def visits(self: TrioGuest) -> None:
        here(self)
        kept.append(trio.lowlevel.currently_ki_protected())

    monkeypatch.setattr(TrioGuest, "_visit_here", visits)

    async def main() -> bool:
        async with guest():
            await from_host(pours())
            return trio.lowlevel.currently_ki_protected()

    assert not trio.run(main)
    assert kept == [True]


def test_a_block_that_is_closed_closes_what_is_in_it() -> None:
    log: list[str] = []

    async def cleans_up() -> None:
        try:
            await parked()
        finally:
            log.append("cleaned up")

    async def block() -> None:
        async with guest():
            spawn(cleans_up())
            await sleep(0)
            await parked()

    async def main() -> None:
        coro = block()
        task = asyncio.ensure_future(coro)
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError):
            coro.close()  # it is in a task, and waits in its end
        assert not task.done()

    OnAsyncio().run(main)


def test_after_its_end_it_is_as_if_there_had_been_none(host: Host) -> None:
    async def main() -> None:
        for _ in range(3):
            async with guest():
                assert await from_host(pours()) == "tea"
            with pytest.raises(NoExecutor, match=r"pinfut\.guest\(\)"):
                current_executor()
            with pytest.raises(NoExecutor, match="from_host is for a task of asyncio"):
                await from_host(pours())

    host.run(main)
    assert run(pours()) == "tea"


# ---- what is refused ----


def test_a_second_guest_in_a_thread_is_refused(host: Host) -> None:
    async def main() -> str:
        async with guest():
            with refuses("the tasks of its loop share it"):
                async with guest():
                    raise AssertionError("entered")
            with refuses("the tasks of its loop share it"):
                await from_host(enters())
            return await from_host(pours())

    async def enters() -> None:
        async with guest():
            raise AssertionError("entered")

    assert host.run(main) == "tea"


def test_a_guest_needs_a_loop() -> None:
    async def enters() -> None:
        async with guest():
            raise AssertionError("entered")

    with refuses("no loop runs here"):
        enters().send(None)
    with refuses("in a run there is no need of one"):
        run(enters())


def test_a_run_inside_of_a_guest_is_refused(host: Host) -> None:
    async def main() -> None:
        async with guest():
            coro = pours()
            with refuses("an executor runs in this thread already"):
                run(coro)

    host.run(main)


def test_a_loop_without_readers_is_refused_and_nothing_is_left() -> None:
    class Bare(asyncio.SelectorEventLoop):
        def add_reader(self, *args: Any) -> None:  # type: ignore[override]
            raise NotImplementedError

    async def main() -> tuple[int, int]:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(NotImplementedError):
            async with guest():
                raise AssertionError("entered")
        return before, len(os.listdir("/proc/self/fd"))

    with asyncio.Runner(loop_factory=Bare) as runner:
        before, after = runner.run(main())
    assert before == after
    assert run(pours()) == "tea"


def test_another_loop_of_the_thread_is_told_whose_the_guest_is() -> None:
    one, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    opened = guest()

    async def awaits() -> None:
        await sleep(0.001)

    one.run_until_complete(opened.__aenter__())
    with refuses("the guest of this thread is another loop's"):
        other.run_until_complete(awaits())
    one.run_until_complete(opened.__aexit__(None, None, None))
    one.close()
    other.close()


def test_the_cells_of_a_notebook_are_tasks_of_one_loop_each() -> None:
    loop = asyncio.new_event_loop()
    opened = guest()

    async def cell() -> str:
        return await spawn(pours(0.001))

    loop.run_until_complete(opened.__aenter__())
    assert [loop.run_until_complete(cell()) for _ in range(3)] == ["tea"] * 3
    loop.run_until_complete(opened.__aexit__(None, None, None))
    loop.close()


def test_a_forked_child_has_no_guest() -> None:
    async def main() -> int:
        async with guest():
            child = os.fork()
            if not child:
                try:
                    current_executor()
                except NoExecutor:
                    os._exit(7)
                os._exit(1)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert asyncio.run(main()) == 7
