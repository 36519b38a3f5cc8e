"""pinfut between two processes, over a Unix socket: the benches are the client, and run as a
program this is the server."""

import sys
from functools import partial

from benches.probe import BenchFunction, Probe, Suite, shares
from benches.systems.elsewhere import server_at
from benches.systems.pinfut_rpc import PAGES_PER_SLOT, Echo, EchoServer
from pinfut import executor
from pinfut.rpc import connect, serve
from pinfut.rpc.kernel.stream import ANYONE, Unix


def run(bench: BenchFunction, probe: Probe) -> None:
    executor.run(bench(probe))


async def echoes(probe: Probe, in_flight: int) -> None:
    with server_at(__name__) as path:
        kernel = Unix(path)
        bank = kernel.bank("client", pages=max(4096, PAGES_PER_SLOT * in_flight))
        async with connect(kernel, "echo", Echo, bank, slots=in_flight) as echo:

            async def caller(calls: int) -> None:
                for _ in range(calls):
                    await echo.echo(b"sixteen bytes, x")

            for ops in probe.timed():
                async with executor.scope() as scope:
                    for calls in shares(ops, in_flight):
                        scope.spawn(caller(calls))


async def main(path: str) -> None:
    kernel = Unix(path)
    kernel.grant(ANYONE, kernel.bank("clients", pages=1 << 16, caps=1 << 16))
    async with serve(kernel, "echo", EchoServer()):
        print("ready", flush=True)
        await executor.to_thread(sys.stdin.read)  # until its parent is gone


SUITE = Suite(run, {f"remote-{calls}": partial(echoes, in_flight=calls) for calls in (1, 64, 1000)})

if __name__ == "__main__":
    executor.run(main(sys.argv[1]))
