"""The command `pinfut`: what it loads, how it ends."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import pinfut
from pinfut.command.main import SUBCOMMANDS, main, make_parser

PACKAGE = Path(pinfut.__file__).parent / "command"


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120)


def test_every_subcommand_has_help_that_begins_with_what_it_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in SUBCOMMANDS:
        with pytest.raises(SystemExit) as caught:
            main([name, "--help"])
        assert caught.value.code == 0
        usage, _, rest = capsys.readouterr().out.partition("\n\n")
        assert usage.startswith(f"usage: pinfut {name} ")
        assert rest[0].isupper()


def test_the_figures_of_each_can_be_had_as_json() -> None:
    parser = make_parser([*SUBCOMMANDS])
    of_a_function = ("layout", "source")
    for name in SUBCOMMANDS.keys() - {"laws", "learn", "record", "show", "source"}:
        words = [name, *["module:function"] * (name in of_a_function)]
        assert parser.parse_args(words).json is None
        assert parser.parse_args([*words, "--json", "-"]).json == "-"


def test_without_a_subcommand_it_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "usage: pinfut" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert all(f" {name} {text}" in out for name, text in SUBCOMMANDS.items())


@pytest.mark.parametrize(
    "words",
    [
        ["layout", "tests.command.test_unboxed:shown"],
        ["source", "tests.command.test_unboxed:shown"],
        ["laws"],
        ["info"],
        ["rules"],
        ["rows"],
    ],
)
def test_it_prints_where_only_ascii_can_be(words: list[str]) -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "pinfut", *words], capture_output=True, env=environ, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.isascii()
    assert (b"\\xb7" in done.stdout) == (words[0] in ("layout", "source"))


def test_it_runs_as_a_module() -> None:
    assert python("-m", "pinfut", "--version").stdout == f"pinfut {pinfut.__version__}\n"


def test_laws_prints_every_law(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["laws"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{number}. {law}" for number, law in pinfut.LAWS.items()
    ]


def test_a_subcommand_is_loaded_when_it_is_chosen_and_the_house_loads_none() -> None:
    tell = "; import sys; print(*sorted(n for n in sys.modules if n.startswith('pinfut.')))"
    house = python("-c", "import pinfut.executor, pinfut.rpc, pinfut.unboxed" + tell).stdout
    assert "pinfut.rpc.session.session" in house
    assert "pinfut.command" not in house
    assert "pinfut.learn" not in house
    chosen = "from pinfut.command.main import main; main(['laws'])"
    laws = python("-c", chosen + tell).stdout.splitlines()[-1].split()
    assert "pinfut.command.laws" in laws
    assert not [name for name in laws if name.startswith(("pinfut.rpc", "pinfut.executor"))]


def test_every_file_of_a_subcommand_is_listed() -> None:
    found = {
        path.stem for path in PACKAGE.glob("*.py") if "\ndef run(options" in path.read_text("utf-8")
    }
    assert found == set(SUBCOMMANDS)


@pytest.mark.parametrize("words", [["rules"], ["rules", "--json", "-"], ["--help"]], ids=str)
def test_a_reader_that_goes_away_ends_it_quietly(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pinfut", *words],
            env=os.environ | {"PYTHONUNBUFFERED": ""},  # as a shell has it: flushed at the end
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("words", [["rules"], ["info", "--json", "-"]], ids=str)
def test_an_output_that_takes_nothing_is_one_line_on_stderr(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pinfut", *words],
            env=os.environ | {"PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["pinfut: error: [Errno 28] No space left on device"]


def test_an_output_that_is_closed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it then
    assert main(["info", "--json", "-"]) == 0


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_it_quietly_while_a_bar_shows_how_far_it_is(jobs: str) -> None:
    words = ["simulate", "--seeds", "0:100000", "--ops", "20", "--jobs", jobs, "--json", "-"]
    terminal, side = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "pinfut", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=side,
            start_new_session=True,  # a group of its own, as a shell gives to what it starts
        )
        os.close(side)
        told = ""
        while not re.search(r"\] [1-9]\d* of 100000, \d+:\d\d left", told):
            told += os.read(terminal, 4096).decode()
        os.killpg(process.pid, signal.SIGINT)
        with suppress(OSError):  # a terminal that nobody has open on the other side
            while more := os.read(terminal, 4096).decode():
                told += more
        assert process.stdout is not None
        assert process.stdout.read() == b""
        process.stdout.close()
        assert process.wait(120) == 130
    finally:
        os.close(terminal)
    assert re.fullmatch(r"(seeds \[[#.]+\][^\r\n]*\r(\r +\r)+)+", told), told[-2000:]
