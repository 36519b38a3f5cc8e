"""Waiting across: tasks of a host's for what is pinfut's, and tasks of pinfut's for the host's."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest
import trio

import pinfut
from pinfut import Receiver, Sender, channel, join, pin, race, try_join, yield_now
from pinfut.executor import (
    CancelledError,
    NoExecutor,
    current_deadline,
    current_executor,
    current_task,
    from_host,
    guest,
    run,
    scope,
    shield,
    sleep,
    spawn,
    timeout,
    to_host,
)
from pinfut.unboxed import unboxed
from tests.hosts.each_host import Host, OnAsyncio, OnTrio, OnUvloop, host, refuses

__all__ = ["host"]

ASYNCIOS = pytest.mark.parametrize("one", [OnAsyncio(), OnUvloop()], ids=["asyncio", "uvloop"])


async def pours(seconds: float = 0) -> str:
    await sleep(seconds)
    return "tea"


async def parked() -> None:
    await pinfut.pending()


def pair() -> tuple[Sender[Any], Receiver[Any]]:
    return channel(1)


Waits = list[Callable[[], Awaitable[object]]]


# ---- the host's, in a task of pinfut's ----


def test_a_coroutine_of_the_host_runs_in_a_task_of_the_hosts(host: Host) -> None:
    async def theirs(word: str) -> str:
        await host.sleep(0.001)
        assert host.name == "trio" or asyncio.current_task() is not None
        assert host.name != "trio" or trio.lowlevel.in_trio_task()
        return word

    async def ours() -> list[str]:
        return [
            await to_host(theirs("one")),
            *await join(to_host(theirs("two")), to_host(theirs("three"))),
        ]

    async def main() -> list[str]:
        async with guest():
            return await from_host(ours())

    assert host.run(main) == ["one", "two", "three"]


@ASYNCIOS
def test_what_needs_a_task_of_asyncio_works_in_one(one: Host) -> None:
    async def library() -> list[str]:
        async with asyncio.timeout(1), asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0.001, word)) for word in "ab"]
        return [task.result() for task in tasks]

    async def late() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(60)

    async def main() -> list[str]:
        async with guest():
            with pytest.raises(TimeoutError):
                await from_host(to_host(late()))
            return await from_host(to_host(library()))

    assert one.run(main) == ["a", "b"]


def test_what_needs_a_task_of_trio_works_in_one() -> None:
    async def library() -> list[str]:
        heard: list[str] = []
        send, receive = trio.open_memory_channel[str](0)

        async def hears() -> None:
            async with receive:
                async for word in receive:
                    heard.append(word)

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery, send:
                nursery.start_soon(hears)
                for word in "ab":
                    await send.send(word)
                await send.aclose()
        return heard

    async def main() -> list[str]:
        async with guest():
            with pytest.raises(trio.TooSlowError):
                await from_host(to_host(late()))
            return await from_host(to_host(library()))

    async def late() -> None:
        with trio.fail_after(0.001):
            await trio.sleep_forever()

    assert trio.run(main) == ["a", "b"]


@ASYNCIOS
def test_a_future_of_asyncio_gives_its_value_its_error_or_its_cancel(one: Host) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def waits(settle: Callable[[asyncio.Future[str]], object]) -> str:
            future: asyncio.Future[str] = loop.create_future()
            loop.call_later(0.001, settle, future)
            return await to_host(future)

        async with guest():
            assert await from_host(waits(lambda f: f.set_result("set"))) == "set"
            with pytest.raises(ValueError, match=r"^set$"):
                await from_host(waits(lambda f: f.set_exception(ValueError("set"))))
            with pytest.raises(asyncio.CancelledError):
                await from_host(waits(lambda f: f.cancel()))
            task = asyncio.ensure_future(asyncio.sleep(0.001, "task"))
            assert await from_host(to_host(task)) == "task"
            assert await from_host(to_host(task)) == "task", "one that is done"

    one.run(main)


def test_errors_of_the_host_cross_as_they_are_and_groups_do(host: Host) -> None:
    async def fails() -> None:
        await host.sleep(0)
        raise RuntimeError("theirs")

    async def several() -> None:
        if host.name == "trio":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fails)
        else:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())

    async def ours() -> None:
        with pytest.raises(RuntimeError, match=r"^theirs$"):
            await to_host(fails())
        with pytest.raises(ExceptionGroup) as failed:
            await to_host(several())
        assert [str(error) for error in failed.value.exceptions] == ["theirs"]
        with pytest.raises(TypeError):
            await to_host(3)  # type: ignore[arg-type]

    async def main() -> None:
        async with guest():
            await from_host(ours())

    host.run(main)


VARIABLE: ContextVar[str] = ContextVar("variable", default="none")


def test_context_variables_follow_to_the_host(host: Host) -> None:
    async def reads() -> str:
        await host.sleep(0)
        before = VARIABLE.get()
        VARIABLE.set("host's")
        return before

    async def ours() -> list[str]:
        VARIABLE.set("pinfut's")
        return [await to_host(reads()), *await join(to_host(reads())), VARIABLE.get()]

    async def main() -> list[str]:
        async with guest():
            return await from_host(ours())

    assert host.run(main) == ["pinfut's"] * 3


def test_a_channel_is_used_from_both_sides_and_order_is_kept(host: Host) -> None:
    there, back = pair(), pair()

    async def ours() -> None:
        async for number in there[1]:
            await back[0].send(number * 2)
        back[0].close()

    async def main() -> list[int]:
        async def sends() -> None:
            for number in range(20):
                await there[0].send(number)
            there[0].close()

        async def receives() -> list[int]:
            return [number async for number in back[1]]

        async with guest():
            task = spawn(ours())
            got = await host.beside(sends, receives)
            await task
            return got

    assert host.run(main) == [2 * number for number in range(20)]


# ---- cancels of pinfut's ----


class Cancelling:
    """A coroutine of the host's that cleans up when it is cancelled, and how far it came."""

    def __init__(self, host: Host, ends: str) -> None:
        self.host = host
        self.ends = ends
        self.log: list[str] = []
        self.begun = pinfut.Event()

    async def work(self) -> str:
        self.begun.set()
        try:
            await self.host.sleep(3600)
        except self.host.cancelled:
            self.log.append("cancelled")
            if self.host.name == "trio":
                with trio.CancelScope(shield=True):
                    await trio.sleep(0.005)
            else:
                await asyncio.sleep(0.005)
            self.log.append("cleaned up")
            if self.ends == "fails":
                raise ValueError("in the clean-up") from None
            if self.ends == "raises":
                raise
        return "a value after all"


