"""The smallest service: ``python -m examples.hello``."""

from __future__ import annotations

from typing import Protocol

from pinfut import executor
from pinfut.rpc import Interface, SimKernel, connect, method, serve


class Greeter(Interface, Protocol):
    """What both sides know."""

    @method
    async def greet(self, name: str) -> str: ...


class GreeterService(Greeter):
    """What is served."""

    @method
    async def greet(self, name: str) -> str:
        return f"Hello, {name}!"


async def main() -> None:
    kernel = SimKernel()
    bank = kernel.bank("client", pages=40)
    async with (
        serve(kernel, "greeter", GreeterService()),
        connect(kernel, "greeter", Greeter, bank) as greeter,
    ):
        print(await greeter.greet("world"))
        print(f"The session holds {bank.pages_used} of the client's {bank.page_limit} pages,")
    print(f"and {bank.pages_used} when it is over.")


if __name__ == "__main__":
    executor.run(main())
