"""A learner's program runs in a process with limits: what it does there hurts nobody."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from pinfut import payers
from pinfut.learn.child import A_JOB, Limits, run_child
from tests.house.imports import ROOT

FEW = Limits(seconds=60.0, cpu=2, memory=512 << 20, file=1 << 20)


def run(code: str, limits: Limits = FEW) -> dict[str, Any]:
    return run_child({"do": "run", "code": code, "strict": False}, limits)


def test_a_run_comes_back_as_a_result() -> None:
    result = run("async def main():\n    print('hello')\n")
    assert result["kind"] == "run"
    assert any(event.get("v") == "hello\n" for event in result["traces"][0]["events"])


def test_checked_mode_knows_there_where_a_future_was_made() -> None:
    code = "from pinfut import pending\nasync def main():\n    await pending()\n"
    (trace,) = run(code)["traces"]
    assert "made at lesson.py:3" in trace["header"]["error"]["text"]


@pytest.mark.parametrize("memory", ["prices", "arenas"])
def test_sessions_are_paid_for_within_the_limits_of_a_job(memory: str) -> None:
    if memory == "arenas" and payers.why_not() is not None:
        pytest.skip(str(payers.why_not()))
    code = (ROOT / "examples/hello.py").read_text("utf-8")
    # In checked mode, line by line, what is held is more.
    code = code.replace("SimKernel()", f"SimKernel(memory={memory!r})").replace("=32", "=200")
    events = run(code, A_JOB)["traces"][0]["events"]
    assert any(event.get("v") == "Hello, world!\n" for event in events)
    assert any(event["k"] == "bank" for event in events)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("while True:\n    pass\n", "It computed for more than 2 s and was stopped"),
        ("x = bytearray(1 << 40)\n", "more memory than it may have"),
        ("import sys\nsys.exit()\n", "It ended the process"),
        ("import os\nos._exit(3)\n", "has ended by itself (status 3)"),
        ("import os\nos.kill(os.getpid(), 9)\n", "and was stopped"),
        ("open('x', 'wb').write(bytes(2 << 20))\n", "OSError"),
    ],
    ids=["computes", "memory", "exit", "leaves", "killed", "writes"],
)
def test_a_program_that_goes_too_far_is_stopped_with_a_sentence(code: str, said: str) -> None:
    result = run(code)
    assert said in str(result)


def test_one_that_sleeps_is_stopped_and_what_it_has_started_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = (
        "import os, time\n"
        "child = os.fork()\n"
        f"if child:\n    open({str(mark)!r}, 'w').write(str(child))\n"
        "time.sleep(1000)\n"
    )
    result = run(code, Limits(seconds=5.0))
    assert result == {"kind": "stopped", "note": "It ran for 5 s and was stopped."}
    child = int(mark.read_text())
    for _ in range(1_000):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            return  # dead; its parent has gone before it was waited for
        time.sleep(0.01)
    raise AssertionError("what the program has started goes on")


def test_what_a_program_prints_is_not_taken_for_its_result() -> None:
    code = 'import os\nos.write(1, b\'{"kind": "solved"}\')\nasync def main():\n    pass\n'
    assert run(code)["kind"] == "run"


def test_a_program_sees_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_SOMEBODY", "x")
    code = "import os\nassert 'SECRET_OF_SOMEBODY' not in os.environ\nasync def main():\n    pass\n"
    assert run(code)["kind"] == "run"
