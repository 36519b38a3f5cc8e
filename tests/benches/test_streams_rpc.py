"""The asyncio peer of the echo benches keeps what it promises."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from struct import pack
from typing import Any

import msgspec
import pytest

from benches.systems.streams_rpc import (
    LARGEST,
    BatchedFrames,
    CallFailed,
    Client,
    Handler,
    Room,
    Server,
    StreamFrames,
    connected,
)

make: type[StreamFrames | BatchedFrames] = StreamFrames


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs the test once over each kind of frames."""

    @pytest.mark.parametrize("kind", [StreamFrames, BatchedFrames])
    def run(kind: type[StreamFrames | BatchedFrames]) -> None:
        global make
        make = kind
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


@asynccontextmanager
async def served(
    methods: dict[str, tuple[type, Handler]], client_slots: int = 8, server_slots: int = 8
) -> AsyncIterator[Client]:
    left, right = socket.socketpair()
    here = make(*await asyncio.open_unix_connection(sock=left))
    there = make(*await asyncio.open_unix_connection(sock=right))
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
    async with connected(4, make) as echo:
        answers = await asyncio.gather(*(echo.echo(bytes([n]) * n) for n in range(100)))
    assert answers == [bytes([n]) * n for n in range(100)]


@in_loop
async def test_a_payload_larger_than_any_buffer_arrives_whole() -> None:
    async with connected(2, make) as echo:
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


@in_loop
async def test_a_frame_that_claims_to_be_huge_is_refused() -> None:
    left, right = socket.socketpair()
    frames = make(*await asyncio.open_unix_connection(sock=left))
    with right:
        right.sendall(pack(">I", LARGEST + 1))
        with pytest.raises(ConnectionError, match="larger"):
            await frames.read()
    await frames.close()
