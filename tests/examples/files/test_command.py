"""The command: what it prints, how it ends, and what it says to wrong options."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from examples.files.__main__ import main
from examples.files.report import Report
from examples.files.tree import Tree
from tests.examples.files.test_fetch import plant
from tests.house.imports import ROOT


@pytest.fixture
def small(tmp_path: Path) -> str:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "deep").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "shallow").write_text("shallow")
    (tmp_path / "empty").touch()
    return str(tmp_path)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def _fails(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(str(caught.value.code))


def test_a_run_over_a_small_tree_holds_every_check(
    small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tree", small, "--rounds", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "a/b/c/deep: 4 levels, 5,120 bytes" in out
    assert re.search(r"round trips +1 +5 *\n", out)
    assert re.search(r"files +3 +3 *\n", out)
    assert "OutOfPages: bank 'short' has" in out
    assert "OutOfPages: bank 'greedy' has" in out
    for bank in ("fetch", "chain", "short", "greedy", "well-behaved"):
        assert re.search(rf"ok +bank '{bank}' is back at its balance", out)
    assert re.search(r"All (\d+) checks hold", out)
    assert "FAILED" not in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("options", [["--in-flight", "1"], ["--chunk", "100"], ["--seed", "9"]])
def test_every_option_leads_to_the_same_checks(
    small: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tree", small, "--rounds", "2", *options]) == 0
    assert "checks hold" in capsys.readouterr().out


def test_a_tree_of_every_kind_of_thing_runs_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(tmp_path, 5)
    (tmp_path / "esc\x1b[31m").write_text("a name that would colour the terminal")
    assert main(["--tree", str(tmp_path), "--rounds", "1"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_tree_without_a_deep_file_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "only").write_text("x")
    assert main(["--tree", str(tmp_path), "--rounds", "1"]) == 0
    out = capsys.readouterr().out
    assert "No file here is 4 levels down; the deepest is 1." in out
    assert "only: 1 level, 1 byte read" in out


def test_one_seed_gives_one_simulated_time(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    def first_step(seed: str) -> str:
        main(["--tree", small, "--rounds", "1", "--seed", seed])
        found = re.search(r"simulated time.*", capsys.readouterr().out)
        assert found
        return found[0]

    assert first_step("3") == first_step("3") != first_step("4")


def test_the_project_itself_has_a_file_four_levels_down() -> None:
    assert any(
        len(path.relative_to(ROOT).parts) == 4 and path.stat().st_size
        for path in (ROOT / "tests" / "examples" / "files").iterdir()
        if path.is_file()
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tree", "/nowhere/at/all"], "is not a directory; name a folder"),
        (["--tree", __file__], "is not a directory"),
        (["--in-flight", "0"], "whole number from 1 to"),
        (["--in-flight", "many"], "whole number from 1 to"),
        (["--in-flight", "1000000"], "whole number from 1 to"),
        (["--seed", "-1"], "whole number from 0 to"),
        (["--seed", "1.5"], "whole number from 0 to"),
        (["--chunk", "0"], "whole number from 1 to"),
        (["--chunk", "65536"], "whole number from 1 to"),
        (["--pages", "0"], "whole number from 1 to"),
        (["--rounds", "0"], "whole number from 1 to"),
        (["--rounds", "1", "more"], "unrecognized arguments"),
    ],
)
def test_a_wrong_option_is_a_usage_error_that_says_what_to_do(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _fails(*options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "usage:" in err


def test_a_tree_with_nothing_to_read_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").touch()
    assert _fails("--tree", str(tmp_path)) == 2
    assert "has no file with anything in it" in capsys.readouterr().err


@pytest.mark.parametrize("pages", [1, 4, 5, 11, 12, 14, 18, 22])
def test_pages_too_few_for_the_job_are_a_usage_error_that_says_how_many(
    tmp_path: Path, pages: int, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(tmp_path, 2)
    assert _fails("--tree", str(tmp_path), "--rounds", "1", "--pages", str(pages)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"--pages: {pages} is too few for 64 calls" in err
    assert "bank 'fetch'" in err
    assert "without --pages it is 1280" in err


def test_help_lists_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert _fails("--help") == 0
    out = capsys.readouterr().out
    for option in ("--tree", "--hide", "--in-flight", "--chunk", "--pages", "--rounds", "--seed"):
        assert option in out


def test_a_server_that_gives_wrong_bytes_fails_the_run(
    small: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = Tree.read
    monkeypatch.setattr(
        Tree, "read", lambda self, path, offset, size: read(self, path, offset, size)[::-1]
    )
    assert main(["--tree", small, "--rounds", "1"]) == 1
    out = capsys.readouterr().out
    assert "checks FAILED:" in out
    assert re.search(r"FAILED +the bytes are those of the file on disk", out)
    assert re.search(r"FAILED +pinfut: digest", out)
    assert re.search(r"FAILED +streams: digest", out)


def test_a_file_that_cannot_be_served_ends_the_run_with_its_error(
    small: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Tree, path: str, offset: int, size: int) -> bytes:
        raise self._refused(path, PermissionError(13, "Permission denied"))

    monkeypatch.setattr(Tree, "read", refuse)
    assert main(["--tree", small]) == 1
    assert "Unreadable: 'a/b/c/deep' cannot be read" in capsys.readouterr().err.replace(
        "'shallow'", "'a/b/c/deep'"
    )


@pytest.mark.parametrize("reads", [1, 4, 8])
def test_ctrl_c_ends_the_run_cleanly_wherever_it_is(
    small: str, reads: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = Tree.read
    left = reads

    def interrupt(self: Tree, path: str, offset: int, size: int) -> bytes:
        nonlocal left
        left -= 1
        if not left:
            signal.raise_signal(signal.SIGINT)
        return read(self, path, offset, size)

    monkeypatch.setattr(Tree, "read", interrupt)
    assert main(["--tree", small, "--rounds", "3"]) == 130
    assert left <= 0
    assert "stopped" in capsys.readouterr().err


def test_ctrl_c_between_two_steps_ends_the_run_too(
    small: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Report, "changed", lambda self: None)
    monkeypatch.setattr(Report, "chain", lambda *_: signal.raise_signal(signal.SIGINT))
    assert main(["--tree", small]) == 130
    assert "stopped" in capsys.readouterr().err


def test_output_that_nobody_reads_or_that_is_ascii_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "日本").write_text("x")
    command = [sys.executable, "-m", "examples.files", "--tree", str(tmp_path), "--rounds", "1"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert b"checks hold" in done.stdout
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as unread:
        assert unread.stdout is not None
        unread.stdout.close()
        assert unread.stderr is not None
        assert b"Traceback" not in unread.stderr.read()
