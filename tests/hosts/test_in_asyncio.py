"""Tests that pytest-asyncio runs on a stock loop of asyncio, with pinfut as a guest in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from pinfut import drop
from pinfut.executor import Executor, NoExecutor, current_executor, from_host, guest, sleep, spawn
from pinfut.rpc import SimKernel, connect, serve
from tests.hosts.test_guest import Counter, CounterService


@pytest_asyncio.fixture
async def executor() -> AsyncIterator[Executor]:
    async with guest() as executor:
        yield executor
    with pytest.raises(NoExecutor):
        current_executor()


@pytest_asyncio.fixture
async def counter(executor: Executor) -> AsyncIterator[Counter]:
    """What tests of a service begin with; its bank is whole when the test is over."""
    kernel = SimKernel()
    bank = kernel.bank("client", pages=64)
    async with (
        serve(kernel, "counter", CounterService()),
        connect(kernel, "counter", Counter, bank) as counter,
    ):
        yield counter
        assert bank.pages_used > 0
    assert bank.pages_used == 0


@pytest.mark.asyncio
async def test_a_guest_of_a_fixture_runs_what_the_test_spawns(executor: Executor) -> None:
    assert type(asyncio.get_running_loop()).__module__.startswith("asyncio")
    assert current_executor() is executor
    await spawn(sleep_a_little())


async def sleep_a_little() -> None:
    await sleep(0.001)


@pytest.mark.asyncio
async def test_a_service_of_a_fixture_is_called_from_tasks_of_asyncio(counter: Counter) -> None:
    assert await counter.add(3) == 3

    async def add() -> int:
        return await counter.add(1)

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(add()) for _ in range(20)]
    assert sorted(call.result() for call in calls) == list(range(4, 24))


@pytest.mark.asyncio
async def test_what_a_test_gives_up_is_cancelled_when_its_fixture_ends(counter: Counter) -> None:
    drop(counter.add(1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await from_host(sleep(60))
