"""Pipes and event counters."""

from __future__ import annotations

import os

import pytest

from pinfut.executor import spawn, yield_now
from pinfut.executor.current import current_poller
from pinfut.executor.io import EventFd, PipeReader, PipeWriter, pipe
from pinfut.sync import Closed
from tests.executor.world import Run


async def drain(reader: PipeReader) -> bytes:
    data = bytearray()
    while piece := await reader.recv(10_000):
        data += piece
    return bytes(data)


def test_a_pipe_carries_more_than_it_holds_and_then_its_end(run: Run) -> None:
    data = os.urandom(500_000)

    async def fill(writer: PipeWriter) -> None:
        with writer:
            await writer.sendall(data)

    async def main() -> None:
        reader, writer = pipe()
        with reader:
            task = spawn(fill(writer))
            assert await drain(reader) == data
            await task
        assert current_poller().external == 0

    run(main())


def test_a_writer_that_waits_learns_that_nobody_reads_any_more(run: Run) -> None:
    async def hang_up(reader: PipeReader) -> None:
        reader.close()

    async def main() -> None:
        reader, writer = pipe()
        with writer:
            spawn(hang_up(reader))
            with pytest.raises(BrokenPipeError):
                await writer.sendall(bytes(500_000))

    run(main())


def test_a_pipe_that_is_closed_here_tells_who_waits_and_who_comes(run: Run) -> None:
    async def close(reader: PipeReader) -> None:
        reader.close()
        reader.close()

    async def main() -> None:
        reader, writer = pipe()
        with writer:
            spawn(close(reader))
            for _ in range(2):
                with pytest.raises(Closed, match="closed here"):
                    await reader.recv(1)

    run(main())


def test_an_event_counter_adds_up_and_is_taken_whole(run: Run) -> None:
    async def main() -> None:
        with EventFd(2) as event:
            assert await event.take() == 2
            taking = spawn(take(event))
            await yield_now()
            await event.add()
            await event.add(5)
            assert await taking == 6
            with EventFd(fd=os.dup(event.fileno())) as other:
                await other.add(3)
                assert await event.take() == 3

    async def take(event: EventFd) -> int:
        return await event.take()

    run(main())
