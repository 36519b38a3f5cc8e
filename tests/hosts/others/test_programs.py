"""Programs of others on the loop, with tasks of pinfut beside them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from pinfut.asyncio import EventLoop
from pinfut.executor import Task, current_executor, from_host, guest, scope, sleep
from pinfut.rpc import Interface, SimKernel, connect, method, serve
from tests.house.imports import ROOT


class Greeter(Interface, Protocol):
    @method
    async def greet(self, name: str) -> str: ...


class GreeterService(Greeter):
    @method
    async def greet(self, name: str) -> str:
        return await greeting(name)


async def greeting(name: str) -> str:
    """In pinfut, with a scope of its own."""

    async def part(text: str) -> str:
        await sleep(0.001)
        return text

    async with scope() as s:
        parts: list[Task[str]] = [s.spawn(part("hello ")), s.spawn(part(name))]
    return "".join(one.result() for one in parts)


@pytest.mark.asyncio
async def test_the_tests_run_on_the_loop() -> None:
    loop = asyncio.get_running_loop()
    assert type(loop) is EventLoop
    assert current_executor() is loop.executor
    assert await from_host(greeting("you")) == "hello you"


@pytest.mark.asyncio
async def test_starlette_under_uvicorn_calls_a_service_and_httpx_asks_it() -> None:
    import httpx
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket

    kernel = SimKernel()
    bank = kernel.bank("web", pages=64)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with (
            guest(),
            serve(kernel, "greeter", GreeterService()),
            connect(kernel, "greeter", Greeter, bank) as greeter,
        ):
            app.state.greeter = greeter
            yield

    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.app.state.greeter.greet(request.path_params["name"]))

    async def counts(request: Request) -> StreamingResponse:
        async def numbers() -> Any:
            for number in range(3):
                yield await from_host(greeting(f"{number}\n"))

        return StreamingResponse(numbers())

    async def echoes(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await from_host(greeting(await socket.receive_text())))
        await socket.close()

    app = Starlette(
        routes=[
            Route("/hello/{name}", hello),
            Route("/counts", counts),
            WebSocketRoute("/echoes", echoes),
        ],
        lifespan=lifespan,
    )
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="warning", lifespan="on", ws="websockets-sansio")
    )
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.001)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answers = await asyncio.gather(*(client.get(f"/hello/{n}") for n in range(20)))
        assert [one.text for one in answers] == [f"hello {n}" for n in range(20)]
        assert (await client.get("/counts")).text == "hello 0\nhello 1\nhello 2\n"
        assert (await client.get("/nothing")).status_code == 404
    from websockets.asyncio.client import connect as connect_socket

    async with connect_socket(f"ws://127.0.0.1:{port}/echoes", proxy=None) as client_socket:
        await client_socket.send("you")
        assert await client_socket.recv() == "hello you"
    assert bank.pages_used > 0
    server.should_exit = True
    await serving
    assert bank.pages_used == 0


@pytest.mark.asyncio
async def test_aiohttp_serves_and_asks() -> None:
    from aiohttp import ClientSession, WSMsgType, web

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=await from_host(greeting(await request.text())))

    async def echoes(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(await from_host(greeting(message.data)))
        return socket

    app = web.Application()
    app.add_routes([web.post("/hello", hello), web.get("/echoes", echoes)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with ClientSession(f"http://{host}:{port}") as session:
        for name in ("one", "two"):
            async with session.post("/hello", data=name) as answer:
                assert await answer.text() == f"hello {name}"
        async with session.ws_connect("/echoes") as socket:
            await socket.send_str("three")
            assert await socket.receive_str() == "hello three"
    await runner.cleanup()


@pytest.mark.asyncio
async def test_websockets_go_to_and_fro() -> None:
    from websockets.asyncio.client import connect as connect_socket
    from websockets.asyncio.server import ServerConnection
    from websockets.asyncio.server import serve as serve_sockets

    async def answers(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(await from_host(greeting(str(message))))

    async with serve_sockets(answers, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect_socket(f"ws://127.0.0.1:{port}", proxy=None) as socket:
            for number in range(5):
                await socket.send(str(number))
                assert await socket.recv() == f"hello {number}"


@pytest.mark.asyncio
async def test_anyio_has_its_task_groups_threads_and_sockets() -> None:
    import anyio
    from anyio.abc import SocketStream, TaskStatus
    from anyio.to_thread import run_sync

    async def answers(stream: SocketStream) -> None:
        async with stream:
            await stream.send(
                (await from_host(greeting((await stream.receive()).decode()))).encode()
            )

    async def serves(*, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED) -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))
        async with listener:
            await listener.serve(answers)

    async with anyio.create_task_group() as group:
        port = await group.start(serves)
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"you")
            assert await stream.receive() == b"hello you"
        assert await run_sync(lambda: 7) == 7
        with anyio.move_on_after(0.001) as moved:
            await from_host(sleep_long())
        assert moved.cancelled_caught
        group.cancel_scope.cancel()


async def sleep_long() -> None:
    await sleep(3600)


def test_anyio_runs_on_a_loop_factory() -> None:
    import anyio

    from pinfut.asyncio import new_event_loop

    async def main() -> str:
        return await from_host(greeting("anyio"))

    options = {"loop_factory": new_event_loop}
    assert anyio.run(main, backend_options=options) == "hello anyio"


APP = """
import asyncio
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from pinfut.executor import sleep, spawn

