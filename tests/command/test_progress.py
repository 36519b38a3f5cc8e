"""How far long work is: on a terminal's standard error, and nowhere else."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from pinfut.command.progress import bar, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def standing(terminal: Terminal) -> str:
    """What the line says now, the cursor at its begin."""
    return terminal.getvalue().split("\r")[-2].rstrip()


def test_it_is_silent_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    assert list(progress(iter("abc"), 3, "letters")) == ["a", "b", "c"]
    assert quiet.getvalue() == ""


def test_the_bar_stands_while_a_result_is_made_and_is_gone_while_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    seen = []

    def work() -> Iterator[int]:
        for n in range(2):
            seen.append(standing(terminal).partition(",")[0])
            yield n

    for n in progress(work(), 2, "work"):
        assert standing(terminal) == ""
        seen.append(str(n))
    assert standing(terminal) == ""
    empty, half = "." * 30, "#" * 15 + "." * 15
    assert seen == [f"work [{empty}] 0 of 2", "0", f"work [{half}] 1 of 2", "1"]


def test_the_bar_is_gone_when_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    def work() -> Iterator[int]:
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        list(progress(work(), 2, "work"))
    assert standing(terminal) == ""


def test_what_is_left_takes_as_long_as_what_is_done() -> None:
    assert bar(0, 4, "x", 9.0).endswith("0 of 4")
    assert bar(1, 4, "x", 25.0).endswith("1 of 4, 1:15 left")
    assert bar(4, 4, "x", 25.0) == f"x [{'#' * 30}] 4 of 4, 0:00 left"
