"""The other process of a test: ``serve PATH``, ``call PATH`` or ``repeat PATH``. It says what it
has when asked by a line on its standard input, and ends with it."""

from __future__ import annotations

import sys

from pinfut import executor
from pinfut.executor import sleep, spawn, to_thread
from pinfut.rpc import connect, serve
from pinfut.rpc.kernel.stream import ANYONE, Unix
from tests.rpc.services import Desk, DeskServer


def say(line: object) -> None:
    print(line, flush=True)


async def server(path: str) -> None:
    kernel = Unix(path)
    bank = kernel.bank("granted", pages=2000)
    kernel.grant(ANYONE, bank)
    async with serve(kernel, "desk", DeskServer()) as vat:
        say("ready")
        while (await to_thread(sys.stdin.readline)).strip() == "used":
            while vat.sessions or bank.pages_used:
                await sleep(0.01)
            say(f"{bank.pages_used} {bank.caps_used}")


async def client(path: str) -> None:
    kernel = Unix(path)
    async with connect(kernel, "desk", Desk, kernel.bank("other", pages=500)) as desk:
        spawn(nap(desk))
        say(await desk.do(1))
        await to_thread(sys.stdin.readline)


async def repeat(path: str) -> None:
    """Many sessions, with calls of the plainest sort."""
    kernel = Unix(path)
    for n in range(30):
        async with connect(kernel, "desk", Desk, kernel.bank(f"other {n}", pages=500)) as desk:
            for m in range(60):
                assert await desk.do(m) == m
    say("done")


async def nap(desk: Desk) -> None:
    await desk.nap(1000.0)


if __name__ == "__main__":
    main = {"serve": server, "call": client, "repeat": repeat}[sys.argv[1]]
    executor.run(main(sys.argv[2]))
