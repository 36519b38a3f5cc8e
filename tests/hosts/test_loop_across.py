"""Waiting across on pinfut's loop."""

from __future__ import annotations

import asyncio

import pytest

from pinfut import channel
from pinfut.executor import (
    NoExecutor,
    Recorder,
    current_executor,
    from_host,
    guest,
    scope,
    sleep,
    spawn,
    to_host,
)
from tests.hosts.world import Make, run


def test_a_task_of_asyncio_awaits_what_is_pinfut_s(make: Make) -> None:
    async def own() -> str:
        async with scope() as s:
            t = s.spawn(part())
        return t.result()

    async def part() -> str:
        await sleep(0.001)
        return "tea"

    async def main() -> list[str]:
        send, receive = channel[str](1)
        found = [await from_host(own()), await spawn(own())]
        await send.send("x")
        found.append(await receive.recv())
        await sleep(0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await sleep(60)
        return found

    assert run(make, main()) == ["tea", "tea", "x"]


def test_a_task_of_pinfut_awaits_what_is_asyncio_s(make: Make) -> None:
    async def theirs() -> str:
        async with asyncio.timeout(1), asyncio.TaskGroup() as g:
            t = g.create_task(asyncio.sleep(0.001, "tea"))
        return t.result()

    async def own() -> list[str]:
        fut = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(fut.set_result, "fut")
        return [await to_host(theirs()), await to_host(fut)]

    async def main() -> list[str]:
        return await spawn(own())

    assert run(make, main()) == ["tea", "fut"]


def test_what_is_not_possible_names_the_helper(make: Make) -> None:
    async def wrong() -> None:
        async with asyncio.timeout(1):
            pass

    async def worse() -> None:
        await asyncio.sleep(1)

    async def main() -> None:
        with pytest.raises(NoExecutor, match="from_host"):
            async with scope():
                pass
        with pytest.raises(RuntimeError) as e:
            await spawn(wrong())
        assert "to_host" in str(e.value.__notes__)
        with pytest.raises(TypeError, match="to_host"):
            await spawn(worse())

    run(make, main())


def test_a_guest_on_pinfuts_own_loop_is_the_loops_executor(make: Make) -> None:
    async def waits() -> str:
        await sleep(0.001)
        return "tea"

    async def enters() -> None:
        async with guest():
            raise AssertionError("entered")

    async def main() -> list[str]:
        found = []
        async with guest() as executor, guest() as again:
            assert executor is again is current_executor()
            found.append(await from_host(waits()))
            left = spawn(waits())
        assert not left.done, "it goes on with the loop"
        found.append(await left)
        with pytest.raises(RuntimeError, match="in a run there is no need of one"):
            await from_host(enters())
        for options in ({"checked": not executor.checked}, {"instruments": [Recorder(limit=1)]}):
            with pytest.raises(RuntimeError, match="new_event_loop"):
                async with guest(**options):
                    raise AssertionError("entered")
        async with guest(checked=executor.checked):
            return found

    assert run(make, main()) == ["tea", "tea"]
