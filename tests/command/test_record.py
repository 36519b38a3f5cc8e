"""`pinfut record` and `pinfut show`: a run, its trace, its page, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pinfut.command.main import main
from pinfut.learn.explorer import Trace, render
from tests.learn.explorer.traces import BELL, BUSY, CALLS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bell.py").write_text(BELL, "utf-8")
    (tmp_path / "busy.py").write_text(BUSY, "utf-8")
    return tmp_path


def test_a_run_is_recorded_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "busy.py", "--seed", "7", "-o", "t.json"]) == 0
    assert main(["record", "busy.py", "--seed", "7", "-o", "again.json"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("a value"), "the program prints as it does without"
    assert told.err.startswith("pinfut record: ")
    assert " 0 older ones dropped" in told.err
    assert Path("t.json").read_bytes() == Path("again.json").read_bytes()
    trace = Trace.load("t.json")
    assert trace.header["seed"] == 7
    assert main(["show", "t.json", "-o", "t.html"]) == 0
    assert Path("t.html").read_text("utf-8") == render(trace)
    assert main(["show", "t.json", "--chrome", "-o", "p.json"]) == 0
    events = json.loads(Path("p.json").read_text("utf-8"))["traceEvents"]
    slices = [event["name"] for event in events if event["ph"] == "B"]
    assert "poll Select" in slices
    assert "poll Sleep" in slices
    [select] = [e for e in events if e["name"] == "poll Select" and e["ph"] == "B"][:1]
    inside = events[events.index(select) + 1 :]
    assert next(e["name"] for e in inside if e["ph"] == "B") == "poll Sleep", "a child's poll"


def test_a_program_that_fails_leaves_its_trace_and_the_status_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record", "bell.py", "-o", "t.json"]) == 1
    assert "it ended with LostWakeup: " in capsys.readouterr().err
    assert Trace.load("t.json").header["error"]["law"] == 2
    assert main(["record", "bell.py", "--unchecked", "-o", "hang.json"]) == 1
    assert "every task is parked" in capsys.readouterr().err
    assert len(Trace.load("hang.json").events) > len(Trace.load("t.json").events)


def test_the_bytes_of_a_trace_do_not_tell_where_objects_lay(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PINFUT_MEMORY", raising=False)
    Path("calls.py").write_text(CALLS, "utf-8")
    for name in ("t.json", "again.json"):
        assert main(["record", "calls.py", "-o", name]) == 0
    assert Path("t.json").read_bytes() == Path("again.json").read_bytes()
    paid = {event.get("why") for event in Trace.load("t.json").events if event["k"] == "bank"}
    assert "the handler of a call" in paid
    assert "what its handlers hold" not in paid
    assert "PINFUT_MEMORY" not in os.environ


def test_what_is_kept_and_how_long_a_run_may_take_can_be_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forever = "from pinfut import yield_now\nasync def main():\n    while True: await yield_now()\n"
    Path("forever.py").write_text(forever)
    words = ["record", "forever.py", "-o", "t.json", "--limit", "50", "--steps", "300"]
    assert main([*words, "--no-lines"]) == 1
    assert "it ended with TooManySteps" in capsys.readouterr().err
    trace = Trace.load("t.json")
    assert len(trace.events) == 50
    assert trace.lost > 300
    assert not any(event["k"] == "line" for event in trace.events)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["record", "nothing.py", "-o", "t.json"], "No such file"),
        (["record", "text.txt", "-o", "t.json"], "is no Python file"),
        (["record", "empty.py", "-o", "t.json"], "async def main"),
        (["record", "needs.py", "-o", "t.json"], "needs.py is called with nothing: missing"),
        (["show", "nothing.json", "-o", "t.html"], "No such file"),
        (["show", "text.txt", "-o", "t.html"], "not JSON"),
        (["show", "later.json", "-o", "t.html"], "version 2"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    Path("text.txt").write_text("hello\n")
    Path("empty.py").write_text("")
    Path("needs.py").write_text("async def main(port): pass\n")
    Path("later.json").write_text('{"pinfut-trace":2}\n')
    assert main(words) == 2
    assert why in capsys.readouterr().err
    assert not Path("t.json").exists()
    assert not Path("t.html").exists()
