"""`pinfut learn check`: what it prints, its JSON, and how it ends."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from pinfut.command.main import main
from pinfut.learn.lesson import HOUSE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one lesson that is proved."""
    shutil.copy(HOUSE / "03-the-waker.md", tmp_path)
    return tmp_path


def test_a_folder_of_lessons_is_proved(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "check", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "03-the-waker: rung_before_anybody_asks by hand, asked_too_often by hand, "
        "every_order_of_the_tasks 6 orders; 3 wrong answers refused",
        "1 lessons, 6 orders explored, 0 refused",
    ]


def test_a_lesson_that_does_not_teach_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "03-the-waker.md"
    text = path.read_text("utf-8")
    path.write_text(text.replace("            self.waker.wake()\n", "            pass\n"), "utf-8")
    assert main(["learn", "check", str(folder), "--json", "-"]) == 1
    (told,) = json.loads(capsys.readouterr().out)
    assert told["lesson"] == "03-the-waker"
    assert told["faults"][0].startswith("its solution fails: asked_too_often: The waker is kept")


def test_a_lesson_that_never_ends_is_refused_too(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "03-the-waker.md"
    text = path.read_text("utf-8")
    path.write_text(
        text.replace("```python check\n", "```python check\nwhile True: pass\n"), "utf-8"
    )
    from pinfut.command import learn
    from pinfut.learn.child import Limits

    monkeypatch.setattr(learn, "A_PROOF", Limits(cpu=2))
    assert main(["learn", "check", str(folder)]) == 1
    assert "refused: It computed for more than 2 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "no/such"], "is no folder; name one that holds lessons"),
        (["check", "--only", "99"], "no lesson of"),
        (["check", "--jobs", "0"], "give a number from 1 to 64"),
        (["--port", "70000"], "give a number from 0 to 65535"),
        (["export"], "required: -o/--output"),
        (["export", "-o", str(HOUSE)], "holds something else"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_refused_with_a_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(["learn", *words])
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "markdown_it"])
def test_without_the_extra_it_says_what_to_install(
    missing: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("pinfut.learn.server", "pinfut.learn.shown"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["learn", "--no-browser"]) == 2
    assert "pip install 'pinfut[learn]'" in capsys.readouterr().err