Ours = Callable[[], Coroutine[Any, Any, object]]


async def by_cancel(ours: Ours, begun: pinfut.Event) -> object:
    task = spawn(ours())
    await begun.wait()
    task.cancel()
    return await task


async def by_timeout(ours: Ours, begun: pinfut.Event) -> object:
    async def fires() -> None:
        await begun.wait()
        block.fire()

    spawn(fires())
    try:
        with timeout(3600) as block:
            return await ours()
    except TimeoutError:
        raise CancelledError from None


async def by_race(ours: Ours, begun: pinfut.Event) -> object:
    await race(ours(), begun.wait())
    await sleep(0.01)  # the clean-up goes on beside
    raise CancelledError


@pytest.mark.parametrize("ends", ["raises", "returns"])
@pytest.mark.parametrize("how", [by_cancel, by_timeout, by_race])
def test_a_cancel_of_pinfuts_is_one_of_the_hosts_and_its_clean_up_is_waited_for(
    host: Host, ends: str, how: Callable[[Ours, pinfut.Event], Coroutine[Any, Any, object]]
) -> None:
    theirs = Cancelling(host, ends)

    async def ours() -> object:
        try:
            return await to_host(theirs.work())
        finally:
            theirs.log.append("pinfut's")

    async def main() -> None:
        async with guest():
            with pytest.raises((CancelledError, concurrent.futures.CancelledError)):
                await from_host(how(ours, theirs.begun))

    host.run(main)
    assert theirs.log == ["cancelled", "cleaned up", "pinfut's"]


