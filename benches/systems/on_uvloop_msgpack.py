"""The RPC of `streams_rpc`, batched, on uvloop between two processes: the benches are the client,
and run as a program this is the server."""

import asyncio
import sys
from functools import partial

import uvloop

from benches.probe import Probe, shares
from benches.systems.asyncio_family import suite
from benches.systems.elsewhere import server_at
from benches.systems.streams_rpc import BatchedFrames, Client, EchoClient, echo_server

SLOTS = 1000


async def echoes(probe: Probe, in_flight: int) -> None:
    with server_at(__name__) as path:
        frames = BatchedFrames(*await asyncio.open_unix_connection(path))
        client = Client(frames, in_flight)
        echo = EchoClient(client)
        async with asyncio.TaskGroup() as group:
            group.create_task(client.run())

            async def caller(calls: int) -> None:
                for _ in range(calls):
                    await echo.echo(b"sixteen bytes, x")

            for ops in probe.timed():
                async with asyncio.TaskGroup() as callers:
                    for calls in shares(ops, in_flight):
                        callers.create_task(caller(calls))
            await frames.close()


async def main(path: str) -> None:
    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await echo_server(BatchedFrames(reader, writer), SLOTS).run()

    server = await asyncio.start_unix_server(visit, path)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until its parent is gone
    server.close()


SUITE = suite(
    uvloop.new_event_loop,
    {f"remote-{calls}": partial(echoes, in_flight=calls) for calls in (1, 64, 1000)},
)

if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1]))
