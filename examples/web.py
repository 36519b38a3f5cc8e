"""Starlette over a file service: ``python -m examples.web``, or ``uvicorn examples.web:app``.

Each visitor has a bank of its own. One asks for piece after piece and takes none; it is stopped
when its bank is empty, and the others are served all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import pinfut
from examples.files.interface import Directory
from examples.files.server import TreeDirectory
from examples.files.tree import Tree
from pinfut.rpc import Bank, BankError, Promise, RemoteError, SimKernel, connect, serve

FOLDER: Final = Path(__file__).parent
"""What is served."""

PIECE: Final = 500
"""Bytes of a file that are read at once, unless it is said how many."""

PAGES: Final = 96
"""In the bank of each visitor."""

VISITORS: Final = 100
"""The most visitors."""


class Visitor:
    """One who asks, with what it pays for."""

    def __init__(self, root: Directory, bank: Bank) -> None:
        self.root = root
        self.bank = bank
        self.held: list[Promise[bytes]] = []


class Files:
    """The service, and who has come so far."""

    def __init__(self, kernel: SimKernel, sessions: AsyncExitStack) -> None:
        self._kernel = kernel
        self._sessions = sessions
        self._opening = pinfut.Lock()
        self.visitors: dict[str, Visitor] = {}

    async def visitor(self, request: Request) -> Visitor:
        """Who asks. The first time a session is opened, which ends with the service."""
        name = request.headers.get("who", "somebody")
        async with self._opening:
            if name not in self.visitors:
                if len(self.visitors) >= VISITORS:
                    raise HTTPException(503, "there is room for no more visitors")
                bank = self._kernel.bank(name, pages=PAGES)
                session = connect(self._kernel, "files", Directory, bank)
                root = await self._sessions.enter_async_context(session)
                self.visitors[name] = Visitor(root, bank)
        return self.visitors[name]


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    kernel = SimKernel()
    tree = TreeDirectory(Tree(str(FOLDER)))
    async with pinfut.guest(), serve(kernel, "files", tree), AsyncExitStack() as sessions:
        app.state.files = Files(kernel, sessions)
        yield


async def read(request: Request) -> Response:
    """``GET /hello.py?offset=0&size=100``: a piece of a file."""
    visitor = await request.app.state.files.visitor(request)
    offset, size = (number(request, key) for key in ("offset", "size"))
    name = request.path_params["name"]
    return Response(await visitor.root.open(name).read(offset, size or PIECE))


def number(request: Request, key: str) -> int:
    text = request.query_params.get(key, "0")
    if not text.isdecimal() or len(text) > 18:
        raise HTTPException(400, f"{key!r} is a number of bytes")
    return int(text)


async def order(request: Request) -> Response:
    """``POST /hello.py``: have a piece read, to be taken later."""
    visitor = await request.app.state.files.visitor(request)
    visitor.held.append(visitor.root.open(request.path_params["name"]).read(0, PIECE))
    return PlainTextResponse(f"{len(visitor.held)} ordered")


async def cannot_pay(request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), status_code=507)  # insufficient storage


async def refused(request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), status_code=404)


app = Starlette(
    routes=[Route("/{name}", read), Route("/{name}", order, methods=["POST"])],
    exception_handlers={BankError: cannot_pay, RemoteError: refused},
    lifespan=lifespan,
)


def client(who: str) -> httpx.AsyncClient:
    """A visitor who asks the application in this process."""
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://files", headers={"who": who})


async def demonstrate() -> None:
    """One visitor orders without end and takes nothing, two read a file meanwhile and after."""
    stopped = asyncio.Event()
    names = ("reader", "other reader")
    reads = dict.fromkeys(names, 0)
    whole = (FOLDER / "hello.py").read_bytes()

    async def orders_without_end() -> None:
        async with client("greedy") as greedy:
            ordered = 0
            while (answer := await greedy.post("/hello.py")).status_code == 200:
                ordered += 1
        print(f"greedy: {ordered} pieces ordered, none taken, then {answer.status_code}:")
        print(f"  {answer.text}")
        stopped.set()

    async def read_on(who: str) -> None:
        async with client(who) as reader:
            rounds = 0
            while rounds < 10:
                rounds += stopped.is_set()
                for offset in range(0, len(whole), PIECE):
                    answer = await reader.get(f"/hello.py?offset={offset}&size={PIECE}")
                    assert answer.content == whole[offset : offset + PIECE]
                    reads[who] += 1

    async with lifespan(app), asyncio.TaskGroup() as group:
        for who in names:
            group.create_task(read_on(who))
        group.create_task(orders_without_end())
        visitors = app.state.files.visitors
    for who in names:
        print(f"{who}: {reads[who]} pieces, all as they are on disk")
    print(f"pages paid in the end: {sum(one.bank.pages_used for one in visitors.values())}")


if __name__ == "__main__":
    asyncio.run(demonstrate())