def test_an_error_of_the_clean_up_takes_the_place_of_the_cancel(host: Host) -> None:
    theirs = Cancelling(host, "fails")

    async def main() -> None:
        async with guest():
            with pytest.raises(ValueError, match="in the clean-up"):
                await from_host(by_cancel(lambda: to_host(theirs.work()), theirs.begun))

    host.run(main)


def test_the_end_of_a_guest_ends_what_was_begun_in_the_host(host: Host) -> None:
    theirs = Cancelling(host, "raises")

    async def main() -> None:
        before = host.held()
        async with guest():
            spawn(to_host(theirs.work()))
            await theirs.begun.wait()
        assert theirs.log == ["cancelled", "cleaned up"]
        await host.sleep(0)
        assert host.held().tasks == before.tasks

    host.run(main)


# ---- cancels of the host's ----


@pytest.mark.parametrize("wait", ["plain", "from_host"])
def test_a_cancel_of_the_hosts_drops_the_future_that_is_awaited(host: Host, wait: str) -> None:
    async def main() -> None:
        async with guest() as executor:
            task = spawn(parked())
            tx, rx = pair()

            async def waits(future: Awaitable[object]) -> None:
                await (future if wait == "plain" else from_host(future))

            for future in (sleep(3600), task, rx.recv(), join(sleep(60), parked())):
                error = await host.cancel_after(5, lambda future=future: waits(future))  # type: ignore[misc]
                assert isinstance(error, host.cancelled)
            for _ in range(5):
                await host.sleep(0)
            assert executor.timers.next_deadline() is None
            assert list(executor.tasks) == [task], "who is only awaited goes on"
            assert tx.try_send("not taken by who was cancelled")
            assert await rx.recv() == "not taken by who was cancelled"

    host.run(main)


@pytest.mark.parametrize("ends", ["raises", "returns", "fails"])
def test_a_cancel_of_the_hosts_ends_the_coroutine_and_its_clean_up_is_waited_for(
    host: Host, ends: str
) -> None:
    log: list[str] = []

    async def ours() -> str:
        try:
            await parked()
        except CancelledError:
            log.append("cancelled")
            await sleep(0.005)
            log.append("cleaned up")
            if ends == "fails":
                raise ValueError("in the clean-up") from None
            if ends == "raises":
                raise
        return "a value after all"

    async def waits() -> None:
        try:
            await from_host(ours())
        finally:
            log.append("host's")

    async def main() -> BaseException | None:
        async with guest():
            return await host.cancel_after(5, waits)

    error = host.run(main)
    assert log == ["cancelled", "cleaned up", "host's"]
    assert isinstance(error, ValueError if ends == "fails" else host.cancelled)


@ASYNCIOS
def test_each_cancel_of_asyncios_is_one_of_the_task(one: Host) -> None:
    cancels = 0

    async def stubborn() -> None:
        nonlocal cancels
        while cancels < 3:
            try:
                await parked()
            except CancelledError:
                cancels += 1

    async def main() -> None:
        async with guest():
            task = asyncio.ensure_future(from_host(stubborn()))
            while not task.done():
                await asyncio.sleep(0.001)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    one.run(main)
    assert cancels == 3


@ASYNCIOS
def test_a_timeout_of_asyncios_around_an_await_is_asyncios(one: Host) -> None:
    async def main() -> None:
        async with guest() as executor:
            waits: Waits = [lambda: sleep(60), lambda: from_host(parked())]
            for wait in waits:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await wait()
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(wait(), 0.001)
            assert list(await asyncio.gather(sleep(0.001), from_host(pours()))) == [None, "tea"]
            assert not executor.tasks

    one.run(main)


def test_a_task_that_another_has_cancelled_gives_the_hosts_kind(host: Host) -> None:
    async def main() -> None:
        async with guest():

            async def cancels_itself() -> None:
                current_task().cancel()
                await parked()

            kind = concurrent.futures.CancelledError if host.name == "trio" else CancelledError
            with pytest.raises(kind) as cancelled:
                await from_host(cancels_itself())
            assert type(cancelled.value) is kind
            # And the one who awaits was not cancelled.
            await host.sleep(0)

    host.run(main)


