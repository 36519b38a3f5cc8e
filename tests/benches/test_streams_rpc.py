"""The asyncio peers of the echo benches keep what they promise, over each transport."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from struct import pack
from typing import Any

import msgspec
import pytest

from benches.systems.memory_rpc import MemoryFrames
from benches.systems.streams_rpc import (
    HIGH_WATER,
    LARGEST,
    BatchedFrames,
    CallFailed,
    Client,
    EchoClient,
    Frames,
    Handler,
    Room,
    Server,
    StreamFrames,
    conversation,
    encode,
    socket_pair,
    stream,
)


async def in_memory() -> tuple[Frames, Frames]:
    return MemoryFrames.pair()


Ends = Callable[[], Awaitable[tuple[Frames, Frames]]]
TRANSPORTS: dict[str, Ends] = {
    "streams": partial(socket_pair, StreamFrames),
    "batched": partial(socket_pair, BatchedFrames),
    "memory": in_memory,
}
ends: Ends = in_memory


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs the test once over each transport."""

    @pytest.mark.parametrize("transport", TRANSPORTS)
    def run(transport: str) -> None:
        global ends
        ends = TRANSPORTS[transport]
        asyncio.run(asyncio.wait_for(test(), 60))  # only so that a hang ends

    run.__name__ = test.__name__
    return run


@asynccontextmanager
async def connected(slots: int) -> AsyncIterator[EchoClient]:
    async with conversation(*await ends(), slots) as echo:
        yield echo


@asynccontextmanager
async def served(
    methods: dict[str, tuple[type, Handler]], client_slots: int = 8, server_slots: int = 8
) -> AsyncIterator[Client]:
    here, there = await ends()
    client = Client(here, client_slots)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.run())
        group.create_task(Server(there, methods, server_slots).run())
        try:
            yield client
        finally:
            await here.close()
            await there.close()


@in_loop
async def test_an_echo_gives_back_what_was_sent() -> None:
    async with connected(4) as echo:
        answers = await asyncio.gather(*(echo.echo(bytes([n]) * n) for n in range(100)))
    assert answers == [bytes([n]) * n for n in range(100)]


@in_loop
async def test_a_payload_larger_than_any_buffer_arrives_whole() -> None:
    async with connected(2) as echo:
        payload = bytes(700_000)
        answers = await asyncio.gather(echo.echo(payload), echo.echo(b"x"))
        assert tuple(answers) == (payload, b"x")


@in_loop
async def test_a_slow_handler_holds_up_nobody() -> None:
    release = asyncio.Event()

    async def handle(number: int) -> int:
        if number == 0:
            await release.wait()
        return number

    async with served({"f": (int, handle)}) as client:
        slow = asyncio.create_task(client.call("f", 0))
        assert msgspec.msgpack.decode(await client.call("f", 1)) == 1
        assert not slow.done()
        release.set()
        await slow


@in_loop
async def test_wrong_arguments_wrong_methods_and_errors_go_to_their_caller_only() -> None:
    async def handle(number: int) -> int:
        return 10 // number

    async with served({"f": (int, handle)}) as client:
        with pytest.raises(CallFailed, match="ValidationError"):
            await client.call("f", "no number")
        with pytest.raises(CallFailed, match="KeyError"):
            await client.call("g", 1)
        with pytest.raises(CallFailed, match="ZeroDivisionError"):
            await client.call("f", 0)
        assert msgspec.msgpack.decode(await client.call("f", 5)) == 2


@pytest.mark.parametrize(("client_slots", "server_slots"), [(2, 8), (8, 2)])
def test_calls_in_flight_are_bounded_on_both_ends(client_slots: int, server_slots: int) -> None:
    running = most = 0

    async def handle(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return number

    async def calls() -> None:
        async with served({"f": (int, handle)}, client_slots, server_slots) as client:
            await asyncio.gather(*(client.call("f", n) for n in range(20)))

    asyncio.run(calls())
    assert most == 2


@in_loop
async def test_a_cancelled_caller_leaves_its_slot_and_its_answer_is_ignored() -> None:
    release = asyncio.Event()

    async def handle(number: int) -> int:
        await release.wait()
        return number

    async with served({"f": (int, handle)}, client_slots=1) as client:
        first = asyncio.create_task(client.call("f", 1))
        await asyncio.sleep(0)
        second = asyncio.create_task(client.call("f", 2))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        release.set()
        assert msgspec.msgpack.decode(await second) == 2


@in_loop
async def test_a_slot_passed_to_a_waiter_that_is_cancelled_goes_to_the_next() -> None:
    room = Room(1)
    room.free -= 1
    first, second = asyncio.create_task(room.wait()), asyncio.create_task(room.wait())
    await asyncio.sleep(0)
    room.leave()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    room.leave()
    assert room.free == 1


@pytest.mark.parametrize("make", [StreamFrames, BatchedFrames])
def test_a_frame_that_claims_to_be_huge_is_refused(
    make: type[StreamFrames | BatchedFrames],
) -> None:
    async def read() -> None:
        left, right = socket.socketpair()
        frames = make(*await stream(left))
        with right:
            right.sendall(pack(">I", LARGEST + 1))
            with pytest.raises(ConnectionError, match="larger"):
                await frames.read()
        await frames.close()

    asyncio.run(read())


@in_loop
async def test_every_transport_hands_over_the_same_bytes() -> None:
    messages: list[tuple[int, str | None, object]]
    messages = [(n, "echo", bytes([n]) * n) for n in range(50)]
    here, there = await ends()
    for message in messages:
        here.write(message, alone=False)
    arrived: list[bytes] = []
    while len(arrived) < len(messages):
        arrived += [bytes(frame) for frame in await there.read()]
    assert arrived == [encode(message) for message in messages]
    await here.close()
    assert await there.read() == []
    await there.close()


@in_loop
async def test_who_writes_faster_than_the_other_end_reads_must_wait() -> None:
    here, there = await ends()
    written = 0
    while not here.congested():
        here.write((written, None, bytes(1000)), alone=False)
        written += 1
        await asyncio.sleep(0)
        assert written < 10_000, "nothing ever holds up this writer"
    assert 1000 * written > HIGH_WATER // 2
    waiting = [asyncio.create_task(here.drain()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    read = 0
    while read < written:
        read += len(await there.read())
    for _ in range(1000):
        await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [True, True]
    assert not here.congested()
    await here.close()
    await there.close()


def test_a_frame_too_large_for_the_other_end_is_refused_in_memory_too() -> None:
    async def write() -> None:
        here, there = await in_memory()
        with pytest.raises(ConnectionError, match="larger"):
            here.write((1, "echo", bytes(LARGEST)), alone=True)
        here.write((1, "echo", bytes(LARGEST - 100)), alone=True)
        assert len(await there.read()) == 1

    asyncio.run(write())


def test_in_memory_a_writer_that_waits_learns_that_the_other_end_has_closed() -> None:
    async def write() -> None:
        here, there = await in_memory()
        for n in range(2 * HIGH_WATER // 1000):
            here.write((n, None, bytes(1000)), alone=False)
        waiting = asyncio.create_task(here.drain())
        await asyncio.sleep(0)
        await there.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert waiting.done()
        with pytest.raises(ConnectionResetError):
            await waiting

    asyncio.run(write())