@asynccontextmanager
async def lifespan(app):
    spawn(waits())
    await asyncio.sleep(0)
    yield

async def waits():
    try:
        await sleep(3600)
    finally:
        await sleep(0.01)
        print("cleaned up", flush=True)

async def hello(request):
    return PlainTextResponse(type(asyncio.get_running_loop()).__name__)

app = Starlette(routes=[Route("/", hello)], lifespan=lifespan)
"""


def test_the_command_of_uvicorn_takes_the_loop_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "uvicorn", "--loop", "pinfut.asyncio:new_event_loop"]
        serving = subprocess.Popen(
            [*command, "--fd", str(listener.fileno()), "app:app"],
            env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with serving:
            # The listener is there before the server is: this waits for it.
            with socket.create_connection(listener.getsockname(), timeout=60) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: client.recv(1000), b""))
            serving.send_signal(signal.SIGINT)
            out, errors = serving.communicate(timeout=60)
    assert answer.endswith(b"\r\n\r\nEventLoop"), errors
    assert "cleaned up\n" in out
    assert "Application shutdown complete" in errors


IPYTHON = """
import asyncio, pinfut.asyncio
from IPython.core.interactiveshell import InteractiveShell
from pinfut.executor import sleep, spawn

async def brews():
    await sleep(0.01)
    return "tea"

shell = InteractiveShell.instance(user_ns=globals())
def cells(*codes):
    for code in codes:
        shell.run_cell(code)
"""

ON_THE_LOOP = """
asyncio.set_event_loop_policy(pinfut.asyncio.EventLoopPolicy())
cells(
    "task = spawn(brews())",  # no await: nothing runs here, so there is no executor
    "import asyncio; task = spawn(brews()); await asyncio.sleep(0)",
    "while not task.done: await asyncio.sleep(0.001)",
    "print('got', task.result(), asyncio.get_running_loop()); await asyncio.sleep(0)",
)
"""

AS_A_GUEST = """
cells(
    "import asyncio, pinfut; here = pinfut.guest()",
    "await here.__aenter__()",
    "task = spawn(brews())",  # it waits for a cell that awaits
    "print('got', await task, asyncio.get_running_loop())",
    "await here.__aexit__(None, None, None)",
    "await spawn(brews())",
)
"""


def shown(cells: str, home: Path) -> str:
    """What these cells of IPython's show."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IPYTHON + cells],
        env={"HOME": str(home), "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="policies end")
def test_cells_of_ipython_await_on_the_loop(tmp_path: Path) -> None:
    output = shown(ON_THE_LOOP, tmp_path)
    assert "got tea <EventLoop" in output, output
    assert "NoExecutor" in output


def test_a_guest_is_open_over_many_cells_of_ipython(tmp_path: Path) -> None:
    output = shown(AS_A_GUEST, tmp_path)
    assert "got tea <_UnixSelectorEventLoop" in output, output
    before, after = output.split("got tea")
    assert "NoExecutor" not in before, output
    assert "NoExecutor" in after, output