def test_a_coroutine_that_is_closed_cancels_what_it_waits_for(host: Host) -> None:
    log: list[str] = []

    async def ours() -> None:
        try:
            await parked()
        except CancelledError:
            log.append("cancelled")
            raise

    async def main() -> None:
        async with guest():
            waits = from_host(ours())
            assert isinstance(waits, Coroutine)
            waits.send(None)
            await sleep(0.001)
            waits.close()
            await host.sleep(0.001)  # which nobody may end but the host
            await sleep(0.001)
            assert log == ["cancelled"]

    host.run(main)


# ---- what is left ----


def test_what_was_awaited_across_is_let_go_of(host: Host) -> None:
    class Held:
        pass

    async def ours(held: Held) -> Held:
        await sleep(0)
        return held

    async def fails(held: Held) -> None:
        await sleep(0)
        raise ValueError(repr(held))

    async def theirs(held: Held) -> Held:
        await host.sleep(0)
        return held

    async def theirs_fails(held: Held) -> None:
        await host.sleep(0)
        raise ValueError(repr(held))

    async def main() -> None:
        async with guest():
            kept: list[weakref.ref[Held]] = []

            def held() -> Held:
                one = Held()
                kept.append(weakref.ref(one))
                return one

            gc.disable()
            try:
                await from_host(ours(held()))
                await spawn(ours(held()))
                await from_host(to_host(theirs(held())))
                waits: Waits = [
                    lambda: from_host(fails(held())),
                    lambda: spawn(fails(held())),
                    lambda: from_host(to_host(theirs_fails(held()))),
                ]
                for wait in waits:
                    try:
                        await wait()
                    except ValueError:
                        pass
                for _ in range(3):
                    await host.sleep(0)
                await spawn(pours())
                left = [index for index, one in enumerate(kept) if one() is not None]
            finally:
                gc.enable()
            assert left == []

    host.run(main)


def test_where_no_guest_is_open_awaits_are_as_they_were(host: Host) -> None:
    bridge: Any = pinfut.FutureBase.__await__

    def way() -> object:
        """The code of the bridge; of that in C the iterator, for it has none."""
        return getattr(bridge, "__code__", None) or type(bridge(pinfut.FutureBase()))

    before = way()

    async def main() -> None:
        async with guest():
            assert way() is not before
            assert pinfut.FutureBase.__await__ is bridge, "unboxed code knows it"
            assert await from_host(unboxed_pours()) == "tea"
        assert way() is before

    host.run(main)


# ---- what is not possible ----


def shields() -> None:
    with shield():
        pass


def times() -> None:
    with timeout(1):
        pass


@pytest.mark.parametrize("needs_a_task", [shields, times, current_task, current_deadline])
def test_what_is_part_of_a_task_of_pinfuts_names_from_host(
    host: Host, needs_a_task: Callable[[], object]
) -> None:
    async def main() -> None:
        async with guest():
            with pytest.raises(NoExecutor, match=r"await from_host\("):
                needs_a_task()
            with pytest.raises(NoExecutor, match=r"await from_host\("):
                async with scope():
                    pass
            coro = pours()
            with pytest.raises(NoExecutor, match=r"await from_host\("):
                await timeout(1, coro)
            coro.close()

    host.run(main)


@unboxed
async def unboxed_pours() -> str:
    await sleep(0.001)
    return "tea"


async def yields() -> None:
    await yield_now()


@pytest.mark.parametrize("refused", [yields, unboxed_pours])
def test_what_the_host_alone_could_do_names_from_host(
    host: Host, refused: Callable[[], Coroutine[Any, Any, object]]
) -> None:
    async def main() -> None:
        async with guest():
            with pytest.raises((RuntimeError, TypeError), match=r"await from_host\(\.\.\.\)"):
                await refused()
            await from_host(refused())

    host.run(main)


