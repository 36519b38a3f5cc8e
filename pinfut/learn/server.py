"""server: the page and its host on this machine. Listens on the loopback address alone.

Who may open the address may run programs, so two things are asked for with every request: a
Host that is this server's (a page elsewhere that had its name lead here has another), and, but for
files of the page, a token that only the address that was printed has.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import webbrowser
from collections.abc import Sequence
from hmac import compare_digest
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pinfut.learn.child import run_child
from pinfut.learn.lesson import Lesson
from pinfut.learn.progress import Progress, default_file
from pinfut.learn.shown import shown

AT_A_TIME: Final = 2
"""Programs that run at a time; others wait for their turn."""

MOST_BODY: Final = 1 << 20
"""Bytes of a request."""

FOLDERS: Final = {"page": "pinfut.learn", "explorer": "pinfut.learn.explorer"}
KINDS: Final = {".js": "text/javascript", ".css": "text/css"}

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Guard:
    """Refuses what is not for this server, before anything looks at it."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refused = self._refused(Request(scope)) if scope["type"] == "http" else "no such thing"
        if refused is None:
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse(refused, 403, HEADERS)(scope, receive, send)

    def _refused(self, request: Request) -> str | None:
        host, _, port = request.headers.get("host", "").rpartition(":")
        server = request.scope.get("server") or ("", 0)
        if host not in ("127.0.0.1", "localhost") or port != str(server[1]):
            return "This server answers for 127.0.0.1 alone."
        path = request.url.path
        if path.startswith(("/page/", "/explorer/")):
            return None  # the same for everybody, and in the package
        given = request.query_params.get("t", "")
        if path != "/":
            given = request.headers.get("x-pinfut-token", "")
        if not compare_digest(given.encode(), self._token.encode()):
            return "Open the address that `pinfut learn` has printed."
        return None


def make_app(lessons: Sequence[Lesson], progress: Progress, token: str) -> Starlette:
    """The server as an ASGI application."""
    told = shown(lessons)
    turns = asyncio.Semaphore(AT_A_TIME)

    async def index(request: Request) -> Response:
        page = files("pinfut.learn").joinpath("page/index.html").read_text("utf-8")
        page = page.replace('"learn-host" content="browser"', '"learn-host" content="server"')
        page = page.replace('"learn-token" content=""', f'"learn-token" content="{token}"')
        return HTMLResponse(page, headers=HEADERS)

    async def file(request: Request) -> Response:
        folder, name = request.path_params["folder"], request.path_params["name"]
        kind = KINDS.get(Path(name).suffix)
        if folder not in FOLDERS or kind is None or "/" in name or "\\" in name:
            return PlainTextResponse("no such file", 404, HEADERS)
        place = Path(str(files(FOLDERS[folder])))
        found = (place / "page" if folder == "page" else place) / name
        if not found.is_file():
            return PlainTextResponse("no such file", 404, HEADERS)
        return Response(found.read_bytes(), media_type=kind, headers=HEADERS)

    async def opened(request: Request) -> Response:
        return JSONResponse({"lessons": told, "progress": progress.records}, headers=HEADERS)

    async def run(request: Request) -> Response:
        job = await body(request)
        if job is None or job.get("do") not in ("run", "check"):
            return PlainTextResponse("a job is to run or to check a program", 400, HEADERS)
        wanted = {"code": str, "check": str, "strict": bool, "beside": bool}
        if not all(isinstance(job.get(name), kind) for name, kind in wanted.items()):
            return PlainTextResponse(f"a job has {', '.join(wanted)}", 400, HEADERS)
        async with turns:
            return JSONResponse(await run_in_threadpool(run_child, job), headers=HEADERS)

    async def save(request: Request) -> Response:
        asked = await body(request)
        names = {one["name"] for one in told}
        if asked is None or asked.get("name") not in names:
            return PlainTextResponse("progress is of a lesson that is here", 400, HEADERS)
        try:
            progress.save(asked["name"], asked.get("record"))
        except (ValueError, TypeError) as error:
            return PlainTextResponse(str(error), 400, HEADERS)
        return JSONResponse({}, headers=HEADERS)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/lessons", opened),
            Route("/api/run", run, methods=["POST"]),
            Route("/api/progress", save, methods=["POST"]),
            Route("/{folder}/{name}", file),
        ],
        middleware=[Middleware(Guard, token=token)],
    )


async def body(request: Request) -> dict[str, Any] | None:
    """The JSON object of a request; None when it is none, or too long."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BODY:
            return None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def serve(lessons: Sequence[Lesson], *, port: int, progress: Path | None, browser: bool) -> int:
    """Serve until Ctrl-C; the exit status. Prints the address, and opens it if `browser`. Raises
    OSError for a port that is taken."""
    token = secrets.token_urlsafe(18)
    kept = Progress(default_file() if progress is None else progress)
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(16)  # before the address is told
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/?t={token}"
        print(f"{len(lessons)} lessons at {address}", flush=True)
        print(f"Progress is kept in {kept.file}. Ctrl-C ends it.", flush=True)
        config = uvicorn.Config(
            make_app(lessons, kept, token), log_level="warning", server_header=False, lifespan="off"
        )
        if browser:
            webbrowser.open(address)
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
    return 0
