"""Arguments that are refused before any work begins, and files that cannot be written after it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pinfut.command import output
from pinfut.command.main import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rule"], "invalid choice: 'rule'"),
        (["slopes", "--many", "7"], "give a number from 128 to 60000, not '7'"),
        (["slopes", "--only", "calls"], "choose from 'open calls'"),
        (["hostile", "--seed", "x"], "give a number from 0 to 9223372036854775807, not 'x'"),
        (["hostile", "--seed", "-1"], "not '-1'"),
        (["prices", "--only", "BREAD"], "invalid choice: 'BREAD'"),
        (["simulate", "--faults", "earthquake"], "no fault earthquake; there are refuse, "),
        (["simulate", "--without", "cut,rain"], "no fault rain; there are refuse, "),
        (["simulate", "--seeds", "x:y"], "give seeds as 0:2000 or as one number, not 'x:y'"),
        (["simulate", "--seeds", "5:"], "give seeds as 0:2000"),
        (["simulate", "--seeds", "5:5"], "give from 1 to 1000000 seeds, as 0:2000; 5:5 are not"),
        (["simulate", "--seeds", "0:1000001"], "give from 1 to 1000000 seeds"),
        (["simulate", "--ops", "0"], "give a number from 1 to 1000000, not '0'"),
        (["simulate", "--jobs", "-1"], "give a number from 1 to 256, not '-1'"),
        (["simulate", "--replay", "-1"], "not '-1'"),
        (["simulate", "--replay", "1", "--seeds", "0:5"], "not allowed with argument"),
        (["simulate", "--replay", "1", "--trace", "-"], "'-' cannot be a file"),
        (["rules", "--json", ""], "'' cannot be a file"),
        (["rules", "--json", "."], "'.' cannot be a file"),
        (["rules", "--json", "no/such/folder"], "name one, in a folder that is there"),
        (["rules", "--json", f"{__file__}/file"], "name one, in a folder that is there"),
        (["simulate", "--json", "/proc/1/no"], "may not be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_are_told_what_to_give(
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, how: access(path, how) and path != "/proc/1")
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""


def test_a_file_is_left_alone_until_there_is_something_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "-"
    file.write_text("as it was")
    with pytest.raises(SystemExit):
        main(["hostile", "--json", str(file), "--seed", "x"])
    assert file.read_text() == "as it was"
    assert main(["rules", "--json", str(file)]) == 0
    assert file.read_text().startswith("[\n")
    assert capsys.readouterr().out.startswith(" 1. ")


def test_a_file_that_fails_in_the_end_is_told_and_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "Path", lambda file: Path("/dev/full"))
    assert main(["rules", "--json", str(tmp_path / "file")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("pinfut rules: error: ")
    assert err.endswith("could not be written: No space left on device; name another file\n")