async def a_timeout_of_asyncios() -> None:
    async with asyncio.timeout(1):
        pass


async def a_group_of_asyncios() -> None:
    async with asyncio.TaskGroup():
        pass


async def a_sleep_of_asyncios() -> None:
    await asyncio.sleep(1)


async def a_sleep_of_trios() -> None:
    await trio.sleep(1)


async def an_event_of_trios() -> None:
    await trio.Event().wait()


async def a_scope_of_trios() -> None:
    with trio.move_on_after(1):
        pass


async def a_nursery_of_trios() -> None:
    async with trio.open_nursery():
        pass


OF_ASYNCIO = [a_timeout_of_asyncios, a_group_of_asyncios, a_sleep_of_asyncios]
OF_TRIO = [a_sleep_of_trios, an_event_of_trios, a_scope_of_trios, a_nursery_of_trios]


@pytest.mark.parametrize(
    ("host", "theirs"),
    [
        *((one, theirs) for one in (OnAsyncio(), OnUvloop()) for theirs in OF_ASYNCIO),
        *((OnTrio(), theirs) for theirs in OF_TRIO),
    ],
)
def test_what_is_the_hosts_names_to_host_in_a_task_of_pinfuts(
    host: Host, theirs: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        async with guest():
            with pytest.raises((RuntimeError, TypeError)) as refused:
                await from_host(theirs())
            said = str(refused.value) + "".join(getattr(refused.value, "__notes__", []))
            assert "await to_host(...)" in said
            # And no harm was done.
            assert await from_host(pours(0.001)) == "tea"

    host.run(main)


def test_to_host_where_no_host_is_names_the_thread() -> None:
    async def theirs() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        coro = theirs()
        with pytest.raises(NoExecutor, match=r"await to_thread\(asyncio\.run"):
            await to_host(coro)
        assert coro.cr_frame is None, "it was closed"  # type: ignore[attr-defined]

    run(main())


def test_the_wrong_helper_is_refused_and_closes_what_it_was_given(host: Host) -> None:
    async def ours() -> None:
        coro = pours()
        with refuses("in a task of pinfut's await it as it is"):
            await from_host(coro)
        assert coro.cr_frame is None  # type: ignore[attr-defined]

    async def main() -> None:
        async with guest():
            coro = pours()
            with pytest.raises(NoExecutor, match="to_host is for a task of pinfut"):
                await to_host(coro)
            assert coro.cr_frame is None  # type: ignore[attr-defined]
            await from_host(ours())

    host.run(main)


def test_a_runtime_error_of_pinfuts_is_no_refusal(host: Host) -> None:
    async def fails() -> None:
        raise RuntimeError("mine")

    async def both() -> list[str]:
        said = []
        waits: Waits = [lambda: try_join(fails()), lambda: spawn(fails()), lambda: pin(fails())]
        for wait in waits:
            try:
                await wait()
            except RuntimeError as error:
                said.append(str(error))
        return said

    async def main() -> None:
        async with guest():
            # In a task of the host's, polled in place there, and in one of pinfut's.
            assert await both() == ["mine"] * 3
            assert await try_join(both()) == (["mine"] * 3,)
            assert await from_host(both()) == ["mine"] * 3

    host.run(main)


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12 has it")
def test_an_eager_task_begins_outside_of_the_task_that_asks_for_it() -> None:
    seen: list[object] = []

    async def theirs() -> str:
        seen.append(asyncio.current_task() is not None)
        for needs_a_task in (current_task, shields):
            try:
                needs_a_task()
            except NoExecutor:
                seen.append("no task of pinfut's")
        assert await from_host(pours()) == "tea"
        return "theirs"

    async def ours() -> str:
        value = await to_host(theirs())
        assert current_executor().current is current_task()
        assert await join(to_host(theirs())) == (value,)
        return value

    async def main() -> str:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        async with guest():
            return await from_host(ours())

    assert asyncio.run(main()) == "theirs"
    assert seen == [True, *["no task of pinfut's"] * 2] * 2
