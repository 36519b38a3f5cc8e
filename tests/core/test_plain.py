"""A plain call takes the plain way in C: no function in Python stands in for it."""

from __future__ import annotations

from tests.core.both import needs_core, python

CALLS = """
import sys
from typing import Protocol
from pinfut import executor
from pinfut.rpc import Interface, SimKernel, connect, method, serve

class Echo(Interface, Protocol):
    @method
    async def echo(self, n: int) -> int: ...

class EchoServer(Echo):
    @method
    async def echo(self, n: int) -> int:
        return n

entered = {}

def note(frame, event, arg):
    if event == "call":
        name = frame.f_code.co_qualname
        entered[name] = entered.get(name, 0) + 1

async def main():
    kernel = SimKernel(memory="prices")
    bank = kernel.bank("client", pages=64)
    async with serve(kernel, "echo", EchoServer()), connect(kernel, "echo", Echo, bank) as echo:
        await echo.echo(0)
        sys.setprofile(note)
        for n in range(20):
            assert await echo.echo(n) == n
        sys.setprofile(None)

executor.run(main(), checked=False)
for name in sorted(entered):
    print(name, entered[name])
"""


@needs_core
def test_a_plain_call_enters_no_function_that_the_core_stands_for() -> None:
    entered = dict(line.rsplit(" ", 1) for line in python("-c", CALLS).splitlines())
    assert entered["EchoServer.echo"] == "20", "it was looked at"
    stood_for = ("submit_plain", "RingWriter.submit", "SlotTable.acquire", "Peer.give",
                 "CallsIn.on_call", "CallsOut.take", "Promise.poll")  # fmt: skip
    assert [name for name in stood_for if name in entered] == []
