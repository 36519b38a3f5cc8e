"""The server gives lessons to who has its address, and refuses everybody else."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from pinfut.learn.lesson import HOUSE, load
from pinfut.learn.progress import Progress
from pinfut.learn.server import MOST_BODY, make_app, serve

TOKEN = "secret"
LESSONS = load(HOUSE)[:3]


@pytest.fixture
def app(tmp_path: Path) -> Starlette:
    return make_app(LESSONS, Progress(tmp_path / "state" / "learn.json"), TOKEN)


def ask(
    app: Starlette,
    path: str,
    body: object = None,
    *,
    host: str | None = "127.0.0.1:8000",
    token: str | None = TOKEN,
    raw: bytes | None = None,
) -> tuple[int, bytes, dict[str, str]]:
    """One request, straight to the application: status, body, headers."""
    data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    headers = [] if host is None else [(b"host", host.encode())]
    if token is not None:
        headers.append((b"x-pinfut-token", token.encode()))
    where, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET" if body is None and raw is None else "POST",
        "scheme": "http",
        "path": where,
        "raw_path": where.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50_000),
        "root_path": "",
    }
    sent: list[Any] = []
    told = [{"type": "http.request", "body": data, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return told.pop() if told else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:]), answered


def job(**changes: object) -> dict[str, object]:
    lesson = LESSONS[2]
    whole: dict[str, object] = {"do": "check", "code": lesson.solution, "check": lesson.check}
    return {**whole, "strict": False, "beside": False, **changes}


def test_the_page_has_the_token_and_asks_for_nothing_elsewhere(app: Starlette) -> None:
    status, body, headers = ask(app, f"/?t={TOKEN}", token=None)
    assert status == 200
    assert f'name="learn-token" content="{TOKEN}"'.encode() in body
    assert b'name="learn-host" content="server"' in body
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/?t=wrong", "/?t=", "/api/lessons", "/api/run"])
def test_without_the_token_there_is_403(app: Starlette, path: str) -> None:
    for token in (None, "wrong", ""):
        assert ask(app, path, token=token)[0] == 403


def test_the_token_in_the_address_is_none_for_a_call(app: Starlette) -> None:
    assert ask(app, f"/api/lessons?t={TOKEN}", token=None)[0] == 403


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "evil.example:8000", "127.0.0.1", "127.0.0.1:9000", "[::1]:8000"],
)
@pytest.mark.parametrize("path", [f"/?t={TOKEN}", "/api/lessons", "/page/learn.js"])
def test_with_the_host_of_another_there_is_403(app: Starlette, path: str, host: str | None) -> None:
    assert ask(app, path, host=host)[0] == 403


def test_files_of_the_page_are_given_and_no_other(app: Starlette) -> None:
    given = ["/page/learn.js", "/page/learn.css", "/page/plain.js", "/explorer/explorer.js"]
    for path in given:
        status, body, headers = ask(app, path, token=None)
        assert (status, bool(body)) == (200, True), path
        assert headers["content-type"].startswith("text/")
    for path in (
        "/page/../server.py",
        "/page/..%2Fserver.py",
        "/page/server.py",
        "/explorer/record.py",
        "/page/index.html",
        "/page/none.js",
        "/learn/page.js",
    ):
        assert ask(app, path)[0] in (403, 404), path


def test_lessons_come_as_html_with_their_progress(app: Starlette) -> None:
    status, body, _ = ask(app, "/api/lessons")
    told = json.loads(body)
    assert status == 200
    assert [one["name"] for one in told["lessons"]] == [one.name for one in LESSONS]
    assert "<strong>Run</strong>" in told["lessons"][2]["html"]
    assert told["progress"] == {}


def test_a_job_is_run(app: Starlette) -> None:
    status, body, _ = ask(app, "/api/run", job())
    assert status == 200
    assert json.loads(body)["solved"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"do": "check"},
        job(do="prove"),
        job(code=1),
        job(strict="yes"),
        {**job(), "check": None},
    ],
    ids=str,
)
def test_what_is_no_job_is_400(app: Starlette, body: object) -> None:
    assert ask(app, "/api/run", body)[0] == 400


def test_a_body_that_is_too_long_or_no_json_is_400(app: Starlette) -> None:
    long = json.dumps(job(code=LESSONS[2].solution + "\n" * MOST_BODY)).encode()
    for raw in (b"{", b"\xff", b"[" * 100_000, long):
        assert ask(app, "/api/run", raw=raw)[0] == 400


def test_progress_is_kept_for_the_next_server(app: Starlette, tmp_path: Path) -> None:
    record = {"code": "x = 1", "tries": 2, "solved": True, "hints": 1}
    name = LESSONS[0].name
    assert ask(app, "/api/progress", {"name": name, "record": record})[0] == 200
    again = make_app(LESSONS, Progress(tmp_path / "state" / "learn.json"), TOKEN)
    assert json.loads(ask(again, "/api/lessons")[1])["progress"] == {name: record}


@pytest.mark.parametrize(
    "body",
    [
        {"name": "no lesson", "record": {}},
        {"name": LESSONS[0].name, "record": None},
        {"name": LESSONS[0].name, "record": {"code": 1}},
        {"name": LESSONS[0].name, "record": {"code": "x" * 200_001}},
        {"name": LESSONS[0].name, "record": {"tries": "many"}},
        {"name": LESSONS[0].name, "record": {"tries": []}},
    ],
    ids=lambda body: str(body)[:60],
)
def test_progress_that_is_none_is_400_and_changes_nothing(app: Starlette, body: object) -> None:
    assert ask(app, "/api/progress", body)[0] == 400
    assert json.loads(ask(app, "/api/lessons")[1])["progress"] == {}


def test_a_file_of_progress_that_cannot_be_read_is_put_aside(tmp_path: Path) -> None:
    file = tmp_path / "learn.json"
    for text in ("{", "[]", '{"a": 1}', '{"a": {"tries": "x"}}'):
        file.write_text(text)
        assert Progress(file).records == {}
        assert not file.exists()
        assert (tmp_path / "learn.json.unreadable").read_text() == text


def test_who_is_told_the_address_can_connect_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = 0

    def told(text: str, **options: object) -> None:
        nonlocal connected
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/", text):
            socket.create_connection(("127.0.0.1", int(found[1]))).close()
            connected += 1

    monkeypatch.setattr("builtins.print", told)
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: None)
    assert serve(LESSONS, port=0, progress=tmp_path / "learn.json", browser=False) == 0
    assert connected == 1
